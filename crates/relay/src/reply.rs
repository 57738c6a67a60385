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
#[derive(Clone)]
pub(crate) struct Load {
    bytes: Arc<AtomicUsize>,
    counters: Arc<Counters>,
}

impl Load {
    pub fn new(counters: Arc<Counters>) -> Self {
        Self {
            bytes: Arc::default(),
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
    size: usize,
    load: Load,
}

impl Reply {
    pub fn new(outbox: Arc<Outbox>, req: Req, size: usize, load: Load) -> Self {
        load.bytes.fetch_add(size, Relaxed);
        Counters::count(&load.counters.pending);
        Self {
            outbox,
            req,
            size,
            load,
        }
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
        self.load.bytes.fetch_sub(self.size, Relaxed);
        Counters::sub(&self.load.counters.pending, 1);
    }
}
