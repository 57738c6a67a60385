//! Machines, their stores, a relay and a clock: everything from one seed.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod relay;

use bytes::Bytes;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rand_core::RngCore;
use relay::{DeviceIndex, SimRelay};
use rly_client::{Changes, Effect, HttpError, HttpRequest, Input, Machine, Output, table};
use rly_protocol::{Encode, PublicKey, Timestamp, api::ImportContact, to_base64url};
use rly_view::{
    Answer, Command, Content, FailureCode, FromWorker, Link, MessageState, MessageView, Note, OpenedLetter,
    StateView,
};
use std::collections::{BTreeMap, VecDeque};

pub const ORIGIN: &str = "https://rly.example";
/// 2026-11-21
const START: Timestamp = Timestamp(1_795_219_200_000);

/// What is stored, as an adapter would.
#[derive(Clone, Default)]
pub struct Store(pub BTreeMap<Vec<u8>, Vec<u8>>);

impl Store {
    pub fn apply(&mut self, changes: &Changes) {
        if changes.clear {
            self.0.clear();
        }
        for prefix in &changes.delete_prefixes {
            self.0.retain(|key, _| !key.starts_with(prefix));
        }
        for (key, value) in &changes.rows {
            match value {
                Some(value) => self.0.insert(key.clone(), value.clone()),
                None => self.0.remove(key),
            };
        }
    }

    fn rows(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.0
            .iter()
            .filter(|(key, _)| key[0] != table::MESSAGES)
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    }
}

/// One browser.
pub struct Device {
    pub store: Store,
    pub machine: Machine,
    pub rng: ChaCha20Rng,
    socket: bool,
    to_server: VecDeque<Bytes>,
    from_server: VecDeque<Bytes>,
    http: VecDeque<(u64, HttpRequest)>,
    timer: Option<Timestamp>,
    pub answers: BTreeMap<u64, Result<Answer, FailureCode>>,
    pub state: StateView,
    /// Not connected to the network.
    pub offline: bool,
    /// The browser is closed.
    pub closed: bool,
    /// The browser dies with its next batch: after (true) or before (false) it is stored.
    pub dies: Option<bool>,
    /// The read from storage that was asked for last.
    read: Option<u64>,
}

pub struct World {
    pub relay: SimRelay,
    pub devices: Vec<Device>,
    pub now: Timestamp,
    pub rng: ChaCha20Rng,
    next_command: u64,
}

impl World {
    pub fn new(seed: u64, devices: usize) -> Self {
        let mut world = Self {
            relay: SimRelay::new(ORIGIN),
            devices: Vec::new(),
            now: START,
            rng: ChaCha20Rng::seed_from_u64(seed),
            next_command: 0,
        };
        for _ in 0..devices {
            world.add_device();
        }
        world
    }

    pub fn add_device(&mut self) -> DeviceIndex {
        let device = Device {
            store: Store::default(),
            machine: Machine::load(Vec::new(), ORIGIN.into()).unwrap(),
            rng: ChaCha20Rng::seed_from_u64(self.rng.next_u64()),
            socket: false,
            to_server: VecDeque::new(),
            from_server: VecDeque::new(),
            http: VecDeque::new(),
            timer: None,
            answers: BTreeMap::new(),
            state: StateView::default(),
            offline: false,
            closed: false,
            dies: None,
            read: None,
        };
        self.devices.push(device);
        let index = self.devices.len() - 1;
        self.input(index, Input::Start);
        index
    }

    /// The browser dies now and is opened again.
    pub fn reload(&mut self, d: DeviceIndex) {
        self.relay.disconnect(d);
        let device = &mut self.devices[d];
        device.machine = Machine::load(device.store.rows(), ORIGIN.into()).unwrap();
        device.socket = false;
        device.closed = false;
        device.to_server.clear();
        device.from_server.clear();
        device.http.clear();
        device.timer = None;
        self.input(d, Input::Start);
    }

    pub fn close(&mut self, d: DeviceIndex) {
        self.relay.disconnect(d);
        self.devices[d].closed = true;
        self.devices[d].socket = false;
    }

    pub fn input(&mut self, d: DeviceIndex, input: Input) {
        let now = self.now;
        let device = &mut self.devices[d];
        device.machine.handle(input, now, &mut device.rng);
        self.flush(d);
    }

