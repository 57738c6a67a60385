//! One person's machine with its store, and two people who know each other.

use crate::{Effect, HttpOk, HttpRequest, Input, Machine, io::Key, table};
use bytes::Bytes;
use rly_fuzzing::Random;
use rly_protocol::{
    Address, Decode, Encode, EnvelopeId, Incarnation, InviteId, PublicKey, QueueId, Timestamp,
    api::{Registered, Shared},
    frame::{ClientFrame, Kind, Req, ServerFrame, Ticket},
    limits::FRAME_MAX,
    to_base64url,
};
use rly_view::{Answer, Command, FromWorker, Link, OpenedLetter};
use std::{collections::BTreeMap, sync::LazyLock};

pub(super) const ORIGIN: &str = "https://rly.example";
const START: Timestamp = Timestamp(1_800_000_000_000);

pub(super) type Store = BTreeMap<Key, Vec<u8>>;

/// What [`Machine::load`] takes.
pub(super) fn rows(store: &Store) -> Vec<(Key, Vec<u8>)> {
    let rows = store.iter().filter(|(key, _)| key[0] != table::MESSAGES);
    rows.map(|(key, value)| (key.clone(), value.clone())).collect()
}

pub(super) struct Side {
    pub machine: Machine,
    pub store: Store,
    pub now: Timestamp,
    pub random: Random,
    /// Requests that were not answered.
    pub requests: Vec<ClientFrame>,
    pub http: Vec<(u64, HttpRequest)>,
    pub answers: Vec<Answer>,
}

