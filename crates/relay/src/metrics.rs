//! Counters and gauges, without any id.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
}

impl Counters {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Relaxed);
    }

    pub(crate) fn sub(counter: &AtomicU64, n: usize) {
        counter.fetch_sub(n as u64, Relaxed);
    }
}
