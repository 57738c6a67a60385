//! Rooms end to end, but for the browser: machines of people over websockets to the server as a process.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::process::{Place, Server, Socket};
use rand_core::{OsRng, RngCore};
use rly_client::{
    HttpError,
    room::{Room, RoomEffect, RoomInput, RoomOutput},
};
use rly_crypto::RoomSigner;
use rly_protocol::{
    Signature, Timestamp,
    api::RoomState,
    frame::ClientFrame,
    room::{RoomLimits, post_message},
    to_base64url,
};
use rly_view::{
    FailureCode, MessageState, RoomAnswer, RoomCode, RoomCommand, RoomContact, RoomContentView, RoomEndView,
    RoomMessageView, RoomPhase, RoomUpdate, RoomView,
};
use sha2::{Digest, Sha256};
use std::{
    collections::VecDeque,
    time::{SystemTime, UNIX_EPOCH},
};

const LIMITS: RoomLimits = RoomLimits {
    idle_seconds: 300,
    life_seconds: 3_600,
    people: 300,
    history: 200,
};

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(now.as_millis() as u64)
}

/// All that Ada's and Bob's texts are made of is letters, marks and spaces: good enough to count here.
/// The machine is given a counter by whoever runs it.
fn count(text: &str) -> usize {
    text.chars().count()
}

/// Somebody in a room: a machine, and what a browser does for it.
struct Person {
    room: Room,
    signer: RoomSigner,
    host: String,
    origin: String,
    socket: Option<Socket>,
    /// What is stored.
    row: Option<Vec<u8>>,
    /// Answers and effects that wait for somebody else.
    outcomes: Vec<Result<RoomAnswer, FailureCode>>,
    wishes: Vec<RoomEffect>,
    /// Messages that were told of with their place.
    placed: usize,
    over: bool,
}

impl Person {
    fn of(room: Room, signer: RoomSigner, server: &Server) -> Self {
        Self {
            room,
            signer,
            host: server.host().into(),
            origin: server.origin.clone(),
            socket: None,
            row: None,
            outcomes: Vec::new(),
            wishes: Vec::new(),
            placed: 0,
            over: false,
        }
    }

    /// Makes a room.
    async fn maker(server: &Server, limits: RoomLimits) -> Self {
        let signer = RoomSigner::generate(&mut OsRng);
        let room = Room::create(signer.public_key(), server.origin.clone(), count, &mut OsRng);
        let mut person = Self::of(room, signer, server);
        let opened = person.command(server, RoomCommand::Create { limits }).await;
        assert!(matches!(opened, Ok(RoomAnswer::Opened { .. })));
        person
    }

    /// Comes by a link.
    async fn guest(server: &Server, link: &str) -> Self {
        let (mut person, outcome) = Self::try_guest(server, link).await;
        assert!(outcome.is_ok());
        person.outcomes.clear();
        person
    }

    async fn try_guest(server: &Server, link: &str) -> (Self, Result<RoomAnswer, FailureCode>) {
        let signer = RoomSigner::generate(&mut OsRng);
        let code: RoomCode = link.parse().unwrap();
        let room = Room::open(&code, signer.public_key(), server.origin.clone(), count);
        let mut person = Self::of(room, signer, server);
        let outcome = person
            .command(server, RoomCommand::Open { code: link.into() })
            .await;
        (person, outcome)
    }

    /// The page is loaded anew: all that is left is what was stored.
    async fn reload(&mut self, server: &Server) {
        let row = self.row.clone().expect("something is stored");
        self.socket = None;
        self.host = server.host().into();
        // The origin stays: a server that was started again has another port here.
        self.room = Room::load(&row, server.origin.clone(), count).unwrap();
        self.input(server, RoomInput::Start).await;
    }

    fn link(&self) -> String {
        match self.room_opened() {
            RoomAnswer::Opened { link, .. } => link,
            _ => panic!("no link"),
        }
    }

    fn room_opened(&self) -> RoomAnswer {
        let code = self.row.as_ref().expect("a row");
        // Version, length, letters.
        let letters = std::str::from_utf8(&code[5..31]).unwrap();
        RoomAnswer::Opened {
            room: self.room.id().into(),
            link: letters.parse::<RoomCode>().unwrap().to_url(&self.origin),
            view: self.room.view(),
        }
    }