    fn flush(&mut self, d: DeviceIndex) {
        let now = self.now;
        let device = &mut self.devices[d];
        let output = device.machine.take_output(now, &mut device.rng);
        match device.dies.take() {
            Some(stored) => {
                if stored {
                    device.store.apply(&output.changes);
                }
                self.reload(d);
            }
            None => {
                device.store.apply(&output.changes);
                self.carry_out(d, output);
            }
        }
    }

    fn carry_out(&mut self, d: DeviceIndex, output: Output) {
        let device = &mut self.devices[d];
        for (from, outcome) in output.answers {
            device
                .answers
                .insert(from, outcome.map_err(|failure| failure.code));
        }
        for update in output.updates {
            if let FromWorker::State(state) = update {
                device.state = state;
            }
        }
        for effect in output.effects {
            let device = &mut self.devices[d];
            match effect {
                Effect::OpenSocket => {
                    device.to_server.clear();
                    device.from_server.clear();
                    self.relay.disconnect(d);
                    if device.offline {
                        device.socket = false;
                        self.input(d, Input::SocketClosed);
                    } else {
                        device.socket = true;
                        self.relay.connect(d);
                        self.input(d, Input::SocketOpened);
                    }
                }
                Effect::CloseSocket => {
                    device.socket = false;
                    device.to_server.clear();
                    device.from_server.clear();
                    self.relay.disconnect(d);
                }
                Effect::SendFrame(frame) => device.to_server.push_back(frame),
                Effect::Http { id, request } => device.http.push_back((id, request)),
                Effect::ReadMessages { id, .. } => device.read = Some(id),
                Effect::SetTimer(at) => device.timer = Some(at),
            }
        }
    }

    /// The connection breaks: what was under way is lost.
    pub fn cut(&mut self, d: DeviceIndex) {
        let device = &mut self.devices[d];
        if device.socket {
            device.socket = false;
            device.to_server.clear();
            device.from_server.clear();
            self.relay.disconnect(d);
            self.input(d, Input::SocketClosed);
        }
    }

    pub fn set_offline(&mut self, d: DeviceIndex, offline: bool) {
        self.devices[d].offline = offline;
        if offline {
            self.cut(d);
        } else {
            self.command(d, Command::Wake);
        }
    }

    /// The server dies and comes back.
    pub fn restart_relay(&mut self) {
        self.relay.restart();
        for d in 0..self.devices.len() {
            self.cut(d);
        }
    }

    /// One thing that can happen next happens, chosen by the seed. False if there is none.
    pub fn step(&mut self) -> bool {
        self.relay.now = self.now;
        for d in 0..self.devices.len() {
            if let Some(frames) = self.relay.out.remove(&d) {
                let device = &mut self.devices[d];
                if device.socket {
                    device
                        .from_server
                        .extend(frames.iter().map(|frame| frame.to_message()));
                }
            }
        }
        let mut choices = Vec::new();
        for (d, device) in self
            .devices
            .iter()
            .enumerate()
            .filter(|(_, device)| !device.closed)
        {
            if !device.to_server.is_empty() {
                choices.push((d, 0));
            }
            if !device.from_server.is_empty() {
                choices.push((d, 1));
            }
            if !device.http.is_empty() {
                choices.push((d, 2));
            }
        }
        if choices.is_empty() {
            return false;
        }
        let (d, kind) = choices[self.rng.next_u32() as usize % choices.len()];
        let device = &mut self.devices[d];
        match kind {
            0 => {
                if let Some(frame) = device.to_server.pop_front() {
                    self.relay.frame(d, frame);
                }
            }
            1 => {
                // Sometimes several frames are stored as one batch, as in a browser.
                let several = 1 + self.rng.next_u32() % 3;
                let now = self.now;
                for _ in 0..several {
                    let device = &mut self.devices[d];
                    if let Some(frame) = device.from_server.pop_front() {
                        device
                            .machine
                            .handle(Input::SocketFrame(frame), now, &mut device.rng);
                    }
                }
                self.flush(d);
            }
            _ => {
                if let Some((id, request)) = device.http.pop_front() {
                    let result = if device.offline {
                        Err(HttpError::Network)
                    } else {
                        self.relay.http(request)
                    };
                    self.input(d, Input::Http { id, result });
                }
            }
        }
        true
    }

