//! RFC 9180, for DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-128-GCM. MLS uses the base mode only, and
//! only its first message. The other modes and messages run through the provider's KDF and AEAD, with
//! the key schedule written out here.

use crate::{
    Report, Set,
    data::{Hex, load},
    tally::holds,
};
use openmls::prelude::Ciphersuite;
use openmls_traits::{
    OpenMlsProvider,
    crypto::OpenMlsCrypto,
    types::{AeadType, HashType, HpkeCiphertext},
};
use rly_crypto::vectors;
use serde::Deserialize;

pub(crate) const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMP256_AES128GCM_SHA256_P256;
const HPKE: &str = include_str!("../data/hpke.json");
const DERIVE_KEY_PAIR: &str = include_str!("../data/derive_key_pair.json");

#[derive(Deserialize)]
#[allow(non_snake_case, reason = "the names of the vectors")]
struct Vector {
    mode: u8,
    info: Hex,
    pkRm: Hex,
    skRm: Hex,
    enc: Hex,
    #[serde(default)]
    psk: Hex,
    #[serde(default)]
    psk_id: Hex,
    shared_secret: Hex,
    key: Hex,
    base_nonce: Hex,
    exporter_secret: Hex,
    encryptions: Vec<Encryption>,
    exports: Vec<Exported>,
}

#[derive(Deserialize)]
struct Encryption {
    seq: u64,
    aad: Hex,
    ct: Hex,
    nonce: Hex,
    pt: Hex,
}

#[derive(Deserialize)]
#[allow(non_snake_case, reason = "the names of the vectors")]
struct Exported {
    exporter_context: Hex,
    L: usize,
    exported_value: Hex,
}

#[derive(Deserialize)]
struct KeyPair {
    ikm: Hex,
    sk: Hex,
    pk: Hex,
}

pub(crate) fn run() -> Vec<Report> {
    vec![
        key_pairs(),
        key_pairs_of_the_provider(),
        base(),
        schedule(),
        forms_of_points(),
    ]
}

fn key_pairs() -> Report {
    let mut set = Set::new("RFC 9180 DeriveKeyPair: keys of rly_crypto", 80);
    for (n, vector) in load::<KeyPair>(DERIVE_KEY_PAIR).iter().enumerate() {
        let (secret, public) = vectors::key_pair(&vector.ikm);
        let same = secret == vector.sk[..] && public.as_bytes()[..] == vector.pk[..];
        set.check(same, || format!("pair {n}"));
    }
    set.end()
}

fn key_pairs_of_the_provider() -> Report {
    let provider = vectors::provider();
    let mut set = Set::new("RFC 9180 DeriveKeyPair: provider of OpenMLS", 80);
    for (n, vector) in load::<KeyPair>(DERIVE_KEY_PAIR).iter().enumerate() {
        let pair = provider
            .crypto()
            .derive_hpke_keypair(SUITE.hpke_config(), &vector.ikm);
        let same = pair.is_ok_and(|pair| pair.private[..] == vector.sk[..] && pair.public == vector.pk[..]);
        set.check(same, || format!("pair {n}"));
    }
    set.end()
}

/// What a receiver exports; `None` if what was sent is refused.
pub(crate) fn receive(
    crypto: &impl OpenMlsCrypto,
    enc: &[u8],
    secret_key: &[u8],
    info: &[u8],
    context: &[u8],
    length: usize,
) -> Option<Vec<u8>> {
    let config = SUITE.hpke_config();
    let export = crypto.hpke_setup_receiver_and_export(config, enc, secret_key, info, context, length);
    export.ok().map(|export| export.to_vec())
}