impl Side {
    pub fn new(store: Store, seed: u64) -> Self {
        Self {
            machine: Machine::load(rows(&store), ORIGIN.into()).unwrap(),
            store,
            now: START,
            random: Random::new(seed),
            requests: Vec::new(),
            http: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Gives an input, and does as an adapter would.
    pub fn input(&mut self, input: Input) {
        self.machine.handle(input, self.now, &mut self.random);
        let output = self.machine.take_output(self.now, &mut self.random);
        if output.changes.clear {
            self.store.clear();
        }
        for prefix in &output.changes.delete_prefixes {
            self.store.retain(|key, _| !key.starts_with(prefix));
        }
        for (key, value) in output.changes.rows {
            match value {
                Some(value) => drop(self.store.insert(key, value)),
                None => drop(self.store.remove(&key)),
            }
        }
        for effect in output.effects {
            match effect {
                Effect::SendFrame(frame) => {
                    assert!(frame.len() <= FRAME_MAX);
                    self.requests
                        .push(ClientFrame::from_message(frame).expect("our own frame"));
                }
                Effect::Http { id, request } => self.http.push((id, request)),
                _ => {}
            }
        }
        for (n, outcome) in output.answers {
            self.answers.extend(outcome.clone().ok());
            said(&FromWorker::Answer { n: n as u32, outcome });
        }
        output.updates.iter().for_each(said);
    }

    pub fn frame(&mut self, frame: &ServerFrame) {
        self.input(Input::SocketFrame(frame.to_message()));
    }

    pub fn command(&mut self, command: Command) {
        self.input(Input::Command { from: 1, command });
    }

    pub fn deliver(&mut self, queue: QueueId, seq: u64, id: [u8; 16], kind: Kind, body: &[u8]) {
        let (id, body) = (EnvelopeId(id), Bytes::copy_from_slice(body));
        self.frame(&ServerFrame::Deliver {
            queue,
            seq,
            kind,
            id,
            body,
        });
    }

    pub fn hello(&mut self, incarnation: u8, now: Timestamp) {
        self.input(Input::SocketOpened);
        self.frame(&ServerFrame::Hello {
            min: 1,
            max: 1,
            nonce: [1; 32],
            incarnation: Incarnation([incarnation; 16]),
            now,
        });
    }

    /// Connects to a server that does what it should.
    pub fn connect(&mut self) {
        self.input(Input::Start);
        self.hello(1, START);
        self.answer_all();
    }

    /// Answers every request as a server should, one that knows nothing.
    pub fn answer_all(&mut self) {
        while let Some(request) = self.requests.pop() {
            let answer = match request {
                ClientFrame::OpenVault { req, .. } => subscribed(req, QueueId([0; 16])),
                ClientFrame::Subscribe { req, queue, .. } => subscribed(req, queue),
                ClientFrame::VaultRead { req, .. } => ServerFrame::VaultPage {
                    req,
                    generation: 0,
                    entries: Vec::new(),
                    more: false,
                },
                ClientFrame::VaultWrite { req, expected, .. } => ServerFrame::VaultWritten {
                    req,
                    generation: expected + 1,
                },
                ClientFrame::Ack { .. } => continue,
                ClientFrame::Ping { nonce } => ServerFrame::Pong { nonce },
                ClientFrame::Unsubscribe { req, .. }
                | ClientFrame::Send { req, .. }
                | ClientFrame::DeleteQueue { req, .. }
                | ClientFrame::WithdrawInvite { req, .. }
                | ClientFrame::RoomJoin { req, .. }
                | ClientFrame::RoomPost { req, .. }
                | ClientFrame::RoomLeave { req, .. }
                | ClientFrame::RoomDelete { req, .. }
                | ClientFrame::RoomClose { req, .. } => ServerFrame::Done { req },
            };
            self.frame(&answer);
        }
    }

    pub fn register(&mut self, n: u8) {
        let (id, _) = self.http.pop().expect("a request for a mailbox");
        let registered = Registered {
            queue: QueueId([n; 16]),
            address: Address([n + 1; 16]),
            address_token: "a.b.c".into(),
        };
        self.input(Input::Http {
            id,
            result: Ok(HttpOk::Registered(registered)),
        });
    }
}

pub(super) fn subscribed(req: Req, queue: QueueId) -> ServerFrame {
    let ticket = Ticket {
        expires: START.plus_seconds(86_400),
        mac: [0; 32],
    };
    ServerFrame::Subscribed { req, queue, ticket }
}

/// What the worker says has to be read by the page.
pub(super) fn said(message: &FromWorker) {
    let bytes = message.to_bytes();
    let again = FromWorker::from_bytes(&bytes).expect("the page reads what the worker says");
    assert_eq!(again.to_bytes(), bytes);
}

/// Ada invited, Bob has answered, and his answer was delivered to her.
pub(super) struct Friends {
    pub ada: Store,
    pub bob: Store,
    /// An opened letter of Ada's, as a page of Bob's stores it.
    pub letter: OpenedLetter,
}

pub(super) static FRIENDS: LazyLock<Friends> = LazyLock::new(|| {
    let mut ada = Side::new(Store::new(), 1);
    ada.connect();
    ada.command(Command::CreateInvite {
        id: to_base64url(&[1; 16]),
        letter: Some("Hello".into()),
        name: Some("Ada".into()),
        ttl_seconds: 86_400,
    });
    ada.hello(1, START);
    ada.answer_all();
    ada.register(10);
    let (id, request) = ada.http.pop().expect("a request for a link");
    let HttpRequest::Share(share) = request else {
        panic!("a request for a link");
    };
    let shared = Shared {
        invite: "a.b.c".into(),
        invite_id: InviteId([3; 16]),
        expires_at: START.plus_seconds(86_400),
    };
    ada.input(Input::Http {
        id,
        result: Ok(HttpOk::Shared(shared)),
    });
    let Some(Answer::Invite { link, .. }) = ada.answers.pop() else {
        panic!("no link");
    };
    let link = Link::from_fragment(link.split_once('#').unwrap().1).unwrap();
    let letter = OpenedLetter {
        id: [4; 16],
        invite: link.invite.clone(),
        secret: link.secret,
        claim_key: PublicKey::try_from(&[4; 65][..]).unwrap(),
        opened_at: START,
        claimed: Some((Address([11; 16]), share.card.0.into())),
    };
    let mut bob = Side::new(Store::new(), 2);
    bob.connect();
    bob.input(Input::Letter {
        id: letter.id,
        row: Some(letter.to_bytes()),
    });
    bob.command(Command::Reply {
        letter: to_base64url(&letter.id),
        name: Some("Bob".into()),
        text: "Hi".into(),
    });
    bob.register(20);
    let conversation = bob.machine.conversations.values().next().expect("a conversation");
    let sealed = conversation
        .outbox
        .values()
        .next()
        .and_then(|row| row.sealed.clone());
    ada.answer_all();
    ada.deliver(
        QueueId([10; 16]),
        1,
        [5; 16],
        Kind::Envelope,
        &sealed.expect("an answer").body,
    );
    ada.answer_all();
    assert_eq!(ada.machine.conversations.len(), 1, "Ada has the answer");
    Friends {
        ada: ada.store,
        bob: bob.store,
        letter,
    }
});
