//! The primitives that OpenMLS works with: RustCrypto's, and HPKE of the crate `hpke`, which computes
//! with the same ones. Only our one suite, and only what has the one form that RFC 9420 gives it:
//! nothing of other suites is in the program. All randomness is the caller's.

use super::{SUITE, provider::Rand};
use crate::ecdsa;
use aes_gcm::{
    Aes128Gcm, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable,
    aead::AesGcm128,
    kdf::HkdfSha256,
    kem::DhP256HkdfSha256,
    rand_core::{Infallible, TryCryptoRng, TryRng},
};
use openmls::prelude::tls_codec::SecretVLBytes as Bytes;
use openmls_traits::{
    crypto::OpenMlsCrypto,
    types::{
        AeadType, Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeAeadType, HpkeCiphertext,
        HpkeConfig, HpkeKdfType, HpkeKemType, HpkeKeyPair, KemOutput, SignatureScheme,
    },
};
use p256::ecdsa::{DerSignature, SigningKey, VerifyingKey, signature::Verifier};
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;
use rly_protocol::PublicKey;
use sha2::{Digest, Sha256};
use std::sync::Arc;

// RFC 9420, section 5.1: of suite 2.
const AEAD: AeadType = AeadType::Aes128Gcm;
const HASH: HashType = HashType::Sha2_256;
const SIGNATURE: SignatureScheme = SignatureScheme::ECDSA_SECP256R1_SHA256;
const NONCE: usize = 12;

/// See the module.
pub struct Crypto {
    rand: Arc<Rand>,
    /// Lets a test send what an honest member never would: MACs of so many bytes.
    #[cfg(test)]
    pub(super) cut_macs_to: std::sync::Mutex<Option<usize>>,
}

impl Crypto {
    pub(super) fn new(rand: Arc<Rand>) -> Self {
        Self {
            rand,
            #[cfg(test)]
            cut_macs_to: std::sync::Mutex::new(None),
        }
    }

    /// To one message or one exported secret.
    fn hpke_sender(&self, receiver: &[u8], info: &[u8]) -> Result<(Vec<u8>, Sender), CryptoError> {
        let receiver = <DhP256HkdfSha256 as Kem>::PublicKey::from_bytes(receiver)
            .map_err(|_| CryptoError::InvalidPublicKey)?;
        let (kem_output, sender) = self
            .rand
            .with(|rng| {
                hpke::setup_sender_with_rng::<_, _, DhP256HkdfSha256>(
                    &OpModeS::Base,
                    &receiver,
                    info,
                    &mut Newer(rng),
                )
            })
            .map_err(|_| CryptoError::InsufficientRandomness)?
            .map_err(|_| CryptoError::SenderSetupError)?;
        Ok((kem_output.to_bytes().to_vec(), sender))
    }
}

/// The same randomness for those who know the next generation of its traits.
struct Newer<'a>(&'a mut ChaCha20Rng);

impl TryRng for Newer<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Newer<'_> {}

// RFC 9180, sections 4 to 5, of suite 2. Points have the one form of its section 7.1.1.
type Sender = hpke::aead::AeadCtxS<AesGcm128, HkdfSha256, DhP256HkdfSha256>;
type Receiver = hpke::aead::AeadCtxR<AesGcm128, HkdfSha256, DhP256HkdfSha256>;

fn hpke_receiver(kem_output: &[u8], secret_key: &[u8], info: &[u8]) -> Result<Receiver, CryptoError> {
    let kem_output = <DhP256HkdfSha256 as Kem>::EncappedKey::from_bytes(kem_output)
        .map_err(|_| CryptoError::InvalidPublicKey)?;
    let secret_key = <DhP256HkdfSha256 as Kem>::PrivateKey::from_bytes(secret_key)
        .map_err(|_| CryptoError::InvalidLength)?;
    hpke::setup_receiver(&OpModeR::Base, &secret_key, &kem_output, info)
        .map_err(|_| CryptoError::ReceiverSetupError)
}

/// Uncompressed: RFC 8446, section 4.2.8.2, to which RFC 9420 refers for signatures.
fn verifying_key(bytes: &[u8]) -> Result<VerifyingKey, CryptoError> {
    let bytes = PublicKey::try_from(bytes).map_err(|_| CryptoError::InvalidPublicKey)?;
    VerifyingKey::from_sec1_bytes(bytes.as_bytes()).map_err(|_| CryptoError::InvalidPublicKey)
}

