//! What Kafka alone can do with the same messages, for the cluster to be held against: the product's own
//! settings of topic and producer, no server in between.

use super::backends::backend;
use crate::{
    Failure,
    message::percentile,
    scenarios::{Figures, Scale, figure},
};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::RDKafkaErrorCode,
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::time::{Duration, Instant};

/// An envelope of 256 bytes, as the log has it.
const SIZE: usize = 256 + 25;
const PATIENCE: Duration = Duration::from_secs(30);
/// Not counted.
const WARM_UP: u64 = 50;

fn config() -> Result<ClientConfig, Failure> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", backend("RLY_BENCH_KAFKA")?)
        .set("socket.nagle.disable", "true");
    Ok(config)
}

fn producer() -> Result<BaseProducer, Failure> {
    Ok(config()?
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "0")
        .set("queue.buffering.max.messages", "200000")
        .create()?)
}

async fn topic(partitions: i32) -> Result<String, Failure> {
    let admin: AdminClient<DefaultClientContext> = config()?.create()?;
    let number = rand_core::RngCore::next_u64(&mut rand_core::OsRng);
    let name = format!("bench.{number:016x}");
    let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1)).set("flush.messages", "1");
    for made in admin.create_topics([&topic], &AdminOptions::new()).await? {
        made.map_err(|(_, code)| code)?;
    }
    Ok(name)
}

/// Deletes it, so that the next one measures the same broker.
async fn done(topic: &str) -> Result<(), Failure> {
    let admin: AdminClient<DefaultClientContext> = config()?.create()?;
    for gone in admin.delete_topics(&[topic], &AdminOptions::new()).await? {
        gone.map_err(|(_, code)| code)?;
    }
    Ok(())
}

fn record<'a>(topic: &'a str, partition: i32, payload: &'a [u8]) -> BaseRecord<'a, [u8], [u8]> {
    BaseRecord::to(topic)
        .partition(partition)
        .key(&payload[..16])
        .payload(payload)
}

/// As many as it takes in the time, to as many queues as the cluster has, each in a partition by chance,
/// and as many on their way as the cluster's senders have.
pub(super) async fn publish(scale: &Scale, partitions: i32, queues: usize) -> Result<Figures, Failure> {
    let (topic, producer) = (topic(partitions).await?, producer()?);
    let chance = |_| rand_core::RngCore::next_u32(&mut rand_core::OsRng) % partitions.unsigned_abs();
    let places: Vec<u32> = (0..queues).map(chance).collect();
    let window = scale.pairs as i32 * i32::try_from(scale.window)?;
    let payload = [7; SIZE];
    let (mut sent, mut counted_from) = (0_u64, None);
    let begin = Instant::now() + scale.warm_up;
    let end = begin + scale.time;
    // What is acknowledged counts.
    let acknowledged = |sent: u64| sent - u64::from(producer.in_flight_count().unsigned_abs());
    while Instant::now() < end {
        if counted_from.is_none() && Instant::now() >= begin {
            counted_from = Some((Instant::now(), acknowledged(sent)));
        }
        while producer.in_flight_count() < window {
            let place = i32::try_from(places[usize::try_from(sent)? % places.len()])?;
            match producer.send(record(&topic, place, &payload)) {
                Ok(()) => sent += 1,
                Err((error, _)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => break,
                Err((error, _)) => return Err(error.into()),
            }
        }
        producer.poll(Duration::from_millis(1));
    }
    let (from, before) = counted_from.ok_or("no time")?;
    let messages = (acknowledged(sent) - before) as f64 / from.elapsed().as_secs_f64();
    producer.flush(PATIENCE)?;
    done(&topic).await?;
    Ok(vec![figure("messages/s", messages)])
}

/// From produced to consumed, one after another.
pub(super) async fn latency(scale: &Scale, partitions: i32) -> Result<Figures, Failure> {
    let (topic, producer) = (topic(partitions).await?, producer()?);
    let consumer: BaseConsumer = config()?
        .set("group.id", &topic)
        .set("enable.auto.commit", "false")
        .create()?;
    let mut all = TopicPartitionList::new();
    // As nodes do, that read all of theirs.
    for partition in 0..partitions {
        all.add_partition_offset(&topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&all)?;
    let mut ages = Vec::new();
    for number in 0..WARM_UP + scale.messages {
        let payload = [number as u8; SIZE];
        let start = Instant::now();
        let sent = producer.send(record(&topic, 0, &payload));
        sent.map_err(|(error, _)| error)?;
        let message = consumer.poll(PATIENCE).ok_or("nothing came")??;
        if message.payload().is_none_or(|found| found != payload) {
            return Err("another message".into());
        }
        ages.push(start.elapsed().as_nanos() as f32 / 1e3);
        // As the cluster's sender, who waits for the answer too.
        producer.flush(PATIENCE)?;
    }
    drop(consumer);
    done(&topic).await?;
    let ages = &mut ages[WARM_UP as usize..];
    Ok(vec![
        figure("p50 us", percentile(ages, 0.50)),
        figure("p99 us", percentile(ages, 0.99)),
    ])
}
