//! The ceilings: what a websocket relay of the same make could reach if it did nothing but relay. No
//! accounts, proofs, quotas, order of retries or answers for each message; the same HTTP and websocket
//! libraries, and either no storage or SQLite with `synchronous=FULL`.
//!
//! A frame is an operation, a number and, for some, a body. The number is a user, or [`EVERYBODY`], for
//! [`SEND`] to the relay, and a message's for one from it.

mod relay;
mod store;

pub(crate) use relay::serve;

/// A message to a user; from the relay: a message.
pub(crate) const SEND: u8 = 1;
/// "Tell me when all before this is done"; from the relay: it is.
pub(crate) const BARRIER: u8 = 2;
/// The message with this number has arrived.
pub(crate) const ACK: u8 = 3;
/// Instead of a user: everybody who is connected.
pub(crate) const EVERYBODY: u32 = 0;
/// Bytes before the body.
pub(crate) const HEAD: usize = 5;

/// Operation and number of a frame.
pub(crate) fn head(frame: &[u8]) -> Option<(u8, u32)> {
    let (op, rest) = frame.split_first()?;
    let (number, _) = rest.split_first_chunk()?;
    Some((*op, u32::from_be_bytes(*number)))
}
