//! Keys, signatures and random bytes of the users.

use crate::Failure;
use p256::ecdsa::{Signature as Ecdsa, SigningKey, signature::Signer};
use rand_core::{OsRng, RngCore};
use rly_protocol::{PublicKey, Signature};

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

pub(crate) fn public(key: &SigningKey) -> Result<PublicKey, Failure> {
    let point = key.verifying_key().to_encoded_point(false);
    Ok(PublicKey::try_from(point.as_bytes())?)
}

pub(crate) fn sign(key: &SigningKey, message: &[u8]) -> Signature {
    let signature: Ecdsa = key.sign(message);
    Signature(signature.to_bytes().into())
}
