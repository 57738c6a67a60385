//! A room's machine alone, with a server played by hand: what comes in which order is the test's choice.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use rly_client::room::{Room, RoomEffect, RoomInput, RoomOutput};
use rly_crypto::RoomSigner;
use rly_protocol::{
    Incarnation, Signature, Timestamp,
    api::RoomState,
    frame::{ClientFrame, ServerFrame},
    room::{RoomEvent, RoomLimits, RoomPerson},
    to_base64url,
};
use rly_view::{MessageState, RoomCode, RoomCommand, RoomContentView, RoomPhase};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const LIMITS: RoomLimits = rly_view::ROOM_PRESET;

struct Ada {
    room: Room,
    signer: RoomSigner,
    rng: ChaCha20Rng,
    /// What the server got and has not answered.
    sent: Vec<ClientFrame>,
    /// How often the server was asked how the room is, and who was answered how.
    looks: usize,
    answers: Vec<(u64, bool)>,
}

impl Ada {
    /// Somebody with a code.
    fn outside() -> (Self, RoomCode) {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let signer = RoomSigner::generate(&mut rng);
        let code = RoomCode::from_random(&[9; 26]);
        let room = Room::open(&code, signer.public_key(), "https://rly.example".into(), |text| {
            text.chars().count()
        });
        let ada = Self {
            room,
            signer,
            rng,
            sent: Vec::new(),
            looks: 0,
            answers: Vec::new(),
        };
        (ada, code)
    }

    fn state(&self) -> RoomState {
        RoomState {
            room: self.room.id(),
            limits: LIMITS,
            people: 0,
            closes_at: NOW.plus_seconds(300),
            ends_at: NOW.plus_seconds(3_600),
            now: NOW,
        }
    }

    /// Alone in a room.
    fn inside() -> Self {
        let (mut ada, code) = Self::outside();
        ada.command(RoomCommand::Open { code: code.to_text() });
        let state = ada.state();
        ada.input(RoomInput::Http(Ok(state)));
        let (room, name) = (String::new(), "Ada".into());
        ada.command(RoomCommand::Join { room, name });
        ada.join();
        ada
    }

    fn join(&mut self) {
        let hello = ServerFrame::Hello {
            min: 1,
            max: 1,
            nonce: [3; 32],
            incarnation: Incarnation([0; 16]),
            now: NOW,
        };
        self.server(hello);
        let Some(ClientFrame::RoomJoin {
            req,
            room,
            key,
            name_hash,
            name,
            ..
        }) = self.sent.pop()
        else {
            panic!("does not join")
        };
        let person = RoomPerson {
            number: 1,
            key,
            name_hash,
            name_number: 1,
            name,
            here: true,
        };
        self.server(ServerFrame::RoomJoined {
            req,
            room,
            you: 1,
            seq: 0,
            creator: key,
            limits: LIMITS,
            ends_at: NOW.plus_seconds(3_600),
            closes_at: NOW.plus_seconds(300),
            head: 0,
            people: vec![person],
        });
        assert_eq!(self.room.view().phase, RoomPhase::Inside);
    }

    fn command(&mut self, command: RoomCommand) {
        self.input(RoomInput::Command { from: 1, command });
    }

    fn server(&mut self, frame: ServerFrame) {
        self.input(RoomInput::SocketFrame(frame.to_message()));
    }