    async fn command(&mut self, server: &Server, command: RoomCommand) -> Result<RoomAnswer, FailureCode> {
        self.outcomes.clear();
        self.input(server, RoomInput::Command { from: 1, command }).await;
        while self.outcomes.is_empty() {
            self.turn(server).await;
        }
        self.outcomes.remove(0)
    }

    /// Waits for one frame, or for the end of the connection.
    async fn turn(&mut self, server: &Server) {
        let frame = match &mut self.socket {
            Some(socket) => socket.next().await,
            None => panic!("waits without a connection"),
        };
        match frame {
            Some(frame) => {
                self.input(server, RoomInput::SocketFrame(frame.to_message()))
                    .await
            }
            None => {
                self.socket = None;
                self.input(server, RoomInput::SocketClosed).await;
            }
        }
    }

    async fn until(&mut self, server: &Server, done: impl Fn(&Room) -> bool) {
        while !done(&self.room) {
            self.turn(server).await;
        }
    }

    async fn input(&mut self, server: &Server, input: RoomInput) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let RoomOutput {
                changes,
                effects,
                answers,
                updates,
            } = self.room.handle(now(), &mut OsRng, input);
            for (_, row) in changes.rows {
                self.row = row;
            }
            for update in updates {
                if let RoomUpdate::Messages { messages, .. } = update {
                    let placed = |message: &&RoomMessageView| text_of(message).is_some();
                    self.placed += messages.iter().filter(placed).count();
                }
            }
            self.outcomes.extend(
                answers
                    .into_iter()
                    .map(|(_, outcome)| outcome.map_err(|failure| failure.code)),
            );
            for effect in effects {
                match effect {
                    RoomEffect::OpenSocket => {
                        let (socket, hello) = Socket::open_raw(&self.host, "192.0.2.1").await;
                        self.socket = Some(socket);
                        inputs.push_back(RoomInput::SocketOpened);
                        inputs.push_back(RoomInput::SocketFrame(hello.to_message()));
                    }
                    RoomEffect::CloseSocket => self.socket = None,
                    RoomEffect::SendFrame(frame) => {
                        let frame = ClientFrame::from_message(frame).unwrap();
                        if let Some(socket) = &mut self.socket {
                            // Who is gone is noticed by the next read.
                            let _ = socket.try_send(frame).await;
                        }
                    }
                    RoomEffect::Sign { n, message, .. } => {
                        let signature = self.signer.sign(&message);
                        inputs.push_back(RoomInput::Signed { n, signature });
                    }
                    RoomEffect::Create(request) => {
                        let body = serde_json::to_value(&request).unwrap();
                        let answer = server.post("/api/rooms", &body).await;
                        inputs.push_back(RoomInput::Http(http(answer)));
                    }
                    RoomEffect::Look(room) => {
                        let path = format!("GET /api/rooms/{}", String::from(room));
                        let answer = server.request(server.host(), &path, "", "").await;
                        inputs.push_back(RoomInput::Http(http(answer)));
                    }
                    RoomEffect::ForgetKey(_) => self.over = true,
                    RoomEffect::SetTimer(_) => {}
                    wish @ (RoomEffect::MakeInvite { .. } | RoomEffect::OpenInvite { .. }) => {
                        self.wishes.push(wish)
                    }
                }
            }
        }
    }

    async fn join(&mut self, server: &Server, name: &str) -> Result<RoomAnswer, FailureCode> {
        let (room, name) = (self.room.id().into(), name.into());
        self.command(server, RoomCommand::Join { room, name }).await
    }

    async fn say(&mut self, server: &Server, text: &str) -> Result<RoomAnswer, FailureCode> {
        let mut id = [0; 16];
        OsRng.fill_bytes(&mut id);
        let (room, id, text) = (self.room.id().into(), to_base64url(&id), text.into());
        self.command(server, RoomCommand::Send { room, id, text }).await
    }

    fn texts(&self) -> Vec<(String, u16, String)> {
        texts(&self.room)
            .into_iter()
            .map(|(message, text)| (message.name, message.name_number, text))
            .collect()
    }
}

/// What a message says, if it is a text that has its place.
fn text_of(message: &RoomMessageView) -> Option<&str> {
    match &message.content {
        RoomContentView::Text { text } if message.order < 1 << 52 => Some(text),
        _ => None,
    }
}

