//! Fuzz targets: links, cards, and what page and worker say to each other. See `rly_fuzzing`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::{
    Answer, Command, Content, ConversationView, Failure, FailureCode, FromWorker, Link, LinkError,
    MessageState, MessageView, OpenedLetter, ROOM_PRESET, RoomAnswer, RoomCode, RoomCommand, RoomContact,
    RoomContentView, RoomEndView, RoomMessageView, RoomPersonView, RoomPhase, RoomUpdate, RoomView,
    StateView, ToWorker,
    card::{Card, SignedCard, join_sealed, split_sealed},
};
use bytes::Bytes;
use rly_fuzzing::{Target, within};
use rly_protocol::{
    Address, Decode, Encode, PublicKey, Signature, Timestamp, limits::LINK_MAX, to_base64url,
};
use sha2::{Digest, Sha256};

/// Every target of this crate.
pub static TARGETS: &[Target] = &[
    Target {
        name: "link",
        run: link,
        seeds: link_seeds,
        words: &["#", ".", " "],
        rounds: 20_000,
    },
    Target {
        name: "card",
        run: card,
        seeds: card_seeds,
        words: &[],
        rounds: 20_000,
    },
    Target {
        name: "room_code",
        run: room_code,
        seeds: room_code_seeds,
        words: &["#", "-", " ", "0", "8", "http://a/r#"],
        rounds: 20_000,
    },
    Target {
        name: "page_messages",
        run: messages,
        seeds: message_seeds,
        words: &[],
        rounds: 20_000,
    },
];

const PER_BYTE: usize = 8;
const BESIDE: usize = 4096;

/// A fragment that is taken has one form. First as it is, then with a checksum that fits.
fn link(input: &[u8]) {
    let Ok(text) = core::str::from_utf8(input) else {
        return;
    };
    let sum = Sha256::digest(text.as_bytes());
    for fragment in [text.to_owned(), format!("{text}{}", to_base64url(&sum[..3]))] {
        let read = within(PER_BYTE * fragment.len() + BESIDE, || {
            Link::from_fragment(&fragment)
        });
        match read {
            Ok(link) => {
                let written = link.to_fragment();
                assert!(written.len() <= LINK_MAX);
                assert_eq!(Link::from_fragment(&written), Ok(link.clone()));
                assert_eq!(Link::from_fragment(&format!("#{written}")), Ok(link.clone()));
                assert_eq!(fragment.trim_start_matches('#').trim(), written);
                let url = link.to_url("https://rly.example");
                assert_eq!(
                    url.split_once('#').map(|(_, fragment)| fragment),
                    Some(&written[..])
                );
            }
            Err(LinkError::Empty) => assert!(fragment.trim_start_matches('#').trim().is_empty()),
            Err(LinkError::Mangled) => {}
        }
    }
}

fn link_seeds() -> Vec<Vec<u8>> {
    let link = Link {
        invite: "eyJ0eXAiOiJpIiwiYWxnIjoiRVMyNTYifQ.eyJqdGkiOiJ4In0.c2ln".into(),
        secret: [7; 16],
    };
    let whole = link.to_fragment();
    let body = whole[..whole.len() - 4].to_owned();
    vec![
        whole.clone().into_bytes(),
        format!("#{whole}").into_bytes(),
        body.into_bytes(),
    ]
}

/// Cards and letters have one form.
fn card(input: &[u8]) {
    let allowed = PER_BYTE * input.len() + BESIDE;
    let (signed, card, letter) = within(allowed, || {
        (
            SignedCard::from_bytes(input),
            Card::from_bytes(input),
            OpenedLetter::from_bytes(input),
        )
    });
    if let Ok(signed) = signed {
        assert_eq!(signed.to_bytes(), input);
        if let Ok(card) = within(allowed, || signed.decode_card()) {
            assert_eq!(card.to_bytes(), signed.card);
        }
    }
    if let Ok(card) = card {
        assert_eq!(card.to_bytes(), input);
    }
    if let Ok(letter) = letter {
        assert_eq!(letter.to_bytes(), input);
    }
    if let Some((nonce, ciphertext)) = split_sealed(input) {
        assert_eq!(join_sealed(nonce, ciphertext), input);
    }
}

fn card_seeds() -> Vec<Vec<u8>> {
    let key = PublicKey::try_from(&[4; 65][..]).unwrap();
    let card = Card {
        origin: "https://rly.example".into(),
        address: Address([1; 16]),
        outer_key: [2; 32],
        key_package: Bytes::from_static(b"key package"),
        sim_key: key,
        name: "Ada".into(),
        letter: Some("Hello".into()),
    };
    let signed = SignedCard {
        card: card.to_bytes().into(),
        signature: Signature([3; 64]),
    };
    let letter = OpenedLetter {
        id: [1; 16],
        invite: "a.b.c".into(),
        secret: [2; 16],
        claim_key: key,
        opened_at: Timestamp(1_800_000_000_000),
        claimed: Some((Address([1; 16]), Bytes::from_static(b"sealed card"))),
    };
    vec![
        card.to_bytes(),
        signed.to_bytes(),
        letter.to_bytes(),
        join_sealed(&[5; 12], &[6; 40]),
    ]
}

/// A code that is taken has one form.
fn room_code(input: &[u8]) {
    let Ok(text) = core::str::from_utf8(input) else {
        return;
    };
    if let Ok(code) = text.parse::<RoomCode>() {
        for written in [
            code.to_text(),
            code.to_groups(),
            code.to_url("https://rly.example"),
        ] {
            assert_eq!(written.parse(), Ok(code.clone()));
        }
    }
}

