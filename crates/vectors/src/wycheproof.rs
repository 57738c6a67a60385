//! Project Wycheproof: the edge cases that implementations got wrong before.

use crate::{
    Report, Set,
    data::{Hex, Verdict, load},
    hpke,
    tally::holds,
};
use openmls_traits::{
    OpenMlsProvider,
    crypto::OpenMlsCrypto,
    types::{AeadType, HashType, SignatureScheme},
};
use rly_crypto::vectors;
use rly_protocol::{Decode, PublicKey, Signature};
use serde::Deserialize;

const ECDSA_DER: &str = include_str!("../data/ecdsa_der.json");
pub(crate) const ECDSA_P1363: &str = include_str!("../data/ecdsa_p1363.json");
pub(crate) const AES_GCM: &str = include_str!("../data/aes_gcm.json");
const HKDF: &str = include_str!("../data/hkdf.json");
const ECDH: &str = include_str!("../data/ecdh.json");

/// A signature to be verified.
#[derive(Deserialize)]
pub(crate) struct Ecdsa {
    pub id: u32,
    pub key: Hex,
    pub msg: Hex,
    pub sig: Hex,
    pub result: Verdict,
}

/// A ciphertext, with its tag.
#[derive(Deserialize)]
pub(crate) struct Gcm {
    pub id: u32,
    pub key: Hex,
    pub iv: Hex,
    pub aad: Hex,
    pub msg: Hex,
    pub ct: Hex,
    pub result: Verdict,
}

/// A derived key.
#[derive(Deserialize)]
pub(crate) struct Hkdf {
    pub id: u32,
    pub ikm: Hex,
    pub salt: Hex,
    pub info: Hex,
    pub size: usize,
    pub okm: Hex,
    pub result: Verdict,
}

/// A shared secret.
#[derive(Deserialize)]
struct Ecdh {
    id: u32,
    public: Hex,
    private: Hex,
    shared: Hex,
    result: Verdict,
}

pub(crate) fn run() -> Vec<Report> {
    vec![
        ecdsa_p1363(),
        ecdsa_p1363_cut(),
        ecdsa_der(),
        ecdsa_der_cut(),
        aes_256_gcm(),
        aes_256_gcm_cut(),
        aes_128_gcm(),
        aes_128_gcm_cut(),
        hkdf(),
        hkdf_of_the_provider(),
        ecdh(),
    ]
}

/// A signature as it is read off the wire: exactly 64 bytes, no more.
pub(crate) fn decode(signature: &[u8]) -> Option<Signature> {
    Signature::from_bytes(signature).ok()
}

fn verifies(vector: &Ecdsa, signature: &[u8]) -> bool {
    let Ok(key) = PublicKey::try_from(&vector.key[..]) else {
        return false;
    };
    decode(signature).is_some_and(|signature| rly_crypto::verify(&key, &vector.msg, &signature).is_ok())
}

fn ecdsa_p1363() -> Report {
    let mut set = Set::new("Wycheproof ECDSA P-256 r||s: rly_crypto::verify", 262);
    for vector in load::<Ecdsa>(ECDSA_P1363) {
        let good = verifies(&vector, &vector.sig) == (vector.result == Verdict::Valid);
        set.check(good, || format!("tcId {}", vector.id));
    }
    set.end()
}

fn ecdsa_p1363_cut() -> Report {
    let mut set = Set::new("cut to 0..n-1, ECDSA P-256 r||s: rly_crypto::verify", 173 * 64);
    for vector in valid(load::<Ecdsa>(ECDSA_P1363)) {
        for n in 0..vector.sig.len() {
            let refused = !verifies(&vector, &vector.sig[..n]);
            set.check(refused, || format!("tcId {} cut to {n}", vector.id));
        }
    }
    set.end()
}

fn valid(vectors: Vec<Ecdsa>) -> impl Iterator<Item = Ecdsa> {
    vectors
        .into_iter()
        .filter(|vector| vector.result == Verdict::Valid)
}

