//! Machines, their stores, a relay and a clock: everything from one seed.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod faults;
mod people;
pub mod relay;
mod trace;

use bytes::Bytes;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rand_core::RngCore;
use relay::{DeviceIndex, SimRelay};
use rly_client::{Changes, Effect, HttpError, HttpRequest, Input, Machine, Output, table};
use rly_protocol::{Timestamp, frame::ServerFrame};
use rly_view::{Answer, Command, FailureCode, FromWorker, StateView};
use std::collections::{BTreeMap, VecDeque};
use trace::Trace;

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
    /// By the world's time: a timer goes on as it was set when the clock is set.
    timer: Option<Timestamp>,
    /// By how many ms this device's clock differs from the world's time.
    clock: i64,
    pub answers: BTreeMap<u64, Result<Answer, FailureCode>>,
    pub state: StateView,
    /// Not connected to the network.
    pub offline: bool,
    /// The browser is closed.
    pub closed: bool,
    /// The browser dies with its next batch: after (true) or before (false) it is stored.
    pub dies: Option<bool>,
    /// How often it was closed or has died.
    pub ends: u32,
    /// The read from storage that was asked for last.
    read: Option<u64>,
}

pub struct World {
    pub relay: SimRelay,
    pub devices: Vec<Device>,
    pub now: Timestamp,
    pub rng: ChaCha20Rng,
    /// Everything that could be seen from outside.
    pub trace: Trace,
    /// By how many ms the relay's clock differs.
    relay_clock: i64,
    /// It was set by more than a day once.
    leapt: bool,
    next_command: u64,
}

impl World {
    pub fn new(seed: u64, devices: usize) -> Self {
        let mut world = Self {
            relay: SimRelay::new(ORIGIN, seed),
            devices: Vec::new(),
            now: START,
            rng: ChaCha20Rng::seed_from_u64(seed),
            trace: Trace::default(),
            relay_clock: 0,
            leapt: false,
            next_command: 0,
        };
        world.tell_relay();
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
            clock: 0,
            answers: BTreeMap::new(),
            state: StateView::default(),
            offline: false,
            closed: false,
            dies: None,
            ends: 0,
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
        device.ends += 1;
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
        self.devices[d].ends += 1;
        self.devices[d].socket = false;
    }

    /// A device's clock.
    pub fn clock(&self, d: DeviceIndex) -> Timestamp {
        Timestamp(self.now.0.saturating_add_signed(self.devices[d].clock))
    }

    fn tell_relay(&mut self) {
        self.relay.now = Timestamp(self.now.0.saturating_add_signed(self.relay_clock));
    }

    pub fn input(&mut self, d: DeviceIndex, input: Input) {
        let now = self.clock(d);
        let device = &mut self.devices[d];
        device.machine.handle(input, now, &mut device.rng);
        self.flush(d);
    }

    fn flush(&mut self, d: DeviceIndex) {
        let now = self.clock(d);
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
        self.trace.output(d, &output);
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
            if device.closed && !matches!(effect, Effect::ReadMessages { .. }) {
                continue;
            }
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
                Effect::SetTimer(at) => {
                    let at = Timestamp(at.0.saturating_add_signed(-device.clock));
                    device.timer = Some(at.max(self.now));
                }
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

    /// The server says something of its own accord.
    pub fn server_says(&mut self, d: DeviceIndex, frame: ServerFrame) {
        self.relay.out.entry(d).or_default().push(frame);
    }

    /// One thing that can happen next happens, chosen by the seed. False if there is none.
    pub fn step(&mut self) -> bool {
        self.tell_relay();
        self.relay.release();
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
                let now = self.clock(d);
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

    /// Sets a device's clock, forward or back.
    pub fn set_clock(&mut self, d: DeviceIndex, seconds: i64) {
        self.devices[d].clock += seconds * 1000;
    }

    /// Sets the relay's clock.
    pub fn set_relay_clock(&mut self, seconds: i64) {
        self.relay_clock += seconds * 1000;
        self.leapt |= seconds.abs() > 86_400;
        self.tell_relay();
    }

    /// Whether the relay's clock was ever set by more than a day.
    pub fn relay_clock_leapt(&self) -> bool {
        self.leapt
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
                    self.devices[d].timer = None;
                    self.input(d, Input::Timer);
                    while self.step() {}
                }
                _ => break,
            }
        }
        self.now = end;
        while self.step() {}
    }

    /// Until nothing happens any more and everybody had the time to reconnect.
    pub fn settle(&mut self) {
        for _ in 0..8 {
            while self.step() {}
            self.pass(20);
        }
        while self.step() {}
    }
}
