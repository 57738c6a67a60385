//! ECDSA P-256 with SHA-256 (FIPS 186-5), signatures deterministic (RFC 6979). The only place
//! where signatures change their form: r||s as in WebCrypto and JWS, DER as in MLS.

use p256::ecdsa::{
    DerSignature, Signature as EcdsaSignature, SigningKey, VerifyingKey,
    signature::{Signer, Verifier},
};
use rly_protocol::{PublicKey, Signature};
use thiserror::Error;

/// The signature was not made by that key over that message, or the key is not on the curve.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the signature is wrong")]
pub struct BadSignature;

/// Checks a signature.
///
/// # Errors
/// [`BadSignature`].
pub fn verify(key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
    let key = VerifyingKey::from_sec1_bytes(key.as_bytes()).map_err(|_| BadSignature)?;
    let signature = EcdsaSignature::from_slice(&signature.0).map_err(|_| BadSignature)?;
    key.verify(message, &signature).map_err(|_| BadSignature)
}

pub(crate) fn sign(key: &SigningKey, message: &[u8]) -> Signature {
    let signature: EcdsaSignature = key.sign(message);
    Signature(signature.to_bytes().into())
}

pub(crate) fn sign_der(key: &SigningKey, message: &[u8]) -> Vec<u8> {
    let signature: DerSignature = key.sign(message);
    signature.as_bytes().to_vec()
}

// An uncompressed point begins with 4 and is 65 bytes long, which is all that `PublicKey` asks;
// only the point at infinity has another form, and no secret key leads there.
#[allow(clippy::expect_used)]
pub(crate) fn public_key(key: &SigningKey) -> PublicKey {
    let point = key.verifying_key().to_sec1_point(false);
    PublicKey::try_from(point.as_bytes()).expect("an uncompressed point")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_signature_is_good() {
        let key = SigningKey::from_bytes(&[1; 32].into()).unwrap();
        let (public, signature) = (public_key(&key), sign(&key, b"message"));
        assert_eq!(verify(&public, b"message", &signature), Ok(()));
        assert_eq!(verify(&public, b"messagf", &signature), Err(BadSignature));
        let other = public_key(&SigningKey::from_bytes(&[2; 32].into()).unwrap());
        assert_eq!(verify(&other, b"message", &signature), Err(BadSignature));
        for i in 0..64 {
            let mut bad = signature;
            bad.0[i] ^= 1;
            assert_eq!(verify(&public, b"message", &bad), Err(BadSignature));
        }
        assert_eq!(
            verify(&public, b"message", &Signature([0; 64])),
            Err(BadSignature)
        );
        let mut off_curve = *public.as_bytes();
        off_curve[64] ^= 1;
        let off_curve = PublicKey::try_from(&off_curve[..]).unwrap();
        assert_eq!(verify(&off_curve, b"message", &signature), Err(BadSignature));
    }

    #[test]
    fn both_forms_are_the_same_signature() {
        let key = SigningKey::from_bytes(&[3; 32].into()).unwrap();
        let der = EcdsaSignature::from_der(&sign_der(&key, b"message")).unwrap();
        assert_eq!(&der.to_bytes()[..], &sign(&key, b"message").0);
    }
}
