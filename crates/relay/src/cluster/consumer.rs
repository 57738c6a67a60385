//! Moves the log into the store, on a thread of its own.
//!
//! Each partition that the group gives to this node is in one of two states:
//!
//! ```text
//!              assigned                   taken, sought, resumed
//!   (nothing) ─────────▶ Resting(until) ─────────────────────────▶ Moving(epoch, offset)
//!        ▲                  │     ▲                                   │        │
//!        └────── revoked ───┘     └── fenced, failed, gap ────────────┘        │
//!        └───────────────────────────── revoked ──────────────────────────────┘
//! ```
//!
//! *Resting*: paused; once its time has come it is taken in the store, which raises its epoch and says
//! where to go on. *Moving*: its records go into the next batch. A batch and its offsets are one
//! transaction. Whenever it is not certain what became of a batch, all of its partitions rest and are
//! taken again: the store knows.

use super::{Cluster, KafkaError, kafka::QuietContext, kafka::one_line, reader, record};
use crate::{
    engine::Engine,
    keys::random,
    metrics::Counters,
    store::shared::{Appended, Held, Move, Partition, Record},
};
use parking_lot::Mutex;
use rdkafka::{
    ClientContext, Message, Offset, TopicPartitionList,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance},
    error::{KafkaError as Rd, RDKafkaErrorCode},
    topic_partition_list::TopicPartitionListElem,
};
use rly_protocol::Incarnation;
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// What one transaction holds at most, about.
const BATCH_RECORDS: usize = 2_048;
const BATCH_BYTES: usize = 8 << 20;
/// From so many records on a batch is followed by one that gathers for as long as this one took to store, but no
/// longer than that: where much comes, fewer transactions carry more.
const BUSY: usize = 16;
const PACE_MOST: Duration = Duration::from_millis(20);
/// How long a poll waits.
const POLL: Duration = Duration::from_millis(100);
/// How long a partition rests after a failure.
const REST: Duration = Duration::from_millis(500);
/// And when it could not begin.
const SOON: Duration = Duration::from_millis(50);
/// And after another node has taken it: time to hear from the group that it is theirs.
const FENCED_REST: Duration = Duration::from_secs(3);
/// A node that cannot store for so long leaves the group: the others may be better off.
const GIVE_UP: Duration = Duration::from_secs(5);
/// How often it then looks whether it can again.
const LOOK: Duration = Duration::from_secs(1);
/// How long the broker may take to say where the log begins, or to seek.
const ASK: Duration = Duration::from_secs(5);

/// What the group has given and taken since the last look.
#[derive(Default)]
struct Changes(Mutex<Vec<(Partition, bool)>>);

struct Context {
    changes: Arc<Changes>,
    quiet: QuietContext,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.quiet.log(level, facility, message);
    }

    fn error(&self, error: Rd, reason: &str) {
        self.quiet.error(error, reason);
    }
}

impl ConsumerContext for Context {
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let mut changes = self.changes.0.lock();
        match rebalance {
            Rebalance::Assign(given) => {
                // Nothing comes before the store has said from where.
                if let Err(error) = consumer.pause(given) {
                    tracing::warn!(error = one_line(&error), "partitions were not paused");
                }
                changes.extend(given.elements().iter().map(|one| (one.partition(), true)));
            }
            Rebalance::Revoke(taken) => {
                changes.extend(taken.elements().iter().map(|one| (one.partition(), false)));
            }
            Rebalance::Error(error) => tracing::warn!(error = one_line(error), "the group is in trouble"),
        }
    }
}

enum State {
    Resting { until: Instant },
    Moving(Held),
}

/// Records of several partitions, and how far each goes.
#[derive(Default)]
struct Batch {
    records: Vec<(Partition, Record)>,
    bytes: usize,
    /// The offset after the last record of each.
    upto: HashMap<Partition, i64>,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.records.len() >= BATCH_RECORDS || self.bytes >= BATCH_BYTES
    }
}

struct Mover {
    engine: Arc<Engine>,
    cluster: Arc<Cluster>,
    consumer: BaseConsumer<Context>,
    changes: Arc<Changes>,
    partitions: HashMap<Partition, State>,
    /// Since when nothing could be stored.
    failing: Option<Instant>,
    /// How long the next batch gathers.
    pace: Duration,
    runtime: Handle,
}

