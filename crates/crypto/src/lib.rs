//! The cryptography of Rly Chat: SIM, sealed boxes, MLS conversations, SIM file. Pure and
//! synchronous, the same natively and in the browser. All randomness comes from the caller.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod card;
mod derive;
mod ecdsa;
#[cfg(any(test, rly_fuzz))]
pub mod fuzz;
mod mls;
mod outer;
mod room;
mod safety;
mod sealed;
mod sim;
mod sim_file;
mod vault_key;
#[cfg(feature = "vectors")]
pub mod vectors;

#[cfg(test)]
mod testing;

pub use card::{CardError, open_card, seal_card, sign_card, verify_card};
pub use ecdsa::{BadSignature, verify};
pub use mls::{Conversation, KeyPackageSecrets, MlsError, Received, group_of_message, make_key_package};
pub use outer::OuterKey;
pub use rly_protocol::padding::TooLarge;
pub use room::{BadName, ContactKey, ContactSeal, RoomKeys, RoomName, RoomSigner, seal_contact};
pub use safety::safety_code;
pub use sealed::OpenError;
pub use sim::{ReaderKey, Sim, vault_id};
pub use sim_file::{FileKey, SimFile, SimFileError};
pub use vault_key::VaultKey;
