//! All but MLS.

use super::random;
use crate::{
    CardError, FileKey, OuterKey, Sim, SimFile, SimFileError, open_card, seal_card, verify, verify_card,
};
use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, Payload},
};
use argon2::{Algorithm, Argon2, Params, Version};
use p256::ecdsa::Signature as EcdsaSignature;
use rly_fuzzing::{Script, ScriptWriter, edited, within};
use rly_protocol::{Address, Encode, PublicKey, Signature, Timestamp, padding, to_base64url};
use rly_view::card::{Card, SEAL_OVERHEAD, SignedCard, join_sealed, signed_message};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

const PREFIX: &str = "rly-sim-1.";
const PASSWORD: &str = "p";
/// Argon2id's cost that a fuzzer can pay: memory in KiB, passes, lanes.
const CHEAP: [u32; 3] = [8, 1, 1];
const MOST: [u32; 3] = [262_144, 16, 8];

static SIM: LazyLock<Sim> = LazyLock::new(|| Sim::from_seed(&[7; 32]));

/// The text of a body, its checksum right.
fn file_text(body: &[u8]) -> String {
    let sum = Sha256::new().chain_update(PREFIX).chain_update(body).finalize();
    format!("{PREFIX}{}", to_base64url(&[body, &sum[..8]].concat()))
}

fn header(cost: [u32; 3]) -> Vec<u8> {
    let mut header = vec![1];
    header.extend([5; 16]);
    header.extend(cost.iter().flat_map(|n| n.to_be_bytes()));
    header
}

/// A file that is sealed with the password as described in docs/protocol.md.
fn sealed_file(content: &[u8]) -> String {
    static KEY: LazyLock<[u8; 32]> = LazyLock::new(|| {
        let [memory, passes, lanes] = CHEAP;
        let params = Params::new(memory, passes, lanes, Some(32)).unwrap();
        let mut key = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(PASSWORD.as_bytes(), &[5; 16], &mut key)
            .unwrap();
        key
    });
    let header = header(CHEAP);
    let aad = [PREFIX.as_bytes(), &header].concat();
    let nonce = [6; 12];
    let payload = Payload {
        msg: content,
        aad: &aad,
    };
    let sealed = Aes256Gcm::new((&*KEY).into())
        .encrypt(&nonce.into(), payload)
        .unwrap();
    file_text(&[&header, &nonce[..], &sealed].concat())
}

pub(super) fn sim_file(input: &[u8]) {
    let mut script = Script::new(input);
    let (text, password) = match script.byte() % 4 {
        // Without a password: with one, free text could ask for more work than a fuzzer has time.
        0 => (String::from_utf8_lossy(script.rest()).into_owned(), None),
        1 => (file_text(script.rest()), None),
        2 => (sealed_file(script.rest()), Some(PASSWORD)),
        _ => {
            let cost = [script.u32(), script.u32(), script.u32()];
            let text = file_text(&[&header(cost), script.rest()].concat());
            if cost.iter().zip(MOST).any(|(n, most)| *n > most) {
                let opened = within(8 * text.len() + 4096, || SimFile::open(&text, Some(PASSWORD)));
                assert_eq!(opened.err(), Some(SimFileError::NotASimFile));
                return;
            }
            if cost.iter().zip([64, 3, 4]).any(|(n, most)| *n > most) {
                return;
            }
            (text, Some(PASSWORD))
        }
    };
    let Ok((file, key)) = within(16 * text.len() + (1 << 20), || SimFile::open(&text, password)) else {
        return;
    };
    assert_eq!(key.is_some(), password.is_some());
    let again = file.seal(None, &mut random());
    let (again, _) = SimFile::open(&again, None).unwrap();
    assert!(again.sim.seed() == file.sim.seed() && again.name == file.name);
    assert!(again.origin == file.origin && again.created_at == file.created_at);
    if let Some(key) = key {
        let stored = key.to_bytes();
        let again = FileKey::from_bytes(&stored).unwrap();
        assert_eq!(*again.to_bytes(), *stored);
    }
}

pub(super) fn sim_file_seeds() -> Vec<Vec<u8>> {
    let file = SimFile {
        sim: SIM.clone(),
        name: "Ada".into(),
        origin: "https://rly.example".into(),
        created_at: Timestamp(1_700_000_000_000),
    };
    let text = file.seal(None, &mut random());
    let mut content = vec![1];
    content.extend([7; 32]);
    content.extend("Ada".to_owned().to_bytes());
    content.extend("https://rly.example".to_owned().to_bytes());
    content.extend(Timestamp(1_700_000_000_000).to_bytes());
    let cost = |cost: [u32; 3]| cost.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<u8>>();
    let rest = [&[6; 12][..], &[9; 40]].concat();
    let seed = |kind: u8, parts: &[&[u8]]| [&[kind][..], &parts.concat()].concat();
    vec![
        seed(0, &[text.as_bytes()]),
        seed(0, &[sealed_file(&content).as_bytes()]),
        seed(1, &[&[0], &content]),
        seed(1, &[&header(CHEAP), &rest]),
        seed(2, &[&content]),
        seed(3, &[&cost(CHEAP), &rest]),
        seed(3, &[&cost([262_145, 2, 1]), &rest]),
        seed(3, &[&cost([0, 0, 0]), &rest]),
    ]
}

