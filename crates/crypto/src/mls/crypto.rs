//! The primitives that OpenMLS works with: RustCrypto's, for our one suite, and only on what has the
//! one form that RFC 9420 gives it. RustCrypto alone would take a point in compressed form too, so
//! that a key had two names, and would panic where a length is wrong.

use super::SUITE;
use openmls::prelude::tls_codec::SecretVLBytes as Bytes;
use openmls_rust_crypto::RustCrypto;
use openmls_traits::{
    crypto::OpenMlsCrypto,
    types::{
        AeadType, Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeAeadType, HpkeCiphertext,
        HpkeConfig, HpkeKdfType, HpkeKemType, HpkeKeyPair, KemOutput, SignatureScheme,
    },
};
use rly_protocol::PublicKey;

// RFC 9420, section 5.1: of suite 2. Said again as constants at each call below, so that the code for
// other suites is not even in the program.
const AEAD: AeadType = AeadType::Aes128Gcm;
const HASH: HashType = HashType::Sha2_256;
const SIGNATURE: SignatureScheme = SignatureScheme::ECDSA_SECP256R1_SHA256;
const NONCE: usize = 12;
const SECRET_KEY: usize = 32;

fn hpke() -> HpkeConfig {
    HpkeConfig(
        HpkeKemType::DhKemP256,
        HpkeKdfType::HkdfSha256,
        HpkeAeadType::AesGcm128,
    )
}

/// See the module.
pub struct Crypto {
    rust_crypto: RustCrypto,
    /// Lets a test send what an honest member never would: MACs of so many bytes.
    #[cfg(test)]
    pub(super) cut_macs_to: std::sync::Mutex<Option<usize>>,
}

impl Crypto {
    pub(super) fn new() -> Self {
        Self {
            rust_crypto: RustCrypto::default(),
            #[cfg(test)]
            cut_macs_to: std::sync::Mutex::new(None),
        }
    }
}

/// Uncompressed: RFC 9180, section 7.1.1, for HPKE; RFC 8446, section 4.2.8.2, for signatures. Whether
/// it is on the curve is seen by who computes with it.
fn is_point(bytes: &[u8]) -> Result<(), CryptoError> {
    match PublicKey::try_from(bytes) {
        Ok(_) => Ok(()),
        Err(_) => Err(CryptoError::InvalidPublicKey),
    }
}

fn has_length(bytes: &[u8], length: usize) -> Result<(), CryptoError> {
    if bytes.len() == length {
        Ok(())
    } else {
        Err(CryptoError::InvalidLength)
    }
}

fn is_hash(hash: HashType) -> Result<(), CryptoError> {
    match hash {
        HASH => Ok(()),
        _ => Err(CryptoError::UnsupportedHashAlgorithm),
    }
}

fn is_aead(aead: AeadType, nonce: &[u8]) -> Result<(), CryptoError> {
    match aead {
        AEAD => has_length(nonce, NONCE),
        _ => Err(CryptoError::UnsupportedAeadAlgorithm),
    }
}

fn is_signature(scheme: SignatureScheme) -> Result<(), CryptoError> {
    match scheme {
        SIGNATURE => Ok(()),
        _ => Err(CryptoError::UnsupportedSignatureScheme),
    }
}

fn is_hpke(config: &HpkeConfig) -> Result<(), CryptoError> {
    match config {
        HpkeConfig(HpkeKemType::DhKemP256, HpkeKdfType::HkdfSha256, HpkeAeadType::AesGcm128) => Ok(()),
        _ => Err(CryptoError::UnsupportedCiphersuite),
    }
}

impl OpenMlsCrypto for Crypto {
    fn supports(&self, suite: Ciphersuite) -> Result<(), CryptoError> {
        match suite {
            SUITE => Ok(()),
            _ => Err(CryptoError::UnsupportedCiphersuite),
        }
    }

    fn supported_ciphersuites(&self) -> Vec<Ciphersuite> {
        vec![SUITE]
    }

