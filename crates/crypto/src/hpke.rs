//! HPKE (RFC 9180) in base mode for the one suite of our groups: DHKEM(P-256, HKDF-SHA256),
//! HKDF-SHA256, AES-128-GCM. Every context is used for one message or one exported secret, so there
//! is no sequence number.

use crate::labeled::{self, Prk};
use aes_gcm::{
    Aes128Gcm, KeyInit,
    aead::{Aead, Payload},
};
use p256::{PublicKey, SecretKey, ecdh::diffie_hellman, elliptic_curve::sec1::ToEncodedPoint};
use rand_core::CryptoRngCore;
use thiserror::Error;
use zeroize::Zeroizing;

/// Section 4.1: `"KEM" || kem_id`.
pub(crate) const KEM: &[u8] = b"KEM\x00\x10";
/// Section 5.1: `"HPKE" || kem_id || kdf_id || aead_id`.
const HPKE: &[u8] = b"HPKE\x00\x10\x00\x01\x00\x01";
/// The mode's number, first in the key schedule's context.
const BASE: &[u8] = &[0];

/// A key is no key of P-256 in the form of section 7.1.1, the message was not sealed to this key, or
/// more is to be exported than HKDF gives.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("HPKE refuses")]
pub(crate) struct HpkeError;

/// Seals to a public key: the encapsulated key and the ciphertext.
pub(crate) fn seal(
    receiver: &[u8],
    info: &[u8],
    aad: &[u8],
    plain: &[u8],
    rng: &mut dyn CryptoRngCore,
) -> Result<(Vec<u8>, Vec<u8>), HpkeError> {
    let (enc, context) = Context::sender(receiver, info, rng)?;
    let payload = Payload { msg: plain, aad };
    let (cipher, nonce) = context.cipher();
    let sealed = cipher.encrypt(&nonce.into(), payload).map_err(|_| HpkeError)?;
    Ok((enc, sealed))
}

