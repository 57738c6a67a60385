//! Three brokers, as where nobody may be missed: each envelope has three copies, two of which are waited for, and
//! no disk. One after another is killed, ended and stopped, while people write and read.

use crate::{
    common::process::Place,
    ground::{Backend, as_a_node, folder, free_port},
    load::Load,
};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use std::{fs, path::Path, thread, time::Duration};
use tokio::{task::block_in_place, time::sleep};

const BROKERS: usize = 3;
const LINES: u32 = 16;
/// Messages of each that must come through before, during and after each loss.
const MESSAGES: u32 = 25;

/// Brokers that choose their controller among themselves. None has started before most have.
fn brokers(folder: &Path) -> Vec<Backend> {
    let ports: [_; BROKERS] = std::array::from_fn(|_| (free_port(), free_port()));
    let voters = ports.iter().enumerate();
    let voters: Vec<String> = voters
        .map(|(n, (_, port))| format!("{}@127.0.0.1:{port}", n + 1))
        .collect();
    let voters = voters.join(",");
    let start = |n: usize| {
        let place = folder.join(format!("{}", n + 1));
        let own = place.join("kafka");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("port"), ports[n].0.to_string()).unwrap();
        fs::write(own.join("controller-port"), ports[n].1.to_string()).unwrap();
        fs::write(own.join("cluster-id"), "cmx5LWNoYXQtY2x1c3Rlcg").unwrap();
        let settings = format!(
            "node.id={}\ncontroller.quorum.voters={voters}\noffsets.topic.replication.factor={BROKERS}\n",
            n + 1
        );
        fs::write(own.join("more.properties"), settings).unwrap();
        Backend::new("kafka", &place)
    };
    thread::scope(|scope| {
        let started: Vec<_> = (0..BROKERS).map(|n| scope.spawn(move || start(n))).collect();
        let started = started.into_iter();
        started.map(|broker| broker.join().unwrap()).collect()
    })
}

/// Waits until every broker has everything.
async fn in_sync(brokers: &str, topic: &str) {
    let mut config = ClientConfig::new();
    let asking: BaseConsumer = config.set("bootstrap.servers", brokers).create().unwrap();
    for _ in 0..600 {
        let metadata = asking.fetch_metadata(Some(topic), Duration::from_secs(5));
        let whole = metadata.is_ok_and(|metadata| {
            let partitions = metadata.topics()[0].partitions();
            assert!(partitions.iter().all(|one| one.replicas().len() == BROKERS));
            !partitions.is_empty() && partitions.iter().all(|one| one.isr().len() == BROKERS)
        });
        if whole {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("a broker does not catch up");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts its own servers: ./test cluster"]
async fn one_broker_of_three_may_be_lost() {
    let folder = folder();
    let (postgres, mut brokers) =
        block_in_place(|| (Backend::new("postgres", folder.path()), brokers(folder.path())));
    let addresses: Vec<&str> = brokers.iter().map(|broker| &*broker.address).collect();
    let addresses = addresses.join(",");
    let place = Place::cluster(&postgres.address, &addresses);
    let topic = format!("{}.queues", place.option("RLY_KAFKA_PREFIX"));
    let nodes: [_; 2] = std::array::from_fn(|_| block_in_place(|| place.start_with(as_a_node)));
    let mut load = Load::start(&nodes[0], LINES, 1).await;
    load.nodes(&nodes);
    load.run();
    load.progress(MESSAGES, "with three brokers").await;
    for (lost, how) in ["KILL", "TERM", "STOP"].into_iter().enumerate() {
        in_sync(&addresses, &topic).await;
        let broker = &mut brokers[lost];
        match how {
            "STOP" => broker.signal("STOP"),
            _ => block_in_place(|| broker.end(how)),
        }
        load.progress(MESSAGES, &format!("without broker {lost}, by {how}"))
            .await;
        match how {
            "STOP" => broker.signal("CONT"),
            _ => block_in_place(|| broker.start()),
        }
        load.progress(MESSAGES, &format!("with broker {lost} again"))
            .await;
    }
    in_sync(&addresses, &topic).await;
    for node in &nodes {
        assert_eq!(node.ready().await, (200, None));
        assert_eq!(node.metric("rly_log_gaps_total").await, 0);
    }
    load.finish().await;
}
