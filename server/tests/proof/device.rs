//! The real messenger, as in a browser, but native: the client machine with its store in memory, a real
//! socket and real requests.

use crate::common::process::{Server, Socket};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;
use rly_client::{Effect, HttpOk, HttpRequest, Input, Machine, Output, table};
use rly_protocol::{
    Encode, PublicKey, Timestamp,
    api::{Imported, Registered, Shared},
    frame::{ClientFrame, ServerFrame},
    to_base64url,
};
use rly_view::{Answer, Command, FailureCode, FromWorker, Link, OpenedLetter, StateView};
use serde_json::json;
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant, SystemTime},
};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

/// How long one look at the socket takes.
const LOOK: Duration = Duration::from_millis(5);

/// What went between a device and the server, for those who look for it elsewhere.
#[derive(Default)]
pub struct Traffic {
    pub registered: Vec<(Registered, PublicKey)>,
    pub shared: Vec<Shared>,
    pub imported: Vec<(Imported, PublicKey)>,
    pub sent: Vec<ClientFrame>,
    pub received: Vec<ServerFrame>,
}

pub struct Device {
    store: BTreeMap<Vec<u8>, Vec<u8>>,
    machine: Machine,
    rng: ChaCha20Rng,
    peer: String,
    socket: Option<Socket>,
    timer: Option<Timestamp>,
    answers: BTreeMap<u64, Result<Answer, FailureCode>>,
    commands: u64,
    pub state: StateView,
    pub traffic: Traffic,
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp(since.as_millis() as u64)
}

impl Device {
    /// A browser that was never here, at this IP address.
    pub async fn new(server: &Server, peer: &str, rng: ChaCha20Rng) -> Self {
        let mut device = Self {
            store: BTreeMap::new(),
            machine: Machine::load(Vec::new(), server.origin.clone()).unwrap(),
            rng,
            peer: peer.into(),
            socket: None,
            timer: None,
            answers: BTreeMap::new(),
            commands: 0,
            state: StateView::default(),
            traffic: Traffic::default(),
        };
        device.input(server, Input::Start).await;
        device
    }

