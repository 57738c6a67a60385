//! Hints between nodes: "look at these queues". A node reads its partition of the topic from the end on,
//! and takes what bears its name.

use super::{
    Cluster, KafkaError,
    kafka::{Pending, Produce, QuietContext, one_line},
    reader,
    record::{self, Why},
};
use crate::{engine::Engine, metrics::Counters};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
};
use rly_protocol::{QueueId, Timestamp};
use sha2::{Digest, Sha256};
use std::{sync::Arc, thread::JoinHandle, time::Duration};
use tokio::runtime::Handle;

const POLL: Duration = Duration::from_millis(100);
/// Queues in one hint.
const QUEUES: usize = 4_096;

/// The key of what is for all nodes.
const EVERYBODY: &[u8] = b"";

/// Where hints for a node go.
fn partition(node: &str, partitions: i32) -> i32 {
    let hash = Sha256::digest(node.as_bytes());
    i32::from(hash[0]) % partitions.max(1)
}

/// Tells a node to look at queues. If that does not arrive, it looks by itself before long.
pub(super) fn tell(cluster: &Cluster, node: &str, why: Why, now: Timestamp, queues: &[QueueId]) {
    for queues in queues.chunks(QUEUES) {
        // A full buffer is one of those cases.
        let _ = cluster.kafka.produce(Produce {
            topic: &cluster.kafka.wakes,
            partition: partition(node, cluster.kafka.wake_partitions),
            key: node.as_bytes(),
            payload: &record::encode_wake(why, now, queues),
            pending: Pending::Wake,
        });
    }
}

/// Tells every node that a mailbox is deleted, so that it takes nothing more for it.
pub(crate) fn tell_gone(cluster: &Cluster, queue: QueueId, now: Timestamp) {
    for partition in 0..cluster.kafka.wake_partitions {
        let _ = cluster.kafka.produce(Produce {
            topic: &cluster.kafka.wakes,
            partition,
            key: EVERYBODY,
            payload: &record::encode_wake(Why::Gone, now, &[queue]),
            pending: Pending::Wake,
        });
    }
}

/// Starts the thread that listens. It ends when the relay stops.
pub(super) fn start(engine: Arc<Engine>, cluster: Arc<Cluster>) -> Result<JoinHandle<()>, KafkaError> {
    let kafka = &cluster.kafka;
    let mut config = kafka.client_config();
    config
        // It never commits; librdkafka wants a name all the same.
        .set("group.id", format!("{}.{}", kafka.wakes, cluster.node))
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "latest")
        .set("fetch.error.backoff.ms", "100");
    let consumer: BaseConsumer<QuietContext> = BaseConsumer::from_config_and_context(&config, QuietContext)?;
    let mut mine = TopicPartitionList::new();
    let partition = partition(&cluster.node, kafka.wake_partitions);
    mine.add_partition_offset(&kafka.wakes, partition, Offset::End)?;
    consumer.assign(&mine)?;
    let runtime = Handle::current();
    std::thread::Builder::new()
        .name("wakes".into())
        .spawn(move || {
            // Woken readers are looked after on the runtime.
            let _inside = runtime.enter();
            while !engine.stopping.is_cancelled() {
                listen(&engine, &cluster, &consumer);
            }
        })
        .map_err(|error| KafkaError::Failed(error.to_string()))
}

fn listen(engine: &Arc<Engine>, cluster: &Arc<Cluster>, consumer: &BaseConsumer<QuietContext>) {
    match consumer.poll(POLL) {
        None => {}
        Some(Err(error)) => tracing::debug!(error = one_line(&error), "listening for wakes failed"),
        Some(Ok(message))
            if [Some(cluster.node.as_bytes()), Some(EVERYBODY), None].contains(&message.key()) =>
        {
            let Some((why, at, queues)) = message.payload().and_then(record::decode_wake) else {
                return;
            };
            let counters = &engine.counters;
            Counters::count(&counters.wakes);
            let on_its_way = usize::try_from(engine.now().since(at)).unwrap_or_default();
            Counters::add(&counters.wakes_ms, on_its_way);
            match why {
                Why::News => queues.into_iter().for_each(|queue| reader::woken(engine, queue)),
                Why::Gone => cluster.targets.forget_queues(&queues),
                Why::Reader => {
                    tokio::spawn(reader::look_at(engine.clone(), cluster.clone(), queues));
                }
            }
        }
        Some(Ok(_)) => {}
    }
}