/// Texts that have their place, in order.
fn texts(room: &Room) -> Vec<(RoomMessageView, String)> {
    let text = |message: RoomMessageView| {
        let text = text_of(&message)?.to_owned();
        Some((message, text))
    };
    room.messages().into_iter().filter_map(text).collect()
}

fn http(answer: common::process::Answer) -> Result<RoomState, HttpError> {
    match answer.status {
        200 => Ok(answer.ok()),
        _ => Err(HttpError::Code(answer.code(), None)),
    }
}

fn is_said(n: usize) -> impl Fn(&Room) -> bool {
    move |room| texts(room).len() >= n
}

fn person_named(view: &RoomView, name: &str, number: u16) -> u32 {
    let is_it = |p: &&rly_view::RoomPersonView| p.name == name && p.name_number == number;
    let person = view.people.iter().find(is_it);
    person.unwrap_or_else(|| panic!("no {name} {number}")).number
}

#[tokio::test]
async fn people_meet_in_a_room_and_it_ends_for_all() {
    let place = Place::new();
    let server = place.start();
    let mut ada = Person::maker(&server, LIMITS).await;
    let link = ada.link();
    assert_eq!(link.rsplit_once('#').unwrap().1.len(), 26);
    ada.join(&server, "Ada").await.unwrap();
    let mut bob = Person::guest(&server, &link).await;
    assert_eq!(bob.room.view().limits, LIMITS);
    // The second of two equal names has a number, beside the name.
    bob.join(&server, " ada ").await.unwrap();
    ada.say(&server, "Hello").await.unwrap();
    bob.until(&server, is_said(1)).await;
    bob.say(&server, "Hi Ada 👩‍👩‍👧").await.unwrap();
    ada.until(&server, is_said(2)).await;
    bob.until(&server, is_said(2)).await;
    let said = [
        ("Ada".into(), 1, "Hello".into()),
        ("ada".into(), 2, "Hi Ada 👩‍👩‍👧".into()),
    ];
    assert_eq!(ada.texts(), said);
    assert_eq!(bob.texts(), said);
    let own = texts(&bob.room).remove(1).0;
    assert_eq!((own.own, own.state), (true, Some(MessageState::Sent)));

    // Who comes late sees the history; who loads the page anew reads their own messages, too.
    let mut eve = Person::guest(&server, &link).await;
    eve.join(&server, "Eve").await.unwrap();
    eve.until(&server, is_said(2)).await;
    assert_eq!(eve.texts(), said);
    bob.reload(&server).await;
    bob.until(&server, is_said(2)).await;
    assert_eq!(bob.texts(), said);
    assert_eq!(bob.room.view().people.len(), 3);
    bob.say(&server, "Back").await.unwrap();
    eve.until(&server, is_said(3)).await;

    // Too long is not sent, and words that nobody may end a room with are for its maker.
    assert_eq!(
        bob.say(&server, &"x".repeat(1_001)).await.err(),
        Some(FailureCode::TextInvalid)
    );
    let room = String::from(bob.room.id());
    let close = RoomCommand::Close { room: room.clone() };
    assert_eq!(
        bob.command(&server, close.clone()).await.err(),
        Some(FailureCode::RoomNotCreator)
    );

    // Bob takes everything back.
    assert!(
        bob.command(&server, RoomCommand::DeleteEverything { room })
            .await
            .is_ok()
    );
    assert_eq!(
        (bob.room.view().phase, bob.row.is_none(), bob.over),
        (RoomPhase::Deleted, true, true)
    );
    eve.until(&server, |room| {
        texts(room).len() == 1 && room.view().people.len() == 2
    })
    .await;
    assert_eq!(eve.texts(), said[..1]);

    ada.command(&server, close).await.unwrap();
    eve.until(&server, Room::is_over).await;
    for person in [&ada, &eve] {
        let why = Some(RoomEndView::Creator);
        assert_eq!(person.room.view().phase, RoomPhase::Ended { why });
        assert!(person.row.is_none() && person.over && person.room.messages().is_empty());
    }
    let (_, outcome) = Person::try_guest(&server, &link).await;
    assert_eq!(outcome.err(), Some(FailureCode::RoomGone));
}

