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

#[cfg(test)]
mod tests {
    use super::*;
    use rly_crypto::{Sim, verify};
    use rly_protocol::{Decode, Encode};

    /// The signature of a re-join comes last in its parcel.
    #[test]
    fn a_cut_rejoin_is_none() {
        let (sim, address) = (Sim::from_seed(&[1; 32]), Address([2; 16]));
        let key_package = b"key package";
        let message = rejoin_message(7, &address, key_package);
        let signature = sim.sign(&message);
        let parcel = Parcel::Rejoin {
            number: 7,
            sim_key: sim.public_key(),
            key_package: Bytes::from_static(key_package),
            signature,
        };
        let bytes = parcel.to_bytes();
        assert!(Parcel::from_bytes(&bytes).is_ok());
        for n in 0..bytes.len() {
            assert!(Parcel::from_bytes(&bytes[..n]).is_err(), "cut to {n}");
        }
        for n in 0..64 {
            let mut cut = signature;
            cut.0[n..].fill(0);
            assert!(
                verify(&sim.public_key(), &message, &cut).is_err(),
                "zeros from {n}"
            );
        }
        for other in [
            rejoin_message(8, &address, key_package),
            rejoin_message(7, &Address([3; 16]), key_package),
            rejoin_message(7, &address, b"key packagf"),
        ] {
            assert!(verify(&sim.public_key(), &other, &signature).is_err());
        }
    }
}
