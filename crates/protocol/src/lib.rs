//! What a client and a server of Rly Chat say to each other: ids, wire types, limits, codec.
//!
//! This crate has no I/O, no clock and no randomness, and compiles the same for the server, the
//! browser and the terminal. The bytes are described in `docs/protocol.md`.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[macro_use]
mod codec;

pub mod api;
mod b64;
mod error;
pub mod frame;
#[cfg(any(test, rly_fuzz))]
pub mod fuzz;
mod id;
mod key;
pub mod limits;
pub mod padding;
pub mod room;
mod time;

pub use b64::{Base64Error, from_base64url, to_base64url};
pub use codec::{Decode, DecodeError, Encode, Reader, Writer};
pub use error::ErrorCode;
pub use id::{Address, DeviceId, EnvelopeId, Incarnation, InviteId, QueueId, RoomId};
pub use key::{KeyError, PublicKey, Signature};
pub use time::{TimeError, Timestamp};
