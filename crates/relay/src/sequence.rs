//! Sequence numbers: taken from blocks that the store has reserved, so that none is used twice, not
//! even after a power cut. What is left of a block at the end is never used at all.

use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

/// Numbers reserved at once. Half of them must last until a commit is done, however many messages come
/// and however slow the disk is just then: without a number, a message is refused.
pub(crate) const BLOCK: u64 = 1_000_000;

/// A number, and whether to reserve more now.
pub(crate) struct Taken {
    pub seq: u64,
    pub reserve: bool,
}

/// The numbers reserved.
pub(crate) struct Sequence {
    next: AtomicU64,
    end: AtomicU64,
    asked: AtomicBool,
}

impl Sequence {
    /// Numbers from `start` on, of which one block is reserved.
    pub fn new(start: u64) -> Self {
        Self {
            next: AtomicU64::new(start),
            end: AtomicU64::new(start + BLOCK),
            asked: AtomicBool::new(false),
        }
    }

    /// The next number; none while no more are reserved.
    pub fn take(&self) -> Option<Taken> {
        let end = self.end.load(Acquire);
        // One that finds nothing left leaves a gap: gaps mean nothing.
        let seq = self.next.fetch_add(1, Relaxed);
        let reserve = end.saturating_sub(seq) < BLOCK / 2 && !self.asked.swap(true, AcqRel);
        (seq < end).then_some(Taken { seq, reserve })
    }

    /// Where the block under way would end after one more, if more are needed.
    pub fn wanted(&self) -> Option<u64> {
        let end = self.end.load(Acquire);
        let next = self.next.load(Relaxed);
        (end.saturating_sub(next) < BLOCK / 2).then(|| end.max(next) + BLOCK)
    }

    /// The store has reserved up to here.
    pub fn reserved(&self, end: u64) {
        self.end.fetch_max(end, AcqRel);
        self.asked.store(false, Relaxed);
    }

    /// Where what is reserved ends.
    pub fn end(&self) -> u64 {
        self.end.load(Acquire)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn asks_once_in_time_and_never_goes_beyond() {
        let sequence = Sequence::new(10);
        let mut asked = Vec::new();
        for expected in 10..10 + BLOCK {
            let taken = sequence.take().unwrap();
            assert_eq!(taken.seq, expected);
            if taken.reserve {
                asked.push(expected);
            }
        }
        assert_eq!(asked, [10 + BLOCK / 2 + 1]);
        assert!(sequence.take().is_none());
        let end = sequence.wanted().unwrap();
        sequence.reserved(end);
        assert!(sequence.take().unwrap().seq > 10 + BLOCK);
        assert!(sequence.wanted().is_none());
    }
}
