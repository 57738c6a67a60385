//! The key that seals what a SIM keeps in its vault.

use crate::{OpenError, TooLarge, sealed};
use core::fmt;
use rand_core::CryptoRngCore;
use rly_protocol::limits::ENVELOPE_SIZES;
use rly_view::card::SEAL_OVERHEAD;
use zeroize::Zeroizing;

/// Seals the slots of a vault. Derived from the SIM.
#[derive(Clone)]
pub struct VaultKey(Box<Zeroizing<[u8; 32]>>);

// The slot is authenticated, so that the server cannot exchange the contents of two.
fn aad(slot: u32) -> Vec<u8> {
    [b"rly vault slot v1\0", &slot.to_be_bytes()[..]].concat()
}

impl VaultKey {
    pub(crate) fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self(Box::new(key))
    }

    #[cfg(test)]
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Seals what goes into a slot, padded to one of the sizes of an envelope.
    ///
    /// # Errors
    /// [`TooLarge`] when it does not fit into the largest envelope.
    pub fn seal(&self, slot: u32, plain: &[u8], rng: &mut dyn CryptoRngCore) -> Result<Vec<u8>, TooLarge> {
        sealed::seal(&self.0, &aad(slot), plain, rng)
    }

    /// How many bytes something of this length takes in a slot; `None` if none holds it.
    pub fn sealed_len(plain: usize) -> Option<usize> {
        let needed = plain.checked_add(4 + SEAL_OVERHEAD)?;
        ENVELOPE_SIZES.into_iter().find(|size| *size >= needed)
    }

    /// Opens what was in a slot.
    ///
    /// # Errors
    /// [`OpenError`] when it was not sealed with this key for this slot.
    pub fn open(&self, slot: u32, blob: &[u8]) -> Result<Vec<u8>, OpenError> {
        sealed::open(&self.0, &aad(slot), blob)
    }
}

impl fmt::Debug for VaultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("VaultKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Sim,
        testing::{refuses_all_damage, rng},
    };

    #[test]
    fn a_slot_opens_as_sealed_and_in_its_place_only() {
        let mut rng = rng(1);
        let key = Sim::generate(&mut rng).vault_key();
        let sealed = key.seal(3, b"contact", &mut rng).unwrap();
        assert_eq!(sealed.len(), 256);
        assert_eq!(key.open(3, &sealed).unwrap(), b"contact");
        assert_eq!(key.open(4, &sealed), Err(OpenError));
        assert_eq!(
            Sim::generate(&mut rng).vault_key().open(3, &sealed),
            Err(OpenError)
        );
        refuses_all_damage(&sealed, |bytes| key.open(3, bytes).is_ok());
        assert_ne!(key.seal(3, b"contact", &mut rng).unwrap(), sealed);
        assert_eq!(key.seal(3, &[0; 65_536], &mut rng), Err(TooLarge));
        for plain in [0, 1, 223, 224, 10_000, 65_503, 65_504] {
            let sealed = key.seal(3, &vec![0; plain], &mut rng);
            assert_eq!(
                VaultKey::sealed_len(plain),
                sealed.ok().map(|blob| blob.len()),
                "{plain}"
            );
        }
    }
}
