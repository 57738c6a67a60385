//! What a broker says of a partition while it stops and nobody else has it: NOT_LEADER_OR_FOLLOWER, and that
//! the leader is nobody (KIP-951). It is said on the way here, so that a test can have it when it wants.
//!
//! A frame is its length (i32) and, in questions, API key and version (i16 each), then a correlation id (i32)
//! and the rest.

use std::{collections::HashSet, sync::Mutex};

/// API key 0, version 10: records for the log. Nothing else is asked by librdkafka 2.12.
const PRODUCE: &[u8] = &[0, 0, 0, 10];
const NOT_LEADER: [u8; 2] = [0, 6];
/// One tagged field, number 0, of nine bytes: leader -1, of epoch 1, and no tags.
const NOBODY: [u8; 12] = [1, 0, 9, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0];
/// From the end of an answer with one partition: no tags, time to wait, no tags of the topic, and here those of
/// the partition.
const TAGS: usize = 7;
/// Error code, then base offset, time, first offset, no errors of records, no text.
const ERROR: usize = TAGS + 2 + 3 * 8 + 2;

/// The frames of one direction, whole.
#[derive(Default)]
pub struct Frames(Vec<u8>);

impl Frames {
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

impl Iterator for Frames {
    type Item = Vec<u8>;

    /// With its length.
    fn next(&mut self) -> Option<Vec<u8>> {
        let length = self.0.first_chunk::<4>()?;
        let size = 4 + u32::from_be_bytes(*length) as usize;
        if self.0.len() < size {
            return None;
        }
        let rest = self.0.split_off(size);
        Some(std::mem::replace(&mut self.0, rest))
    }
}

/// The questions of a connection that put records into the log.
#[derive(Default)]
pub struct Produces(Mutex<HashSet<[u8; 4]>>);

impl Produces {
    pub fn asked(&self, question: &[u8]) {
        if question[4..8] == *PRODUCE {
            let id = question[8..12].try_into().unwrap();
            self.0.lock().unwrap().insert(id);
        }
    }

    /// Whether this answers one of them.
    pub fn are_answered(&self, answer: &[u8]) -> bool {
        self.0.lock().unwrap().remove(&answer[4..8])
    }
}

/// The same answer, had the partition no leader.
pub fn without_leader(mut answer: Vec<u8>) -> Vec<u8> {
    let (error, tags) = (answer.len() - ERROR, answer.len() - TAGS);
    assert_eq!(answer[error..error + 2], [0, 0], "the broker took it");
    answer[error..error + 2].copy_from_slice(&NOT_LEADER);
    answer.splice(tags..=tags, NOBODY);
    let length = (answer.len() - 4) as u32;
    answer[..4].copy_from_slice(&length.to_be_bytes());
    answer
}
