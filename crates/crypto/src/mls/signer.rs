//! The signature key of one member of one conversation, fresh for each: what two conversations
//! sign has nothing in common.

use crate::ecdsa;
use openmls_traits::{
    signatures::{Signer, SignerError},
    types::SignatureScheme,
};
use p256::ecdsa::SigningKey;
use rand_core::CryptoRngCore;
use rly_protocol::PublicKey;
use zeroize::Zeroizing;

pub(super) struct MlsSigner(Box<SigningKey>);

impl MlsSigner {
    pub(super) fn generate(rng: &mut dyn CryptoRngCore) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        loop {
            rng.fill_bytes(&mut bytes[..]);
            // All but one of 2^32 are.
            if let Some(signer) = Self::from_bytes(&bytes) {
                return signer;
            }
        }
    }

    /// `None` for what is no secret key of P-256.
    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        SigningKey::from_slice(bytes).ok().map(|key| Self(Box::new(key)))
    }

    pub(super) fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes().into())
    }

    pub(super) fn public_key(&self) -> PublicKey {
        ecdsa::public_key(&self.0)
    }
}

impl Signer for MlsSigner {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(ecdsa::sign_der(&self.0, payload))
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_SECP256R1_SHA256
    }
}
