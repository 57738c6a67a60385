//! Many servers, one relay: what the engine does differently where envelopes go through a log and the
//! store is shared with other nodes.
//!
//! ```text
//! send ─▶ target: exists? room? ─▶ kafka: produce ─▶ Done
//!                                    │
//!          consumer, on whichever node holds the partition: store a batch, move the offset
//!                                    │ wake
//!          reader's node: page of the store ─▶ socket ─▶ Ack ─▶ writer
//! ```

mod consumer;
mod kafka;
mod reader;
mod record;
mod rooms;
mod target;
mod wake;

pub use kafka::{KafkaConfig, KafkaError};

use crate::{
    Refusal, StoreError,
    engine::Engine,
    keys::random,
    store::{Change, Envelope, Hash, Outcome, PostgresStore, shared::Held},
};
use kafka::Kafka;
use parking_lot::Mutex;
use rly_protocol::{
    Encode, EnvelopeId, InviteId, QueueId, Timestamp,
    frame::{Kind, Notice},
};
use std::{collections::HashMap, sync::Arc, thread::JoinHandle};
use target::Targets;

pub(crate) use reader::{Lease, holds, leave, read_here};
pub(crate) use target::send;
pub(crate) use wake::tell_gone;

/// A node's share of the cluster.
pub(crate) struct Cluster {
    /// Its name.
    pub node: String,
    pub store: PostgresStore,
    pub kafka: Kafka,
    pub targets: Targets,
    /// The readers whose sockets are here.
    pub leases: Mutex<HashMap<QueueId, Lease>>,
    /// The partitions that this node moves into the store.
    pub held: Mutex<HashMap<i32, Held>>,
    /// What keeps it from moving them, if something does.
    pub moving: Mutex<Option<StoreError>>,
    /// What the broker was like when it was asked last.
    pub broker: Mutex<Option<String>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// How long the consumer group may take to let a node go.
const LEAVE: std::time::Duration = std::time::Duration::from_secs(3);

impl Cluster {
    /// Connects to the log, whose topics are made or checked, and binds it to the store.
    pub async fn connect(store: PostgresStore, config: KafkaConfig) -> Result<Self, KafkaError> {
        let default_partitions = config.partitions;
        let node = (config.node.clone()).unwrap_or_else(|| format!("{:016x}", u64::from_be_bytes(random())));
        let name = node.clone();
        let kafka = tokio::task::spawn_blocking(move || Kafka::connect(&config, &name))
            .await
            .map_err(|error| KafkaError::Failed(error.to_string()))??;
        let kafka = kafka.prepare_topics(default_partitions).await?;
        let (bound, partitions) = store.bind_log(&kafka.name, kafka.partitions).await?;
        if bound != kafka.name {
            return Err(KafkaError::OtherLog {
                here: kafka.name.clone(),
                bound,
            });
        }
        if partitions != kafka.partitions {
            return Err(KafkaError::Partitions {
                topic: kafka.queues.clone(),
                here: kafka.partitions,
                bound: partitions,
            });
        }
        Ok(Self {
            node,
            store,
            kafka,
            targets: Targets::default(),
            leases: Mutex::default(),
            held: Mutex::default(),
            moving: Mutex::default(),
            broker: Mutex::default(),
            threads: Mutex::default(),
        })
    }

    /// Begins to move the log, to listen for wakes and to look after readers.
    pub fn run(engine: &Arc<Engine>, cluster: &Arc<Self>) -> Result<(), KafkaError> {
        let moving = consumer::start(engine.clone(), cluster.clone())?;
        let listening = wake::start(engine.clone(), cluster.clone())?;
        cluster.threads.lock().extend([moving, listening]);
        tokio::spawn(reader::look_after(engine.clone(), cluster.clone()));
        tokio::spawn(kafka::look_after(engine.clone(), cluster.clone()));
        tokio::spawn(rooms::listen(engine.clone(), cluster.clone()));
        Ok(())
    }

    /// What was produced is answered.
    pub async fn flush(self: &Arc<Self>) {
        let cluster = self.clone();
        let flushed = tokio::task::spawn_blocking(move || cluster.kafka.flush());
        // One that panicked has ended, too; here and below.
        let _ = flushed.await;
    }

    /// Partitions are given to others. If the group is waiting for a node that is gone, it is not waited for: it
    /// will find that this one is gone as well.
    pub async fn leave(&self) {
        let threads = std::mem::take(&mut *self.threads.lock());
        let ended = tokio::task::spawn_blocking(move || {
            for thread in threads {
                let _ = thread.join();
            }
        });
        if tokio::time::timeout(LEAVE, ended).await.is_err() {
            tracing::warn!("the group does not let this node leave; its partitions move when it is missed");
        }
    }

    /// The part that does not work, if any.
    pub fn failing(&self) -> Option<&'static str> {
        if self.broker.lock().is_some() {
            return Some("broker");
        }
        self.moving.lock().as_ref().map(StoreError::part)
    }
}

/// Opens an invite. Its notice goes straight into the store, which gives it its number.
pub(crate) async fn claim(
    engine: &Arc<Engine>,
    cluster: &Arc<Cluster>,
    queue: QueueId,
    (invite, key): (InviteId, Hash),
    at: Timestamp,
) -> Result<Outcome, Refusal> {
    let notice = Envelope {
        queue,
        seq: 0,
        id: EnvelopeId(random()),
        kind: Kind::Notice,
        at,
        body: Notice::InviteOpened { invite, at }.to_bytes().into(),
    };
    let change = Change::Claim {
        invite,
        key,
        at,
        notice,
    };
    let outcome = engine.change(change).await?;
    if matches!(outcome, Outcome::Claimed(_)) {
        reader::wake_all(engine.clone(), cluster.clone(), vec![queue]).await;
    }
    Ok(outcome)
}
