//! Rooms: what their frames carry, and the messages that people in them sign.
//!
//! The server orders and keeps ciphertext. It knows a person as a number, a public key and a keyed
//! hash of a name; each client recomputes and verifies all of it.

use crate::{Encode, PublicKey, RoomId, Signature, Writer};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

record! {
    /// Bounds of a room, chosen by who makes it and shown to all. Which values are allowed is in
    /// [`limits`](crate::limits).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct RoomLimits {
        /// It ends this many seconds after the last message or first joining.
        pub idle_seconds: u32,
        /// It ends at the latest this many seconds after it was made.
        pub life_seconds: u32,
        /// People that belong to it at most.
        pub people: u16,
        /// Messages that late joiners get at most.
        pub history: u16,
    }
}

record! {
    /// Somebody who belongs to a room.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct RoomPerson {
        /// Given by the server in the order of joining, from 1 on; never given twice in a room.
        pub number: u32,
        /// What this person's messages are signed with.
        pub key: PublicKey,
        /// Keyed hash of the name: equal for equal names, and known by every client.
        pub name_hash: [u8; 32],
        /// 1 for the first with that name, 2 for the second. Not a part of the name.
        pub name_number: u16,
        /// The name, sealed for this key.
        pub name: Bytes,
        /// A connection of this person's reads the room.
        pub here: bool,
    }
}

choice! {
    /// What happened in a room. Every event has a place in the one order of the room.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum RoomEvent {
        /// Somebody said something. `seq` rises with each message of that person's.
        1 => Message { from: u32, seq: u64, body: Bytes, signature: Signature },
        /// Somebody belongs to the room from here on.
        2 => Joined { person: RoomPerson },
        /// Somebody who belongs to it reads it again.
        3 => Back { number: u32 },
        /// Somebody who belongs to it does not read it now.
        4 => Away { number: u32 },
        /// Somebody does not belong to it any more, and nothing that they said is there any more.
        5 => Deleted { number: u32 },
    }
}

/// Why a room is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RoomEnd {
    /// Nobody said anything for its idle time.
    Idle = 1,
    /// Its time was over.
    Life = 2,
    /// Who made it has ended it.
    Creator = 3,
}

impl crate::Encode for RoomEnd {
    fn encode(&self, to: &mut Writer) {
        to.put(&(*self as u8));
    }
}

impl crate::Decode for RoomEnd {
    fn decode(from: &mut crate::Reader) -> Result<Self, crate::DecodeError> {
        match from.take::<u8>()? {
            1 => Ok(Self::Idle),
            2 => Ok(Self::Life),
            3 => Ok(Self::Creator),
            _ => Err(crate::DecodeError::Invalid),
        }
    }
}

/// What somebody signs to join, or to come back: purpose, server nonce, room, name hash, SHA-256 of
/// the sealed name, origin. It binds the key to one server, connection, room and name.
pub fn join_message(
    origin: &str,
    nonce: &[u8; 32],
    room: &RoomId,
    name_hash: &[u8; 32],
    sealed_name_hash: &[u8; 32],
) -> Vec<u8> {
    let mut to = Writer::default();
    to.raw(b"rly room join v1\0");
    to.raw(nonce);
    to.put(room);
    to.raw(name_hash);
    to.raw(sealed_name_hash);
    to.raw(origin.as_bytes());
    to.finish()
}

/// What is signed with each message: purpose, room, the sender's sequence, SHA-256 of the sealed body.
pub fn post_message(room: &RoomId, seq: u64, body_hash: &[u8; 32]) -> Vec<u8> {
    let mut to = Writer::default();
    to.raw(b"rly room message v1\0");
    to.put(room);
    to.put(&seq);
    to.raw(body_hash);
    to.finish()
}

/// What a sealed body is bound to, beside its key: purpose, room, who wrote it, their sequence.
pub fn body_data(room: &RoomId, writer: &PublicKey, seq: u64) -> Vec<u8> {
    [
        &b"rly room body v1\0"[..],
        &room.0,
        &writer.to_bytes(),
        &seq.to_be_bytes(),
    ]
    .concat()
}

/// What a sealed name is bound to, beside its key: purpose, room, whose it is. Without the room's key
/// nobody can give a name to another public key, the server neither.
pub fn name_data(room: &RoomId, owner: &PublicKey) -> Vec<u8> {
    [&b"rly room name v1\0"[..], &room.0, &owner.to_bytes()].concat()
}
