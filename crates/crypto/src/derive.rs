//! Keys from secrets: HKDF-SHA-256 (RFC 5869) and DeriveKeyPair of RFC 9180, section 7.1.3.

use hkdf::Hkdf;
use hpke::{Kem, Serializable, kem::DhP256HkdfSha256};
use p256::ecdsa::SigningKey;
use sha2::Sha256;
use zeroize::Zeroizing;

/// 32 bytes from a secret, for the purpose that `info` names: HKDF with empty salt.
// 32 bytes are one block; HKDF refuses only more than 255.
#[allow(clippy::expect_used)]
pub(crate) fn hkdf(secret: &[u8], info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, secret)
        .expand_multi_info(info, &mut out[..])
        .expect("one block of output");
    out
}

/// DeriveKeyPair for DHKEM(P-256, HKDF-SHA256). `ikm` has at least 32 bytes of entropy.
// Both take the same values: from 1 to the group's order.
#[allow(clippy::expect_used)]
pub(crate) fn key_pair(ikm: &[u8]) -> SigningKey {
    let (private, _) = DhP256HkdfSha256::derive_keypair(ikm);
    let mut bytes = Zeroizing::new([0; 32]);
    private.write_exact(&mut bytes[..]);
    SigningKey::from_slice(&bytes[..]).expect("a private key")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ecdsa::public_key, testing::unhex};

    /// RFC 9180, appendix A.3.1: ikmE, skEm, pkEm and ikmR, skRm, pkRm.
    #[test]
    fn key_pairs_are_those_of_rfc_9180() {
        for (ikm, secret, public) in [
            (
                "4270e54ffd08d79d5928020af4686d8f6b7d35dbe470265f1f5aa22816ce860e",
                "4995788ef4b9d6132b249ce59a77281493eb39af373d236a1fe415cb0c2d7beb",
                "04a92719c6195d5085104f469a8b9814d5838ff72b60501e2c4466e5e67b325ac98536d7b61a1af4b78e5b7f951c0900be863c403ce65c9bfcb9382657222d18c4",
            ),
            (
                "668b37171f1072f3cf12ea8a236a45df23fc13b82af3609ad1e354f6ef817550",
                "f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2",
                "04fe8c19ce0905191ebc298a9245792531f26f0cece2460639e8bc39cb7f706a826a779b4cf969b8a0e539c7f62fb3d30ad6aa8f80e30f1d128aafd68a2ce72ea0",
            ),
        ] {
            let key = key_pair(&unhex(ikm));
            assert_eq!(&key.to_bytes()[..], unhex(secret));
            assert_eq!(&public_key(&key).as_bytes()[..], unhex(public));
        }
    }
}
