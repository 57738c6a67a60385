//! The queues that are in memory: looked up by id and by address, loaded from the store when first
//! needed, forgotten when nobody has used them for a while.

use crate::{
    Refusal,
    bucket::Bucket,
    outbox::Outbox,
    queue::QueueState,
    reply::Reply,
    store::{Day, Hash, QueueRecord, Store},
};
use parking_lot::Mutex;
use rly_protocol::{PublicKey, QueueId, Timestamp};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::{Mutex as LoadLock, Notify};

const SHARDS: usize = 64;
/// How long an unused queue stays, in seconds: long enough for a sender to repeat an envelope.
const IDLE: u64 = 600;

/// What changes about a queue in memory.
pub(crate) struct CellState {
    pub queue: QueueState<Reply, Arc<Outbox>>,
    /// What writers have used of the address's rate.
    pub bucket: Bucket,
    /// The writer task will look after what is queued here, in a moment.
    pub lingering: bool,
    /// It will write what is queued here, with the next batch.
    pub due: bool,
    /// Another node may have stored something since this was looked at. Only in a cluster.
    pub woken: bool,
    pub used: Timestamp,
    pub used_day: Day,
}

/// A queue in memory.
pub(crate) struct Cell {
    pub id: QueueId,
    pub address: Hash,
    pub reader: PublicKey,
    pub state: Mutex<CellState>,
    /// A notice that was held has been decided.
    pub settled: Notify,
}

type Shards<K> = [Mutex<HashMap<K, Arc<Cell>>>; SHARDS];

/// All queues in memory.
pub(crate) struct Cells {
    by_id: Shards<QueueId>,
    by_address: Shards<Hash>,
    /// Held while a queue is loaded, so that it is loaded once.
    loading: [LoadLock<()>; SHARDS],
}

fn shard(bytes: &[u8]) -> usize {
    // Ids and hashes are random, so their first byte is.
    usize::from(bytes.first().copied().unwrap_or_default()) % SHARDS
}

impl Cells {
    pub fn new() -> Self {
        Self {
            by_id: std::array::from_fn(|_| Mutex::default()),
            by_address: std::array::from_fn(|_| Mutex::default()),
            loading: std::array::from_fn(|_| LoadLock::default()),
        }
    }

    /// The queue with this address, if it is in memory.
    pub fn at(&self, address: &Hash) -> Option<Arc<Cell>> {
        self.by_address[shard(address)].lock().get(address).cloned()
    }

    /// The queue with this id, if it is in memory.
    pub fn of(&self, id: &QueueId) -> Option<Arc<Cell>> {
        self.by_id[shard(&id.0)].lock().get(id).cloned()
    }

    /// The queue with this address.
    pub async fn find(
        &self,
        address: &Hash,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<Option<Arc<Cell>>, Refusal> {
        if let Some(cell) = self.at(address) {
            return Ok(Some(cell));
        }
        let id = store.find_address(*address).await.map_err(unavailable)?;
        match id {
            Some(id) => self.load(&id, store, now).await,
            None => Ok(None),
        }
    }

    /// The queue with this id.
    pub async fn load(
        &self,
        id: &QueueId,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<Option<Arc<Cell>>, Refusal> {
        if let Some(cell) = self.of(id) {
            return Ok(Some(cell));
        }
        let _one = self.loading[shard(&id.0)].lock().await;
        if let Some(cell) = self.of(id) {
            return Ok(Some(cell));
        }
        let record = store.queue(*id).await.map_err(unavailable)?;
        Ok(record.map(|record| self.insert(*id, record, now)))
    }

    fn insert(&self, id: QueueId, record: QueueRecord, now: Timestamp) -> Arc<Cell> {
        let cell = Arc::new(Cell {
            id,
            address: record.address,
            reader: record.reader,
            state: Mutex::new(CellState {
                queue: QueueState::new(record.waiting),
                bucket: Bucket::default(),
                lingering: false,
                due: false,
                woken: false,
                used: now,
                used_day: record.used_day,
            }),
            settled: Notify::new(),
        });
        self.by_address[shard(&cell.address)]
            .lock()
            .insert(cell.address, cell.clone());
        self.by_id[shard(&id.0)].lock().insert(id, cell.clone());
        cell
    }

    /// Forgets a queue that is deleted.
    pub fn remove(&self, cell: &Cell) {
        self.by_address[shard(&cell.address)].lock().remove(&cell.address);
        self.by_id[shard(&cell.id.0)].lock().remove(&cell.id);
    }

    /// Forgets what is idle; how many are left.
    pub fn sweep(&self, now: Timestamp) -> usize {
        let mut left = 0;
        for shard_of in 0..SHARDS {
            let cells: Vec<_> = self.by_id[shard_of].lock().values().cloned().collect();
            left += cells.len();
            left -= cells.into_iter().filter(|cell| self.evict(cell, now)).count();
        }
        left
    }

    fn evict(&self, cell: &Arc<Cell>, now: Timestamp) -> bool {
        let mut by_address = self.by_address[shard(&cell.address)].lock();
        let mut by_id = self.by_id[shard(&cell.id.0)].lock();
        let idle = {
            let state = cell.state.lock();
            state.queue.is_idle() && !state.lingering && now.since(state.used) >= IDLE * 1000
        };
        // The two maps and our own: nobody else holds it, and with both maps locked nobody can begin to.
        let evict = idle && Arc::strong_count(cell) == 3;
        if evict {
            by_address.remove(&cell.address);
            by_id.remove(&cell.id);
        }
        evict
    }
}

fn unavailable(error: crate::store::StoreError) -> Refusal {
    tracing::warn!(%error, "reading from the store failed");
    Refusal::unavailable()
}
