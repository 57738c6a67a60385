//! Readers whose sockets are on this node: they are woken when something was stored for them, wherever
//! that happened, and looked at in case a wake was lost: every two seconds, and less often as they get many.

use super::{Cluster, record::Why, wake};
use crate::{Refusal, StoreError, deliver, engine::Engine, outbox::Outbox, store::shared::Reading};
use rly_protocol::{ErrorCode, QueueId, frame::ServerFrame};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// How long after all readers were looked at they are looked at again.
const LOOK: Duration = Duration::from_secs(2);
/// Looked at in one statement.
const CHUNK: usize = 1_000;
/// Between two of them. A node asks the database for 5,000 readers a second at most, however many it has:
/// of 100,000 each is looked at every 22 s.
const BREATH: Duration = Duration::from_millis(200);

/// A reader, or the user of a vault, whose socket is here.
pub(crate) struct Lease {
    /// The number that the store gave to it.
    pub number: i64,
    /// The session that holds it.
    pub session: u64,
    /// Its buffer, to tell it when another one takes its place.
    pub outbox: Arc<Outbox>,
    /// A vault has no deliveries.
    pub delivers: bool,
}

/// A socket of this node reads a queue, or uses a vault, from now on. Whoever did before is told.
pub(crate) async fn read_here(
    engine: &Engine,
    cluster: &Arc<Cluster>,
    queue: QueueId,
    (session, outbox): (u64, &Arc<Outbox>),
    delivers: bool,
) -> Result<(), Refusal> {
    let (number, before) = cluster
        .store
        .read_here(&cluster.node, queue)
        .await
        .map_err(unavailable)?;
    let lease = Lease {
        number,
        session,
        outbox: outbox.clone(),
        delivers,
    };
    cluster.leases.lock().insert(queue, lease);
    if let Some(before) = before.filter(|before| *before != cluster.node) {
        wake::tell(cluster, &before, Why::Reader, engine.now(), &[queue]);
    }
    Ok(())
}

/// Whether this session still is the reader of a queue, as far as is known here.
pub(crate) fn holds(cluster: &Cluster, queue: &QueueId, session: u64) -> bool {
    let leases = cluster.leases.lock();
    leases.get(queue).is_some_and(|lease| lease.session == session)
}

/// A socket has ended, or reads this queue no more.
pub(crate) fn leave(cluster: &Cluster, queue: &QueueId, session: u64) {
    let mut leases = cluster.leases.lock();
    if leases.get(queue).is_some_and(|lease| lease.session == session) {
        leases.remove(queue);
    }
}

/// Envelopes were stored: tells the nodes that hold these queues' readers.
pub(super) async fn wake_all(engine: Arc<Engine>, cluster: Arc<Cluster>, queues: Vec<QueueId>) {
    // Those that are here need no database and no log.
    let (here, elsewhere): (Vec<_>, Vec<_>) = {
        let leases = cluster.leases.lock();
        queues.into_iter().partition(|queue| leases.contains_key(queue))
    };
    for queue in here {
        woken(&engine, queue);
    }
    if elsewhere.is_empty() {
        return;
    }
    let readers = match cluster.store.readers(&elsewhere).await {
        Ok(readers) => readers,
        Err(error) => {
            tracing::warn!(%error, "readers are not woken");
            return;
        }
    };
    let mut by_node: HashMap<String, Vec<QueueId>> = HashMap::new();
    for (queue, node) in readers {
        by_node.entry(node).or_default().push(queue);
    }
    for (node, queues) in by_node.into_iter().filter(|(node, _)| *node != cluster.node) {
        wake::tell(&cluster, &node, Why::News, engine.now(), &queues);
    }
}

/// There may be something new for a queue's reader, or another reader.
pub(super) fn woken(engine: &Arc<Engine>, queue: QueueId) {
    if let Some(cell) = engine.cells.of(&queue) {
        deliver::wake(engine, &cell);
    }
}

