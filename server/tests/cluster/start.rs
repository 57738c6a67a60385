//! What is wrong is said in one line, with code 2.

use crate::ground::Ground;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, ResourceSpecifier},
    client::DefaultClientContext,
};
use std::process::Command;

pub fn sql(url: &str, text: &str) {
    let done = Command::new("psql")
        .args(["--quiet", "--no-psqlrc", url, "--command", text])
        .status()
        .unwrap();
    assert!(done.success());
}

fn admin(ground: &Ground) -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", &ground.kafka.address)
        .create()
        .unwrap()
}

/// What is not named goes back to its default.
async fn set_topic(ground: &Ground, topic: &str, settings: &[(&str, &str)]) {
    let mut change = AlterConfig::new(ResourceSpecifier::Topic(topic));
    for (name, value) in settings {
        change = change.set(name, value);
    }
    let changed = admin(ground)
        .alter_configs([&change], &AdminOptions::new())
        .await
        .unwrap();
    assert!(changed.iter().all(Result::is_ok), "{changed:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts its own servers: ./test cluster"]
async fn mistakes_stop_the_start_with_one_line_and_code_2() {
    let ground = Ground::new().await;
    let place = &ground.place;
    let key = place.path().join("other.key");
    std::fs::write(&key, [9; 32]).unwrap();
    let nowhere = "postgres://u:hush@127.0.0.1:1/d";
    for (name, value, words) in [
        ("RLY_DATABASE_URL", nowhere, "RLY_DATABASE_URL cannot be used"),
        (
            "RLY_DATABASE_URL",
            "postgres://u:hush@[",
            "RLY_DATABASE_URL cannot be used",
        ),
        (
            "RLY_KAFKA_BROKERS",
            "127.0.0.1:1",
            "no Kafka broker answers at 127.0.0.1:1",
        ),
        ("RLY_KEY_FILE", "/nowhere/key", "/nowhere/key"),
        ("RLY_KAFKA_OPTIONS", "/nowhere/options", "/nowhere/options"),
        ("RLY_KAFKA_PREFIX", "a b", "RLY_KAFKA_PREFIX"),
    ] {
        let line = place.refused(|command| {
            command.env(name, value);
        });
        assert!(line.contains(words), "{line}");
        assert!(!line.contains("hush"), "{line}");
    }
    let options = place.path().join("options");
    std::fs::write(&options, "# of librdkafka\nno.such.option=hush\n").unwrap();
    let line = place.refused(|command| {
        command.env("RLY_KAFKA_OPTIONS", &options);
    });
    assert!(line.contains("no.such.option"), "{line}");

    // The first node makes everything; one with another key is refused, and the first one goes on.
    let node = place.start();
    let line = place.refused(|command| {
        command.env("RLY_KEY_FILE", &key);
    });
    assert!(line.contains("the server key is not the one"), "{line}");
    assert_eq!(node.ready().await, (200, None));
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));

    // A topic that somebody has changed so that it could lose something.
    let topic = format!("{}.queues", place.option("RLY_KAFKA_PREFIX"));
    set_topic(
        &ground,
        &topic,
        &[("retention.ms", "604800000"), ("flush.messages", "1")],
    )
    .await;
    let line = place.refused(|_| {});
    assert!(line.contains("retention.ms=604800000"), "{line}");
    let usual = [
        ("retention.ms", "-1"),
        ("retention.bytes", "-1"),
        ("flush.messages", "1"),
    ];
    set_topic(&ground, &topic, &usual).await;

    // Another Kafka's topic, and another database.
    let line = place.refused(|command| {
        command.env("RLY_KAFKA_PREFIX", "another");
    });
    assert!(line.contains("belongs to the log"), "{line}");

    // Somebody has enlarged the topic: mailboxes would change their partitions.
    let larger = NewPartitions::new(&topic, 9);
    let made = admin(&ground)
        .create_partitions([&larger], &AdminOptions::new())
        .await
        .unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    let line = place.refused(|_| {});
    assert!(line.contains("has 9 partitions"), "{line}");

    let database = place.option("RLY_DATABASE_URL");
    sql(
        database,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'from the future', true, '', 0)",
    );
    let line = place.refused(|_| {});
    assert!(line.contains("newer version"), "{line}");
    sql(
        database,
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE theirs (x int)",
    );
    let line = place.refused(|_| {});
    assert!(line.contains("another program"), "{line}");
}
