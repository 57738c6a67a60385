//! The log: Kafka, through librdkafka.
//!
//! `<prefix>.queues` holds envelopes until they are in the store: fixed partitions, key = queue id.
//! `<prefix>.wake` carries hints between nodes, which nobody misses for long.

mod context;
mod polled;
mod topics;

use crate::{StoreError, engine::Engine, metrics::Counters, reply::Reply};
use context::{Deliveries, Quiet};
use parking_lot::RwLock;
use polled::Polled;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    config::FromClientConfigAndContext,
    error::{KafkaError as Rd, RDKafkaErrorCode},
    producer::{BaseRecord, Producer},
};
use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};
use thiserror::Error;

pub(super) use context::Quiet as QuietContext;

/// How long the start waits for a broker.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an envelope may be on its way into the log before its sender is told to try again.
const DELIVERY_MS: &str = "8000";
/// Ways into the log. A broker takes one request of a connection after another, each with envelopes of one
/// partition, and answers when they are on the disks: so several connections are waited for at one time.
const LANES: usize = 4;
/// Bytes on their way at most in each; then senders are told to try again at once.
const BUFFER_KIB: &str = "16384";
/// How long a stop waits for what is on its way.
const FLUSH: Duration = Duration::from_secs(3);
/// How often the broker is asked whether it is there, and the log is trimmed.
const LOOK: Duration = Duration::from_secs(2);
const TRIM_EVERY: u32 = 5;

/// Where the log is.
#[derive(Clone)]
pub struct KafkaConfig {
    /// `host:port[,…]`
    pub brokers: String,
    /// More options of librdkafka, for TLS and SASL.
    pub options: Vec<(String, String)>,
    /// This node's name; no two nodes have the same. None: a random one.
    pub node: Option<String>,
    /// What topics and group are called: several installations can share a Kafka.
    pub prefix: String,
    /// How many partitions the topic gets when it is made. Fixed from then on.
    pub partitions: i32,
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            brokers,
            options,
            node,
            prefix,
            partitions,
        } = self;
        // Their values may be passwords.
        let options: Vec<&str> = options.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("KafkaConfig")
            .field("brokers", brokers)
            .field("options", &options)
            .field("node", node)
            .field("prefix", prefix)
            .field("partitions", partitions)
            .finish()
    }
}

/// Why the log cannot be used. One clear line each.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KafkaError {
    /// Nobody answers.
    #[error("no Kafka broker answers at {0}: {1}")]
    Unreachable(String, String),
    /// An option that librdkafka refuses.
    #[error("Kafka's options cannot be used: {0}")]
    Options(String),
    /// A topic is not as it must be.
    #[error("the topic {topic} has {setting}={found}, but {needed}")]
    Topic {
        /// Its name.
        topic: String,
        /// Which setting.
        setting: &'static str,
        /// Its value.
        found: String,
        /// What is needed, and why.
        needed: &'static str,
    },
    /// The store was filled from another Kafka.
    #[error("this database belongs to the log {bound}, but the broker has {here}")]
    OtherLog {
        /// What the broker has.
        here: String,
        /// What the store was filled from.
        bound: String,
    },
    /// The topic was made anew, or enlarged.
    #[error(
        "the topic {topic} has {here} partitions, but the database was filled from {bound}: \
         their number must not change"
    )]
    Partitions {
        /// Its name.
        topic: String,
        /// What the broker has.
        here: i32,
        /// What the store was filled from.
        bound: i32,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Anything else.
    #[error("Kafka cannot be used: {0}")]
    Failed(String),
}

impl From<Rd> for KafkaError {
    fn from(error: Rd) -> Self {
        Self::Failed(error.to_string())
    }
}

/// What is done when the log has a record, or does not take it.
pub(crate) enum Pending {
    /// Its sender is answered.
    Envelope { reply: Reply, since: Instant },
    /// Nothing: the reader's node looks by itself.
    Wake,
}

/// A record on its way.
pub(crate) struct Produce<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub key: &'a [u8],
    pub payload: &'a [u8],
    pub pending: Pending,
}

/// The buffer is full, or the producer has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotTaken;

/// One way into the log: a producer with connections of its own, replaced when it takes nothing any more.
struct Lane {
    config: ClientConfig,
    deliveries: Deliveries,
    producer: RwLock<Polled>,
}

impl Lane {
    fn open(config: ClientConfig, deliveries: &Deliveries) -> Result<Self, Rd> {
        let deliveries = deliveries.of_another();
        let producer = Polled::start(&config, &deliveries)?;
        Ok(Self {
            config,
            deliveries,
            producer: RwLock::new(producer),
        })
    }