    fn hkdf_extract(&self, hash: HashType, salt: &[u8], ikm: &[u8]) -> Result<Bytes, CryptoError> {
        is_hash(hash)?;
        self.rust_crypto.hkdf_extract(HASH, salt, ikm)
    }

    fn hmac(&self, hash: HashType, key: &[u8], message: &[u8]) -> Result<Bytes, CryptoError> {
        is_hash(hash)?;
        let mac = self.rust_crypto.hmac(HASH, key, message)?;
        #[cfg(test)]
        if let Some(n) = *self.cut_macs_to.lock().unwrap() {
            return Ok(mac.as_slice()[..n].into());
        }
        Ok(mac)
    }

    fn hkdf_expand(
        &self,
        hash: HashType,
        prk: &[u8],
        info: &[u8],
        length: usize,
    ) -> Result<Bytes, CryptoError> {
        is_hash(hash)?;
        self.rust_crypto.hkdf_expand(HASH, prk, info, length)
    }

    fn hash(&self, hash: HashType, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        is_hash(hash)?;
        self.rust_crypto.hash(HASH, data)
    }

    fn aead_encrypt(
        &self,
        aead: AeadType,
        key: &[u8],
        data: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        is_aead(aead, nonce)?;
        self.rust_crypto.aead_encrypt(AEAD, key, data, nonce, aad)
    }

    fn aead_decrypt(
        &self,
        aead: AeadType,
        key: &[u8],
        ciphertext: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        is_aead(aead, nonce)?;
        self.rust_crypto.aead_decrypt(AEAD, key, ciphertext, nonce, aad)
    }

    fn signature_key_gen(&self, scheme: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        is_signature(scheme)?;
        self.rust_crypto.signature_key_gen(SIGNATURE)
    }

    fn verify_signature(
        &self,
        scheme: SignatureScheme,
        data: &[u8],
        key: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        is_signature(scheme)?;
        is_point(key)?;
        self.rust_crypto.verify_signature(SIGNATURE, data, key, signature)
    }

    fn sign(&self, scheme: SignatureScheme, data: &[u8], key: &[u8]) -> Result<Vec<u8>, CryptoError> {
        is_signature(scheme)?;
        has_length(key, SECRET_KEY)?;
        self.rust_crypto.sign(SIGNATURE, data, key)
    }

    fn hpke_seal(
        &self,
        config: HpkeConfig,
        receiver: &[u8],
        info: &[u8],
        aad: &[u8],
        plain: &[u8],
    ) -> Result<HpkeCiphertext, CryptoError> {
        is_hpke(&config)?;
        is_point(receiver)?;
        self.rust_crypto.hpke_seal(hpke(), receiver, info, aad, plain)
    }

    fn hpke_open(
        &self,
        config: HpkeConfig,
        input: &HpkeCiphertext,
        secret_key: &[u8],
        info: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        is_hpke(&config)?;
        is_point(input.kem_output.as_slice())?;
        self.rust_crypto.hpke_open(hpke(), input, secret_key, info, aad)
    }

    fn hpke_setup_sender_and_export(
        &self,
        config: HpkeConfig,
        receiver: &[u8],
        info: &[u8],
        context: &[u8],
        length: usize,
    ) -> Result<(KemOutput, ExporterSecret), CryptoError> {
        is_hpke(&config)?;
        is_point(receiver)?;
        self.rust_crypto
            .hpke_setup_sender_and_export(hpke(), receiver, info, context, length)
    }

    fn hpke_setup_receiver_and_export(
        &self,
        config: HpkeConfig,
        kem_output: &[u8],
        secret_key: &[u8],
        info: &[u8],
        context: &[u8],
        length: usize,
    ) -> Result<ExporterSecret, CryptoError> {
        is_hpke(&config)?;
        is_point(kem_output)?;
        self.rust_crypto
            .hpke_setup_receiver_and_export(hpke(), kem_output, secret_key, info, context, length)
    }