/// Looks at readers, and at the store's incarnation, until the relay stops.
pub(super) async fn look_after(engine: Arc<Engine>, cluster: Arc<Cluster>) {
    let stopping = engine.stopping.clone();
    while stopping
        .run_until_cancelled(tokio::time::sleep(LOOK))
        .await
        .is_some()
    {
        if let Err(error) = look(&engine, &cluster).await {
            tracing::warn!(%error, "looking at readers failed");
        }
    }
}

async fn look(engine: &Arc<Engine>, cluster: &Arc<Cluster>) -> Result<(), StoreError> {
    let incarnation = cluster.store.incarnation().await?;
    if std::mem::replace(&mut *engine.incarnation.lock(), incarnation) != incarnation {
        tracing::warn!("the store is another one now; clients are told to connect again");
        let sessions: Vec<_> = engine.sessions.lock().values().cloned().collect();
        for outbox in sessions {
            outbox.goodbye(ErrorCode::Stopping, Refusal::stopping().retry_ms());
        }
    }
    let readers = here(engine, cluster, |_| true);
    for readers in readers.chunks(CHUNK) {
        look_here(engine, cluster, readers).await?;
        tokio::time::sleep(BREATH).await;
    }
    Ok(())
}

/// Another node has said that somebody else reads these now.
pub(super) async fn look_at(engine: Arc<Engine>, cluster: Arc<Cluster>, queues: Vec<QueueId>) {
    let readers = here(&engine, &cluster, |queue| queues.contains(queue));
    if let Err(error) = look_here(&engine, &cluster, &readers).await {
        tracing::warn!(%error, "looking at readers failed");
    }
}

/// The readers of this node, and how far they know of what is stored.
fn here(engine: &Engine, cluster: &Cluster, wanted: impl Fn(&QueueId) -> bool) -> Vec<Reading> {
    let leases: Vec<_> = (cluster.leases.lock().iter())
        .filter(|(queue, _)| wanted(queue))
        .map(|(queue, lease)| (*queue, lease.number, lease.delivers))
        .collect();
    let reading = |(queue, number, delivers)| {
        let cell = engine.cells.of(&queue).filter(|_| delivers);
        // A vault's wakes are only about who uses it.
        let after = cell.map_or(u64::MAX, |cell| cell.state.lock().queue.newest());
        Reading { queue, number, after }
    };
    leases.into_iter().map(reading).collect()
}

async fn look_here(
    engine: &Arc<Engine>,
    cluster: &Arc<Cluster>,
    readers: &[Reading],
) -> Result<(), StoreError> {
    if readers.is_empty() {
        return Ok(());
    }
    for looked in cluster.store.look(&cluster.node, readers).await? {
        if looked.replaced {
            replaced(engine, cluster, looked.queue, looked.number);
        } else if looked.news {
            woken(engine, looked.queue);
        }
    }
    Ok(())
}

/// A later subscription, on another node, has taken the place of one here.
fn replaced(engine: &Engine, cluster: &Cluster, queue: QueueId, number: i64) {
    let lease = {
        let mut leases = cluster.leases.lock();
        // A newer one of this node has its own number.
        match leases.get(&queue) {
            Some(lease) if lease.number == number => leases.remove(&queue),
            _ => None,
        }
    };
    let Some(lease) = lease else { return };
    if lease.delivers {
        if let Some(cell) = engine.cells.of(&queue) {
            cell.state.lock().queue.detach();
        }
    } else {
        let mut vaults = engine.vaults.lock();
        if vaults
            .get(&queue)
            .is_some_and(|(session, _)| *session == lease.session)
        {
            vaults.remove(&queue);
        }
    }
    lease.outbox.answer(&ServerFrame::Replaced { queue });
}

fn unavailable(error: StoreError) -> Refusal {
    tracing::warn!(%error, "reading from the store failed");
    Refusal::unavailable()
}
