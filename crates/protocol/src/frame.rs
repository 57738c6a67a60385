//! Websocket frames. Each binary message is one frame: a version byte, a type byte, the fields.
//!
//! The server speaks first, with [`ServerFrame::Hello`]; the client takes the highest version that
//! both know. A client's request carries a number of its choice, `req`, which the answer repeats.

use crate::{
    Address, Decode, DecodeError, Encode, EnvelopeId, ErrorCode, Incarnation, InviteId, PublicKey, QueueId,
    Reader, RoomId, Signature, Timestamp, Writer,
    room::{RoomEnd, RoomEvent, RoomLimits, RoomPerson},
};
use bytes::Bytes;
use core::fmt;

/// The version that these frames are.
pub const VERSION: u8 = 1;

/// Number of a request, chosen by the client.
pub type Req = u32;

choice! {
    /// How a reader shows that a queue is its own.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Proof {
        /// A signature by the reader key over [`proof_message`].
        1 => Signed { signature: Signature },
        /// A ticket from an earlier [`ServerFrame::Subscribed`].
        2 => Ticket { ticket: Ticket },
    }
}

record! {
    /// A MAC by the server that stands for a reader's signature for 24 hours.
    #[derive(Clone, PartialEq, Eq)]
    pub struct Ticket {
        /// When it ends.
        pub expires: Timestamp,
        /// HMAC-SHA-256 under a key of the server, over queue and end.
        pub mac: [u8; 32],
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

record! {
    /// One slot of a vault.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct VaultEntry {
        /// Its number. Slot 0 is the head.
        pub slot: u32,
        /// Its sealed content; empty when the slot is (to be) deleted.
        pub blob: Bytes,
    }
}

choice! {
    /// What a client sends.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum ClientFrame {
        /// Begin to read a queue: everything not acknowledged comes as [`ServerFrame::Deliver`], in
        /// order, then what arrives. Answer: [`ServerFrame::Subscribed`]. The last one to subscribe
        /// is the reader; whoever was before gets [`ServerFrame::Replaced`].
        0x01 => Subscribe { req: Req, queue: QueueId, proof: Proof },
        /// Stop reading a queue. Answer: [`ServerFrame::Done`].
        0x02 => Unsubscribe { req: Req, queue: QueueId },
        /// Everything up to and including `seq` is stored here and may be deleted there. No answer.
        0x03 => Ack { queue: QueueId, seq: u64 },
        /// Write an envelope. Answer: [`ServerFrame::Done`] once it cannot be lost. The same `id`
        /// may be sent again; it is delivered once.
        0x04 => Send { req: Req, address: Address, id: EnvelopeId, body: Bytes },
        /// Delete a queue that this connection reads, with all that is in it. Answer: Done.
        0x05 => DeleteQueue { req: Req, queue: QueueId },
        /// Take back an unopened invite to a queue that this connection reads. Answer: Done, or an
        /// error `invite_used`.
        0x06 => WithdrawInvite { req: Req, queue: QueueId, invite: InviteId },
        /// Begin to use a vault, made if there is none: its id is [`vault_id`] of the key. Answer:
        /// [`ServerFrame::Subscribed`]. Replaces an earlier user as in Subscribe.
        0x07 => OpenVault { req: Req, key: PublicKey, signature: Signature },
        /// Read a vault's slots from `from` on. Answer: [`ServerFrame::VaultPage`].
        0x08 => VaultRead { req: Req, queue: QueueId, from: u32 },
        /// Write slots, all or none, if the vault is at generation `expected`. Answer:
        /// [`ServerFrame::VaultWritten`], or an error `vault_conflict`.
        0x09 => VaultWrite { req: Req, queue: QueueId, expected: u64, entries: Vec<VaultEntry> },
        /// Are you there? Answer: [`ServerFrame::Pong`].
        0x0a => Ping { nonce: u64 },
        /// Join a room, or come back to it with the key that joined: everything that happened after
        /// place `after` comes, then what happens. `token` and name are derived from and sealed with
        /// the room's code, `signature` is over [`join_message`](crate::room::join_message). Who comes
        /// back keeps the name of the first time. Answer: [`ServerFrame::RoomJoined`].
        0x10 => RoomJoin {
            req: Req,
            room: RoomId,
            token: [u8; 32],
            key: PublicKey,
            name_hash: [u8; 32],
            name: Bytes,
            after: u64,
            signature: Signature,
        },
        /// Say something in a room that this connection has joined. `seq` is above every one that this
        /// person has used; `signature` is over [`post_message`](crate::room::post_message).
        /// Answer: Done, once it cannot be lost. It comes back as an event.
        0x11 => RoomPost { req: Req, room: RoomId, seq: u64, body: Bytes, signature: Signature },
        /// Read a room no more, and be shown as away. Answer: Done.
        0x12 => RoomLeave { req: Req, room: RoomId },
        /// Delete one's own messages and membership at once. Answer: Done.
        0x13 => RoomDelete { req: Req, room: RoomId },
        /// End a room for all; only for who made it. Answer: Done.
        0x14 => RoomClose { req: Req, room: RoomId },
    }
}

