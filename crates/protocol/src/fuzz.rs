//! Fuzz targets: everything here that reads bytes or text. See `rly_fuzzing`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::{
    Address, Decode, DecodeError, Encode, EnvelopeId, ErrorCode, Incarnation, InviteId, PublicKey, QueueId,
    RoomId, Signature, Timestamp,
    api::{
        Blob, CreateRoom, ErrorBody, ImportContact, Imported, RegisterSim, Registered, RoomState,
        ShareContact, Shared,
    },
    frame::{ClientFrame, Kind, Notice, Proof, ServerFrame, Ticket, VaultEntry},
    from_base64url,
    limits::ENVELOPE_SIZES,
    padding,
    room::{RoomEnd, RoomEvent, RoomLimits, RoomPerson},
    to_base64url,
};
use bytes::Bytes;
use rly_fuzzing::{Target, within};
use serde::{Serialize, de::DeserializeOwned};

/// Every target of this crate.
pub static TARGETS: &[Target] = &[
    Target {
        name: "frames",
        run: frames,
        seeds: frame_seeds,
        words: &[],
        rounds: 30_000,
    },
    Target {
        name: "texts",
        run: texts,
        seeds: text_seeds,
        words: &["Z", ".000", "2001-02-28T00:00:00Z", "9999", "=", "-_"],
        rounds: 30_000,
    },
    Target {
        name: "http_bodies",
        run: bodies,
        seeds: body_seeds,
        words: &[
            "reader_key",
            "address_token",
            "card",
            "ttl_seconds",
            "invite",
            "claim_key",
            "opened_at",
            "token_hash",
            "idle_seconds",
            "65536",
            "null",
            "{",
            "}",
            "\\u0000",
            "\":",
        ],
        rounds: 10_000,
    },
    Target {
        name: "padding",
        run: unpadding,
        seeds: padding_seeds,
        words: &[],
        rounds: 10_000,
    },
];

/// Memory that reading a value may hold, for each byte of input and beside it.
const PER_BYTE: usize = 16;
const BESIDE: usize = 2048;

/// A websocket message has one form: what is read is written back byte for byte.
fn frames(input: &[u8]) {
    let message = Bytes::copy_from_slice(input);
    let (client, server) = within(PER_BYTE * input.len() + BESIDE, || {
        (
            ClientFrame::from_message(message.clone()),
            ServerFrame::from_message(message.clone()),
        )
    });
    match (&client, &server) {
        (Ok(frame), Err(_)) => assert_eq!(frame.to_message(), message),
        (Err(_), Ok(frame)) => assert_eq!(frame.to_message(), message),
        (Err(_), Err(_)) => {}
        (Ok(_), Ok(_)) => panic!("a frame of both sides"),
    }
    if let Some(version) = input.first().filter(|version| **version != 1) {
        assert_eq!(client, Err(DecodeError::Version(*version)));
    }
    if let Ok(notice) = Notice::from_bytes(input) {
        assert_eq!(notice.to_bytes(), input);
    }
}

const ROOM_LIMITS: RoomLimits = RoomLimits {
    idle_seconds: 300,
    life_seconds: 43_200,
    people: 50,
    history: 200,
};