fn base() -> Report {
    let provider = vectors::provider();
    let crypto = provider.crypto();
    // The first message, all its cuts, a round trip, three exports.
    let mut set = Set::new("RFC 9180 base mode: provider of OpenMLS", 1 + 45 + 1 + 3);
    for vector in load::<Vector>(HPKE).iter().filter(|vector| vector.mode == 0) {
        let open = |message: &HpkeCiphertext, aad: &[u8]| {
            crypto.hpke_open(SUITE.hpke_config(), message, &vector.skRm, &vector.info, aad)
        };
        let cut = |first: &Encryption, n: usize| HpkeCiphertext {
            kem_output: vector.enc.0.clone().into(),
            ciphertext: first.ct[..n].to_vec().into(),
        };
        for first in vector.encryptions.iter().filter(|message| message.seq == 0) {
            let opened = open(&cut(first, first.ct.len()), &first.aad);
            set.check(opened.as_deref() == Ok(&first.pt[..]), || {
                "the first message".into()
            });
            for n in 0..first.ct.len() {
                let refused = open(&cut(first, n), &first.aad).is_err();
                set.check(refused, || format!("cut to {n}"));
            }
            let sealed = crypto.hpke_seal(SUITE.hpke_config(), &vector.pkRm, &vector.info, b"aad", &first.pt);
            let opened = sealed.and_then(|sealed| open(&sealed, b"aad"));
            set.check(opened.as_deref() == Ok(&first.pt[..]), || "a round trip".into());
        }
        for (n, export) in vector.exports.iter().enumerate() {
            let context = &export.exporter_context;
            let value = receive(crypto, &vector.enc, &vector.skRm, &vector.info, context, export.L);
            set.check(value.as_deref() == Some(&export.exported_value[..]), || {
                format!("export {n}")
            });
        }
    }
    set.end()
}

const KEM: &[u8] = b"KEM\x00\x10";
const WHOLE: &[u8] = b"HPKE\x00\x10\x00\x01\x00\x01";

type Secret = Result<Vec<u8>, String>;

fn labeled_extract(
    crypto: &impl OpenMlsCrypto,
    suite: &[u8],
    salt: &[u8],
    label: &[u8],
    ikm: &[u8],
) -> Secret {
    let labeled = [b"HPKE-v1", suite, label, ikm].concat();
    let prk = crypto.hkdf_extract(HashType::Sha2_256, salt, &labeled);
    prk.map(|prk| prk.as_slice().to_vec())
        .map_err(|error| error.to_string())
}

fn labeled_expand(
    crypto: &impl OpenMlsCrypto,
    suite: &[u8],
    prk: &[u8],
    label: &[u8],
    info: &[u8],
    length: u16,
) -> Secret {
    let labeled = [&length.to_be_bytes()[..], b"HPKE-v1", suite, label, info].concat();
    let okm = crypto.hkdf_expand(HashType::Sha2_256, prk, &labeled, length.into());
    okm.map(|okm| okm.as_slice().to_vec())
        .map_err(|error| error.to_string())
}

struct Context {
    key: Vec<u8>,
    base_nonce: Vec<u8>,
    exporter_secret: Vec<u8>,
}

/// KeySchedule of RFC 9180, section 5.1.
fn key_schedule(
    crypto: &impl OpenMlsCrypto,
    mode: u8,
    shared: &[u8],
    info: &[u8],
    psk: &[u8],
    psk_id: &[u8],
) -> Result<Context, String> {
    let psk_id_hash = labeled_extract(crypto, WHOLE, b"", b"psk_id_hash", psk_id)?;
    let info_hash = labeled_extract(crypto, WHOLE, b"", b"info_hash", info)?;
    let context = [&[mode][..], &psk_id_hash, &info_hash].concat();
    let secret = labeled_extract(crypto, WHOLE, shared, b"secret", psk)?;
    Ok(Context {
        key: labeled_expand(crypto, WHOLE, &secret, b"key", &context, 16)?,
        base_nonce: labeled_expand(crypto, WHOLE, &secret, b"base_nonce", &context, 12)?,
        exporter_secret: labeled_expand(crypto, WHOLE, &secret, b"exp", &context, 32)?,
    })
}

/// What a receiver in base mode exports when ECDH gives this shared secret.
pub(crate) fn export_of(crypto: &impl OpenMlsCrypto, dh: &[u8], enc: &[u8], secret_key: &[u8; 32]) -> Secret {
    let public = vectors::public_key(secret_key).ok_or("not a secret key")?;
    let kem_context = [enc, public.as_bytes()].concat();
    let prk = labeled_extract(crypto, KEM, b"", b"eae_prk", dh)?;
    let shared = labeled_expand(crypto, KEM, &prk, b"shared_secret", &kem_context, 32)?;
    let context = key_schedule(crypto, 0, &shared, b"", b"", b"")?;
    labeled_expand(crypto, WHOLE, &context.exporter_secret, b"sec", b"", 32)
}

