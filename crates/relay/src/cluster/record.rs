//! What stands in the log. Each record begins with a version byte.

use crate::store::shared::{Partition, Record};
use bytes::Bytes;
use rly_protocol::{EnvelopeId, QueueId, Timestamp, limits::ENVELOPE_MAX};

const VERSION: u8 = 1;
/// Version, id, time.
const HEAD: usize = 1 + 16 + 8;
const ID: usize = 16;
/// Version, reason, time.
const WAKE_HEAD: usize = 2 + 8;

/// Where a queue's envelopes go. Ids are random, so any of their bytes spread them evenly.
pub(super) fn partition(queue: &QueueId, partitions: i32) -> Partition {
    let mut first = [0; 8];
    first.copy_from_slice(&queue.0[..8]);
    let partitions = u64::try_from(partitions.max(1)).unwrap_or(1);
    Partition::try_from(u64::from_be_bytes(first) % partitions).unwrap_or_default()
}

/// An envelope as the log has it; its key is the queue.
pub(super) fn encode(id: EnvelopeId, at: Timestamp, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + body.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&id.0);
    bytes.extend_from_slice(&at.0.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Back again; `None` for what no node writes.
pub(super) fn decode(key: Option<&[u8]>, payload: Option<&[u8]>) -> Option<Record> {
    let (key, payload) = (key?, payload?);
    let (head, body) = payload.split_at_checked(HEAD)?;
    if head[0] != VERSION || body.len() > ENVELOPE_MAX {
        return None;
    }
    Some(Record {
        queue: QueueId(key.try_into().ok()?),
        id: EnvelopeId(head[1..17].try_into().ok()?),
        at: Timestamp(u64::from_be_bytes(head[17..].try_into().ok()?)),
        body: Bytes::copy_from_slice(body),
    })
}

/// Why a node is to look at queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Something was stored.
    News = 1,
    /// A later subscription took a reader's place.
    Reader = 2,
    /// They are deleted.
    Gone = 3,
}

/// Queues that a node is to look at, why, and when that was said.
pub(super) fn encode_wake(why: Why, at: Timestamp, queues: &[QueueId]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(WAKE_HEAD + ID * queues.len());
    bytes.extend_from_slice(&[VERSION, why as u8]);
    bytes.extend_from_slice(&at.0.to_be_bytes());
    for queue in queues {
        bytes.extend_from_slice(&queue.0);
    }
    bytes
}

/// Back again.
pub(super) fn decode_wake(payload: &[u8]) -> Option<(Why, Timestamp, Vec<QueueId>)> {
    let (head, ids) = payload.split_at_checked(WAKE_HEAD)?;
    if ids.len() % ID != 0 {
        return None;
    }
    let why = match head[..2] {
        [VERSION, 1] => Why::News,
        [VERSION, 2] => Why::Reader,
        [VERSION, 3] => Why::Gone,
        _ => return None,
    };
    let at = Timestamp(u64::from_be_bytes(head[2..].try_into().ok()?));
    let queue = |id: &[u8]| Some(QueueId(id.try_into().ok()?));
    Some((why, at, ids.chunks_exact(ID).map(queue).collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn records_come_back_and_others_do_not() {
        let (queue, id, at) = (QueueId([1; 16]), EnvelopeId([2; 16]), Timestamp(3));
        let bytes = encode(id, at, b"body");
        let record = decode(Some(&queue.0), Some(&bytes)).unwrap();
        let body = Bytes::from_static(b"body");
        assert_eq!(record, Record { queue, id, at, body });
        let mut newer = bytes.clone();
        newer[0] = 2;
        let large = encode(id, at, &[0; ENVELOPE_MAX + 1]);
        for (key, payload) in [
            (None, Some(&bytes[..])),
            (Some(&queue.0[..]), None),
            (Some(&queue.0[1..]), Some(&bytes)),
            (Some(&queue.0), Some(&bytes[..HEAD - 1])),
            (Some(&queue.0), Some(&newer)),
            (Some(&queue.0), Some(&large)),
        ] {
            assert_eq!(decode(key, payload), None);
        }
    }

    #[test]
    fn wakes_come_back_and_others_do_not() {
        let queues = [QueueId([1; 16]), QueueId([2; 16])];
        for why in [Why::News, Why::Reader, Why::Gone] {
            let bytes = encode_wake(why, Timestamp(7), &queues);
            assert_eq!(decode_wake(&bytes), Some((why, Timestamp(7), queues.to_vec())));
            assert_eq!(decode_wake(&bytes[..bytes.len() - 1]), None);
            assert_eq!(decode_wake(&bytes[..9]), None);
            assert_eq!(decode_wake(&[&[1, 4][..], &bytes[2..]].concat()), None);
        }
    }

    #[test]
    fn partitions_are_the_same_on_every_node_and_even() {
        assert_eq!(partition(&QueueId([0; 16]), 64), 0);
        assert_eq!(partition(&QueueId([1; 16]), 64), 1);
        let mut counts = [0; 8];
        for n in 0..8_000_u64 {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            counts[usize::try_from(partition(&QueueId(id), 8)).unwrap()] += 1;
        }
        assert!(counts.iter().all(|n| (800..1200).contains(n)), "{counts:?}");
    }
}