fn frame_seeds() -> Vec<Vec<u8>> {
    let (req, queue) = (7, QueueId([1; 16]));
    let ticket = Ticket {
        expires: Timestamp(1_800_000_000_000),
        mac: [2; 32],
    };
    let signature = Signature([3; 64]);
    let key = PublicKey::try_from(&[4; 65][..]).unwrap();
    let entries = vec![
        VaultEntry {
            slot: 0,
            blob: Bytes::from_static(b"head"),
        },
        VaultEntry {
            slot: 9,
            blob: Bytes::new(),
        },
    ];
    let body = Bytes::from_static(b"sealed");
    let (id, invite) = (EnvelopeId([5; 16]), InviteId([6; 16]));
    let room = RoomId([4; 16]);
    let person = RoomPerson {
        number: 1,
        key,
        name_hash: [8; 32],
        name_number: 2,
        name: body.clone(),
        here: true,
    };
    let happened = |event| ServerFrame::RoomHappened {
        room,
        place: 9,
        at: Timestamp(1),
        event,
    };
    let client = [
        ClientFrame::Subscribe {
            req,
            queue,
            proof: Proof::Signed { signature },
        },
        ClientFrame::Subscribe {
            req,
            queue,
            proof: Proof::Ticket {
                ticket: ticket.clone(),
            },
        },
        ClientFrame::Unsubscribe { req, queue },
        ClientFrame::Ack { queue, seq: 8 },
        ClientFrame::Send {
            req,
            address: Address([9; 16]),
            id,
            body: body.clone(),
        },
        ClientFrame::DeleteQueue { req, queue },
        ClientFrame::WithdrawInvite { req, queue, invite },
        ClientFrame::OpenVault { req, key, signature },
        ClientFrame::VaultRead { req, queue, from: 0 },
        ClientFrame::VaultWrite {
            req,
            queue,
            expected: 1,
            entries: entries.clone(),
        },
        ClientFrame::Ping { nonce: 1 },
        ClientFrame::RoomJoin {
            req,
            room,
            token: [7; 32],
            key,
            name_hash: [8; 32],
            name: body.clone(),
            after: 3,
            signature,
        },
        ClientFrame::RoomPost {
            req,
            room,
            seq: 4,
            body: body.clone(),
            signature,
        },
        ClientFrame::RoomLeave { req, room },
        ClientFrame::RoomDelete { req, room },
        ClientFrame::RoomClose { req, room },
    ];
    let server = [
        ServerFrame::Hello {
            min: 1,
            max: 1,
            nonce: [1; 32],
            incarnation: Incarnation([2; 16]),
            now: Timestamp(1),
        },
        ServerFrame::Subscribed { req, queue, ticket },
        ServerFrame::Deliver {
            queue,
            seq: 1,
            kind: Kind::Notice,
            id,
            body: body.clone(),
        },
        ServerFrame::Done { req },
        ServerFrame::error(req, ErrorCode::QueueFull, 30_000),
        ServerFrame::VaultPage {
            req,
            generation: 2,
            entries,
            more: true,
        },
        ServerFrame::VaultWritten { req, generation: 3 },
        ServerFrame::Replaced { queue },
        ServerFrame::Pong { nonce: 1 },
        ServerFrame::Goodbye {
            code: 63,
            retry_after: 1000,
        },
        ServerFrame::RoomJoined {
            req,
            room,
            you: 1,
            seq: 4,
            creator: key,
            limits: ROOM_LIMITS,
            ends_at: Timestamp(2),
            closes_at: Timestamp(1),
            head: 9,
            people: vec![person.clone()],
        },
        happened(RoomEvent::Message {
            from: 1,
            seq: 4,
            body,
            signature,
        }),
        happened(RoomEvent::Joined { person }),
        happened(RoomEvent::Back { number: 1 }),
        happened(RoomEvent::Away { number: 1 }),
        happened(RoomEvent::Deleted { number: 1 }),
        ServerFrame::RoomEnded {
            room,
            why: RoomEnd::Creator,
        },
    ];
    let mut seeds: Vec<Vec<u8>> = client.iter().map(|frame| frame.to_message().to_vec()).collect();
    seeds.extend(server.iter().map(|frame| frame.to_message().to_vec()));
    seeds.push(
        Notice::InviteOpened {
            invite,
            at: Timestamp(1),
        }
        .to_bytes(),
    );
    seeds
}

/// Base64url has one form for any bytes; ids, keys and times lead back.
fn texts(input: &[u8]) {
    // A time in a frame has to have a form in JSON: pages read it there.
    if let Ok(at) = Timestamp::from_bytes(input) {
        assert_eq!(at.to_string().parse(), Ok(at));
    }
    let Ok(text) = core::str::from_utf8(input) else {
        return;
    };
    let bytes = within(PER_BYTE * input.len() + BESIDE, || from_base64url(text));
    if let Ok(bytes) = &bytes {
        assert_eq!(to_base64url(bytes), text);
    }
    let id = text.parse::<QueueId>();
    assert_eq!(id.is_ok(), bytes.as_ref().is_ok_and(|bytes| bytes.len() == 16));
    if let Ok(id) = id {
        assert_eq!(String::from(id), text);
    }
    if let Ok(key) = text.parse::<PublicKey>() {
        assert_eq!(String::from(key), text);
        assert_eq!(PublicKey::from_bytes(&key.to_bytes()), Ok(key));
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        assert_eq!(at.to_string().parse(), Ok(at));
        assert_eq!(Timestamp::from_bytes(&at.to_bytes()), Ok(at));
        // The two forms differ at most in a fraction of zeros.
        assert_eq!(at.to_string().replace(".000Z", "Z"), text.replace(".000Z", "Z"));
    }
}