fn is_hash(hash: HashType) -> Result<(), CryptoError> {
    match hash {
        HASH => Ok(()),
        _ => Err(CryptoError::UnsupportedHashAlgorithm),
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

fn cipher(aead: AeadType, key: &[u8], nonce: &[u8]) -> Result<(Aes128Gcm, [u8; NONCE]), CryptoError> {
    if aead != AEAD {
        return Err(CryptoError::UnsupportedAeadAlgorithm);
    }
    let cipher = Aes128Gcm::new_from_slice(key).map_err(|_| CryptoError::InvalidLength)?;
    Ok((cipher, nonce.try_into().map_err(|_| CryptoError::InvalidLength)?))
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
        Ok(Hkdf::<Sha256>::extract(Some(salt), ikm).0[..].into())
    }

    fn hmac(&self, hash: HashType, key: &[u8], message: &[u8]) -> Result<Bytes, CryptoError> {
        // RFC 5869, section 2.2: HKDF-Extract is HMAC with the salt as key.
        let mac = self.hkdf_extract(hash, key, message)?;
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
        let hkdf = Hkdf::<Sha256>::from_prk(prk).map_err(|_| CryptoError::InvalidLength)?;
        let mut out = vec![0; length];
        hkdf.expand(info, &mut out)
            .map_err(|_| CryptoError::HkdfOutputLengthInvalid)?;
        Ok(out.into())
    }

    fn hash(&self, hash: HashType, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        is_hash(hash)?;
        Ok(Sha256::digest(data).to_vec())
    }

    fn aead_encrypt(
        &self,
        aead: AeadType,
        key: &[u8],
        data: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let (cipher, nonce) = cipher(aead, key, nonce)?;
        cipher
            .encrypt(&Nonce::from(nonce), Payload { msg: data, aad })
            .map_err(|_| CryptoError::TooMuchData)
    }

    fn aead_decrypt(
        &self,
        aead: AeadType,
        key: &[u8],
        ciphertext: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let (cipher, nonce) = cipher(aead, key, nonce)?;
        cipher
            .decrypt(&Nonce::from(nonce), Payload { msg: ciphertext, aad })
            .map_err(|_| CryptoError::AeadDecryptionError)
    }

    /// Signature keys are made by [`super::signer::MlsSigner`], which OpenMLS does not ask for this.
    fn signature_key_gen(&self, _: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        Err(CryptoError::UnsupportedSignatureScheme)
    }

    fn verify_signature(
        &self,
        scheme: SignatureScheme,
        data: &[u8],
        key: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        is_signature(scheme)?;
        let signature = DerSignature::from_bytes(signature).map_err(|_| CryptoError::InvalidSignature)?;
        verifying_key(key)?
            .verify(data, &signature)
            .map_err(|_| CryptoError::InvalidSignature)
    }

    fn sign(&self, scheme: SignatureScheme, data: &[u8], key: &[u8]) -> Result<Vec<u8>, CryptoError> {
        is_signature(scheme)?;
        // A slice would be taken when it is shorter, too.
        let key = <&[u8; 32]>::try_from(key).map_err(|_| CryptoError::InvalidLength)?;
        let key = SigningKey::from_bytes(key.into()).map_err(|_| CryptoError::SigningError)?;
        Ok(ecdsa::sign_der(&key, data))
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
        let (kem_output, mut sender) = self.hpke_sender(receiver, info)?;
        let ciphertext = sender
            .seal(plain, aad)
            .map_err(|_| CryptoError::HpkeEncryptionError)?;
        Ok(HpkeCiphertext {
            kem_output: kem_output.into(),
            ciphertext: ciphertext.into(),
        })
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
        hpke_receiver(input.kem_output.as_slice(), secret_key, info)?
            .open(input.ciphertext.as_slice(), aad)
            .map_err(|_| CryptoError::HpkeDecryptionError)
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
        let (kem_output, sender) = self.hpke_sender(receiver, info)?;
        let mut secret = vec![0; length];
        sender
            .export(context, &mut secret)
            .map_err(|_| CryptoError::ExporterError)?;
        Ok((kem_output, secret.into()))
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
        let receiver = hpke_receiver(kem_output, secret_key, info)?;
        let mut secret = vec![0; length];
        receiver
            .export(context, &mut secret)
            .map_err(|_| CryptoError::ExporterError)?;
        Ok(secret.into())
    }

    fn derive_hpke_keypair(&self, config: HpkeConfig, ikm: &[u8]) -> Result<HpkeKeyPair, CryptoError> {
        is_hpke(&config)?;
        let (private, public) = DhP256HkdfSha256::derive_keypair(ikm);
        Ok(HpkeKeyPair {
            private: private.to_bytes().to_vec().into(),
            public: public.to_bytes().to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rng;

    fn hpke() -> HpkeConfig {
        SUITE.hpke_config()
    }

    fn crypto() -> Crypto {
        let rand = Arc::new(Rand::default());
        rand.set(Some(&mut rng(1)));
        Crypto::new(rand)
    }

    #[test]
    fn only_our_suite_is_known() {
        let crypto = crypto();
        assert_eq!(crypto.supported_ciphersuites(), [SUITE]);
        assert_eq!(crypto.supports(SUITE), Ok(()));
        let other = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;
        assert!(crypto.supports(other).is_err());
        assert!(crypto.hash(HashType::Sha2_512, b"").is_err());
        assert!(crypto.hmac(HashType::Sha2_512, b"", b"").is_err());
        assert!(crypto.hkdf_extract(HashType::Sha2_384, b"", b"").is_err());
        assert!(crypto.hkdf_expand(HashType::Sha2_384, &[0; 48], b"", 1).is_err());
        assert!(crypto.derive_hpke_keypair(other.hpke_config(), &[1; 32]).is_err());
        assert!(crypto.derive_hpke_keypair(SUITE.hpke_config(), &[1; 32]).is_ok());
    }

    #[test]
    fn a_wrong_length_is_an_error() {
        let crypto = crypto();
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
        let crypto = crypto();
        let key = SigningKey::from_bytes(&[7; 32].into()).unwrap();
        let secret = key.to_bytes();
        let public = ecdsa::public_key(&key);
        let compressed = key.verifying_key().to_sec1_point(true);
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