fn verifies_der(crypto: &impl OpenMlsCrypto, vector: &Ecdsa, signature: &[u8]) -> bool {
    let scheme = SignatureScheme::ECDSA_SECP256R1_SHA256;
    crypto
        .verify_signature(scheme, &vector.msg, &vector.key, signature)
        .is_ok()
}

fn ecdsa_der() -> Report {
    let provider = vectors::provider();
    let mut set = Set::new("Wycheproof ECDSA P-256 DER: provider of OpenMLS", 484);
    for vector in load::<Ecdsa>(ECDSA_DER) {
        let good = verifies_der(provider.crypto(), &vector, &vector.sig) == (vector.result == Verdict::Valid);
        set.check(good, || format!("tcId {}", vector.id));
    }
    set.end()
}

fn ecdsa_der_cut() -> Report {
    let provider = vectors::provider();
    let list: Vec<Ecdsa> = valid(load(ECDSA_DER)).collect();
    let expected = list.iter().map(|vector| vector.sig.len()).sum();
    let mut set = Set::new("cut to 0..n-1, ECDSA P-256 DER: provider of OpenMLS", expected);
    for vector in &list {
        for n in 0..vector.sig.len() {
            let refused = !verifies_der(provider.crypto(), vector, &vector.sig[..n]);
            set.check(refused, || format!("tcId {} cut to {n}", vector.id));
        }
    }
    set.end()
}

/// The vectors whose key has so many bytes.
pub(crate) fn gcm_of(key: usize) -> impl Iterator<Item = Gcm> {
    load::<Gcm>(AES_GCM)
        .into_iter()
        .filter(move |vector| vector.key.len() == key)
}

/// For each valid vector the ciphertext with its tag cut to 0 to 15 bytes.
pub(crate) fn gcm_cuts(key: usize) -> impl Iterator<Item = (Gcm, usize)> {
    gcm_of(key)
        .filter(|vector| vector.result == Verdict::Valid)
        .flat_map(|vector| {
            let whole = vector.ct.len();
            let copy = move || Gcm {
                id: vector.id,
                key: vector.key.clone(),
                iv: vector.iv.clone(),
                aad: vector.aad.clone(),
                msg: vector.msg.clone(),
                ct: vector.ct.clone(),
                result: Verdict::Invalid,
            };
            (whole - 16..whole).map(move |n| (copy(), n))
        })
}

fn key_and_nonce(vector: &Gcm) -> Option<(&[u8; 32], &[u8; 12])> {
    Some((vector.key[..].try_into().ok()?, vector.iv[..].try_into().ok()?))
}

fn aes_256_gcm() -> Report {
    let mut set = Set::new("Wycheproof AES-256-GCM: seals of rly_crypto", 66);
    for vector in gcm_of(32) {
        let run = || {
            let (key, nonce) = key_and_nonce(&vector).ok_or("lengths")?;
            let opened = vectors::decrypt(key, nonce, &vector.aad, &vector.ct);
            if vector.result != Verdict::Valid {
                return holds("refused", opened.is_none());
            }
            holds("opened", opened.as_deref() == Some(&vector.msg[..]))?;
            let sealed = vectors::encrypt(key, nonce, &vector.aad, &vector.msg);
            holds("sealed", sealed.as_deref() == Some(&vector.ct[..]))
        };
        set.case(|| format!("tcId {}", vector.id), run);
    }
    set.end()
}

fn aes_256_gcm_cut() -> Report {
    let mut set = Set::new("cut to 0..n-1, tag of AES-256-GCM: seals of rly_crypto", 39 * 16);
    for (vector, n) in gcm_cuts(32) {
        let refused = key_and_nonce(&vector)
            .is_some_and(|(key, nonce)| vectors::decrypt(key, nonce, &vector.aad, &vector.ct[..n]).is_none());
        set.check(refused, || format!("tcId {} cut to {n}", vector.id));
    }
    set.end()
}

