//! What Kafka alone can do with the same messages, for the cluster to be held against: idempotent, acks
//! from all, a topic with the product's settings.

use super::{Figures, Place, figure};
use crate::{Failure, message::percentile, server::backend};
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
const PARTITIONS: i32 = 64;
const PATIENCE: Duration = Duration::from_secs(20);

fn config() -> Result<ClientConfig, Failure> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", backend("RLY_BENCH_KAFKA")?);
    Ok(config)
}

fn producer() -> Result<BaseProducer, Failure> {
    let mut config = config()?;
    config.set("enable.idempotence", "true").set("acks", "all");
    config
        .set("linger.ms", "0")
        .set("queue.buffering.max.messages", "200000");
    Ok(config.create()?)
}

async fn topic() -> Result<String, Failure> {
    let admin: AdminClient<DefaultClientContext> = config()?.create()?;
    let name = format!(
        "bench.{:016x}",
        rand_core::RngCore::next_u64(&mut rand_core::OsRng)
    );
    let topic = NewTopic::new(&name, PARTITIONS, TopicReplication::Fixed(1)).set("flush.messages", "1");
    for made in admin.create_topics([&topic], &AdminOptions::new()).await? {
        made.map_err(|(_, code)| code)?;
    }
    Ok(name)
}

/// As many as it takes in the time.
pub(super) async fn throughput(place: &Place) -> Result<Figures, Failure> {
    let (topic, producer) = (topic().await?, producer()?);
    let payload = [7; SIZE];
    let mut number = 0_u64;
    let (start, end) = (Instant::now(), Instant::now() + place.scale.time);
    while Instant::now() < end {
        let key = number.to_be_bytes();
        let partition = i32::try_from(number % PARTITIONS as u64)?;
        let record = BaseRecord::to(&topic)
            .partition(partition)
            .key(&key[..])
            .payload(&payload[..]);
        match producer.send(record) {
            Ok(()) => number += 1,
            Err((error, _)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                producer.poll(Duration::from_millis(10));
            }
            Err((error, _)) => return Err(error.into()),
        }
        // As many on their way as the scenario's pairs have.
        while producer.in_flight_count() as u64 >= place.scale.pairs as u64 * place.scale.window {
            producer.poll(Duration::from_millis(1));
        }
    }
    producer.flush(PATIENCE)?;
    Ok(vec![figure(
        "messages/s",
        number as f64 / start.elapsed().as_secs_f64(),
    )])
}

/// From produced to consumed, one after another.
pub(super) async fn latency(place: &Place) -> Result<Figures, Failure> {
    let (topic, producer) = (topic().await?, producer()?);
    let mut config = config()?;
    config.set("group.id", &topic).set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create()?;
    let mut all = TopicPartitionList::new();
    all.add_partition_offset(&topic, 0, Offset::Beginning)?;
    consumer.assign(&all)?;
    let mut ages = Vec::new();
    for number in 0..place.scale.messages {
        let payload = [number as u8; SIZE];
        let start = Instant::now();
        let record = BaseRecord::to(&topic)
            .partition(0)
            .key(&[0][..])
            .payload(&payload[..]);
        producer.send(record).map_err(|(error, _)| error)?;
        loop {
            if let Some(message) = consumer.poll(PATIENCE) {
                if message?.payload().is_none_or(|found| found != payload) {
                    return Err("another message".into());
                }
                break;
            }
        }
        if number >= 50 || place.scale.messages < 200 {
            ages.push(start.elapsed().as_nanos() as f32 / 1e3);
        }
        producer.poll(Duration::ZERO);
    }
    producer.flush(PATIENCE)?;
    Ok(vec![
        figure("p50 us", percentile(&mut ages, 0.50)),
        figure("p99 us", percentile(&mut ages, 0.99)),
    ])
}