/// What an envelope in a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Ciphertext from a writer.
    Envelope = 0,
    /// A [`Notice`] from the server.
    Notice = 1,
}

impl Encode for Kind {
    fn encode(&self, to: &mut Writer) {
        to.put(&(*self as u8));
    }
}

impl Decode for Kind {
    fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        match from.take::<u8>()? {
            0 => Ok(Self::Envelope),
            1 => Ok(Self::Notice),
            _ => Err(DecodeError::Invalid),
        }
    }
}

choice! {
    /// What the server itself has to tell the reader of a queue.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Notice {
        /// Somebody opened the invite.
        1 => InviteOpened { invite: InviteId, at: Timestamp },
    }
}

choice! {
    /// What the server sends.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum ServerFrame {
        /// First on every connection.
        0x81 => Hello {
            /// The lowest protocol version spoken here.
            min: u8,
            /// The highest.
            max: u8,
            /// What proofs on this connection sign.
            nonce: [u8; 32],
            /// Which store this is.
            incarnation: Incarnation,
            /// The server's time.
            now: Timestamp,
        },
        /// The queue is read by this connection now.
        0x82 => Subscribed { req: Req, queue: QueueId, ticket: Ticket },
        /// One envelope. `seq` rises within a queue and is never used twice; gaps mean nothing.
        0x83 => Deliver { queue: QueueId, seq: u64, kind: Kind, id: EnvelopeId, body: Bytes },
        /// Done, and it lasts.
        0x84 => Done { req: Req },
        /// Refused. `retry_after` is in milliseconds; 0 means that the same request cannot succeed.
        0x85 => Error { req: Req, code: u16, retry_after: u32 },
        /// Slots of a vault in order; `more`: go on with the slot after the last one.
        0x86 => VaultPage { req: Req, generation: u64, entries: Vec<VaultEntry>, more: bool },
        /// The vault is at this generation now.
        0x87 => VaultWritten { req: Req, generation: u64 },
        /// Another connection reads this queue now.
        0x88 => Replaced { queue: QueueId },
        /// The answer to a ping.
        0x89 => Pong { nonce: u64 },
        /// The last frame: the connection is about to be closed by the server, and why.
        0x8a => Goodbye { code: u16, retry_after: u32 },
        /// This connection reads a room now, as person `you`.
        0x90 => RoomJoined {
            req: Req,
            room: RoomId,
            /// The person that this connection is.
            you: u32,
            /// The highest sequence of yours that was taken.
            seq: u64,
            /// Who may end it.
            creator: PublicKey,
            limits: RoomLimits,
            /// When it ends at the latest.
            ends_at: Timestamp,
            /// When it ends if nobody says anything.
            closes_at: Timestamp,
            /// The last place that is in `people`.
            head: u64,
            /// Who belongs to it, by number.
            people: Vec<RoomPerson>,
        },
        /// Something happened in a room. Places rise by one; those missing were deleted, or too old.
        0x91 => RoomHappened { room: RoomId, place: u64, at: Timestamp, event: RoomEvent },
        /// The room is no more, and nothing of it is on the server.
        0x92 => RoomEnded { room: RoomId, why: RoomEnd },
    }
}