/// Starts the thread. It ends when the relay stops.
pub(super) fn start(engine: Arc<Engine>, cluster: Arc<Cluster>) -> Result<JoinHandle<()>, KafkaError> {
    let changes = Arc::new(Changes::default());
    let mut config = cluster.kafka.client_config();
    config
        .set("group.id", &cluster.kafka.group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // Where to go on is said by the store. Anything else is noticed by the first offset that comes.
        .set("auto.offset.reset", "earliest")
        // A node that is gone is replaced after this.
        .set("session.timeout.ms", "6000")
        // Also how soon it hears that partitions move: they stand still meanwhile.
        .set("heartbeat.interval.ms", "500")
        .set("max.poll.interval.ms", "60000")
        .set("fetch.error.backoff.ms", "100")
        .set("queued.max.messages.kbytes", "32768")
        .set("check.crcs", "true");
    let context = Context {
        changes: changes.clone(),
        quiet: QuietContext,
    };
    let consumer = BaseConsumer::from_config_and_context(&config, context)?;
    consumer.subscribe(&[&cluster.kafka.queues])?;
    let mover = Mover {
        engine,
        cluster,
        consumer,
        changes,
        partitions: HashMap::new(),
        failing: None,
        pace: Duration::ZERO,
        runtime: Handle::current(),
    };
    std::thread::Builder::new()
        .name("log-to-store".into())
        .spawn(move || mover.run())
        .map_err(|error| KafkaError::Failed(error.to_string()))
}

/// What comes next is not in the log; other failures pass by themselves.
fn is_out_of_range(error: &Rd) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset)
    )
}

impl Mover {
    fn run(mut self) {
        while !self.engine.stopping.is_cancelled() {
            let batch = self.gather();
            self.rebalance();
            if !batch.upto.is_empty() {
                self.store(batch);
            }
            self.wake_rested();
            if self.failing.is_some_and(|since| since.elapsed() >= GIVE_UP) {
                self.stay_away();
            }
            let held = self.cluster.held.lock().len();
            self.engine.counters.partitions.store(held as u64, Relaxed);
        }
        self.cluster.held.lock().clear();
        self.consumer.unsubscribe();
    }

    /// Out of the group, until the store works again.
    fn stay_away(&mut self) {
        tracing::warn!("this node leaves the log to others until it can store again");
        self.consumer.unsubscribe();
        self.partitions.clear();
        self.cluster.held.lock().clear();
        self.engine.counters.partitions.store(0, Relaxed);
        while !self.engine.stopping.is_cancelled() {
            // The group is told, and what it says no longer matters.
            self.consumer.poll(LOOK);
            self.changes.0.lock().clear();
            match self.runtime.block_on(self.cluster.store.incarnation()) {
                Ok(_) => break,
                Err(error) => *self.cluster.moving.lock() = Some(error),
            }
        }
        self.works();
        if let Err(error) = self.consumer.subscribe(&[&self.cluster.kafka.queues]) {
            tracing::error!(error = one_line(&error), "the group cannot be joined");
        }
    }

    /// What has come, as far as it fits.
    fn gather(&mut self) -> Batch {
        let mut batch = Batch::default();
        let (mut wait, mut pace) = (POLL, std::mem::take(&mut self.pace));
        let mut lost = Vec::new();
        while !batch.is_full() {
            let message = match self.consumer.poll(wait) {
                // The next batch costs as much, however little is in it.
                None if !batch.records.is_empty() && !pace.is_zero() => {
                    std::thread::sleep(std::mem::take(&mut pace));
                    continue;
                }
                None => break,
                Some(Ok(message)) => message,
                Some(Err(error)) => {
                    tracing::debug!(error = one_line(&error), "reading the log failed");
                    if is_out_of_range(&error) {
                        // Which partition it was is not said.
                        lost.extend(self.partitions.keys().copied());
                    }
                    break;
                }
            };
            // The rest is there already, or belongs to the next batch.
            wait = Duration::ZERO;
            let partition = message.partition();
            let Some(State::Moving(held)) = self.partitions.get(&partition) else {
                continue;
            };
            let expected = batch.upto.get(&partition).copied().unwrap_or(held.next);
            if message.offset() < expected {
                continue;
            }
            if message.offset() > expected {
                lost.push(partition);
                continue;
            }
            batch.upto.insert(partition, expected + 1);
            match record::decode(message.key(), message.payload()) {
                Some(record) => {
                    batch.bytes += record.body.len();
                    batch.records.push((partition, record));
                }
                None => {
                    Counters::count(&self.engine.counters.unreadable_records);
                    tracing::error!("a record in the log is not one of ours and is left out");
                }
            }
        }
        for partition in lost {
            self.rest(partition, REST);
        }
        batch
    }