fn room_code_seeds() -> Vec<Vec<u8>> {
    let code = RoomCode::from_random(&core::array::from_fn(|n| n as u8));
    vec![
        code.to_text().into_bytes(),
        code.to_groups().into_bytes(),
        code.to_url("https://rly.example").into_bytes(),
    ]
}

/// What page and worker say has one form.
fn messages(input: &[u8]) {
    message::<ToWorker>(input);
    message::<FromWorker>(input);
    message::<RoomCommand>(input);
    message::<RoomAnswer>(input);
    message::<RoomUpdate>(input);
}

fn message<T: Encode + Decode>(input: &[u8]) {
    if let Ok(value) = within(PER_BYTE * input.len() + BESIDE, || T::from_bytes(input)) {
        assert_eq!(value.to_bytes(), input);
    }
}

fn room_seeds() -> Vec<Vec<u8>> {
    let room = || to_base64url(&[2; 16]);
    let view = RoomView {
        room: room(),
        phase: RoomPhase::Ended {
            why: Some(RoomEndView::Idle),
        },
        limits: ROOM_PRESET,
        closes_at: Timestamp(1),
        ends_at: Timestamp(2),
        you: Some(1),
        creator: true,
        people: vec![RoomPersonView {
            number: 1,
            name: "Ada".into(),
            name_number: 2,
            here: true,
            contact: RoomContact::AsksYou,
        }],
        trouble: Some(FailureCode::RoomFull),
        name: Some("Ada".into()),
        retry_at: Some(Timestamp(3)),
    };
    let message = RoomMessageView {
        id: room(),
        order: 1,
        from: 1,
        name: "Ada".into(),
        name_number: 2,
        own: false,
        at: Timestamp(1),
        content: RoomContentView::Text { text: "Hello".into() },
        state: None,
    };
    let ask = |command: RoomCommand| command.to_bytes();
    let answer = |answer: RoomAnswer| answer.to_bytes();
    vec![
        ask(RoomCommand::Create { limits: ROOM_PRESET }),
        ask(RoomCommand::Open { code: "abc".into() }),
        ask(RoomCommand::Join {
            room: room(),
            name: "Ada".into(),
        }),
        ask(RoomCommand::Send {
            room: room(),
            id: room(),
            text: "Hi".into(),
        }),
        ask(RoomCommand::KeepContact {
            room: room(),
            person: 2,
            name: None,
        }),
        answer(RoomAnswer::Opened {
            room: room(),
            link: "x".into(),
            view: view.clone(),
        }),
        answer(RoomAnswer::View {
            view: view.clone(),
            messages: vec![message.clone()],
        }),
        RoomUpdate::View { view }.to_bytes(),
        RoomUpdate::Messages {
            room: room(),
            messages: vec![message],
        }
        .to_bytes(),
        RoomUpdate::Removed {
            room: room(),
            ids: vec![room()],
        }
        .to_bytes(),
    ]
}

fn message_seeds() -> Vec<Vec<u8>> {
    let mut seeds = direct_seeds();
    seeds.extend(room_seeds());
    seeds
}

fn direct_seeds() -> Vec<Vec<u8>> {
    let ask = |command| ToWorker { n: 1, command }.to_bytes();
    let id = || to_base64url(&[1; 16]);
    let message = MessageView {
        id: id(),
        order: 1,
        own: true,
        at: Timestamp(1_800_000_000_000),
        content: Content::Text("Hello".into()),
        state: Some(MessageState::Sent),
    };
    let conversation = ConversationView {
        id: id(),
        name: "Ada".into(),
        began_with: id(),
        last: None,
        active_at: Timestamp(1),
        unread: 1,
        safety_code: "0".repeat(60),
        verified: false,
        blocked: false,
        rejoining: false,
        unreachable: false,
    };
    let state = StateView {
        conversations: vec![conversation],
        ..StateView::default()
    };
    let failed = Failure::from(FailureCode::NoSim);
    vec![
        ask(Command::CreateSim {
            name: "Ada".into(),
            password: None,
        }),
        ask(Command::ImportSim {
            file: "rly-sim-1.x".into(),
            password: Some("p".into()),
        }),
        ask(Command::CreateInvite {
            id: id(),
            letter: Some("Hi".into()),
            name: None,
            ttl_seconds: 60,
        }),
        ask(Command::Reply {
            letter: id(),
            name: Some("Bob".into()),
            text: String::new(),
        }),
        ask(Command::Send {
            conversation: id(),
            id: id(),
            text: "Hi".into(),
        }),
        ask(Command::LoadMessages {
            conversation: id(),
            before: Some(9),
            limit: 50,
        }),
        ask(Command::SetVerified {
            conversation: id(),
            verified: true,
        }),
        ask(Command::UseHere),
        FromWorker::State(state).to_bytes(),
        FromWorker::Messages {
            conversation: id(),
            messages: vec![message.clone()],
        }
        .to_bytes(),
        FromWorker::Answer {
            n: 1,
            outcome: Ok(Answer::Messages {
                messages: vec![message],
                more: true,
            }),
        }
        .to_bytes(),
        FromWorker::Answer {
            n: 1,
            outcome: Err(failed),
        }
        .to_bytes(),
        FromWorker::Answer {
            n: 1,
            outcome: Ok(Answer::Invite {
                id: id(),
                link: "https://rly.example/i#x".into(),
                expires_at: Timestamp(1),
            }),
        }
        .to_bytes(),
    ]
}

#[test]
fn nothing_trips_the_decoders() {
    rly_fuzzing::replay(TARGETS);
}