fn text_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = [
        String::from(QueueId([0xfb; 16])),
        String::from(PublicKey::try_from(&[4; 65][..]).unwrap()),
        Timestamp(0).to_string(),
        Timestamp(951_827_696_789).to_string(),
        "9999-12-31T23:59:59.999Z".into(),
        "2000-02-29T12:34:56.000Z".into(),
        to_base64url(b"any bytes"),
    ]
    .map(String::into_bytes)
    .into();
    seeds
        .extend([0, 951_827_696_789, 253_402_300_799_999, u64::MAX].map(|ms: u64| ms.to_be_bytes().to_vec()));
    seeds
}

/// JSON that is read is written in one form, which reads as the same.
fn bodies(input: &[u8]) {
    body::<RegisterSim>(input);
    body::<ShareContact>(input);
    body::<ImportContact>(input);
    body::<Registered>(input);
    body::<Shared>(input);
    body::<Imported>(input);
    body::<CreateRoom>(input);
    body::<RoomState>(input);
    body::<ErrorBody>(input);
}

fn body<T: Serialize + DeserializeOwned>(input: &[u8]) {
    let read = within(4 * PER_BYTE * input.len() + BESIDE, || {
        serde_json::from_slice::<T>(input)
    });
    if let Ok(value) = read {
        let written = serde_json::to_string(&value).unwrap();
        let again: T = serde_json::from_str(&written).expect("what was written is read");
        assert_eq!(serde_json::to_string(&again).unwrap(), written);
    }
}

fn body_seeds() -> Vec<Vec<u8>> {
    fn json(value: &impl Serialize) -> Vec<u8> {
        serde_json::to_vec(value).unwrap()
    }
    let key = PublicKey::try_from(&[4; 65][..]).unwrap();
    let (queue, address) = (QueueId([1; 16]), Address([2; 16]));
    let mut used = ErrorBody::new(ErrorCode::InviteUsed);
    used.error.opened_at = Some(Timestamp(951_827_696_789));
    vec![
        json(&RegisterSim { reader_key: key }),
        json(&ShareContact {
            address_token: "a.b.c".into(),
            card: Blob(vec![1, 2, 3]),
            ttl_seconds: 60,
        }),
        json(&ImportContact {
            invite: "a.b.c".into(),
            claim_key: key,
        }),
        json(&Registered {
            queue,
            address,
            address_token: "a.b.c".into(),
        }),
        json(&Shared {
            invite: "a.b.c".into(),
            invite_id: InviteId([3; 16]),
            expires_at: Timestamp(1),
        }),
        json(&Imported {
            address,
            card: Blob(vec![4; 8]),
        }),
        json(&CreateRoom {
            room: RoomId([4; 16]),
            token_hash: Blob(vec![5; 32]),
            creator: key,
            limits: ROOM_LIMITS,
        }),
        json(&RoomState {
            room: RoomId([4; 16]),
            limits: ROOM_LIMITS,
            people: 1,
            closes_at: Timestamp(1),
            ends_at: Timestamp(2),
            now: Timestamp(0),
        }),
        json(&used),
    ]
}

/// What was padded comes back; what was not padded by us is refused or has our content and zeros.
fn unpadding(input: &[u8]) {
    if let Some(content) = padding::unpad(input) {
        assert_eq!(&input[4..4 + content.len()], content);
        let again = padding::pad(content, 29).unwrap();
        assert!(ENVELOPE_SIZES.contains(&(again.len() + 29)));
        assert_eq!(padding::unpad(&again), Some(content));
    }
    if let Ok(padded) = padding::pad(input, 29) {
        assert_eq!(padding::unpad(&padded), Some(input));
    }
}

fn padding_seeds() -> Vec<Vec<u8>> {
    vec![
        padding::pad(b"", 29).unwrap(),
        padding::pad(b"content", 29).unwrap(),
        vec![0, 0, 0, 1, 7],
    ]
}

#[test]
fn nothing_trips_the_decoders() {
    rly_fuzzing::replay(TARGETS);
}