    fn produce(&self, one: Produce) -> Result<(), NotTaken> {
        let record = BaseRecord::with_opaque_to(one.topic, Box::new(one.pending))
            .partition(one.partition)
            .key(one.key)
            .payload(one.payload);
        let refused = match self.producer.read().send(record) {
            Ok(()) => return Ok(()),
            Err((error, record)) => {
                // Its reply is not answered but refused by whoever called.
                drop(record);
                error
            }
        };
        if refused.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.replace(|producer| {
                let (code, reason) = producer.client().fatal_error()?;
                Some(format!("{code}: {reason}"))
            });
        }
        Err(NotTaken)
    }

    /// A new producer, where there is a reason and nobody else was faster. The one before answers the senders of
    /// what it had.
    fn replace(&self, reason: impl FnOnce(&Polled) -> Option<String>) -> bool {
        let mut current = self.producer.write();
        let Some(reason) = reason(&current) else {
            return false;
        };
        tracing::error!(reason, "a producer takes nothing any more; a new one begins");
        match Polled::start(&self.config, &self.deliveries) {
            Ok(fresh) => *current = fresh,
            Err(error) => tracing::error!(error = one_line(&error), "no new producer"),
        }
        true
    }
}

/// The log.
pub(crate) struct Kafka {
    /// Which log it is: the broker's cluster and the topic.
    pub name: String,
    /// The topic of envelopes.
    pub queues: String,
    /// The topic of hints.
    pub wakes: String,
    /// The consumer group.
    pub group: String,
    /// How many partitions the topic of envelopes has.
    pub partitions: i32,
    /// And the topic of hints.
    pub wake_partitions: i32,
    config: ClientConfig,
    admin: AdminClient<Quiet>,
    deliveries: Deliveries,
    /// Each takes some of the partitions.
    lanes: Vec<Lane>,
    /// For hints, which do not wait behind envelopes.
    hints: Lane,
}

impl Kafka {
    /// Connects. Waits on the thread that it is called on.
    pub fn connect(config: &KafkaConfig, node: &str) -> Result<Self, KafkaError> {
        let mut common = ClientConfig::new();
        for (name, value) in &config.options {
            common.set(name, value);
        }
        common
            .set("bootstrap.servers", &config.brokers)
            .set("client.id", format!("rly-server-{node}"))
            .set("socket.nagle.disable", "true")
            // While an answer about a topic's leaders is missing they are not asked for again, up to this
            // (a minute otherwise). One that was lost left all envelopes of its producer waiting for so long,
            // after a broker had paused for three seconds.
            .set("socket.timeout.ms", "5000")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "1000")
            .set("allow.auto.create.topics", "false");
        let deliveries = Deliveries::default();
        let lanes = (0..LANES)
            .map(|_| Lane::open(for_envelopes(&common), &deliveries))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| KafkaError::Options(one_line(&error)))?;
        let hints = Lane::open(for_hints(&common), &deliveries)?;
        let producer = hints.producer.read().shared();
        let client = producer.client();
        client
            .fetch_metadata(None, CONNECT)
            .map_err(|error| KafkaError::Unreachable(config.brokers.clone(), one_line(&error)))?;
        let cluster = client
            .fetch_cluster_id(CONNECT)
            .ok_or_else(|| KafkaError::Failed("the broker does not say which cluster it is".into()))?;
        let queues = format!("{}.queues", config.prefix);
        Ok(Self {
            name: format!("{cluster}/{queues}"),
            queues,
            wakes: format!("{}.wake", config.prefix),
            group: format!("{}.store", config.prefix),
            partitions: 0,
            wake_partitions: 0,
            admin: AdminClient::from_config_and_context(&common, Quiet)?,
            config: common,
            deliveries,
            lanes,
            hints,
        })
    }

    /// Options for a client of its own.
    pub fn client_config(&self) -> ClientConfig {
        self.config.clone()
    }

    /// Where deliveries are counted from now on.
    pub fn count_with(&self, counters: Arc<Counters>) {
        self.deliveries.count_with(counters);
    }

    /// Hands a record to a producer, which answers what is pending. On an error nothing is answered.
    pub fn produce(&self, one: Produce) -> Result<(), NotTaken> {
        let lane = match &one.pending {
            Pending::Wake => &self.hints,
            Pending::Envelope { .. } => {
                let partition = usize::try_from(one.partition).unwrap_or_default();
                self.lanes.get(partition % LANES).ok_or(NotTaken)?
            }
        };
        lane.produce(one)
    }

    /// Replaces producers that got stuck, and says how many: what they were given while the broker worked, since
    /// then, ran out of time. One was seen that took nothing for two minutes after its broker had been away, and
    /// others have seen librdkafka 2.12 stay so for ever (confluentinc/librdkafka#5430).
    fn replace_stuck(&self, works: Instant) -> u64 {
        let replaced = self.lanes.iter().filter(|lane| {
            lane.replace(|producer| {
                let stuck = lane.deliveries.is_late(works.max(producer.begun));
                stuck.then(|| "records run out of time".into())
            })
        });
        replaced.count() as u64
    }

    /// Waits until nothing is on its way, but not for ever.
    pub fn flush(&self) {
        let end = Instant::now() + FLUSH;
        for lane in &self.lanes {
            let left = end.saturating_duration_since(Instant::now());
            if let Err(error) = lane.producer.read().flush(left) {
                tracing::warn!(error = one_line(&error), "some envelopes are not in the log yet");
            }
        }
    }

    /// Whether a broker answers that knows the topic.
    fn check(&self) -> Result<(), String> {
        let producer = self.hints.producer.read().shared();
        let metadata = producer
            .client()
            .fetch_metadata(Some(&self.queues), LOOK)
            .map_err(|error| one_line(&error))?;
        let partitions = metadata
            .topics()
            .first()
            .map_or(&[][..], |topic| topic.partitions());
        match partitions.iter().find(|partition| partition.leader() < 0) {
            Some(without) => Err(format!("partition {} has no leader", without.id())),
            None if partitions.is_empty() => Err("the topic is gone".into()),
            None => Ok(()),
        }
    }

    /// Deletes what is in the store from the log.
    async fn trim(&self, upto: &[(i32, i64)]) -> Result<(), Rd> {
        let mut offsets = TopicPartitionList::new();
        for (partition, offset) in upto {
            offsets.add_partition_offset(&self.queues, *partition, Offset::Offset(*offset))?;
        }
        let options = AdminOptions::new().request_timeout(Some(CONNECT));
        self.admin.delete_records(&offsets, &options).await.map(|_| ())
    }
}