macro_rules! frames {
    ($($name:ident),*) => {$(
        impl $name {
            /// The frame as a websocket message.
            pub fn to_message(&self) -> Bytes {
                let mut to = Writer::with_capacity(64);
                to.put(&VERSION);
                to.put(self);
                to.finish().into()
            }

            /// Reads a websocket message. Byte strings in the frame share its memory.
            ///
            /// # Errors
            /// A [`DecodeError`]; [`DecodeError::Version`] for another version.
            pub fn from_message(message: Bytes) -> Result<Self, DecodeError> {
                let mut from = Reader::new(message);
                match from.take::<u8>()? {
                    VERSION => {}
                    other => return Err(DecodeError::Version(other)),
                }
                let frame = from.take()?;
                from.end()?;
                Ok(frame)
            }
        }
    )*};
}
frames!(ClientFrame, ServerFrame);

impl ServerFrame {
    /// An error frame.
    pub fn error(req: Req, code: ErrorCode, retry_after: u32) -> Self {
        Self::Error {
            req,
            code: code.number(),
            retry_after,
        }
    }
}

/// What a reader signs to read a queue: purpose, server nonce, queue, origin. The origin binds the
/// signature to one server, the nonce to one connection.
pub fn proof_message(origin: &str, nonce: &[u8; 32], queue: &QueueId) -> Vec<u8> {
    let mut to = Writer::default();
    to.raw(b"rly reader proof v1\0");
    to.raw(nonce);
    to.put(queue);
    to.raw(origin.as_bytes());
    to.finish()
}

/// What the SHA-256 of gives, cut to 16 bytes, the id of the vault of a key.
pub fn vault_id_message(key: &PublicKey) -> Vec<u8> {
    let mut to = Writer::default();
    to.raw(b"rly vault v1\0");
    to.put(key);
    to.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_send_frame_has_a_fixed_form() {
        let frame = ClientFrame::Send {
            req: 1,
            address: Address([2; 16]),
            id: EnvelopeId([3; 16]),
            body: Bytes::from_static(b"hi"),
        };
        let mut expected = vec![1, 0x04, 0, 0, 0, 1];
        expected.extend([2; 16]);
        expected.extend([3; 16]);
        expected.extend([0, 0, 0, 2, b'h', b'i']);
        assert_eq!(frame.to_message(), expected);
        assert_eq!(ClientFrame::from_message(expected.into()), Ok(frame));
    }

    #[test]
    fn room_frames_have_a_fixed_form() {
        let post = ClientFrame::RoomPost {
            req: 1,
            room: RoomId([2; 16]),
            seq: 3,
            body: Bytes::from_static(b"hi"),
            signature: Signature([4; 64]),
        };
        let mut expected = vec![1, 0x11, 0, 0, 0, 1];
        expected.extend([2; 16]);
        expected.extend([0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2, b'h', b'i']);
        expected.extend([4; 64]);
        assert_eq!(post.to_message(), expected);
        assert_eq!(ClientFrame::from_message(expected.into()), Ok(post));

        let away = ServerFrame::RoomHappened {
            room: RoomId([2; 16]),
            place: 5,
            at: Timestamp(6),
            event: RoomEvent::Away { number: 7 },
        };
        let mut expected = vec![1, 0x91];
        expected.extend([2; 16]);
        expected.extend([0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 7]);
        assert_eq!(away.to_message(), expected);
        assert_eq!(ServerFrame::from_message(expected.into()), Ok(away));
    }

    proptest! {
        #[test]
        fn any_message_decodes_or_fails_cleanly(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let message = Bytes::from([&[VERSION][..], &bytes].concat());
            if let Ok(frame) = ClientFrame::from_message(message.clone()) {
                prop_assert_eq!(frame.to_message(), message.clone());
            }
            if let Ok(frame) = ServerFrame::from_message(message.clone()) {
                prop_assert_eq!(frame.to_message(), message);
            }
        }
    }
}
