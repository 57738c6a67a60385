//! The outer seal: hides MLS messages, whose headers show group and epoch, from the server.

use crate::{OpenError, TooLarge, sealed};
use core::fmt;
use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

const AAD: &[u8] = b"rly outer v1\0";

/// Seals every envelope to one mailbox. Travels only end to end.
#[derive(Clone)]
pub struct OuterKey(Box<Zeroizing<[u8; 32]>>);

impl OuterKey {
    /// A new one.
    pub fn generate(rng: &mut dyn CryptoRngCore) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut key[..]);
        Self(Box::new(key))
    }

    /// One that came in a card or from the store.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Box::new(Zeroizing::new(bytes)))
    }

    /// The bytes, to go into a card or the store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Seals an envelope: exactly one of the sizes of an envelope.
    ///
    /// # Errors
    /// [`TooLarge`] when it does not fit into the largest.
    pub fn seal(&self, plain: &[u8], rng: &mut dyn CryptoRngCore) -> Result<Vec<u8>, TooLarge> {
        sealed::seal(&self.0, AAD, plain, rng)
    }

    /// Opens an envelope.
    ///
    /// # Errors
    /// [`OpenError`] when it was not sealed with this key.
    pub fn open(&self, envelope: &[u8]) -> Result<Vec<u8>, OpenError> {
        sealed::open(&self.0, AAD, envelope)
    }
}

impl fmt::Debug for OuterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("OuterKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{refuses_all_damage, rng};
    use proptest::prelude::*;
    use rly_protocol::limits::ENVELOPE_SIZES;

    #[test]
    fn an_envelope_opens_as_sealed() {
        let mut rng = rng(1);
        let key = OuterKey::generate(&mut rng);
        let sealed = key.seal(b"message", &mut rng).unwrap();
        assert_eq!(
            OuterKey::from_bytes(*key.as_bytes()).open(&sealed).unwrap(),
            b"message"
        );
        assert_eq!(OuterKey::generate(&mut rng).open(&sealed), Err(OpenError));
        refuses_all_damage(&sealed, |bytes| key.open(bytes).is_ok());
        assert_eq!(format!("{key:?}"), "OuterKey(..)");
    }

    #[test]
    fn the_seals_of_two_purposes_do_not_mix() {
        let mut rng = rng(1);
        let key = OuterKey::generate(&mut rng);
        let other = sealed::seal(key.as_bytes(), b"", b"message", &mut rng).unwrap();
        assert_eq!(key.open(&other), Err(OpenError));
    }

    proptest! {
        #[test]
        fn every_size_is_allowed(n in 0usize..=65_503) {
            let key = OuterKey::from_bytes([1; 32]);
            let plain = vec![9; n];
            let sealed = key.seal(&plain, &mut rng(2)).unwrap();
            prop_assert!(ENVELOPE_SIZES.contains(&sealed.len()));
            prop_assert_eq!(key.open(&sealed).unwrap(), plain);
        }

        #[test]
        fn anything_opens_or_fails_cleanly(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(OuterKey::from_bytes([1; 32]).open(&bytes), Err(OpenError));
        }
    }
}