    /// Sets everybody's clock, forward or back. Timers that run go on as they were set.
    pub fn set_clock(&mut self, seconds: i64) {
        let by = seconds * 1000;
        self.now = Timestamp(self.now.0.saturating_add_signed(by));
        self.relay.now = self.now;
        for device in &mut self.devices {
            device.timer = device.timer.map(|at| Timestamp(at.0.saturating_add_signed(by)));
        }
    }

    /// Lets time pass, firing timers.
    pub fn pass(&mut self, seconds: u64) {
        let end = self.now.plus_seconds(seconds);
        loop {
            let next = self
                .devices
                .iter()
                .enumerate()
                .filter(|(_, device)| !device.closed)
                .filter_map(|(d, device)| Some((device.timer?, d)))
                .min();
            match next {
                Some((at, d)) if at <= end => {
                    self.now = self.now.max(at);
                    self.relay.now = self.now;
                    self.devices[d].timer = None;
                    self.input(d, Input::Timer);
                    while self.step() {}
                }
                _ => break,
            }
        }
        self.now = end;
        self.relay.now = end;
    }

    /// Until nothing happens any more and everybody had the time to reconnect.
    pub fn settle(&mut self) {
        for _ in 0..8 {
            while self.step() {}
            self.pass(20);
        }
        while self.step() {}
    }

    pub fn command(&mut self, d: DeviceIndex, command: Command) -> u64 {
        self.next_command += 1;
        let from = self.next_command;
        self.input(d, Input::Command { from, command });
        from
    }

    /// A command that is answered when all has settled.
    pub fn run(&mut self, d: DeviceIndex, command: Command) -> Result<Answer, FailureCode> {
        let from = self.command(d, command);
        while !self.devices[d].answers.contains_key(&from) && self.step() {}
        self.devices[d].answers.remove(&from).expect("an answer")
    }

    pub fn id(&mut self) -> String {
        let mut id = [0; 16];
        self.rng.fill_bytes(&mut id);
        to_base64url(&id)
    }

    /// A link by this device.
    pub fn invite(
        &mut self,
        d: DeviceIndex,
        name: &str,
        letter: Option<&str>,
    ) -> Result<String, FailureCode> {
        let id = self.id();
        let command = Command::CreateInvite {
            id,
            letter: letter.map(Into::into),
            name: Some(name.into()),
            ttl_seconds: 604_800,
        };
        match self.run(d, command)? {
            Answer::Invite { link, .. } => Ok(link),
            _ => panic!("not an invite"),
        }
    }

    /// What a page does when Open is pressed: claim, and store the letter.
    pub fn open(&mut self, d: DeviceIndex, link: &str) -> Result<String, rly_protocol::ErrorCode> {
        self.relay.now = self.now;
        let link = Link::from_fragment(link.split_once('#').expect("a fragment").1).expect("a good link");
        let mut id = [0; 16];
        self.rng.fill_bytes(&mut id);
        let mut key = [4; 65];
        self.rng.fill_bytes(&mut key[1..]);
        let claim_key = PublicKey::try_from(&key[..]).unwrap();
        let imported = self.relay.claim(&ImportContact {
            invite: link.invite.clone(),
            claim_key,
        })?;
        let letter = OpenedLetter {
            id,
            invite: link.invite.clone(),
            secret: link.secret,
            claim_key,
            opened_at: self.now,
            claimed: Some((imported.address, imported.card.0.into())),
        };
        let row = letter.to_bytes();
        let mut key = vec![table::LETTERS];
        key.extend_from_slice(&id);
        self.devices[d].store.0.insert(key, row.clone());
        self.input(d, Input::Letter { id, row: Some(row) });
        Ok(to_base64url(&id))
    }

    pub fn reply(
        &mut self,
        d: DeviceIndex,
        letter: &str,
        name: &str,
        text: &str,
    ) -> Result<String, FailureCode> {
        let command = Command::Reply {
            letter: letter.into(),
            name: Some(name.into()),
            text: text.into(),
        };
        match self.run(d, command)? {
            Answer::Conversation { id } => Ok(id),
            _ => panic!("not a conversation"),
        }
    }

    /// Two who know each other: the first wrote, the second answered.
    pub fn meet(&mut self, a: DeviceIndex, b: DeviceIndex) {
        let link = self
            .invite(a, &format!("Person {a}"), Some("Dear friend"))
            .unwrap();
        let letter = self.open(b, &link).unwrap();
        self.reply(b, &letter, &format!("Person {b}"), "Hello back")
            .unwrap();
        self.settle();
    }

