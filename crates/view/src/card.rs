//! The card: who invites, and how to write to them. Formats only; sealing and signatures are done
//! by WebCrypto on the page and by `rly-crypto` elsewhere, with the labels and layouts given here.
//!
//! Sealed = version byte 1, nonce (12), AES-256-GCM ciphertext and tag (16) of the padded bytes,
//! no additional data. The key is HKDF-SHA-256 (RFC 5869) of the link's secret with empty salt and
//! [`CARD_KEY_INFO`].

use bytes::Bytes;
use rly_protocol::{Address, DecodeError, PublicKey, Reader, Signature, Writer, record};

/// HKDF info for the key that seals a card.
pub const CARD_KEY_INFO: &[u8] = b"rly card v1";
/// What sealing adds: version, nonce, tag.
pub const SEAL_OVERHEAD: usize = 1 + 12 + 16;
/// The version byte of sealed bytes.
pub const SEAL_VERSION: u8 = 1;

record! {
    /// Who invites, and how to write to them. Signed by the SIM key.
    #[derive(Clone, PartialEq, Eq)]
    pub struct Card = 1 {
        /// The server that holds the mailbox: scheme, host, port.
        pub origin: String,
        /// The mailbox. What the server says must be the same.
        pub address: Address,
        /// Seals all that is written to the mailbox.
        pub outer_key: [u8; 32],
        /// A fresh MLS KeyPackage; empty in the card of who replies, whose Welcome says it all.
        pub key_package: Bytes,
        /// Who this is.
        pub sim_key: PublicKey,
        /// What they call themselves.
        pub name: String,
        /// The first message.
        pub letter: Option<String>,
    }
}

record! {
    /// A card and the SIM key's signature over [`signed_message`] of it.
    #[derive(Clone, PartialEq, Eq)]
    pub struct SignedCard {
        /// The card's bytes, exactly as signed.
        pub card: Bytes,
        /// ECDSA P-256 with SHA-256, by the card's `sim_key`.
        pub signature: Signature,
    }
}

impl SignedCard {
    /// The card inside. The signature is the caller's to check.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode_card(&self) -> Result<Card, DecodeError> {
        let mut from = Reader::new(self.card.clone());
        let card = from.take()?;
        from.end()?;
        Ok(card)
    }
}

/// What the SIM key signs.
pub fn signed_message(card: &[u8]) -> Vec<u8> {
    let mut to = Writer::with_capacity(card.len() + 16);
    to.raw(b"rly card v1\0");
    to.raw(card);
    to.finish()
}

/// Splits sealed bytes into nonce and ciphertext; `None` if the form is wrong.
pub fn split_sealed(sealed: &[u8]) -> Option<(&[u8; 12], &[u8])> {
    let (version, rest) = sealed.split_first()?;
    let (nonce, ciphertext) = rest.split_first_chunk::<12>()?;
    (*version == SEAL_VERSION && ciphertext.len() >= 16).then_some((nonce, ciphertext))
}

/// The opposite of [`split_sealed`].
pub fn join_sealed(nonce: &[u8; 12], ciphertext: &[u8]) -> Vec<u8> {
    let mut to = Writer::with_capacity(13 + ciphertext.len());
    to.put(&SEAL_VERSION);
    to.put(nonce);
    to.raw(ciphertext);
    to.finish()
}
