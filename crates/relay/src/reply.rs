//! The answer that is owed for an envelope, and the memory that it holds until then.

use crate::{Refusal, metrics::Counters, outbox::Outbox};
use rly_protocol::frame::{Req, ServerFrame};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Bytes of envelopes accepted but neither written nor acknowledged, at most.
const LOAD_MAX: usize = 64 << 20;

/// Counts what is accepted but not yet safe.
pub(crate) struct Load {
    bytes: AtomicUsize,
    pub counters: Arc<Counters>,
}

impl Load {
    pub fn new(counters: Arc<Counters>) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            counters,
        }
    }

    /// Whether the disk is too far behind to accept more.
    pub fn is_too_high(&self) -> bool {
        self.bytes.load(Relaxed) > LOAD_MAX
    }
}

/// The answer owed to the sender of an envelope.
pub(crate) struct Reply {
    outbox: Arc<Outbox>,
    req: Req,
    size: u32,
}

impl Reply {
    pub fn new(outbox: Arc<Outbox>, req: Req, size: u32) -> Self {
        outbox.load.bytes.fetch_add(size as usize, Relaxed);
        Counters::count(&outbox.load.counters.pending);
        Self { outbox, req, size }
    }

    /// It cannot be lost any more.
    pub fn done(self) {
        self.outbox.done(self.req);
    }

    /// It was not taken.
    pub fn refuse(self, refusal: &Refusal) {
        self.outbox
            .answer(&ServerFrame::error(self.req, refusal.code, refusal.retry_ms()));
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let load = &self.outbox.load;
        load.bytes.fetch_sub(self.size as usize, Relaxed);
        Counters::sub(&load.counters.pending, 1);
    }
}