    /// Takes note of what the group has said.
    fn rebalance(&mut self) {
        for (partition, given) in std::mem::take(&mut *self.changes.0.lock()) {
            if given {
                let until = Instant::now();
                self.partitions.insert(partition, State::Resting { until });
            } else {
                self.partitions.remove(&partition);
            }
            self.cluster.held.lock().remove(&partition);
            Counters::count(&self.engine.counters.rebalances);
        }
    }

    /// Paused until it is taken again.
    fn rest(&mut self, partition: Partition, pause: Duration) {
        let Some(state) = self.partitions.get_mut(&partition) else {
            return;
        };
        let until = Instant::now() + pause;
        *state = State::Resting { until };
        self.cluster.held.lock().remove(&partition);
        if let Err(error) = self.consumer.pause(&self.list(&[partition])) {
            tracing::warn!(error = one_line(&error), "a partition was not paused");
        }
    }

    /// Stores a batch with its offsets.
    fn store(&mut self, batch: Batch) {
        let mut moves = Vec::with_capacity(batch.upto.len());
        for (partition, to) in batch.upto {
            // Revoked or resting meanwhile: its records are another node's, or come again.
            if let Some(State::Moving(held)) = self.partitions.get(&partition) {
                moves.push(Move { held: *held, to });
            }
        }
        if moves.is_empty() {
            return;
        }
        moves.sort_unstable_by_key(|one| one.held.partition);
        let ours = |partition: Partition| {
            moves
                .binary_search_by_key(&partition, |one| one.held.partition)
                .is_ok()
        };
        let records: Arc<[Record]> = (batch.records.into_iter())
            .filter(|(partition, _)| ours(*partition))
            .map(|(_, record)| record)
            .collect();
        let mut queues: Vec<_> = records.iter().map(|record| record.queue).collect();
        queues.sort_unstable_by_key(|queue| queue.0);
        queues.dedup();
        let (count, bytes) = (records.len(), batch.bytes);
        let oldest = records.iter().map(|record| record.at.0).min();
        let started = Instant::now();
        let appended = (self.runtime).block_on(self.cluster.store.append(moves.as_slice().into(), records));
        match appended {
            Ok(Appended::Stored(new)) => {
                self.works();
                if count >= BUSY {
                    self.pace = started.elapsed().min(PACE_MOST);
                }
                let counters = &self.engine.counters;
                Counters::count(&counters.commits);
                counters.moved(count, bytes, started.elapsed());
                if let Some(oldest) = oldest {
                    let lag = self.engine.now().0.saturating_sub(oldest);
                    counters.lag_ms.store(lag, Relaxed);
                }
                Counters::add(&counters.committed, usize::try_from(new).unwrap_or_default());
                Counters::add(
                    &counters.repeated_records,
                    count.saturating_sub(usize::try_from(new).unwrap_or_default()),
                );
                let mut held = self.cluster.held.lock();
                for one in moves {
                    let next = Held {
                        next: one.to,
                        ..one.held
                    };
                    self.partitions.insert(next.partition, State::Moving(next));
                    held.insert(next.partition, next);
                }
                drop(held);
                if !queues.is_empty() {
                    self.runtime.spawn(reader::wake_all(
                        self.engine.clone(),
                        self.cluster.clone(),
                        queues,
                    ));
                }
            }
            Ok(Appended::Fenced(ours)) => {
                for one in moves {
                    let partition = one.held.partition;
                    if ours.contains(&partition) {
                        self.rest(partition, Duration::ZERO);
                    } else {
                        tracing::warn!(partition, "another node has taken this partition");
                        Counters::count(&self.engine.counters.fenced);
                        self.rest(partition, FENCED_REST);
                    }
                }
            }
            Err(error) => {
                self.fails(started, error);
                for one in moves {
                    self.rest(one.held.partition, REST);
                }
            }
        }
    }

