//! MLS: KeyPackages, Welcomes, messages and the secrets that are stored of a KeyPackage.

use crate::{Conversation, KeyPackageSecrets, MlsError, Received, Sim, make_key_package};
use p256::ecdsa::{DerSignature, SigningKey, signature::Signer};
use rly_fuzzing::{Random, Script, ScriptWriter, edited, within};
use rly_protocol::{DeviceId, PublicKey};
use std::{
    collections::BTreeMap,
    sync::{LazyLock, Mutex, PoisonError},
};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Memory that bytes of a few KiB may take: keys, trees and ratchets beside what they say.
const MEMORY: usize = 4 << 20;

/// SIM 1 invites, SIM 2 has made the group and said something.
struct Genuine {
    key_package: Vec<u8>,
    secrets: KeyPackageSecrets,
    welcome: Vec<u8>,
    /// State of SIM 1, for whom the messages are.
    rows: Rows,
    message: Vec<u8>,
    commit: Vec<u8>,
}

fn sim(n: u8) -> Sim {
    Sim::from_seed(&[n; 32])
}

fn device(n: u8) -> DeviceId {
    DeviceId([n; 16])
}

fn save(rows: &mut Rows, chat: &mut Conversation) {
    for (key, value) in chat.take_changes() {
        match value {
            Some(value) => rows.insert(key, value),
            None => rows.remove(&key),
        };
    }
}

fn load(rows: &Rows) -> Conversation {
    Conversation::load(rows.clone().into_iter().collect()).unwrap()
}

static GENUINE: LazyLock<Genuine> = LazyLock::new(|| {
    let mut rng = Random::new(1);
    let (key_package, secrets) = make_key_package(&sim(1), &device(1), &mut rng).unwrap();
    let (mut two, welcome) =
        Conversation::create(&sim(2), &device(2), &key_package, &sim(1).public_key(), &mut rng).unwrap();
    let mut one = Conversation::join(&sim(1), &device(1), &secrets, &welcome, &mut rng).unwrap();
    // The creator commits in even epochs: one commit of the other before it.
    let first = one.update(&mut rng).unwrap();
    two.process(&first).unwrap();
    let message = two.encrypt(b"hello", &mut rng).unwrap();
    let commit = two.update(&mut rng).unwrap();
    let mut rows = Rows::new();
    save(&mut rows, &mut one);
    Genuine {
        key_package,
        secrets,
        welcome,
        rows,
        message,
        commit,
    }
});

fn create(key_package: &[u8]) -> Result<(Conversation, Vec<u8>), MlsError> {
    within(MEMORY + 64 * key_package.len(), || {
        Conversation::create(
            &sim(2),
            &device(2),
            key_package,
            &sim(1).public_key(),
            &mut Random::new(2),
        )
    })
}

pub(super) fn key_package(input: &[u8]) {
    let genuine = &GENUINE.key_package;
    let mut script = Script::new(input);
    match script.byte() % 4 {
        0 => {
            let bytes = script.rest();
            assert_eq!(create(bytes).is_ok(), bytes == genuine);
        }
        1 => {
            let changed = edited(genuine, script.rest());
            assert_eq!(create(&changed).is_ok(), changed == *genuine);
        }
        // Their own SIM may sign what it likes: it must not do harm.
        _ => {
            let signed = sign_again(genuine, script.chunk(), script.u16(), script.chunk());
            if let Ok((chat, welcome)) = create(&signed) {
                assert!(chat.peer_sim() == sim(1).public_key() && !welcome.is_empty());
            }
        }
    }
}

pub(super) fn key_package_seeds() -> Vec<Vec<u8>> {
    let seed = |kind: u8| ScriptWriter::default().bytes(&[kind]);
    vec![
        seed(0).bytes(&GENUINE.key_package).finish(),
        seed(1).bytes(&[0, 9, 1]).finish(),
        seed(2).chunk(&[]).bytes(&[0, 0]).chunk(&[]).finish(),
        seed(2).chunk(&[0, 9, 1]).bytes(&[1, 0]).chunk(&[1, 2]).finish(),
    ]
}

/// Splits off a vector at the end: its header and the signature in it (RFC 9420, section 2.1.2).
fn signature_at_end(bytes: &[u8]) -> usize {
    let is_start = |at: &usize| {
        let tail = &bytes[*at..];
        let body = match tail {
            [length, body @ ..] if *length < 64 && body.len() == usize::from(*length) => body,
            [high, low, body @ ..]
                if high >> 6 == 1 && body.len() == (usize::from(high & 63) << 8 | usize::from(*low)) =>
            {
                body
            }
            _ => return false,
        };
        // DER: a sequence that fills the rest.
        matches!(body, [0x30, length, rest @ ..] if rest.len() == usize::from(*length))
    };
    (0..bytes.len()).rev().find(is_start).unwrap()
}

/// SignWithLabel (RFC 9420, section 5.1.2), as a vector.
fn signature(label: &str, content: &[u8]) -> Vec<u8> {
    let key = SigningKey::from_slice(&GENUINE.secrets_key()).unwrap();
    let label = format!("MLS 1.0 {label}");
    let signature: DerSignature = key.sign(&[vector(label.as_bytes()), vector(content)].concat());
    vector(signature.as_bytes())
}

fn vector(bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len() as u16;
    match length {
        0..64 => [&[length as u8], bytes].concat(),
        _ => [&(length | 0x4000).to_be_bytes()[..], bytes].concat(),
    }
}

