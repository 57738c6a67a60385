//! For `crates/vectors` only: the functions that the rest of this crate computes with, so that
//! published test vectors run through these very ones.

pub use crate::mls::Provider;
use crate::{derive, ecdsa, sealed};
use p256::ecdsa::SigningKey;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use rly_protocol::{PublicKey, Signature};

/// What OpenMLS works with in a conversation: without rows, with randomness.
pub fn provider() -> Provider {
    Provider::with_randomness(&mut ChaCha20Rng::from_seed([7; 32]))
}

/// What keys are derived with.
pub fn hkdf(secret: &[u8], info: &[u8]) -> [u8; 32] {
    *derive::hkdf(secret, &[info])
}

/// The secret and the public key that DeriveKeyPair makes.
pub fn key_pair(ikm: &[u8]) -> ([u8; 32], PublicKey) {
    let key = derive::key_pair(ikm);
    (key.to_bytes().into(), ecdsa::public_key(&key))
}

/// AES-256-GCM, as in every seal.
pub fn encrypt(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    sealed::encrypt(key, nonce, aad, plain)
}

/// The opposite of [`encrypt`].
pub fn decrypt(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], ciphertext: &[u8]) -> Option<Vec<u8>> {
    sealed::decrypt(key, nonce, aad, ciphertext).map(|plain| plain.to_vec())
}

/// Both forms of a signature by a secret key; `None` if it is none.
pub fn sign(secret: &[u8; 32], message: &[u8]) -> Option<(Signature, Vec<u8>)> {
    let key = SigningKey::from_slice(secret).ok()?;
    Some((ecdsa::sign(&key, message), ecdsa::sign_der(&key, message)))
}

/// The public key of a secret one; `None` if it is none.
pub fn public_key(secret: &[u8; 32]) -> Option<PublicKey> {
    SigningKey::from_slice(secret)
        .ok()
        .map(|key| ecdsa::public_key(&key))
}

/// The other signature that verifies where this one does: n - s for s.
pub fn twin(signature: &Signature) -> Option<Signature> {
    let (r, s) = p256::ecdsa::Signature::from_slice(&signature.0)
        .ok()?
        .split_scalars();
    let twin = p256::ecdsa::Signature::from_scalars(r, -s).ok()?;
    Some(Signature(twin.to_bytes().into()))
}
