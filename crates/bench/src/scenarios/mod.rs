//! What is done to a server, and what is measured of it.

mod crash;
mod fan;
mod idle;
pub(crate) mod latency;
mod offline;
pub(crate) mod pairs;

use crate::{
    Failure,
    server::{Server, Target, machine_cpu, own_cpu},
};
use clap::ValueEnum;
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// What can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Scenario {
    /// One message after another, from one sender to one reader
    Lat,
    /// Many pairs with many messages on the way; readers acknowledge at once
    Thr,
    /// The same; readers acknowledge 50 ms later, as over a network and from a disk of their own
    Late,
    /// One person speaks to a group, which everybody reads
    Fan,
    /// Messages for a reader who is away, confirmed, then fetched
    Off,
    /// Messages for a reader who is away, confirmed, then kill -9, a restart, and a count
    Crash,
    /// Calls that sync, counted by strace: for a reader who is away, and for pairs
    Syncs,
    /// Connections that only read a mailbox in which nothing comes
    Idle,
}

impl Scenario {
    pub const ALL: [Self; 8] = [
        Self::Lat,
        Self::Thr,
        Self::Late,
        Self::Fan,
        Self::Off,
        Self::Crash,
        Self::Syncs,
        Self::Idle,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::Lat => "lat: one message after another",
            Self::Thr => "thr: pairs, acknowledged at once",
            Self::Late => "late: pairs, acknowledged 50 ms later",
            Self::Fan => "fan: one speaks, a hundred read",
            Self::Off => "off: to an absent reader, then fetched",
            Self::Crash => "crash: confirmed, kill -9, counted",
            Self::Syncs => "syncs: calls that force data to the disk",
            Self::Idle => "idle: connections at rest",
        }
    }

    /// Whether it says anything about this target.
    pub fn suits(self, target: Target) -> bool {
        // What is only in memory is lost, as everybody knows.
        match target {
            Target::Memory => !matches!(self, Self::Crash | Self::Syncs),
            Target::Relay | Target::Sqlite => true,
        }
    }
}

/// How much of everything.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    pub messages: u64,
    pub pairs: usize,
    pub window: u64,
    pub warm_up: Duration,
    pub time: Duration,
    pub people: u32,
    pub said: usize,
    pub offline: u64,
    pub crash: u64,
    pub idle: Vec<usize>,
    pub settle: Duration,
}

impl Scale {
    /// That of the tables.
    pub fn full() -> Self {
        Self {
            messages: 2_000,
            pairs: 50,
            window: 20,
            warm_up: Duration::from_millis(500),
            time: Duration::from_secs(5),
            people: 100,
            said: 1_000,
            offline: 5_000,
            crash: 2_000,
            idle: vec![2_000, 10_000],
            settle: Duration::from_secs(3),
        }
    }

    /// That of a cluster's tables: each message costs more, and there are more tables.
    pub fn cluster() -> Self {
        Self {
            messages: 500,
            ..Self::full()
        }
    }

    /// Enough to see that everything still works.
    pub fn smoke() -> Self {
        Self {
            messages: 100,
            pairs: 4,
            window: 20,
            warm_up: Duration::from_millis(20),
            time: Duration::from_millis(100),
            people: 5,
            said: 50,
            offline: 300,
            crash: 300,
            idle: vec![20],
            settle: Duration::from_millis(200),
        }
    }
}

/// What a run needs.
pub(crate) struct Place {
    /// The product's executable.
    pub relay: PathBuf,
    /// Empty, and for this run alone.
    pub folder: PathBuf,
    pub scale: Scale,
}

impl Place {
    fn start(&self, target: Target) -> Result<Server, Failure> {
        Server::start(target, &self.relay, &self.folder, false)
    }

    fn start_traced(&self, target: Target) -> Result<Server, Failure> {
        Server::start(target, &self.relay, &self.folder, true)
    }
}

/// Names and values.
pub(crate) type Figures = Vec<(String, f64)>;

/// Runs a scenario once. An error is a promise that was broken, or a server that did not answer.
pub(crate) async fn run(scenario: Scenario, place: &Place, target: Target) -> Result<Figures, Failure> {
    match scenario {
        Scenario::Lat => latency::run(place, target).await,
        Scenario::Thr => pairs::run(place, target, Duration::ZERO).await,
        Scenario::Late => pairs::run(place, target, Duration::from_millis(50)).await,
        Scenario::Fan => fan::run(place, target).await,
        Scenario::Off => offline::run(place, target).await,
        Scenario::Crash => crash::run(place, target).await,
        Scenario::Syncs => crash::syncs(place, target).await,
        Scenario::Idle => idle::run(place, target).await,
    }
}

pub(crate) fn figure(name: &str, value: f64) -> (String, f64) {
    (name.to_owned(), value)
}

/// Reads time and CPU use at a moment.
pub(crate) struct Meter {
    at: Instant,
    servers: Duration,
    own: Duration,
    machine: Duration,
}

/// What was used since.
pub(crate) struct Used {
    pub seconds: f64,
    pub server: f64,
    own: f64,
    others: f64,
}

impl Meter {
    pub fn start<'a>(servers: impl IntoIterator<Item = &'a Server>) -> Self {
        Self {
            at: Instant::now(),
            servers: servers.into_iter().map(Server::cpu).sum(),
            own: own_cpu(),
            machine: machine_cpu(),
        }
    }

    pub fn stop<'a>(&self, servers: impl IntoIterator<Item = &'a Server>) -> Used {
        let now = Self::start(servers);
        let (server, own) = (now.servers - self.servers, now.own - self.own);
        let machine = now.machine.saturating_sub(self.machine);
        Used {
            seconds: (now.at - self.at).as_secs_f64(),
            server: server.as_secs_f64(),
            own: own.as_secs_f64(),
            others: machine.saturating_sub(server + own).as_secs_f64(),
        }
    }
}

impl Used {
    /// Costs of each of so many messages, and how busy others kept the machine.
    pub fn figures(&self, messages: u64) -> Figures {
        let each = |seconds: f64| seconds * 1e6 / messages.max(1) as f64;
        vec![
            figure("server CPU us/message", each(self.server)),
            figure("driver CPU us/message", each(self.own)),
            figure("others' CPU %", 100.0 * self.others / self.seconds),
        ]
    }
}
