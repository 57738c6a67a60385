//! What a node that takes an envelope knows of the mailbox: that it exists, and how full it was a moment
//! ago. Other nodes write to it and read from it, so this is looked up again all the time, but while it
//! is fresh nobody waits for that.
//!
//! Whatever is in the log gets stored, so the quota is checked here, before. Several nodes that look at
//! the same moment may overfill a mailbox by what they take until they look again.

use super::{
    Cluster,
    kafka::{Pending, Produce},
    record,
};
use crate::{
    Refusal,
    bucket::Bucket,
    connection::QUEUE_FULL_WAIT,
    engine::{Engine, day},
    metrics::Counters,
    outbox::Outbox,
    reply::Reply,
    store::{Day, Hash, shared::TargetRecord},
};
use bytes::Bytes;
use parking_lot::Mutex;
use rly_protocol::{EnvelopeId, ErrorCode, QueueId, Timestamp, frame::Req};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Up to this age what is known is taken as it is.
const FRESH: Duration = Duration::from_secs(2);
/// Up to this age it is taken, too, while it is looked up again. Without the database nothing is
/// accepted for longer than that.
const USABLE: Duration = Duration::from_secs(20);
/// A mailbox that seems full is looked at again, but not all the time.
const FULL: Duration = Duration::from_millis(100);
/// How long one that nobody writes to stays.
const IDLE: Duration = Duration::from_secs(600);
const SHARDS: usize = 64;

struct State {
    bucket: Bucket,
    envelopes: u32,
    bytes: u64,
    /// What this node has put into the log since the last look: perhaps not in the store yet.
    since: (u32, u64),
    used_day: Day,
    checked: Instant,
    used: Instant,
    /// Somebody is looking it up.
    looking: bool,
}

/// A mailbox that is written to.
pub(crate) struct Target {
    queue: QueueId,
    state: Mutex<State>,
}

/// Those that were written to lately.
pub(crate) struct Targets([Mutex<HashMap<Hash, Arc<Target>>>; SHARDS]);

impl Default for Targets {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Targets {
    fn shard(&self, address: &Hash) -> &Mutex<HashMap<Hash, Arc<Target>>> {
        &self.0[usize::from(address[0]) % SHARDS]
    }

    /// Forgets those that nobody writes to.
    pub fn sweep(&self) {
        let now = Instant::now();
        for shard in &self.0 {
            shard
                .lock()
                .retain(|_, target| now.duration_since(target.state.lock().used) < IDLE);
        }
    }

    /// The mailbox with this address is gone.
    pub fn forget(&self, address: &Hash) {
        self.shard(address).lock().remove(address);
    }

    /// These are gone.
    pub fn forget_queues(&self, gone: &[QueueId]) {
        if gone.is_empty() {
            return;
        }
        for shard in &self.0 {
            shard.lock().retain(|_, target| !gone.contains(&target.queue));
        }
    }

    fn learn(&self, address: Hash, found: Option<TargetRecord>) -> Option<Arc<Target>> {
        let mut shard = self.shard(&address).lock();
        let Some(found) = found else {
            shard.remove(&address);
            return None;
        };
        let now = Instant::now();
        if let Some(target) = shard.get(&address) {
            let mut state = target.state.lock();
            // Counted twice until the next look, where it is stored already: rather that than not at all.
            let (envelopes, bytes) = std::mem::take(&mut state.since);
            (state.envelopes, state.bytes) = (found.envelopes + envelopes, found.bytes + bytes);
            state.used_day = state.used_day.max(found.used_day);
            (state.checked, state.looking) = (now, false);
            return Some(target.clone());
        }
        let target = Arc::new(Target {
            queue: found.queue,
            state: Mutex::new(State {
                bucket: Bucket::default(),
                envelopes: found.envelopes,
                bytes: found.bytes,
                since: (0, 0),
                used_day: found.used_day,
                checked: now,
                used: now,
                looking: false,
            }),
        });
        shard.insert(address, target.clone());
        Some(target)
    }
}

async fn look_up(cluster: &Cluster, address: Hash) -> Result<Option<Arc<Target>>, Refusal> {
    match cluster.store.target(address).await {
        Ok(found) => Ok(cluster.targets.learn(address, found)),
        Err(error) => {
            tracing::warn!(%error, "reading from the store failed");
            if let Some(target) = cluster.targets.shard(&address).lock().get(&address) {
                target.state.lock().looking = false;
            }
            Err(Refusal::unavailable())
        }
    }
}

async fn find(cluster: &Arc<Cluster>, address: Hash) -> Result<Arc<Target>, Refusal> {
    let known = cluster.targets.shard(&address).lock().get(&address).cloned();
    if let Some(target) = known {
        let mut state = target.state.lock();
        let age = state.checked.elapsed();
        let look = age >= FRESH && !std::mem::replace(&mut state.looking, true);
        drop(state);
        if age < USABLE {
            if look {
                let cluster = cluster.clone();
                tokio::spawn(async move { look_up(&cluster, address).await.map(|_| ()) });
            }
            return Ok(target);
        }
    }
    Ok(look_up(cluster, address).await?.ok_or(ErrorCode::NoQueue)?)
}

/// Takes an envelope: it is answered when the log has it.
pub(crate) async fn send(
    engine: &Engine,
    cluster: &Arc<Cluster>,
    outbox: &Arc<Outbox>,
    req: Req,
    (address, id, body): (Hash, EnvelopeId, Bytes),
    now: Timestamp,
) -> Result<(), Refusal> {
    let mut target = find(cluster, address).await?;
    let limits = &engine.config.limits;
    if let Err(wait) = target.state.lock().bucket.take(now, limits.sends_per_address) {
        Counters::count(&engine.counters.rate_limited);
        return Err(Refusal::later(ErrorCode::RateLimited, wait));
    }
    if !target.take_room(engine, body.len()) {
        // Perhaps it was read meanwhile.
        if target.state.lock().checked.elapsed() >= FULL {
            target = look_up(cluster, address).await?.ok_or(ErrorCode::NoQueue)?;
        }
        if !target.take_room(engine, body.len()) {
            Counters::count(&engine.counters.queue_full);
            return Err(Refusal::later(ErrorCode::QueueFull, QUEUE_FULL_WAIT));
        }
    }
    target.used(engine, now);
    Counters::count(&engine.counters.accepted);
    let pending = Pending::Envelope {
        reply: Reply::new(outbox.clone(), req, body.len() as u32),
        since: Instant::now(),
    };
    let produced = cluster.kafka.produce(Produce {
        topic: &cluster.kafka.queues,
        partition: record::partition(&target.queue, cluster.kafka.partitions),
        key: &target.queue.0,
        payload: &record::encode(id, now, &body),
        pending,
    });
    // Its buffer is full: the broker is away or slow.
    produced.map_err(|_| Refusal::unavailable())
}

impl Target {
    fn take_room(&self, engine: &Engine, size: usize) -> bool {
        let limits = &engine.config.limits;
        let mut state = self.state.lock();
        let fits =
            state.envelopes < limits.queue_envelopes && state.bytes + size as u64 <= limits.queue_bytes;
        if fits {
            state.envelopes += 1;
            state.bytes += size as u64;
            state.since.0 += 1;
            state.since.1 += size as u64;
        }
        fits
    }

    /// Keeps the mailbox from being dropped for disuse.
    fn used(&self, engine: &Engine, now: Timestamp) {
        let mut state = self.state.lock();
        state.used = Instant::now();
        let today = day(now);
        if state.used_day < today {
            state.used_day = today;
            engine.touched.lock().push(self.queue);
        }
    }
}
