//! Signing and sealing cards. The formats are in [`rly_view::card`]; the page does the same by
//! WebCrypto.

use crate::{OpenError, Sim, TooLarge, derive, sealed, verify};
use rand_core::CryptoRngCore;
use rly_protocol::{Decode, DecodeError, Encode};
use rly_view::card::{CARD_KEY_INFO, Card, SignedCard, signed_message};
use thiserror::Error;
use zeroize::Zeroizing;

/// Why a card cannot be trusted or read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CardError {
    /// Not sealed with this link's secret, or damaged.
    #[error("the card cannot be opened with this link")]
    Sealed,
    /// Made by a newer version of the program.
    #[error("the card was made by a newer version")]
    Newer,
    /// The bytes inside are not a card.
    #[error("the card is not well-formed")]
    Malformed,
    /// Not signed by the SIM that it names.
    #[error("the card is not signed by its SIM")]
    Signature,
}

impl From<DecodeError> for CardError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Version(_) => Self::Newer,
            _ => Self::Malformed,
        }
    }
}

/// Signs a card. Its `sim_key` has to be that of `sim`, or nobody will accept it.
pub fn sign_card(sim: &Sim, card: &Card) -> SignedCard {
    let card = card.to_bytes();
    SignedCard {
        signature: sim.sign(&signed_message(&card)),
        card: card.into(),
    }
}

/// The card inside, if the SIM that it names signed it.
///
/// # Errors
/// [`CardError`], never [`CardError::Sealed`].
pub fn verify_card(signed: &SignedCard) -> Result<Card, CardError> {
    let card = signed.decode_card()?;
    verify(&card.sim_key, &signed_message(&signed.card), &signed.signature)
        .map_err(|_| CardError::Signature)?;
    Ok(card)
}

fn card_key(secret: &[u8; 16]) -> Zeroizing<[u8; 32]> {
    derive::hkdf(secret, &[CARD_KEY_INFO])
}

/// Seals a card with the secret of its link.
///
/// # Errors
/// [`TooLarge`] when the letter is too long.
pub fn seal_card(
    secret: &[u8; 16],
    signed: &SignedCard,
    rng: &mut dyn CryptoRngCore,
) -> Result<Vec<u8>, TooLarge> {
    sealed::seal(&card_key(secret), b"", &Zeroizing::new(signed.to_bytes()), rng)
}

/// Opens a sealed card. The signature is not checked here: see [`verify_card`].
///
/// # Errors
/// [`CardError::Sealed`] or [`CardError::Malformed`].
pub fn open_card(secret: &[u8; 16], sealed: &[u8]) -> Result<SignedCard, CardError> {
    let plain = sealed::open(&card_key(secret), b"", sealed).map_err(|OpenError| CardError::Sealed)?;
    Ok(SignedCard::from_bytes(&Zeroizing::new(plain))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{refuses_all_damage, rng};
    use bytes::Bytes;
    use proptest::prelude::*;
    use rly_protocol::{Address, Signature};

    fn card(sim: &Sim) -> Card {
        Card {
            origin: "https://rly.example".into(),
            address: Address([1; 16]),
            outer_key: [2; 32],
            key_package: Bytes::from_static(b"key package"),
            sim_key: sim.public_key(),
            name: "Ada".into(),
            letter: Some("Hello".into()),
        }
    }

    #[test]
    fn a_card_comes_back_with_its_link_only() {
        let mut rng = rng(1);
        let sim = Sim::generate(&mut rng);
        let signed = sign_card(&sim, &card(&sim));
        let sealed = seal_card(&[3; 16], &signed, &mut rng).unwrap();
        assert_eq!(sealed.len(), 1024);
        let opened = open_card(&[3; 16], &sealed).unwrap();
        assert!(verify_card(&opened).unwrap() == card(&sim));
        assert_eq!(open_card(&[4; 16], &sealed).err(), Some(CardError::Sealed));
        refuses_all_damage(&sealed, |bytes| open_card(&[3; 16], bytes).is_ok());
    }

    #[test]
    fn only_the_named_sim_can_have_signed() {
        let mut rng = rng(1);
        let (sim, other) = (Sim::generate(&mut rng), Sim::generate(&mut rng));
        let forged = sign_card(&other, &card(&sim));
        assert_eq!(verify_card(&forged).err(), Some(CardError::Signature));
        let signed = sign_card(&sim, &card(&sim));
        refuses_all_damage(&signed.card, |bytes| {
            let signed = SignedCard {
                card: Bytes::copy_from_slice(bytes),
                signature: signed.signature,
            };
            verify_card(&signed).is_ok()
        });
    }

    #[test]
    fn a_cut_signature_is_refused_under_any_seal() {
        let mut rng = rng(1);
        let sim = Sim::generate(&mut rng);
        // The signature comes last.
        let signed = sign_card(&sim, &card(&sim)).to_bytes();
        for n in 0..signed.len() {
            let sealed = sealed::seal(&card_key(&[3; 16]), b"", &signed[..n], &mut rng).unwrap();
            let opened = open_card(&[3; 16], &sealed);
            assert_eq!(opened.err(), Some(CardError::Malformed), "cut to {n}");
        }
    }

    #[test]
    fn a_newer_card_is_named_as_such() {
        let sim = Sim::from_seed(&[1; 32]);
        let mut bytes = card(&sim).to_bytes();
        bytes[0] = 2;
        let signed = SignedCard {
            card: bytes.into(),
            signature: Signature([1; 64]),
        };
        assert_eq!(verify_card(&signed).err(), Some(CardError::Newer));
    }

    proptest! {
        #[test]
        fn any_card_fails_cleanly(bytes in prop::collection::vec(any::<u8>(), 0..300), secret: [u8; 16]) {
            prop_assert!(open_card(&secret, &bytes).is_err());
            let signed = SignedCard { card: bytes.into(), signature: Signature([1; 64]) };
            prop_assert!(verify_card(&signed).is_err());
        }
    }
}