fn schedule() -> Report {
    let provider = vectors::provider();
    let (crypto, aead) = (provider.crypto(), AeadType::Aes128Gcm);
    // Four modes: the schedule, six messages, three exports each.
    let mut set = Set::new(
        "RFC 9180 all modes: KDF and AEAD of the provider of OpenMLS",
        4 * (1 + 6 + 3),
    );
    for vector in load::<Vector>(HPKE) {
        let mode = vector.mode;
        let made = key_schedule(
            crypto,
            mode,
            &vector.shared_secret,
            &vector.info,
            &vector.psk,
            &vector.psk_id,
        );
        set.case(
            || format!("mode {mode}: schedule"),
            || {
                let made = made?;
                holds("key", made.key == vector.key[..])?;
                holds("nonce", made.base_nonce == vector.base_nonce[..])?;
                holds("exporter", made.exporter_secret == vector.exporter_secret[..])
            },
        );
        for message in &vector.encryptions {
            let run = || {
                let mut nonce = vector.base_nonce.0.clone();
                for (byte, seq) in nonce.iter_mut().rev().zip(message.seq.to_be_bytes().iter().rev()) {
                    *byte ^= seq;
                }
                holds("nonce", nonce == message.nonce[..])?;
                let sealed = crypto.aead_encrypt(aead, &vector.key, &message.pt, &nonce, &message.aad);
                holds("sealed", sealed.as_deref() == Ok(&message.ct[..]))?;
                let opened = crypto.aead_decrypt(aead, &vector.key, &message.ct, &nonce, &message.aad);
                holds("opened", opened.as_deref() == Ok(&message.pt[..]))
            };
            set.case(|| format!("mode {mode}: message {}", message.seq), run);
        }
        for (n, export) in vector.exports.iter().enumerate() {
            let length = u16::try_from(export.L).unwrap_or_default();
            let context = &export.exporter_context;
            let value = labeled_expand(crypto, WHOLE, &vector.exporter_secret, b"sec", context, length);
            set.check(value.as_deref() == Ok(&export.exported_value[..]), || {
                format!("mode {mode}: export {n}")
            });
        }
    }
    set.end()
}

/// A point in every form but the one that RFC 9180 and RFC 9420 allow, and points that are none.
pub(crate) fn odd_points(point: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    const P: &[u8; 32] = b"\xff\xff\xff\xff\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
        \xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
    let (x, y) = (&point[1..33], &point[33..]);
    let odd = y[31] & 1;
    let mut off = point.to_vec();
    off[64] ^= 1;
    vec![
        ("compressed", [&[2 + odd], x].concat()),
        ("hybrid", [&[6 + odd], x, y].concat()),
        ("without its first byte", point[1..].to_vec()),
        ("infinity", vec![0]),
        ("infinity, padded", vec![0; 65]),
        ("zero", [&[4][..], &[0; 64]].concat()),
        ("off the curve", off),
        ("y twice", [&[4], y, y].concat()),
        ("x of p", [&[4], &P[..], y].concat()),
        ("y of p", [&[4], x, &P[..]].concat()),
        ("one byte more", [point, &[0]].concat()),
        ("one byte less", point[..64].to_vec()),
        ("empty", Vec::new()),
    ]
}

fn forms_of_points() -> Report {
    let provider = vectors::provider();
    let crypto = provider.crypto();
    let mut set = Set::new(
        "forms of P-256 points: provider of OpenMLS and rly_crypto",
        13 * 4,
    );
    let config = || SUITE.hpke_config();
    let (secret, public) = vectors::key_pair(&[9; 32]);
    let signed = vectors::sign(&secret, b"m");
    for (form, point) in odd_points(public.as_bytes()) {
        set.check(crypto.hpke_seal(config(), &point, b"", b"", b"").is_err(), || {
            format!("{form}: sealed to")
        });
        set.check(receive(crypto, &point, &secret, b"", b"", 32).is_none(), || {
            format!("{form}: received from")
        });
        let scheme = openmls_traits::types::SignatureScheme::ECDSA_SECP256R1_SHA256;
        let verified = signed
            .as_ref()
            .is_none_or(|(_, der)| crypto.verify_signature(scheme, b"m", &point, der).is_ok());
        set.check(!verified, || format!("{form}: verified in MLS"));
        let verified = signed.as_ref().is_none_or(|(signature, _)| {
            rly_protocol::PublicKey::try_from(&point[..])
                .is_ok_and(|key| rly_crypto::verify(&key, b"m", signature).is_ok())
        });
        set.check(!verified, || format!("{form}: verified"));
    }
    set.end()
}