    /// Takes what has rested long enough, and goes on where the store says.
    fn wake_rested(&mut self) {
        let now = Instant::now();
        let rested: Vec<Partition> = (self.partitions.iter())
            .filter(|(_, state)| matches!(state, State::Resting { until } if *until <= now))
            .map(|(partition, _)| *partition)
            .collect();
        if rested.is_empty() {
            return;
        }
        let taken = (self.runtime).block_on(self.cluster.store.take(&self.cluster.node, &rested));
        let taken = match taken {
            Ok(taken) => taken,
            Err(error) => {
                self.fails(now, error);
                rested.iter().for_each(|partition| self.rest(*partition, REST));
                return;
            }
        };
        if let Err(error) = self.begin(taken) {
            // What was given a moment ago is not always ready to be sought in.
            tracing::debug!(error = one_line(&error), "not yet");
            rested.iter().for_each(|partition| self.rest(*partition, SOON));
        }
        self.works();
    }

    /// Seeks to where the store is, over gaps if there are any. All at once: the broker answers one question
    /// of a connection after another, and each may stand behind a fetch that waits for news.
    fn begin(&mut self, taken: Vec<Held>) -> Result<(), Rd> {
        let partitions: Vec<Partition> = taken.iter().map(|held| held.partition).collect();
        let low = self.ask_offsets(&partitions, Offset::Beginning)?;
        let high = self.ask_offsets(&partitions, Offset::End)?;
        let (topic, mut wanted) = (self.cluster.kafka.queues.clone(), TopicPartitionList::new());
        let mut ready = HashMap::new();
        for held in taken {
            let partition = held.partition;
            let held = match (low.get(&partition), high.get(&partition)) {
                (Some(low), Some(high)) if (low..=high).contains(&&held.next) => Some(held),
                (Some(low), Some(_)) => self.skip(held, *low),
                _ => None,
            };
            let Some(held) = held else {
                self.rest(partition, SOON);
                continue;
            };
            wanted.add_partition_offset(&topic, partition, Offset::Offset(held.next))?;
            ready.insert(partition, held);
        }
        if ready.is_empty() {
            return Ok(());
        }
        self.consumer.resume(&wanted)?;
        let sought = self.consumer.seek_partitions(wanted, ASK)?;
        for one in sought.elements() {
            let Some(held) = ready.remove(&one.partition()) else {
                continue;
            };
            if let Err(error) = one.error() {
                tracing::debug!(partition = held.partition, error = one_line(&error), "not yet");
                self.rest(held.partition, SOON);
            } else {
                self.partitions.insert(held.partition, State::Moving(held));
                self.cluster.held.lock().insert(held.partition, held);
            }
        }
        Ok(())
    }

    /// Where the log of partitions begins or ends; of those of which the broker says it.
    fn ask_offsets(&self, partitions: &[Partition], which: Offset) -> Result<HashMap<Partition, i64>, Rd> {
        let mut list = self.list(partitions);
        // In place of a time: the two that the protocol knows beside times.
        list.set_all_offsets(which)?;
        let found = self.consumer.offsets_for_times(list, ASK)?;
        let offset = |one: &TopicPartitionListElem<'_>| match (one.error(), one.offset()) {
            (Ok(()), Offset::Offset(at)) => Some((one.partition(), at)),
            _ => None,
        };
        Ok(found.elements().iter().filter_map(offset).collect())
    }

    /// The log does not have what comes next: it was trimmed, or made anew, or the database is an older
    /// one. The step over the gap makes clients send again what has no receipt.
    fn skip(&mut self, held: Held, to: i64) -> Option<Held> {
        tracing::error!(
            partition = held.partition,
            expected = held.next,
            found = to,
            "the log lacks records that are not in the store; clients are told to send again"
        );
        Counters::count(&self.engine.counters.log_gaps);
        let (step, started) = (Move { held, to }, Instant::now());
        let skipped = (self.runtime).block_on(self.cluster.store.skip(step, Incarnation(random())));
        match skipped {
            Ok(true) => Some(Held { next: to, ..held }),
            Ok(false) => None,
            Err(error) => {
                self.fails(started, error);
                None
            }
        }
    }

    fn works(&mut self) {
        self.failing = None;
        if self.cluster.moving.lock().take().is_some() {
            tracing::info!("the log moves into the store again");
        }
    }

    /// What was begun then has failed.
    fn fails(&mut self, begun: Instant, error: crate::StoreError) {
        self.failing.get_or_insert(begun);
        tracing::error!(%error, "the log does not move into the store");
        self.engine.counters.commit_failures.fetch_add(1, Relaxed);
        *self.cluster.moving.lock() = Some(error);
    }

    fn list(&self, partitions: &[Partition]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.cluster.kafka.queues, *partition);
        }
        list
    }
}
