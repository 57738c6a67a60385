//! TLS to PostgreSQL, passwords for both, and where the server was built for it TLS to Kafka: with real
//! ones, and a certificate authority made here.

use crate::{
    common::{
        Key,
        process::{Place, delivered, envelope},
    },
    ground::{Backend, another_listener, folder, free_port},
    start::sql,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rly_protocol::frame::ServerFrame;
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

/// Over TLS where librdkafka has it.
const PROTOCOL: &str = if cfg!(feature = "kafka-tls") {
    "SASL_SSL"
} else {
    "SASL_PLAINTEXT"
};

/// Writes `NAME.ca` for clients, and certificate and key of 127.0.0.1 as `NAME.crt` and `NAME.key`.
fn certificates(folder: &Path, name: &str) {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // OpenSSL takes a certificate for self-signed whose issuer has the name of its subject.
    params.distinguished_name.push(DnType::CommonName, "authority");
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::from_params(&params, &key);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "server");
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let file = |kind: &str| folder.join(format!("{name}.{kind}"));
    fs::write(file("ca"), authority.pem()).unwrap();
    fs::write(file("crt"), certificate.pem()).unwrap();
    fs::write(file("key"), key.serialize_pem()).unwrap();
    // PostgreSQL takes no key that others may read.
    fs::set_permissions(file("key"), fs::Permissions::from_mode(0o600)).unwrap();
}

/// PostgreSQL that lets `node` in over TLS and with a password only.
fn postgres(folder: &Path) -> Backend {
    let own = folder.join("postgres");
    fs::create_dir_all(&own).unwrap();
    certificates(&own, "server");
    let at = own.display();
    let settings = format!(
        "ssl = on\nssl_cert_file = '{at}/server.crt'\nssl_key_file = '{at}/server.key'\n\
         hba_file = '{at}/hba.conf'\npassword_encryption = 'scram-sha-256'\n"
    );
    fs::write(own.join("more.conf"), settings).unwrap();
    let users = "host all rly 127.0.0.1/32 trust\nhostssl all node 127.0.0.1/32 scram-sha-256\n";
    fs::write(own.join("hba.conf"), users).unwrap();
    Backend::new("postgres", folder)
}

/// Kafka with a listener for `node` and its password; that listener's port.
fn kafka(folder: &Path) -> (Backend, u16) {
    let own = folder.join("kafka");
    fs::create_dir_all(&own).unwrap();
    certificates(&own, "server");
    let [key, certificate] =
        ["server.key", "server.crt"].map(|name| fs::read_to_string(own.join(name)).unwrap());
    fs::write(own.join("keystore.pem"), key + &certificate).unwrap();
    let mut settings = "listener.name.secure.sasl.enabled.mechanisms=PLAIN\n\
        listener.name.secure.plain.sasl.jaas.config=\
        org.apache.kafka.common.security.plain.PlainLoginModule required user_node=\"hush\";\n"
        .to_owned();
    if PROTOCOL == "SASL_SSL" {
        settings += &format!(
            "listener.name.secure.ssl.keystore.type=PEM\n\
             listener.name.secure.ssl.keystore.location={}/keystore.pem\n",
            own.display()
        );
    }
    let port = free_port();
    another_listener(&own, "SECURE", PROTOCOL, port, port, &settings);
    (Backend::new("kafka", folder), port)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts its own servers: ./test cluster"]
async fn a_cluster_over_tls_and_with_passwords_delivers_and_others_are_refused() {
    let folder = folder();
    let (postgres, (_kafka, kafka_port)) =
        tokio::task::block_in_place(|| (postgres(folder.path()), kafka(folder.path())));
    certificates(folder.path(), "other");
    let place = Place::cluster(&postgres.address, &format!("127.0.0.1:{kafka_port}"));
    let (server, database) = place.option("RLY_DATABASE_URL").rsplit_once('/').unwrap();
    let admin = format!("{server}/{database}");
    sql(&admin, "CREATE ROLE node LOGIN PASSWORD 'hush'");
    sql(&admin, &format!("ALTER DATABASE {database} OWNER TO node"));

    let host = server.rsplit_once('@').unwrap().1;
    let ca = folder.path().join("postgres/server.ca");
    let url =
        |password: &str, options: String| format!("postgres://node:{password}@{host}/{database}?{options}");
    let verified = |ca: &Path| format!("sslmode=verify-full&sslrootcert={}", ca.display());
    let options = |name: &str, password: &str| {
        let file = folder.path().join(name);
        let kafka_ca = folder.path().join("kafka/server.ca");
        let mut text = format!(
            "security.protocol={PROTOCOL}\nsasl.mechanism=PLAIN\nsasl.username=node\nsasl.password={password}\n"
        );
        if PROTOCOL == "SASL_SSL" {
            text += &format!("ssl.ca.location={}\n", kafka_ca.display());
        }
        fs::write(&file, text).unwrap();
        file
    };
    let secure = |command: &mut Command| {
        command
            .env("RLY_DATABASE_URL", url("hush", verified(&ca)))
            .env("RLY_KAFKA_OPTIONS", options("options", "hush"));
    };

    let (a, b) = (place.start_with(secure), place.start_with(secure));
    let key = Key::generate();
    let mailbox = a.register(&key).await;
    let (mut sender, mut reader) = (a.socket().await, b.socket().await);
    reader.subscribe(&key, &mailbox).await;
    sender.send(envelope(&mailbox, 1, 256)).await;
    assert_eq!(sender.next().await, Some(ServerFrame::Done { req: 1 }));
    let (_, body) = delivered(reader.next().await);
    assert_eq!(body.len(), 256);
    let plain = "DO $$ BEGIN IF EXISTS (SELECT FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
        WHERE usename = 'node' AND NOT ssl) THEN RAISE 'without TLS'; END IF; END $$";
    sql(&admin, plain);

    let other = folder.path().join("other.ca");
    for (what, url, options, words) in [
        (
            "no TLS",
            url("hush", "sslmode=disable".into()),
            options("good", "hush"),
            "RLY_DATABASE_URL",
        ),
        (
            "another authority",
            url("hush", verified(&other)),
            options("good", "hush"),
            "RLY_DATABASE_URL",
        ),
        (
            "another password",
            url("hushed", verified(&ca)),
            options("good", "hush"),
            "RLY_DATABASE_URL",
        ),
        (
            "another password",
            url("hush", verified(&ca)),
            options("bad", "hushed"),
            "no Kafka broker answers",
        ),
    ] {
        let line = place.refused(|command| {
            command
                .env("RLY_DATABASE_URL", url)
                .env("RLY_KAFKA_OPTIONS", options);
        });
        assert!(line.contains(words), "{what}: {line}");
        assert!(!line.contains("hush"), "{what}: {line}");
    }
}
