//! What happens from time to time: envelopes, cards, invites and unused mailboxes come to their end,
//! deleted bytes leave the disk, unused memory is given back.

use crate::{
    engine::{Engine, day},
    metrics::Counters,
    rooms,
    store::{Change, Deadlines, StoreError},
};
use rly_protocol::{
    Timestamp,
    limits::{CLAIM_AGAIN, ENVELOPE_TTL},
};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

/// Often enough that what is deleted has left the disk within 60 s even if one attempt fails.
const EVERY: Duration = Duration::from_secs(20);
/// Days without any use after which a mailbox is dropped.
const UNUSED_DAYS: u32 = 400;
/// Days after which a vault is dropped that holds nothing but its head: nobody loses anything by it.
const EMPTY_VAULT_DAYS: u32 = 30;
/// Removed in one transaction at most.
const CHUNK: u32 = 1_000;

/// Sweeps until the relay stops.
pub(crate) async fn run(engine: Arc<Engine>) {
    while engine
        .stopping
        .run_until_cancelled(tokio::time::sleep(EVERY))
        .await
        .is_some()
    {
        sweep(&engine).await;
    }
}

/// Sweeps once.
pub(crate) async fn sweep(engine: &Engine) {
    let now = engine.now();
    touch(engine, now).await;
    if let Err(error) = expire(engine, now).await {
        tracing::warn!(%error, "sweeping the store failed");
    }
    if engine.take_dirty() {
        let scrubbed = engine.store.scrub().await;
        if let Err(error) = &scrubbed {
            tracing::warn!(%error, "deleted bytes could not be removed from the disk yet");
            engine.mark_dirty();
        }
        // A log that somebody reads is nobody's fault; a disk that refuses is.
        *engine.scrubbing.lock() = scrubbed.err().filter(|error| error.part() == "disk");
    }
    let left = engine.cells.sweep(now);
    engine.counters.queues.store(left as u64, Relaxed);
    engine.peers.sweep(now, &engine.config.limits);
}

async fn touch(engine: &Engine, now: Timestamp) {
    let queues = std::mem::take(&mut *engine.touched.lock());
    for queues in queues.chunks(CHUNK as usize) {
        let queues = queues.to_vec();
        // Lost on failure: the next day's use is recorded again, and only the day counts.
        let _ = engine
            .change(Change::Touch {
                queues,
                day: day(now),
            })
            .await;
    }
}

async fn expire(engine: &Engine, now: Timestamp) -> Result<(), StoreError> {
    let before = |seconds: u64| Timestamp(now.0.saturating_sub(seconds * 1000));
    let today = day(now);
    let vaults_due = engine.vaults_swept.load(Relaxed) != today;
    let deadlines = Deadlines {
        now,
        envelopes: before(ENVELOPE_TTL),
        claims: before(CLAIM_AGAIN),
        queues: today.saturating_sub(UNUSED_DAYS),
        // Before day 0 there is none.
        vaults: if vaults_due {
            today.saturating_sub(EMPTY_VAULT_DAYS)
        } else {
            0
        },
        limit: CHUNK,
    };
    loop {
        let swept = engine.store.sweep(deadlines).await?;
        rooms::swept(engine, &swept.rooms);
        let small = swept.invites + swept.vaults + swept.entries;
        if swept.envelopes.len() + swept.queues.len() + swept.rooms.len() + small as usize > 0 {
            engine.mark_dirty();
        }
        Counters::add(&engine.counters.expired, swept.envelopes.len());
        for (queue, seq) in &swept.envelopes {
            if let Some(cell) = engine.cells.of(queue) {
                cell.state.lock().queue.expire(*seq);
            }
        }
        if let Some(cluster) = &engine.cluster {
            cluster.targets.forget_queues(&swept.queues);
        }
        for queue in &swept.queues {
            if let Some(cell) = engine.cells.of(queue) {
                engine.forget(&cell);
            }
        }
        let full = |n: usize| n >= CHUNK as usize;
        if !full(swept.envelopes.len())
            && !full(swept.queues.len())
            && !full(swept.vaults as usize)
            && !full(swept.rooms.len())
        {
            engine.vaults_swept.store(today, Relaxed);
            return Ok(());
        }
    }
}