fn aes_128_gcm() -> Report {
    let provider = vectors::provider();
    let (crypto, aead) = (provider.crypto(), AeadType::Aes128Gcm);
    let mut set = Set::new("Wycheproof AES-128-GCM: provider of OpenMLS", 67);
    for vector in gcm_of(16) {
        let run = || {
            let opened = crypto.aead_decrypt(aead, &vector.key, &vector.ct, &vector.iv, &vector.aad);
            if vector.result != Verdict::Valid {
                return holds("refused", opened.is_err());
            }
            holds("opened", opened.as_deref() == Ok(&vector.msg[..]))?;
            let sealed = crypto.aead_encrypt(aead, &vector.key, &vector.msg, &vector.iv, &vector.aad);
            holds("sealed", sealed.as_deref() == Ok(&vector.ct[..]))
        };
        set.case(|| format!("tcId {}", vector.id), run);
    }
    set.end()
}

fn aes_128_gcm_cut() -> Report {
    let provider = vectors::provider();
    let mut set = Set::new("cut to 0..n-1, tag of AES-128-GCM: provider of OpenMLS", 40 * 16);
    for (vector, n) in gcm_cuts(16) {
        let opened = provider.crypto().aead_decrypt(
            AeadType::Aes128Gcm,
            &vector.key,
            &vector.ct[..n],
            &vector.iv,
            &vector.aad,
        );
        set.check(opened.is_err(), || format!("tcId {} cut to {n}", vector.id));
    }
    set.end()
}

/// The vectors without salt and with at least the 32 bytes that we derive: HKDF gives the same first
/// bytes whatever the length.
pub(crate) fn hkdf_as_we_use_it() -> impl Iterator<Item = Hkdf> {
    load::<Hkdf>(HKDF)
        .into_iter()
        .filter(|vector| vector.result == Verdict::Valid && vector.salt.is_empty() && vector.okm.len() >= 32)
}

fn hkdf() -> Report {
    let mut set = Set::new("Wycheproof HKDF-SHA-256: keys of rly_crypto", 17);
    for vector in hkdf_as_we_use_it() {
        let derived = vectors::hkdf(&vector.ikm, &vector.info);
        set.check(derived == vector.okm[..32], || format!("tcId {}", vector.id));
    }
    set.end()
}

fn hkdf_of_the_provider() -> Report {
    let provider = vectors::provider();
    let (crypto, hash) = (provider.crypto(), HashType::Sha2_256);
    let mut set = Set::new("Wycheproof HKDF-SHA-256: provider of OpenMLS", 86);
    for vector in load::<Hkdf>(HKDF) {
        let run = || {
            let prk = crypto.hkdf_extract(hash, &vector.salt, &vector.ikm);
            let prk = prk.map_err(|error| error.to_string())?;
            let okm = crypto.hkdf_expand(hash, prk.as_slice(), &vector.info, vector.size);
            match (okm, vector.result) {
                (Ok(okm), Verdict::Valid) => holds("derived", okm.as_slice() == &vector.okm[..]),
                (okm, _) => holds("refused", okm.is_err() && vector.result != Verdict::Valid),
            }
        };
        set.case(|| format!("tcId {}", vector.id), run);
    }
    set.end()
}

/// The provider computes ECDH only inside HPKE, so that is where it is tested: the vector's public
/// key is what a sender sent, and the export has to be the one that the vector's shared secret leads to.
fn ecdh() -> Report {
    let provider = vectors::provider();
    let crypto = provider.crypto();
    let mut set = Set::new("Wycheproof ECDH P-256: HPKE of the provider of OpenMLS", 355);
    for vector in load::<Ecdh>(ECDH) {
        let secret = scalar(&vector.private);
        let export = hpke::receive(crypto, &vector.public, &secret, b"", b"", 32);
        let run = || match vector.result {
            Verdict::Valid => {
                let expected = hpke::export_of(crypto, &vector.shared, &vector.public, &secret)?;
                holds("exported", export.as_deref() == Some(&expected[..]))
            }
            Verdict::Invalid | Verdict::Acceptable => holds("refused", export.is_none()),
        };
        set.case(|| format!("tcId {}", vector.id), run);
    }
    set.end()
}

/// Wycheproof writes numbers, with a zero in front or without it.
fn scalar(number: &[u8]) -> [u8; 32] {
    let mut scalar = [0; 32];
    for (to, from) in scalar.iter_mut().rev().zip(number.iter().rev()) {
        *to = *from;
    }
    scalar
}