/// The opposite of [`seal`].
pub(crate) fn open(
    enc: &[u8],
    secret_key: &[u8],
    info: &[u8],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, HpkeError> {
    let (cipher, nonce) = Context::receiver(enc, secret_key, info)?.cipher();
    let payload = Payload { msg: sealed, aad };
    cipher.decrypt(&nonce.into(), payload).map_err(|_| HpkeError)
}

/// A secret for whoever has the secret key, and the encapsulated key by which they get it.
pub(crate) fn export_to(
    receiver: &[u8],
    info: &[u8],
    exporter_context: &[u8],
    length: usize,
    rng: &mut dyn CryptoRngCore,
) -> Result<(Vec<u8>, Vec<u8>), HpkeError> {
    let (enc, context) = Context::sender(receiver, info, rng)?;
    Ok((enc, context.export(exporter_context, length)?))
}

/// The secret of [`export_to`].
pub(crate) fn export_from(
    enc: &[u8],
    secret_key: &[u8],
    info: &[u8],
    exporter_context: &[u8],
    length: usize,
) -> Result<Vec<u8>, HpkeError> {
    Context::receiver(enc, secret_key, info)?.export(exporter_context, length)
}

/// Section 5.1: what both sides derive everything from.
struct Context {
    secret: Prk,
    /// `key_schedule_context`.
    context: Vec<u8>,
}

impl Context {
    /// SetupBaseS.
    fn sender(
        receiver: &[u8],
        info: &[u8],
        mut rng: &mut dyn CryptoRngCore,
    ) -> Result<(Vec<u8>, Self), HpkeError> {
        Self::sender_with(&SecretKey::random(&mut rng), receiver, info)
    }

    fn sender_with(
        ephemeral: &SecretKey,
        receiver: &[u8],
        info: &[u8],
    ) -> Result<(Vec<u8>, Self), HpkeError> {
        let enc = serialized(ephemeral);
        let context = Self::new(ephemeral, &public_key(receiver)?, &enc, receiver, info);
        Ok((enc, context))
    }

    /// SetupBaseR.
    fn receiver(enc: &[u8], secret_key: &[u8], info: &[u8]) -> Result<Self, HpkeError> {
        // A slice would be taken when it is shorter, too.
        let key = <&[u8; 32]>::try_from(secret_key).map_err(|_| HpkeError)?;
        let key = SecretKey::from_bytes(key.into()).map_err(|_| HpkeError)?;
        Ok(Self::new(&key, &public_key(enc)?, enc, &serialized(&key), info))
    }

    /// ExtractAndExpand of section 4.1, then KeySchedule of section 5.1.
    fn new(ours: &SecretKey, theirs: &PublicKey, enc: &[u8], receiver: &[u8], info: &[u8]) -> Self {
        let dh = diffie_hellman(ours.to_nonzero_scalar(), theirs.as_affine());
        let shared = labeled::extract(KEM, b"", b"eae_prk", dh.raw_secret_bytes());
        let shared: Zeroizing<[u8; 32]> = shared.block(KEM, b"shared_secret", &[enc, receiver]);
        let psk_id_hash = labeled::extract(HPKE, b"", b"psk_id_hash", b"");
        let info_hash = labeled::extract(HPKE, b"", b"info_hash", info);
        Self {
            secret: labeled::extract(HPKE, &shared[..], b"secret", b""),
            context: [BASE, psk_id_hash.as_bytes(), info_hash.as_bytes()].concat(),
        }
    }

    fn cipher(&self) -> (Aes128Gcm, [u8; 12]) {
        let key: Zeroizing<[u8; 16]> = self.secret.block(HPKE, b"key", &[&self.context]);
        let nonce: Zeroizing<[u8; 12]> = self.secret.block(HPKE, b"base_nonce", &[&self.context]);
        (Aes128Gcm::new((&*key).into()), *nonce)
    }

    fn export(&self, exporter_context: &[u8], length: usize) -> Result<Vec<u8>, HpkeError> {
        Prk::new(self.secret.block(HPKE, b"exp", &[&self.context]))
            .expand(HPKE, b"sec", &[exporter_context], length)
            .ok_or(HpkeError)
    }
}

/// Section 7.1.1: uncompressed only.
fn public_key(bytes: &[u8]) -> Result<PublicKey, HpkeError> {
    let bytes = rly_protocol::PublicKey::try_from(bytes).map_err(|_| HpkeError)?;
    PublicKey::from_sec1_bytes(bytes.as_bytes()).map_err(|_| HpkeError)
}

fn serialized(key: &SecretKey) -> Vec<u8> {
    key.public_key().to_encoded_point(false).as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        derive,
        testing::{hex, rng, unhex},
    };

    /// RFC 9180, appendix A.3.1: the first encryption and the exported secrets.
    #[test]
    fn the_vectors_of_rfc_9180_come_out() {
        let receiver = derive::key_pair(&unhex(
            "668b37171f1072f3cf12ea8a236a45df23fc13b82af3609ad1e354f6ef817550",
        ));
        let ephemeral = derive::key_pair(&unhex(
            "4270e54ffd08d79d5928020af4686d8f6b7d35dbe470265f1f5aa22816ce860e",
        ));
        let receiver_public = crate::ecdsa::public_key(&receiver);
        let info = unhex("4f6465206f6e2061204772656369616e2055726e");
        let plain = unhex("4265617574792069732074727574682c20747275746820626561757479");
        let aad = b"Count-0";
        let ephemeral = SecretKey::from_slice(&ephemeral.to_bytes()).unwrap();
        let (enc, context) = Context::sender_with(&ephemeral, receiver_public.as_bytes(), &info).unwrap();
        let (cipher, nonce) = context.cipher();
        let sealed = cipher
            .encrypt(&nonce.into(), Payload { msg: &plain, aad })
            .unwrap();
        assert_eq!(
            hex(&sealed),
            "5ad590bb8baa577f8619db35a36311226a896e7342a6d836d8b7bcd2f20b6c7f9076ac232e3ab2523f39513434"
        );
        let secret = receiver.to_bytes();
        assert_eq!(open(&enc, &secret, &info, aad, &sealed), Ok(plain));
        for (exporter_context, exported) in [
            (
                &b""[..],
                "5e9bc3d236e1911d95e65b576a8a86d478fb827e8bdfe77b741b289890490d4d",
            ),
            (
                &[0],
                "6cff87658931bda83dc857e6353efe4987a201b849658d9b047aab4cf216e796",
            ),
            (
                b"TestContext",
                "d8f1ea7942adbba7412c6d431c62d01371ea476b823eb697e1f6e6cae1dab85a",
            ),
        ] {
            assert_eq!(hex(&context.export(exporter_context, 32).unwrap()), exported);
            let received = export_from(&enc, &secret, &info, exporter_context, 32).unwrap();
            assert_eq!(hex(&received), exported);
        }
    }

    #[test]
    fn only_the_right_key_info_and_aad_open() {
        let (ours, other) = (derive::key_pair(&[1; 32]), derive::key_pair(&[2; 32]));
        let public = crate::ecdsa::public_key(&ours);
        let (enc, sealed) = seal(public.as_bytes(), b"info", b"aad", b"plain", &mut rng(1)).unwrap();
        let secret = ours.to_bytes();
        assert_eq!(
            open(&enc, &secret, b"info", b"aad", &sealed),
            Ok(b"plain".to_vec())
        );
        for (key, info, aad) in [
            (other.to_bytes(), &b"info"[..], &b"aad"[..]),
            (secret, b"inf", b"aad"),
            (secret, b"info", b"aa"),
        ] {
            assert_eq!(open(&enc, &key, info, aad, &sealed), Err(HpkeError));
        }
        crate::testing::refuses_all_damage(&sealed, |sealed| {
            open(&enc, &secret, b"info", b"aad", sealed).is_ok()
        });
        crate::testing::refuses_all_damage(&enc, |enc| open(enc, &secret, b"info", b"aad", &sealed).is_ok());
        assert_eq!(open(&enc, &[0; 32], b"info", b"aad", &sealed), Err(HpkeError));
        for length in [0, 31, 33] {
            assert_eq!(
                open(&enc, &vec![1; length], b"info", b"aad", &sealed),
                Err(HpkeError)
            );
        }
        // HKDF gives 255 blocks.
        assert!(export_to(public.as_bytes(), b"", b"", 255 * 32, &mut rng(2)).is_ok());
        assert!(export_to(public.as_bytes(), b"", b"", 255 * 32 + 1, &mut rng(2)).is_err());
    }
}
