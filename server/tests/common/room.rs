//! Somebody in a room: a machine as browsers run it, with a websocket to the server and what a browser
//! would have stored.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use crate::common::process::{Answer, PATIENCE, Server, Socket, request};
use rand_core::{OsRng, RngCore};
use rly_client::{
    HttpError,
    room::{Room, RoomEffect, RoomInput, RoomOutput},
};
use rly_crypto::RoomSigner;
use rly_protocol::{Timestamp, api::RoomState, frame::ClientFrame, room::RoomLimits, to_base64url};
use rly_view::{
    FailureCode, RoomAnswer, RoomCode, RoomCommand, RoomContentView, RoomMessageView, RoomUpdate,
};
use std::{
    collections::VecDeque,
    future::pending,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::timeout;

/// Where everybody seems to come from, for a server that trusts this machine as a proxy.
const PEER: &str = "192.0.2.1";
/// A server that does not greet for so long is as good as none.
const SILENCE: Duration = Duration::from_secs(4);

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(now.as_millis() as u64)
}

/// All that texts are made of here is letters, marks and spaces: good enough to count. The machine is
/// given a counter by whoever runs it.
fn count(text: &str) -> usize {
    text.chars().count()
}

pub struct Person {
    pub room: Room,
    pub signer: RoomSigner,
    /// Where it connects to, whatever the origin is.
    pub host: String,
    origin: String,
    pub socket: Option<Socket>,
    /// What is stored.
    pub row: Option<Vec<u8>>,
    /// Answers and effects that wait for somebody else.
    outcomes: Vec<Result<RoomAnswer, FailureCode>>,
    pub wishes: Vec<RoomEffect>,
    /// Messages that pages were told of, as often as they were.
    pub told: Vec<RoomMessageView>,
    timer: Option<Timestamp>,
    /// Its key is not needed any more.
    pub over: bool,
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
            told: Vec::new(),
            timer: None,
            over: false,
        }
    }

    /// Makes a room.
    pub async fn maker(server: &Server, limits: RoomLimits) -> Self {
        let signer = RoomSigner::generate(&mut OsRng);
        let room = Room::create(signer.public_key(), server.origin.clone(), count, &mut OsRng);
        let mut person = Self::of(room, signer, server);
        let opened = person.command(RoomCommand::Create { limits }).await;
        assert!(matches!(opened, Ok(RoomAnswer::Opened { .. })));
        person
    }

    /// Comes by a link.
    pub async fn guest(server: &Server, link: &str) -> Self {
        let (mut person, outcome) = Self::try_guest(server, link).await;
        assert!(outcome.is_ok());
        person.outcomes.clear();
        person
    }

    pub async fn try_guest(server: &Server, link: &str) -> (Self, Result<RoomAnswer, FailureCode>) {
        let signer = RoomSigner::generate(&mut OsRng);
        let code: RoomCode = link.parse().unwrap();
        let room = Room::open(&code, signer.public_key(), server.origin.clone(), count);
        let mut person = Self::of(room, signer, server);
        let outcome = person.command(RoomCommand::Open { code: link.into() }).await;
        (person, outcome)
    }

    /// The page is loaded anew: all that is left is what was stored.
    pub async fn reload(&mut self) {
        let row = self.row.clone().expect("something is stored");
        self.socket = None;
        self.timer = None;
        self.room = Room::load(&row, self.origin.clone(), count).unwrap();
        self.input(RoomInput::Start).await;
    }

    /// From now on it connects to another server, which has the same origin.
    pub async fn turn_to(&mut self, host: &str) {
        self.host = host.into();
        if self.socket.take().is_some() {
            self.input(RoomInput::SocketClosed).await;
        }
    }

    pub fn link(&self) -> String {
        let row = self.row.as_ref().expect("a row");
        // Version, length, letters.
        let letters = std::str::from_utf8(&row[5..31]).unwrap();
        letters.parse::<RoomCode>().unwrap().to_url(&self.origin)
    }

    pub async fn command(&mut self, command: RoomCommand) -> Result<RoomAnswer, FailureCode> {
        self.outcomes.clear();
        self.input(RoomInput::Command { from: 1, command }).await;
        while self.outcomes.is_empty() {
            self.turn().await;
        }
        self.outcomes.remove(0)
    }

    /// Waits for one frame, for the end of the connection or for the time that the machine asked for.
    pub async fn turn(&mut self) {
        self.turn_within(2 * PATIENCE).await;
    }

    /// The same, or nothing after this time.
    pub async fn turn_within(&mut self, limit: Duration) {
        let due = self
            .timer
            .map(|due| Duration::from_millis(due.0.saturating_sub(now().0)));
        let wait = due.map_or(limit, |due| due.min(limit));
        let next = async {
            match &mut self.socket {
                Some(socket) => socket.next().await,
                None => pending().await,
            }
        };
        match timeout(wait, next).await {
            Ok(Some(frame)) => self.input(RoomInput::SocketFrame(frame.to_message())).await,
            Ok(None) => {
                self.socket = None;
                self.input(RoomInput::SocketClosed).await;
            }
            Err(_) if due == Some(wait) => {
                self.timer = None;
                self.input(RoomInput::Timer).await;
            }
            Err(_) => {}
        }
    }

    pub async fn until(&mut self, done: impl Fn(&Room) -> bool) {
        while !done(&self.room) {
            self.turn().await;
        }
    }

    pub async fn input(&mut self, input: RoomInput) {
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
                    self.told.extend(messages);
                }
            }
            self.outcomes.extend(
                answers
                    .into_iter()
                    .map(|(_, outcome)| outcome.map_err(|failure| failure.code)),
            );
            for effect in effects {
                self.effect(effect, &mut inputs).await;
            }
        }
    }

    async fn effect(&mut self, effect: RoomEffect, inputs: &mut VecDeque<RoomInput>) {
        match effect {
            RoomEffect::OpenSocket => {
                let reached = Socket::reach(&self.host, &self.origin, Some(PEER), None);
                match timeout(SILENCE, reached).await.ok().flatten() {
                    Some((socket, hello)) => {
                        self.socket = Some(socket);
                        inputs.push_back(RoomInput::SocketOpened);
                        inputs.push_back(RoomInput::SocketFrame(hello.to_message()));
                    }
                    None => inputs.push_back(RoomInput::SocketClosed),
                }
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
            RoomEffect::Create(wanted) => {
                let body = serde_json::to_string(&wanted).unwrap();
                inputs.push_back(self.ask("POST /api/rooms", &body).await);
            }
            RoomEffect::Look(room) => {
                let path = format!("GET /api/rooms/{}", String::from(room));
                inputs.push_back(self.ask(&path, "").await);
            }
            RoomEffect::ForgetKey(_) => self.over = true,
            RoomEffect::SetTimer(due) => self.timer = Some(due),
            wish @ (RoomEffect::MakeInvite { .. } | RoomEffect::OpenInvite { .. }) => self.wishes.push(wish),
        }
    }

    async fn ask(&self, path: &str, body: &str) -> RoomInput {
        let headers = format!("X-Forwarded-For: {PEER}\r\n");
        RoomInput::Http(http(request(&self.host, path, &headers, body).await))
    }

    pub async fn join(&mut self, name: &str) -> Result<RoomAnswer, FailureCode> {
        let (room, name) = (self.room.id().into(), name.into());
        self.command(RoomCommand::Join { room, name }).await
    }

    pub async fn say(&mut self, text: &str) -> Result<RoomAnswer, FailureCode> {
        let mut id = [0; 16];
        OsRng.fill_bytes(&mut id);
        let (room, id, text) = (self.room.id().into(), to_base64url(&id), text.into());
        self.command(RoomCommand::Send { room, id, text }).await
    }

    pub fn texts(&self) -> Vec<(String, u16, String)> {
        texts(&self.room)
            .into_iter()
            .map(|(message, text)| (message.name, message.name_number, text))
            .collect()
    }
}

/// Whether a message has its place in the order that all see.
pub fn is_placed(message: &RoomMessageView) -> bool {
    message.order < 1 << 52
}

/// What a message says, if it is a text that has its place.
pub fn text_of(message: &RoomMessageView) -> Option<&str> {
    match &message.content {
        RoomContentView::Text { text } if is_placed(message) => Some(text),
        _ => None,
    }
}

/// Texts that have their place, in order.
pub fn texts(room: &Room) -> Vec<(RoomMessageView, String)> {
    let text = |message: RoomMessageView| {
        let text = text_of(&message)?.to_owned();
        Some((message, text))
    };
    room.messages().into_iter().filter_map(text).collect()
}

fn http(answer: Answer) -> Result<RoomState, HttpError> {
    match answer.status {
        200 => Ok(answer.ok()),
        _ => Err(HttpError::Code(answer.code(), None)),
    }
}
