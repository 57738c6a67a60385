//! Counters and gauges, without any id.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

macro_rules! metrics {
    ($($(#[$meta:meta])* $name:ident),* $(,)?) => {
        /// A look at a relay's counters (since its start) and gauges (now).
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Metrics { $($(#[$meta])* pub $name: u64),* }

        /// The counters themselves.
        #[derive(Default)]
        pub(crate) struct Counters { $(pub $name: AtomicU64),* }

        impl Counters {
            pub(crate) fn read(&self) -> Metrics {
                Metrics { $($name: self.$name.load(Relaxed)),* }
            }
        }
    };
}

metrics! {
    /// Gauge: websocket connections.
    connections,
    /// Gauge: queues in memory.
    queues,
    /// Gauge: envelopes accepted but neither committed nor acknowledged.
    pending,
    /// Mailboxes made.
    registered,
    /// Invites made.
    shared,
    /// Invites opened.
    claimed,
    /// Envelopes accepted.
    accepted,
    /// Envelopes given to a reader's connection.
    delivered,
    /// Envelopes acknowledged by a reader.
    acknowledged,
    /// Envelopes acknowledged before they were written, so never written.
    elided,
    /// Envelopes committed.
    committed,
    /// Commits.
    commits,
    /// Commits that failed.
    commit_failures,
    /// Requests refused for a rate.
    rate_limited,
    /// Envelopes refused because a queue was full.
    queue_full,
    /// Connections cut because they read too slowly.
    too_slow,
    /// Envelopes that nobody fetched in time.
    expired,
    /// Envelopes that the log has taken.
    published,
    /// How long that took, in all, in microseconds.
    published_us,
    /// Envelopes that the log did not take in time.
    publish_failures,
    /// Producers that took nothing any more while the broker worked, and were replaced.
    producers_replaced,
    /// Records that this node has moved from the log into the store.
    moved,
    /// Their bytes.
    moved_bytes,
    /// How long the transactions took, in all, in microseconds.
    moved_us,
    /// Gauge: how old the oldest record of the last batch was, in ms.
    lag_ms,
    /// Records that were in the store before, or whose mailbox is gone.
    repeated_records,
    /// Records that are not ours.
    unreadable_records,
    /// Gauge: partitions that this node moves.
    partitions,
    /// Partitions given and taken.
    rebalances,
    /// Partitions that another node had taken before the group said so.
    fenced,
    /// Gaps in the log: confirmed envelopes may be missing until their senders send them again.
    log_gaps,
    /// How often the log was trimmed.
    trims,
    /// Wakes that came from other nodes.
    wakes,
    /// How long they were on their way, in all, in ms.
    wakes_ms,
}

impl Counters {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// The log has taken an envelope.
    pub(crate) fn published(&self, after: Duration) {
        Self::count(&self.published);
        self.published_us.fetch_add(micros(after), Relaxed);
    }

    /// A batch of the log is in the store.
    pub(crate) fn moved(&self, records: usize, bytes: usize, after: Duration) {
        Self::add(&self.moved, records);
        Self::add(&self.moved_bytes, bytes);
        self.moved_us.fetch_add(micros(after), Relaxed);
    }

    pub(crate) fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Relaxed);
    }

    pub(crate) fn sub(counter: &AtomicU64, n: usize) {
        counter.fetch_sub(n as u64, Relaxed);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