#[tokio::test]
async fn what_was_confirmed_outlives_a_kill_and_a_restart() {
    let place = Place::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let start = || {
        place.start_with(|command| {
            command.env("RLY_ADDR", port.to_string());
        })
    };
    let mut server = start();
    let mut ada = Person::maker(&server, LIMITS).await;
    let link = ada.link();
    ada.join(&server, "Ada").await.unwrap();
    let mut bob = Person::guest(&server, &link).await;
    bob.join(&server, "Bob").await.unwrap();
    let mut n = 0;
    for round in 0..4 {
        for _ in 0..5 {
            n += 1;
            ada.say(&server, &format!("text {n}")).await.unwrap();
            ada.until(&server, is_said(n)).await;
        }
        if round % 2 == 0 {
            server.signal("KILL");
        } else {
            server.signal("TERM");
        }
        server.wait();
        server = start();
        ada.reload(&server).await;
        ada.until(&server, is_said(n)).await;
        bob.reload(&server).await;
        bob.until(&server, is_said(n)).await;
        let expected: Vec<_> = (1..=n).map(|n| format!("text {n}")).collect();
        for person in [&ada, &bob] {
            let said: Vec<_> = texts(&person.room).into_iter().map(|(_, text)| text).collect();
            assert_eq!(said, expected);
            assert!(person.room.messages().iter().all(|message| !matches!(
                message.content,
                RoomContentView::Forged | RoomContentView::Missing { .. }
            )));
        }
    }
}

#[tokio::test]
async fn two_people_keep_each_other_as_contacts() {
    let place = Place::new();
    let server = place.start();
    let mut ada = Person::maker(&server, LIMITS).await;
    let link = ada.link();
    ada.join(&server, "Ada").await.unwrap();
    let mut bob = Person::guest(&server, &link).await;
    bob.join(&server, "Bob").await.unwrap();
    let mut eve = Person::guest(&server, &link).await;
    eve.join(&server, "Eve").await.unwrap();
    ada.until(&server, |room| room.view().people.len() == 3).await;
    let of = |person: &Person, name: &str| person_named(&person.room.view(), name, 1);
    let keep = |person: u32| RoomCommand::KeepContact {
        room: String::new(),
        person,
        name: None,
    };
    let state = |room: &Room, number: u32| {
        let view = room.view();
        view.people.iter().find(|p| p.number == number).unwrap().contact
    };
    let (a, b) = (of(&ada, "Ada"), of(&ada, "Bob"));
    bob.command(&server, keep(a)).await.unwrap();
    assert_eq!(state(&bob.room, a), RoomContact::Asked);
    ada.until(&server, |room| state(room, b) == RoomContact::AsksYou)
        .await;
    assert!(ada.wishes.is_empty(), "not without her word");
    ada.command(&server, keep(b)).await.unwrap();
    let RoomEffect::MakeInvite { person, .. } = ada.wishes.remove(0) else {
        panic!("no invite")
    };
    assert_eq!(person, b);
    let invite = Some("https://rly.example/i#invite".to_owned());
    let (room, link) = (String::new(), invite.clone());
    let made = RoomCommand::InviteMade { room, person, link };
    ada.command(&server, made).await.unwrap();
    // Ada's ask, the link and this go out one after the other, each when the one before is confirmed: what
    // she does not read nobody sends for her.
    ada.say(&server, "done").await.unwrap();
    ada.until(&server, is_said(1)).await;
    while bob.wishes.is_empty() {
        bob.turn(&server).await;
    }
    let RoomEffect::OpenInvite { person, link, .. } = bob.wishes.remove(0) else {
        panic!("no link")
    };
    assert_eq!((person, Some(link)), (a, invite));
    let (room, conversation) = (String::new(), Some("c".into()));
    let made = RoomCommand::ContactMade {
        room,
        person,
        conversation,
    };
    bob.command(&server, made).await.unwrap();
    assert_eq!(
        (state(&bob.room, a), state(&ada.room, b)),
        (RoomContact::Kept, RoomContact::Kept)
    );
    // Nobody else sees any of it.
    eve.until(&server, is_said(1)).await;
    let view = eve.room.view();
    assert!(eve.wishes.is_empty() && view.people.iter().all(|p| p.contact == RoomContact::None));
}

