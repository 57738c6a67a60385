//! What is stored, what pages hand in, and what is inside of envelopes and vault slots.

use super::side::{FRIENDS, ORIGIN, Side, Store, rows};
use crate::{
    Input, Machine,
    envelope::Parcel,
    inner::{Inner, Receipt},
    parse::{checked_name, checked_text, parse_id, start_of},
    record::{
        ContactRecord, ConversationRecord, DeletionRecord, Head, InviteRecord, MessageRecord, OutRecord,
        Profile, SimRecord, SlotContent, SlotRecord, VaultLetter,
    },
    table,
    view::message_from_row,
};
use bytes::Bytes;
use rly_fuzzing::{Script, ScriptWriter, edited, within};
use rly_protocol::{Decode, Encode, Timestamp, limits::NAME_MAX, limits::TEXT_MAX, to_base64url};
use rly_view::OpenedLetter;

/// Every record has one form: what is read is written back byte for byte.
const RECORDS: [fn(&[u8]); 16] = [
    record::<SimRecord>,
    record::<ContactRecord>,
    record::<ConversationRecord>,
    record::<InviteRecord>,
    record::<OutRecord>,
    record::<MessageRecord>,
    record::<SlotRecord>,
    record::<Head>,
    record::<Profile>,
    record::<VaultLetter>,
    record::<SlotContent>,
    record::<DeletionRecord>,
    record::<OpenedLetter>,
    record::<Inner>,
    record::<Receipt>,
    record::<Parcel>,
];

fn record<T: Encode + Decode>(bytes: &[u8]) {
    // A list of absent values takes a byte each, and nine in memory, twice while it grows.
    let read = within(32 * bytes.len() + 2048, || T::from_bytes(bytes));
    if let Ok(value) = read {
        assert_eq!(value.to_bytes(), bytes);
    }
}

pub(super) fn records(input: &[u8]) {
    if let Some((kind, bytes)) = input.split_first() {
        RECORDS[usize::from(*kind) % RECORDS.len()](bytes);
    }
}

pub(super) fn record_seeds() -> Vec<Vec<u8>> {
    let of = |kind: u8, bytes: &[u8]| [&[kind], bytes].concat();
    let mut seeds = Vec::new();
    for store in [&FRIENDS.ada, &FRIENDS.bob] {
        for (key, value) in store {
            let kind = match key[0] {
                table::SIM => 0,
                table::CONTACTS => 1,
                table::CONVERSATIONS => 2,
                table::OUTBOX => 4,
                table::MESSAGES => 5,
                table::VAULT => 6,
                _ => continue,
            };
            seeds.push(of(kind, value));
        }
    }
    let inner = Inner {
        kind: 1,
        id: [1; 16],
        stream: [2; 8],
        seq: 3,
        previous: [4; 32],
        at: Timestamp(1_800_000_000_000),
        body: Bytes::from_static(b"Hello"),
    };
    let parcel = Parcel::Join {
        card: Bytes::from_static(b"card"),
        welcome: Bytes::from_static(b"welcome"),
        message: Bytes::from_static(b"message"),
    };
    seeds.push(of(8, &Profile { name: "Ada".into() }.to_bytes()));
    seeds.push(of(12, &FRIENDS.letter.to_bytes()));
    seeds.push(of(13, &inner.to_bytes()));
    seeds.push(of(14, &[0; 16]));
    seeds.push(of(15, &parcel.to_bytes()));
    seeds
}

/// What people type and pages name.
pub(super) fn typed(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Ok(id) = parse_id(&text) {
        assert_eq!(to_base64url(&id), text);
    }
    if let Ok(name) = checked_name(&text) {
        assert!(!name.is_empty() && name.len() <= NAME_MAX && !name.chars().any(char::is_control));
        assert_eq!(checked_name(&name), Ok(name));
    }
    if checked_text(&text).is_ok() {
        assert!(!text.trim().is_empty() && text.len() <= TEXT_MAX);
    }
    let start = start_of(&text);
    assert!(start.chars().count() <= 120 && !start.contains('\n'));
}

pub(super) fn typed_seeds() -> Vec<Vec<u8>> {
    [
        "  Ada Lovelace ",
        "AQEBAQEBAQEBAQEBAQEBAQ",
        "a\nb  c",
        "\u{85}\u{202e}x",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// Rows of any form are loaded or refused, and a machine that was loaded runs.
pub(super) fn stored(input: &[u8]) {
    let mut script = Script::new(input);
    let mut store = match script.byte() % 3 {
        0 => Store::new(),
        1 => FRIENDS.ada.clone(),
        _ => FRIENDS.bob.clone(),
    };
    for _ in 0..8 {
        if script.is_over() {
            break;
        }
        let place = usize::from(script.byte()) % store.len().max(1);
        let found = store.keys().nth(place).cloned();
        match (script.byte() % 4, found) {
            (0, Some(key)) => drop(store.remove(&key)),
            (1, Some(key)) => {
                let changed = edited(&store[&key], script.chunk());
                store.insert(key, changed);
            }
            (2, Some(key)) => {
                let value = store.remove(&key).unwrap_or_default();
                store.insert([&key[..1], script.chunk()].concat(), value);
            }
            _ => {
                let key = [&[script.byte() % 14][..], script.chunk()].concat();
                store.insert(key, script.chunk().to_vec());
            }
        }
    }
    for (key, value) in &store {
        let _ = message_from_row(key, value, Timestamp(0));
    }
    let loaded = within(16 << 20, || Machine::load(rows(&store), ORIGIN.into()));
    if loaded.is_err() {
        return;
    }
    let mut side = Side::new(store, 3);
    side.connect();
    side.now = side.now.plus_seconds(86_400 * 40);
    side.input(Input::Timer);
}

pub(super) fn stored_seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![0], vec![1], vec![2]];
    for place in 0..8 {
        seeds.push(
            ScriptWriter::default()
                .bytes(&[1, place, 1])
                .chunk(&[0, 30, 1])
                .finish(),
        );
        seeds.push(
            ScriptWriter::default()
                .bytes(&[2, place, 1])
                .chunk(&[0, 60, 1])
                .finish(),
        );
        seeds.push(vec![1, place, 0]);
    }
    let bytes = FRIENDS.letter.to_bytes();
    let row = ScriptWriter::default()
        .bytes(&[0, 0, 3, table::LETTERS])
        .chunk(&[4; 16]);
    seeds.push(row.chunk(&bytes).finish());
    seeds
}