    fn derive_hpke_keypair(&self, config: HpkeConfig, ikm: &[u8]) -> Result<HpkeKeyPair, CryptoError> {
        is_hpke(&config)?;
        self.rust_crypto.derive_hpke_keypair(hpke(), ikm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ecdsa, testing::rng};
    use p256::ecdsa::SigningKey;

    #[test]
    fn only_our_suite_is_known() {
        let crypto = Crypto::new();
        assert_eq!(crypto.supported_ciphersuites(), [SUITE]);
        assert_eq!(crypto.supports(SUITE), Ok(()));
        let other = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;
        assert!(crypto.supports(other).is_err());
        assert!(crypto.signature_key_gen(SignatureScheme::ED25519).is_err());
        assert!(crypto.hash(HashType::Sha2_512, b"").is_err());
        assert!(crypto.hmac(HashType::Sha2_512, b"", b"").is_err());
        assert!(crypto.hkdf_extract(HashType::Sha2_384, b"", b"").is_err());
        assert!(crypto.hkdf_expand(HashType::Sha2_384, &[0; 48], b"", 1).is_err());
        assert!(crypto.derive_hpke_keypair(other.hpke_config(), &[1; 32]).is_err());
        assert!(crypto.derive_hpke_keypair(SUITE.hpke_config(), &[1; 32]).is_ok());
    }

    #[test]
    fn a_wrong_length_is_an_error() {
        let crypto = Crypto::new();
        for length in [0, 11, 13, 16] {
            let nonce = vec![0; length];
            assert!(crypto.aead_encrypt(AEAD, &[0; 16], b"", &nonce, b"").is_err());
            assert!(
                crypto
                    .aead_decrypt(AEAD, &[0; 16], &[0; 16], &nonce, b"")
                    .is_err()
            );
        }
        for length in [0, 15, 17, 32] {
            let key = vec![0; length];
            assert!(crypto.aead_encrypt(AEAD, &key, b"", &[0; 12], b"").is_err());
            assert!(crypto.aead_decrypt(AEAD, &key, &[0; 16], &[0; 12], b"").is_err());
        }
        for length in [0, 31, 33] {
            assert!(crypto.sign(SIGNATURE, b"", &vec![1; length]).is_err());
        }
        assert!(crypto.sign(SIGNATURE, b"", &[1; 32]).is_ok());
    }

    #[test]
    fn a_key_has_one_form() {
        let crypto = Crypto::new();
        let key = SigningKey::random(&mut rng(1));
        let secret = key.to_bytes();
        let public = ecdsa::public_key(&key);
        let compressed = key.verifying_key().to_encoded_point(true);
        let (good, bad) = (public.as_bytes(), compressed.as_bytes());

        let signature = ecdsa::sign_der(&key, b"m");
        let verify = |key: &[u8]| crypto.verify_signature(SIGNATURE, b"m", key, &signature);
        assert_eq!(verify(good), Ok(()));
        assert_eq!(verify(bad), Err(CryptoError::InvalidPublicKey));

        let sealed = crypto.hpke_seal(hpke(), good, b"", b"", b"m").unwrap();
        assert!(crypto.hpke_seal(hpke(), bad, b"", b"", b"m").is_err());
        assert_eq!(
            crypto.hpke_open(hpke(), &sealed, &secret, b"", b"").unwrap(),
            b"m"
        );
        let compressed_output = HpkeCiphertext {
            kem_output: bad.into(),
            ..sealed
        };
        assert!(
            crypto
                .hpke_open(hpke(), &compressed_output, &secret, b"", b"")
                .is_err()
        );
        assert!(
            crypto
                .hpke_setup_sender_and_export(hpke(), bad, b"", b"", 1)
                .is_err()
        );
        let receive =
            |output: &[u8]| crypto.hpke_setup_receiver_and_export(hpke(), output, &secret, b"", b"", 1);
        assert!(receive(good).is_ok());
        assert!(receive(bad).is_err());
    }
}