    /// The conversation of a device with a person of this name.
    pub fn with(&self, d: DeviceIndex, name: &str) -> String {
        let found = self.devices[d]
            .state
            .conversations
            .iter()
            .find(|c| c.name == name);
        found
            .unwrap_or_else(|| panic!("no conversation with {name} on {d}"))
            .id
            .clone()
    }

    pub fn say(&mut self, d: DeviceIndex, to: &str, text: &str) {
        let (conversation, id) = (self.with(d, to), self.id());
        let outcome = self.run(
            d,
            Command::Send {
                conversation,
                id,
                text: text.into(),
            },
        );
        assert!(matches!(outcome, Ok(Answer::Done)), "{:?}", outcome.err());
    }

    /// The rows of a conversation's messages, as they are stored.
    pub fn stored_messages(&self, d: DeviceIndex, with: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let id = rly_protocol::from_base64url(&self.with(d, with)).unwrap();
        let mut prefix = vec![table::MESSAGES];
        prefix.extend(id);
        let rows = self.devices[d]
            .store
            .0
            .range(prefix.clone()..)
            .take_while(|(key, _)| key.starts_with(&prefix));
        rows.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Asks for messages; storage has not answered yet.
    pub fn begin_read(&mut self, d: DeviceIndex, load: Command) -> (u64, u64) {
        let from = self.command(d, load);
        (from, self.devices[d].read.take().expect("a read"))
    }

    /// Storage answers.
    pub fn finish_read(
        &mut self,
        d: DeviceIndex,
        (from, id): (u64, u64),
        rows: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Vec<MessageView> {
        self.input(
            d,
            Input::Rows {
                id,
                rows,
                more: false,
            },
        );
        match self.devices[d].answers.remove(&from) {
            Some(Ok(Answer::Messages { messages, .. })) => messages,
            _ => panic!("no messages"),
        }
    }

    /// Everything shown in a conversation, in order.
    pub fn shown(&mut self, d: DeviceIndex, with: &str) -> Vec<MessageView> {
        let conversation = self.with(d, with);
        let read = self.begin_read(
            d,
            Command::LoadMessages {
                conversation,
                before: None,
                limit: 1000,
            },
        );
        let rows = self.stored_messages(d, with);
        self.finish_read(d, read, rows)
    }

    /// The texts of one side, in order, without notes.
    pub fn texts(&mut self, d: DeviceIndex, with: &str, own: bool) -> Vec<String> {
        self.shown(d, with)
            .into_iter()
            .filter(|message| message.own == own)
            .filter_map(|message| match message.content {
                Content::Text(text) => Some(text),
                _ => None,
            })
            .collect()
    }

    pub fn notes(&mut self, d: DeviceIndex, with: &str) -> Vec<Note> {
        self.shown(d, with)
            .into_iter()
            .filter_map(|message| match message.content {
                Content::Note(note) => Some(note),
                _ => None,
            })
            .collect()
    }

    pub fn states(&mut self, d: DeviceIndex, with: &str) -> Vec<MessageState> {
        self.shown(d, with)
            .into_iter()
            .filter_map(|message| message.state)
            .collect()
    }

    /// What two people must agree on when all has settled.
    pub fn assert_agreement(&mut self, a: DeviceIndex, b: DeviceIndex) {
        let (name_a, name_b) = (format!("Person {a}"), format!("Person {b}"));
        assert_eq!(
            self.texts(a, &name_b, true),
            self.texts(b, &name_a, false),
            "from {a} to {b}"
        );
        assert_eq!(
            self.texts(b, &name_a, true),
            self.texts(a, &name_b, false),
            "from {b} to {a}"
        );
        for (from, to) in [(a, &name_b), (b, &name_a)] {
            let states = self.states(from, to);
            assert!(
                states.iter().all(|state| *state == MessageState::Delivered),
                "{from} to {to}: {states:?}"
            );
        }
        let code = |d: DeviceIndex, with: &str| {
            let id = self.with(d, with);
            self.devices[d]
                .state
                .conversations
                .iter()
                .find(|c| c.id == id)
                .map(|c| c.safety_code.clone())
        };
        assert_eq!(code(a, &name_b), code(b, &name_a));
        assert_eq!(code(a, &name_b).map(|code| code.len()), Some(60));
    }
}