/// In order and once, on as many disks as the topic asks for.
fn for_envelopes(common: &ClientConfig) -> ClientConfig {
    let mut config = common.clone();
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.timeout.ms", DELIVERY_MS)
        .set("request.timeout.ms", "5000")
        .set("queue.buffering.max.kbytes", BUFFER_KIB)
        .set("queue.buffering.max.messages", "200000")
        // Half a millisecond. Without it the producer's thread wakes up for each envelope and looks at every
        // partition, with two thirds of a busy node's CPU.
        .set("linger.ms", "0.5");
    config
}

/// What is late is worth nothing, and what is lost is found by looking.
fn for_hints(common: &ClientConfig) -> ClientConfig {
    let mut config = common.clone();
    config
        .set("acks", "1")
        .set("message.timeout.ms", "2000")
        .set("request.timeout.ms", "2000")
        .set("queue.buffering.max.messages", "10000")
        .set("linger.ms", "0");
    config
}

/// Asks the broker how it is, and trims the log behind what is stored, until the relay stops.
pub(super) async fn look_after(engine: Arc<Engine>, cluster: Arc<super::Cluster>) {
    let (mut turns, mut trimmed) = (0_u32, std::collections::HashMap::new());
    // Since when the broker works, as far as it was asked.
    let mut works: Option<Instant> = None;
    let stopping = engine.stopping.clone();
    while stopping
        .run_until_cancelled(tokio::time::sleep(LOOK))
        .await
        .is_some()
    {
        let asked = cluster.clone();
        let checked = tokio::task::spawn_blocking(move || asked.kafka.check()).await;
        let failure = checked.unwrap_or_else(|error| Err(error.to_string())).err();
        let before = std::mem::replace(&mut *cluster.broker.lock(), failure.clone());
        works = match failure {
            None => works.or_else(|| Some(Instant::now())),
            Some(_) => None,
        };
        if let Some(works) = works {
            let replaced = cluster.kafka.replace_stuck(works);
            engine.counters.producers_replaced.fetch_add(replaced, Relaxed);
        }
        match (before, failure) {
            (None, Some(reason)) => tracing::error!(reason, "the broker cannot be used"),
            (Some(_), None) => tracing::info!("the broker works again"),
            _ => {}
        }
        cluster.targets.sweep();
        turns += 1;
        if turns % TRIM_EVERY != 0 {
            continue;
        }
        let upto: Vec<(i32, i64)> = (cluster.held.lock().values())
            .map(|held| (held.partition, held.next))
            .filter(|(partition, next)| *next > 0 && trimmed.get(partition) != Some(next))
            .collect();
        if upto.is_empty() {
            continue;
        }
        match cluster.kafka.trim(&upto).await {
            Ok(()) => {
                trimmed.extend(upto);
                engine.counters.trims.fetch_add(1, Relaxed);
            }
            Err(error) => tracing::warn!(error = one_line(&error), "the log was not trimmed"),
        }
    }
}

pub(super) fn one_line(error: &Rd) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