/// Nobody without the key makes anything that opens; with the key only what is padded right opens.
pub(super) fn sealed(input: &[u8]) {
    let outer = OuterKey::from_bytes([1; 32]);
    let vault = SIM.vault_key();
    within(4 * input.len() + 4096, || {
        assert!(outer.open(input).is_err());
        assert!(vault.open(3, input).is_err());
        assert!(open_card(&[2; 16], input).is_err());
    });
    let payload = Payload {
        msg: input,
        aad: b"rly outer v1\0",
    };
    let ciphertext = Aes256Gcm::new(&[1; 32].into())
        .encrypt(&[6; 12].into(), payload)
        .unwrap();
    let opened = outer.open(&join_sealed(&[6; 12], &ciphertext)).ok();
    assert_eq!(opened.as_deref(), padding::unpad(input));
}

pub(super) fn sealed_seeds() -> Vec<Vec<u8>> {
    vec![
        padding::pad(b"content", SEAL_OVERHEAD).unwrap(),
        vec![0, 0, 0, 2, 1, 2, 0],
        OuterKey::from_bytes([3; 32]).seal(b"x", &mut random()).unwrap(),
    ]
}

/// Free bytes as a card, and the same with our key in it, both signed by our SIM.
pub(super) fn signed_card(input: &[u8]) {
    let sign = |card: &[u8]| SignedCard {
        card: card.to_vec().into(),
        signature: SIM.sign(&signed_message(card)),
    };
    let signed = sign(input);
    let Ok(mut card) = signed.decode_card() else {
        assert!(verify_card(&signed).is_err());
        return;
    };
    assert_eq!(verify_card(&signed).is_ok(), card.sim_key == SIM.public_key());
    card.sim_key = SIM.public_key();
    let signed = sign(&card.to_bytes());
    assert!(verify_card(&signed).unwrap() == card);
    if let Ok(sealed) = seal_card(&[3; 16], &signed, &mut random()) {
        assert!(open_card(&[3; 16], &sealed).unwrap() == signed);
        assert_eq!(open_card(&[4; 16], &sealed).err(), Some(CardError::Sealed));
    }
}

pub(super) fn signed_card_seeds() -> Vec<Vec<u8>> {
    let card = |letter: Option<String>| Card {
        origin: "https://rly.example".into(),
        address: Address([1; 16]),
        outer_key: [2; 32],
        key_package: (&b"key package"[..]).into(),
        sim_key: SIM.public_key(),
        name: "Ada".into(),
        letter,
    };
    vec![card(None).to_bytes(), card(Some("Hello".into())).to_bytes()]
}

/// Signatures and keys of any form are refused without harm; r||s and DER are the same signature.
pub(super) fn signature(input: &[u8]) {
    let mut script = Script::new(input);
    let genuine = SIM.sign(b"message");
    let edits = script.chunk();
    let changed = Signature(edited(&genuine.0, edits).try_into().unwrap());
    assert_eq!(
        verify(&SIM.public_key(), b"message", &changed).is_ok(),
        changed == genuine
    );
    let free = Signature(script.array());
    if let Ok(signature) = EcdsaSignature::from_slice(&free.0) {
        let der = signature.to_der();
        assert_eq!(EcdsaSignature::from_der(der.as_bytes()).unwrap(), signature);
    }
    let mut key: [u8; 65] = script.array();
    key[0] = 4;
    let key = PublicKey::try_from(&key[..]).unwrap();
    assert!(verify(&key, b"message", &free).is_err() || key == SIM.public_key());
    let ours = SIM.public_key();
    let changed = edited(&ours.as_bytes()[1..], script.chunk());
    let ours = PublicKey::try_from(&[&[4], &changed[..]].concat()[..]).unwrap();
    assert_eq!(
        verify(&ours, b"message", &genuine).is_ok(),
        ours == SIM.public_key()
    );
    let der = script.rest();
    if let Ok(signature) = EcdsaSignature::from_der(der) {
        // DER has one form; another one would be a second signature for the same message.
        assert_eq!(signature.to_der().as_bytes(), der);
    }
}

pub(super) fn signature_seeds() -> Vec<Vec<u8>> {
    let signature = SIM.sign(b"message");
    let der = EcdsaSignature::from_slice(&signature.0).unwrap().to_der();
    let parts = ScriptWriter::default().chunk(&[0, 1, 1]).bytes(&signature.0);
    vec![
        parts
            .bytes(SIM.public_key().as_bytes())
            .chunk(&[0, 2, 2])
            .bytes(der.as_bytes())
            .finish(),
    ]
}
