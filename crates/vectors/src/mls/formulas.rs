//! The formulas of RFC 9420, over the provider that OpenMLS gets.

use super::tls::{opaque, vector};
use crate::hpke::SUITE;
use openmls_traits::{
    OpenMlsProvider,
    crypto::OpenMlsCrypto,
    types::{AeadType, HashType, HpkeCiphertext, SignatureScheme},
};
use rly_crypto::vectors::Provider;

pub(super) type Made = Result<Vec<u8>, String>;

const HASH: HashType = HashType::Sha2_256;
/// Length of a hash, a secret and a key of the KDF.
pub(super) const NH: usize = 32;
/// Length of a key of the AEAD.
pub(super) const NK: usize = 16;
/// Length of a nonce.
pub(super) const NN: usize = 12;
/// `MLSMessage.version` and the id of the suite.
pub(super) const MLS10: [u8; 2] = [0, 1];
pub(super) const SUITE_ID: [u8; 2] = [0, 2];

/// The provider, with what RFC 9420 builds on it.
pub(super) struct Mls<'a>(pub(super) &'a Provider);

fn said<T>(result: Result<T, openmls_traits::types::CryptoError>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

fn with_label(label: &[u8], content: &[u8]) -> Vec<u8> {
    [opaque(&[b"MLS 1.0 ", label].concat()), opaque(content)].concat()
}

impl Mls<'_> {
    fn crypto(&self) -> &impl OpenMlsCrypto {
        self.0.crypto()
    }

    pub(super) fn hash(&self, data: &[u8]) -> Made {
        said(self.crypto().hash(HASH, data))
    }

    pub(super) fn mac(&self, key: &[u8], data: &[u8]) -> Made {
        said(self.crypto().hmac(HASH, key, data)).map(|mac| mac.as_slice().to_vec())
    }

    pub(super) fn extract(&self, salt: &[u8], ikm: &[u8]) -> Made {
        said(self.crypto().hkdf_extract(HASH, salt, ikm)).map(|prk| prk.as_slice().to_vec())
    }

    /// Section 5.2.
    pub(super) fn ref_hash(&self, label: &[u8], value: &[u8]) -> Made {
        self.hash(&[opaque(label), opaque(value)].concat())
    }

    /// Section 8.
    pub(super) fn expand(&self, secret: &[u8], label: &[u8], context: &[u8], length: usize) -> Made {
        let mut info = (length as u16).to_be_bytes().to_vec();
        info.extend(with_label(label, context));
        said(self.crypto().hkdf_expand(HASH, secret, &info, length)).map(|okm| okm.as_slice().to_vec())
    }

    /// Section 8.
    pub(super) fn derive(&self, secret: &[u8], label: &[u8]) -> Made {
        self.expand(secret, label, b"", NH)
    }

    /// Section 9.1.
    pub(super) fn derive_tree(&self, secret: &[u8], label: &[u8], generation: u32, length: usize) -> Made {
        self.expand(secret, label, &generation.to_be_bytes(), length)
    }

    /// Section 5.1.2.
    pub(super) fn verifies(&self, key: &[u8], label: &[u8], content: &[u8], signature: &[u8]) -> bool {
        let scheme = SignatureScheme::ECDSA_SECP256R1_SHA256;
        let message = with_label(label, content);
        self.crypto()
            .verify_signature(scheme, &message, key, signature)
            .is_ok()
    }

    /// Section 5.1.2: by the function that our members sign with.
    pub(super) fn sign(&self, secret: &[u8], label: &[u8], content: &[u8]) -> Made {
        let secret = secret.try_into().map_err(|_| "not a secret key")?;
        let signed = rly_crypto::vectors::sign(secret, &with_label(label, content));
        signed.map(|(_, der)| der).ok_or("not a secret key".into())
    }

    /// Section 5.1.3.
    pub(super) fn open(
        &self,
        secret: &[u8],
        label: &[u8],
        context: &[u8],
        output: &[u8],
        text: &[u8],
    ) -> Made {
        let message = HpkeCiphertext {
            kem_output: output.to_vec().into(),
            ciphertext: text.to_vec().into(),
        };
        let info = with_label(label, context);
        said(
            self.crypto()
                .hpke_open(SUITE.hpke_config(), &message, secret, &info, b""),
        )
    }

    /// Section 5.1.3.
    pub(super) fn seal(
        &self,
        key: &[u8],
        label: &[u8],
        context: &[u8],
        plain: &[u8],
    ) -> Result<HpkeCiphertext, String> {
        let info = with_label(label, context);
        said(
            self.crypto()
                .hpke_seal(SUITE.hpke_config(), key, &info, b"", plain),
        )
    }

    /// Secret and public key.
    pub(super) fn key_pair(&self, secret: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
        let pair = said(self.crypto().derive_hpke_keypair(SUITE.hpke_config(), secret))?;
        Ok((pair.private.to_vec(), pair.public))
    }

    pub(super) fn decrypt(&self, key: &[u8], nonce: &[u8], aad: &[u8], ciphertext: &[u8]) -> Made {
        let aead = AeadType::Aes128Gcm;
        said(self.crypto().aead_decrypt(aead, key, ciphertext, nonce, aad))
    }
}

/// Section 8.1, without extensions.
pub(super) fn group_context(id: &[u8], epoch: u64, tree_hash: &[u8], transcript: &[u8]) -> Vec<u8> {
    let mut to = [MLS10, SUITE_ID].concat();
    vector(&mut to, id);
    to.extend(epoch.to_be_bytes());
    vector(&mut to, tree_hash);
    vector(&mut to, transcript);
    vector(&mut to, b"");
    to
}