    fn input(&mut self, input: RoomInput) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let RoomOutput { effects, answers, .. } = self.room.handle(NOW, &mut self.rng, input);
            let answers = answers.into_iter();
            self.answers
                .extend(answers.map(|(from, outcome)| (from, outcome.is_ok())));
            for effect in effects {
                match effect {
                    RoomEffect::SendFrame(frame) => self.sent.push(ClientFrame::from_message(frame).unwrap()),
                    RoomEffect::Sign { n, message, .. } => {
                        let signature = self.signer.sign(&message);
                        inputs.push(RoomInput::Signed { n, signature });
                    }
                    RoomEffect::Look(_) => self.looks += 1,
                    _ => {}
                }
            }
        }
    }

    fn say(&mut self, n: u8) {
        let (room, id, text) = (String::new(), to_base64url(&[n; 16]), format!("text {n}"));
        self.command(RoomCommand::Send { room, id, text });
    }

    /// The post that the server got: its request and what is in it.
    fn post(&mut self) -> (u32, u64, Bytes, Signature) {
        match self.sent.remove(0) {
            ClientFrame::RoomPost {
                req,
                seq,
                body,
                signature,
                ..
            } => (req, seq, body, signature),
            _ => panic!("no post"),
        }
    }

    fn happened(&mut self, place: u64, (seq, body, signature): (u64, Bytes, Signature)) {
        let room = self.room.id();
        let event = RoomEvent::Message {
            from: 1,
            seq,
            body,
            signature,
        };
        self.server(ServerFrame::RoomHappened {
            room,
            place,
            at: NOW,
            event,
        });
    }

    fn texts(&self) -> Vec<(String, Option<MessageState>)> {
        let text = |message: rly_view::RoomMessageView| match message.content {
            RoomContentView::Text { text } => Some((text, message.state)),
            _ => None,
        };
        self.room.messages().into_iter().filter_map(text).collect()
    }
}

#[test]
fn a_message_that_comes_back_before_its_answer_takes_no_other_along() {
    let mut ada = Ada::inside();
    ada.say(1);
    ada.say(2);
    ada.say(3);
    // Everybody gets it, she too, before she is answered; or after it.
    for (n, back_first) in [(1, true), (2, false), (3, true)] {
        let (req, seq, body, signature) = ada.post();
        assert_eq!(seq, n);
        assert!(ada.sent.is_empty(), "one is under way at a time");
        if back_first {
            ada.happened(n, (seq, body.clone(), signature));
            ada.server(ServerFrame::Done { req });
        } else {
            ada.server(ServerFrame::Done { req });
            ada.happened(n, (seq, body, signature));
        }
    }
    let sent = |n: u8| (format!("text {n}"), Some(MessageState::Sent));
    assert_eq!(ada.texts(), [sent(1), sent(2), sent(3)]);
    assert!(ada.sent.is_empty());
}

#[test]
fn a_refusal_that_comes_after_the_message_itself_changes_nothing() {
    let mut ada = Ada::inside();
    ada.say(1);
    ada.say(2);
    let (req, seq, body, signature) = ada.post();
    ada.happened(1, (seq, body, signature));
    ada.server(ServerFrame::Error {
        req,
        code: rly_protocol::ErrorCode::RoomReplayed.number(),
        retry_after: 0,
    });
    let (req, seq, body, signature) = ada.post();
    assert_eq!(seq, 2);
    ada.happened(2, (seq, body, signature));
    ada.server(ServerFrame::Done { req });
    let sent = |n: u8| (format!("text {n}"), Some(MessageState::Sent));
    assert_eq!(ada.texts(), [sent(1), sent(2)]);
}

#[test]
fn all_tabs_that_open_a_room_are_answered() {
    let (mut ada, code) = Ada::outside();
    for from in [1, 2, 3] {
        let command = RoomCommand::Open { code: code.to_text() };
        ada.input(RoomInput::Command { from, command });
    }
    assert!(ada.answers.is_empty());
    let state = ada.state();
    ada.input(RoomInput::Http(Ok(state)));
    assert_eq!(ada.answers, [(1, true), (2, true), (3, true)]);
    // From outside the server is asked anew; from inside it tells by itself.
    let looks = ada.looks;
    ada.command(RoomCommand::Open { code: code.to_text() });
    assert_eq!((ada.looks, ada.answers.len()), (looks + 1, 4));
    let mut ada = Ada::inside();
    let looks = ada.looks;
    ada.command(RoomCommand::Open { code: code.to_text() });
    assert_eq!(ada.looks, looks);
}