/// 200 people, each on a websocket of their own; each hashes what it shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_people_show_one_transcript() {
    const PEOPLE: usize = 200;
    const WORDS: usize = 2;
    let place = Place::new();
    let server = place.start_with(|command| {
        command.env("RLY_LIMITS", "joins=10000/10000,proofs=10000/10000");
    });
    let server = std::sync::Arc::new(server);
    let limits = RoomLimits {
        history: 500,
        ..LIMITS
    };
    let mut ada = Person::maker(&server, limits).await;
    let link = ada.link();
    ada.join(&server, "Ada").await.unwrap();
    let start = std::sync::Arc::new(tokio::sync::Barrier::new(PEOPLE));
    let mut people = tokio::task::JoinSet::new();
    for n in 0..PEOPLE {
        let (server, link, start) = (server.clone(), link.clone(), start.clone());
        people.spawn(async move {
            let mut person = Person::guest(&server, &link).await;
            // Many have the same name.
            person.join(&server, &format!("Name {}", n % 20)).await.unwrap();
            start.wait().await;
            for word in 0..WORDS {
                person.say(&server, &format!("{n} says {word}")).await.unwrap();
            }
            // Counted as they come: to make the whole view anew with each of so many takes minutes.
            while person.placed < PEOPLE * WORDS {
                person.turn(&server).await;
            }
            let messages = person.room.messages();
            let wrong = |message: &&RoomMessageView| {
                matches!(
                    message.content,
                    RoomContentView::Forged | RoomContentView::Missing { .. }
                )
            };
            assert_eq!(messages.iter().filter(wrong).count(), 0);
            let mut hash = Sha256::new();
            for message in &messages {
                if let Some(text) = text_of(message) {
                    let RoomMessageView {
                        order,
                        name,
                        name_number,
                        ..
                    } = message;
                    hash.update(format!("{order} {name} {name_number} {text}\n"));
                }
            }
            hash.finalize().to_vec()
        });
    }
    let mut hashes = people.join_all().await;
    hashes.dedup();
    assert_eq!(hashes.len(), 1, "one order");
}

#[tokio::test]
async fn wrong_secrets_full_rooms_and_forgeries_are_told_apart() {
    let place = Place::new();
    let server = place.start();
    let mut ada = Person::maker(&server, RoomLimits { people: 2, ..LIMITS }).await;
    let link = ada.link();
    ada.join(&server, "Ada").await.unwrap();
    // A code with one other letter is another room.
    let (rest, last) = link.split_at(link.len() - 1);
    let other = format!("{rest}{}", if last == "a" { "b" } else { "a" });
    let (_, outcome) = Person::try_guest(&server, &other).await;
    assert_eq!(outcome.err(), Some(FailureCode::RoomGone));
    let mut bob = Person::guest(&server, &link).await;
    bob.join(&server, "Bob").await.unwrap();
    let mut eve = Person::guest(&server, &link).await;
    assert_eq!(eve.join(&server, "Eve").await.err(), Some(FailureCode::RoomFull));

    // Bob's connection says something in Ada's name, and what he has said once more.
    bob.say(&server, "once").await.unwrap();
    ada.until(&server, is_said(1)).await;
    let body = bytes::Bytes::from(vec![1; 256]);
    let hash = Sha256::digest(&body).into();
    let by_ada = ada.signer.sign(&post_message(&ada.room.id(), 9, &hash));
    let by_bob = bob.signer.sign(&post_message(&bob.room.id(), 1, &hash));
    let room = bob.room.id();
    let mut socket = bob.socket.take().unwrap();
    for (seq, signature, code) in [
        (9, by_ada, "room_signature_wrong"),
        (9, Signature([0; 64]), "room_signature_wrong"),
        (1, by_bob, "room_replayed"),
    ] {
        let body = body.clone();
        socket
            .send(ClientFrame::RoomPost {
                req: 77,
                room,
                seq,
                body,
                signature,
            })
            .await;
        loop {
            if let Some(rly_protocol::frame::ServerFrame::Error {
                req: 77, code: given, ..
            }) = socket.next().await
            {
                assert_eq!(rly_protocol::ErrorCode::from_number(given).unwrap().name(), code);
                break;
            }
        }
    }
}