impl Genuine {
    fn secrets_key(&self) -> [u8; 32] {
        self.secrets.to_bytes()[1..33].try_into().unwrap()
    }
}

/// A KeyPackage with changes and something inserted, leaf and whole signed for that by its own key.
fn sign_again(genuine: &[u8], edits: &[u8], place: u16, insert: &[u8]) -> Vec<u8> {
    /// What stands before the KeyPackage, and in it before the leaf: versions, suite, and the
    /// initial key with its length.
    const BEFORE: usize = 4;
    const LEAF: usize = BEFORE + 4 + 2 + 65;
    let unsigned = &genuine[..signature_at_end(genuine)];
    // The KeyPackage's extensions: none.
    let (with_leaf_signature, extensions) = unsigned.split_at(unsigned.len() - 1);
    let leaf = &with_leaf_signature[LEAF..signature_at_end(with_leaf_signature)];
    let mut leaf = edited(leaf, edits);
    let at = usize::from(place) % (leaf.len() + 1);
    leaf.splice(at..at, insert.iter().copied());
    let leaf_signature = signature("LeafNodeTBS", &leaf);
    let body = [&genuine[BEFORE..LEAF], &leaf, &leaf_signature, extensions].concat();
    [&genuine[..BEFORE], &body, &signature("KeyPackageTBS", &body)].concat()
}

fn join(welcome: &[u8]) -> Result<Conversation, MlsError> {
    within(MEMORY + 64 * welcome.len(), || {
        Conversation::join(
            &sim(1),
            &device(1),
            &GENUINE.secrets,
            welcome,
            &mut Random::new(2),
        )
    })
}

pub(super) fn welcome(input: &[u8]) {
    let genuine = &GENUINE.welcome;
    let mut script = Script::new(input);
    let bytes = match script.byte() % 2 {
        0 => script.rest().to_vec(),
        _ => edited(genuine, script.rest()),
    };
    assert_eq!(join(&bytes).is_ok(), bytes == *genuine);
}

pub(super) fn welcome_seeds() -> Vec<Vec<u8>> {
    vec![
        [&[0], &GENUINE.welcome[..]].concat(),
        vec![1, 0, 60, 1],
        vec![0, 0, 1, 0, 3, 0, 2],
    ]
}

static CHAT: LazyLock<Mutex<Conversation>> = LazyLock::new(|| Mutex::new(load(&GENUINE.rows)));

/// A message that is refused changes nothing; only genuine ones are accepted, each once.
pub(super) fn message(input: &[u8]) {
    let mut script = Script::new(input);
    let (bytes, of) = match script.byte() % 4 {
        0 => (script.rest().to_vec(), None),
        1 => ([&[0, 1, 0, 2], script.rest()].concat(), None),
        2 => (edited(&GENUINE.message, script.rest()), Some(&GENUINE.message)),
        _ => (edited(&GENUINE.commit, script.rest()), Some(&GENUINE.commit)),
    };
    let mut chat = CHAT.lock().unwrap_or_else(PoisonError::into_inner);
    let received = within(MEMORY + 64 * bytes.len(), || chat.process(&bytes));
    let is_genuine = bytes == GENUINE.message || bytes == GENUINE.commit;
    match received {
        Err(_) => {
            assert!(!is_genuine, "a genuine message is refused");
            assert_eq!(chat.take_changes(), []);
        }
        Ok(what) => {
            assert!(is_genuine, "a message with changes is accepted");
            assert!(of.is_none_or(|of| *of == bytes));
            assert_eq!(what == Received::Commit, bytes == GENUINE.commit);
            assert!(chat.process(&bytes).is_err(), "a message is taken twice");
            *chat = load(&GENUINE.rows);
        }
    }
}

pub(super) fn message_seeds() -> Vec<Vec<u8>> {
    let whole = |message: &[u8]| [&[0], message].concat();
    vec![
        whole(&GENUINE.message),
        whole(&GENUINE.commit),
        [&[1], &GENUINE.message[4..]].concat(),
        vec![2, 0, 40, 1],
        vec![3, 0, 40, 1],
        vec![2],
        vec![3],
    ]
}

/// Stored secrets have one form, and damaged ones do no harm when they are used.
pub(super) fn secrets(input: &[u8]) {
    let mut script = Script::new(input);
    let bytes = match script.byte() % 2 {
        0 => script.rest().to_vec(),
        _ => edited(&GENUINE.secrets.to_bytes(), script.rest()),
    };
    let read = within(64 * bytes.len() + 4096, || KeyPackageSecrets::from_bytes(&bytes));
    if let Ok(secrets) = read {
        assert_eq!(*secrets.to_bytes(), bytes);
        let joined = Conversation::join(
            &sim(1),
            &device(1),
            &secrets,
            &GENUINE.welcome,
            &mut Random::new(2),
        );
        let expected: PublicKey = sim(2).public_key();
        assert!(joined.is_err() || joined.is_ok_and(|chat| chat.peer_sim() == expected));
    }
}

pub(super) fn secrets_seeds() -> Vec<Vec<u8>> {
    vec![
        [&[0], &GENUINE.secrets.to_bytes()[..]].concat(),
        vec![1, 0, 5, 1],
        vec![1, 0, 200, 1],
        vec![1],
    ]
}
