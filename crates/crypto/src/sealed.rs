//! Sealed bytes, as in [`rly_view::card`]: version, nonce, AES-256-GCM of the padded bytes. The
//! nonce is random: one key seals far fewer than 2^32 times.

use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, Payload},
};
use rand_core::CryptoRngCore;
use rly_protocol::padding::{TooLarge, pad, unpad};
use rly_view::card::{SEAL_OVERHEAD, join_sealed, split_sealed};
use thiserror::Error;
use zeroize::Zeroizing;

/// The bytes were not sealed with this key for this purpose, or are damaged.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the data cannot be opened with this key")]
pub struct OpenError;

pub(crate) fn seal(
    key: &[u8; 32],
    aad: &[u8],
    plain: &[u8],
    rng: &mut dyn CryptoRngCore,
) -> Result<Vec<u8>, TooLarge> {
    let padded = Zeroizing::new(pad(plain, SEAL_OVERHEAD)?);
    let mut nonce = [0; 12];
    rng.fill_bytes(&mut nonce);
    let ciphertext = encrypt(key, &nonce, aad, &padded).ok_or(TooLarge)?;
    Ok(join_sealed(&nonce, &ciphertext))
}

pub(crate) fn open(key: &[u8; 32], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    let (nonce, ciphertext) = split_sealed(sealed).ok_or(OpenError)?;
    let padded = decrypt(key, nonce, aad, ciphertext).ok_or(OpenError)?;
    unpad(&padded).map(<[u8]>::to_vec).ok_or(OpenError)
}

/// AES-256-GCM: ciphertext and tag. `None` from 64 GiB up.
pub(crate) fn encrypt(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    let payload = Payload { msg: plain, aad };
    Aes256Gcm::new(key.into()).encrypt(nonce.into(), payload).ok()
}

/// The opposite of [`encrypt`]. `None` unless every bit is as it was.
pub(crate) fn decrypt(
    key: &[u8; 32],
    nonce: &[u8; 12],
    aad: &[u8],
    ciphertext: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let payload = Payload { msg: ciphertext, aad };
    let plain = Aes256Gcm::new(key.into()).decrypt(nonce.into(), payload).ok()?;
    Some(Zeroizing::new(plain))
}