    async fn input(&mut self, server: &Server, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.machine.handle(input, now(), &mut self.rng);
            let output = self.machine.take_output(now(), &mut self.rng);
            self.carry_out(server, output, &mut inputs).await;
        }
    }

    async fn carry_out(&mut self, server: &Server, output: Output, inputs: &mut VecDeque<Input>) {
        // The law: first what is to be stored.
        let changes = output.changes;
        if changes.clear {
            self.store.clear();
        }
        for prefix in &changes.delete_prefixes {
            self.store.retain(|key, _| !key.starts_with(prefix));
        }
        for (key, value) in changes.rows {
            match value {
                Some(value) => self.store.insert(key, value),
                None => self.store.remove(&key),
            };
        }
        for (from, outcome) in output.answers {
            self.answers.insert(from, outcome.map_err(|failure| failure.code));
        }
        for update in output.updates {
            if let FromWorker::State(state) = update {
                self.state = state;
            }
        }
        for effect in output.effects {
            match effect {
                Effect::OpenSocket => {
                    self.socket = None;
                    let (socket, hello) = Socket::open_raw(server.host(), &self.peer).await;
                    self.socket = Some(socket);
                    inputs.push_back(Input::SocketOpened);
                    self.traffic.received.push(hello.clone());
                    inputs.push_back(Input::SocketFrame(hello.to_message()));
                }
                Effect::CloseSocket => self.socket = None,
                Effect::SendFrame(frame) => {
                    self.traffic
                        .sent
                        .push(ClientFrame::from_message(frame.clone()).unwrap());
                    if let Some(socket) = &mut self.socket {
                        socket.stream.send(Message::Binary(frame)).await.unwrap();
                    }
                }
                Effect::Http { id, request } => {
                    let result = Ok(self.http(server, request).await);
                    inputs.push_back(Input::Http { id, result });
                }
                Effect::ReadMessages {
                    id,
                    prefix,
                    before,
                    limit,
                } => {
                    let fits = |key: &Vec<u8>| {
                        key.starts_with(&prefix) && before.as_ref().is_none_or(|end| key < end)
                    };
                    let mut rows: Vec<_> = self.store.iter().filter(|(key, _)| fits(key)).rev().collect();
                    let more = rows.len() > limit as usize;
                    rows.truncate(limit as usize);
                    let rows = rows
                        .into_iter()
                        .rev()
                        .map(|(k, v)| (k.clone(), v.clone()))
                        .collect();
                    inputs.push_back(Input::Rows { id, rows, more });
                }
                Effect::SetTimer(at) => self.timer = Some(at),
            }
        }
    }

    async fn http(&mut self, server: &Server, request: HttpRequest) -> HttpOk {
        match request {
            HttpRequest::Register(request) => {
                let body = serde_json::to_value(&request).unwrap();
                let answer = server.post_as(&self.peer, "/api/register_sim", &body).await;
                let registered: Registered = answer.ok();
                self.traffic
                    .registered
                    .push((registered.clone(), request.reader_key));
                HttpOk::Registered(registered)
            }
            HttpRequest::Share(request) => {
                let body = serde_json::to_value(&request).unwrap();
                let shared: Shared = server.post_as(&self.peer, "/api/share_contact", &body).await.ok();
                self.traffic.shared.push(shared.clone());
                HttpOk::Shared(shared)
            }
        }
    }

    /// Takes what is there now: frames and time.
    pub async fn look(&mut self, server: &Server) {
        while let Some(frame) = self.frame().await {
            self.traffic
                .received
                .push(ServerFrame::from_message(frame.clone()).unwrap());
            self.input(server, Input::SocketFrame(frame)).await;
        }
        if self.timer.is_some_and(|at| at <= now()) {
            self.timer = None;
            self.input(server, Input::Timer).await;
        }
    }

    async fn frame(&mut self) -> Option<Bytes> {
        let socket = self.socket.as_mut()?;
        loop {
            match timeout(LOOK, socket.stream.next()).await.ok()? {
                Some(Ok(Message::Binary(frame))) => return Some(frame),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("the connection ended: {other:?}"),
            }
        }
    }

    pub async fn run(&mut self, server: &Server, command: Command) -> Answer {
        self.commands += 1;
        let from = self.commands;
        self.input(server, Input::Command { from, command }).await;
        let start = Instant::now();
        loop {
            if let Some(answer) = self.answers.remove(&from) {
                return answer.unwrap_or_else(|code| panic!("{code:?}"));
            }
            assert!(start.elapsed() < crate::common::process::PATIENCE, "no answer");
            self.look(server).await;
        }
    }

    pub fn id(&mut self) -> String {
        let mut id = [0; 16];
        self.rng.fill_bytes(&mut id);
        to_base64url(&id)
    }

    /// What a page does when Open is pressed: claim the link, keep the letter.
    pub async fn open(&mut self, server: &Server, link: &Link) -> String {
        let key = crate::common::Key::generate();
        let body = json!({"invite": link.invite, "claim_key": key.json()});
        let imported: Imported = server
            .post_as(&self.peer, "/api/import_contact", &body)
            .await
            .ok();
        self.traffic.imported.push((imported.clone(), key.public()));
        let id = self.id();
        let raw: [u8; 16] = rly_protocol::from_base64url(&id).unwrap().try_into().unwrap();
        let letter = OpenedLetter {
            id: raw,
            invite: link.invite.clone(),
            secret: link.secret,
            claim_key: key.public(),
            opened_at: now(),
            claimed: Some((imported.address, imported.card.0.into())),
        };
        let row = letter.to_bytes();
        self.store
            .insert([&[table::LETTERS], &raw[..]].concat(), row.clone());
        self.input(
            server,
            Input::Letter {
                id: raw,
                row: Some(row),
            },
        )
        .await;
        id
    }
}

/// Lets both go on until it holds.
pub async fn until(
    server: &Server,
    a: &mut Device,
    b: &mut Device,
    what: &str,
    holds: impl Fn(&Device, &Device) -> bool,
) {
    let start = Instant::now();
    while !holds(a, b) {
        assert!(
            start.elapsed() < crate::common::process::PATIENCE,
            "never: {what}"
        );
        a.look(server).await;
        b.look(server).await;
    }
}
