//! What an envelope holds under its outer seal.

use bytes::Bytes;
use rly_protocol::{Address, PublicKey, Signature, Writer, choice};

choice! {
    /// What an envelope holds under its outer seal. Unknown tags are shown as "needs a newer version".
    pub(crate) enum Parcel {
        /// The answer to an invite: who answers and how to write to them (a `SignedCard`), the MLS
        /// Welcome, and the first message in the new group.
        1 => Join { card: Bytes, welcome: Bytes, message: Bytes },
        /// A message or commit of the group that belongs to the mailbox.
        2 => Message { message: Bytes },
        /// "I have lost the group's state: make a new one with this KeyPackage." `number` rises, so
        /// an old one cannot be played again.
        3 => Rejoin { number: u64, sim_key: PublicKey, key_package: Bytes, signature: Signature },
        /// The answer to a re-join of this number.
        4 => Welcome { number: u64, welcome: Bytes },
    }
}

/// What the SIM key signs in [`Parcel::Rejoin`]. The address binds it to one mailbox.
pub(crate) fn rejoin_message(number: u64, address: &Address, key_package: &[u8]) -> Vec<u8> {
    let mut to = Writer::default();
    to.raw(b"rly rejoin v1\0");
    to.put(&number);
    to.put(address);
    to.raw(key_package);
    to.finish()
}
