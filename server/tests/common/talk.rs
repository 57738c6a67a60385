//! People who talk in rooms through whichever server answers, and a checker that knows every message.
//!
//! Each says 1, 2, 3, … So whoever reads must see the numbers of each sender without a gap and in order,
//! whatever happened in between; and what stands at one place stands there for everybody.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use crate::{
    common::process::Server,
    hosts::{Hosts, Way},
    room::{Person, is_placed},
};
use rand_core::{OsRng, RngCore};
use rly_client::room::RoomInput;
use rly_protocol::room::RoomLimits;
use rly_view::{MessageState, RoomContentView, RoomMessageView};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

const LIMITS: RoomLimits = RoomLimits {
    idle_seconds: 3_600,
    life_seconds: 36_000,
    people: 10,
    history: 500,
};
/// Nobody says so much more than who has seen least of it: a room's people together stay within what it
/// keeps, so that who is away misses nothing.
const AHEAD: u32 = 16;
/// A page is loaded anew after up to so long. Not after so many messages: then a page with much to read would
/// be loaded anew before it has read it.
const RELOAD: Duration = Duration::from_secs(30);
/// Nothing takes so long unless it never happens.
const NEVER: Duration = Duration::from_secs(120);

/// One room: what each has said, and what each has seen.
struct Conversation {
    /// Who says what at a place.
    order: Mutex<BTreeMap<u64, (usize, u32)>>,
    confirmed: Vec<AtomicU32>,
    /// Of each reader, the last number of each sender.
    seen: Vec<Vec<AtomicU32>>,
    /// Where each is, and how far.
    states: Vec<Mutex<String>>,
}

impl Conversation {
    /// The last number of this sender that everybody has seen.
    fn seen_by_all(&self, sender: usize) -> u32 {
        let numbers = self.seen.iter().map(|seen| seen[sender].load(SeqCst));
        numbers.min().unwrap()
    }

    fn senders(&self) -> std::ops::Range<usize> {
        0..self.confirmed.len()
    }

    fn is_all_seen(&self) -> bool {
        self.senders()
            .all(|sender| self.seen_by_all(sender) >= self.confirmed[sender].load(SeqCst))
    }
}

/// One of a room's people, and how far they have read since their page was loaded.
struct Talker {
    me: usize,
    person: Person,
    room: Arc<Conversation>,
    pause: Duration,
    said: u32,
    place: u64,
    last: Vec<Option<u32>>,
}

/// When a page is loaded anew.
fn a_while() -> Instant {
    Instant::now() + RELOAD.mul_f64(f64::from(OsRng.next_u32()) / f64::from(u32::MAX))
}

fn text(sender: usize, n: u32) -> String {
    format!("{sender} says {n}")
}

impl Talker {
    /// Looks at what the page was told.
    fn check(&mut self) {
        for message in std::mem::take(&mut self.person.told) {
            let text = match &message.content {
                RoomContentView::Text { text } => text,
                RoomContentView::Joined => continue,
                other => panic!("{} sees {other:?}", self.me),
            };
            let (sender, n) = text.split_once(" says ").unwrap();
            let (sender, n): (usize, u32) = (sender.parse().unwrap(), n.parse().unwrap());
            assert_eq!(message.own, sender == self.me);
            if message.state == Some(MessageState::Sent) {
                self.room.confirmed[sender].fetch_max(n, SeqCst);
            }
            if is_placed(&message) {
                self.place(&message, sender, n);
            }
        }
    }

    fn place(&mut self, message: &RoomMessageView, sender: usize, n: u32) {
        let place = message.order;
        assert_eq!(message.name, format!("Name {sender}"), "another's name");
        let there = *self
            .room
            .order
            .lock()
            .unwrap()
            .entry(place)
            .or_insert((sender, n));
        assert_eq!(there, (sender, n), "two messages at {place}");
        if place <= self.place {
            return;
        }
        self.place = place;
        let seen = &self.room.seen[self.me][sender];
        match self.last[sender] {
            Some(last) => assert_eq!(n, last + 1, "{} sees something else of {sender}", self.me),
            // The history that is still there begins somewhere.
            None => assert!(
                n <= seen.load(SeqCst) + 1,
                "{} misses something of {sender}",
                self.me
            ),
        }
        self.last[sender] = Some(n);
        seen.fetch_max(n, SeqCst);
    }

    fn state(&self, way: &Way) -> String {
        let (phase, connected) = (self.person.room.view().phase, self.person.socket.is_some());
        let (said, place) = (self.said, self.place);
        format!(
            "{phase:?}, connected {connected} to {}, said {said}, read up to place {place}",
            way.host
        )
    }

    async fn reload(&mut self) {
        self.place = 0;
        self.last.fill(None);
        self.person.reload().await;
        self.check();
    }

    async fn talk(mut self, hosts: Hosts, stop: Arc<AtomicBool>, written: Arc<AtomicBool>) {
        let mut way = Way::default();
        let mut turn = self.me;
        let mut next = Instant::now();
        let mut reload = a_while();
        loop {
            assert!(!self.person.room.is_over(), "the room is gone");
            if written.load(SeqCst) && self.room.is_all_seen() {
                return;
            }
            if self.person.socket.is_some() && hosts.is_over(&way) {
                self.person.turn_to("").await;
            }
            if self.person.socket.is_none() {
                turn += 1;
                sleep(Duration::from_millis(50)).await;
                way = match hosts.way(turn) {
                    Some(way) => way,
                    None => continue,
                };
                self.person.turn_to(&way.host).await;
                // Somebody looks: there is no waiting for the next try.
                self.person.input(RoomInput::Wake).await;
            }
            let may = self.room.seen_by_all(self.me) + AHEAD;
            // One at a time, so that not all is said before it is sent.
            let confirmed = self.room.confirmed[self.me].load(SeqCst);
            let ready = self.said == confirmed && self.said < may && next <= Instant::now();
            if ready && !stop.load(SeqCst) {
                self.said += 1;
                next = Instant::now() + self.pause;
                self.person.say(&text(self.me, self.said)).await.unwrap();
            }
            self.check();
            *self.room.states[self.me].lock().unwrap() = self.state(&way);
            self.person.turn_within(self.pause).await;
            self.check();
            if reload <= Instant::now() {
                self.reload().await;
                reload = a_while();
            }
        }
    }
}

/// Some rooms and their people.
pub struct Talk {
    hosts: Hosts,
    rooms: Vec<Arc<Conversation>>,
    talkers: Vec<Talker>,
    tasks: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    /// Nobody says anything any more.
    written: Arc<AtomicBool>,
}

impl Talk {
    /// Makes the rooms, and has everybody join. Each pauses for so long before they say something.
    pub async fn start(server: &Server, hosts: Hosts, rooms: usize, people: usize, pause: Duration) -> Self {
        let mut talk = Self {
            hosts,
            rooms: Vec::new(),
            talkers: Vec::new(),
            tasks: Vec::new(),
            stop: Arc::default(),
            written: Arc::default(),
        };
        for _ in 0..rooms {
            let numbers = || (0..people).map(|_| AtomicU32::new(0)).collect::<Vec<_>>();
            let room = Arc::new(Conversation {
                order: Mutex::default(),
                confirmed: numbers(),
                seen: (0..people).map(|_| numbers()).collect(),
                states: (0..people).map(|_| Mutex::default()).collect(),
            });
            let maker = Person::maker(server, LIMITS).await;
            let link = maker.link();
            let mut maker = Some(maker);
            for me in 0..people {
                let mut person = match maker.take() {
                    Some(maker) => maker,
                    None => Person::guest(server, &link).await,
                };
                person.join(&format!("Name {me}")).await.unwrap();
                talk.talkers.push(Talker {
                    me,
                    person,
                    room: room.clone(),
                    pause,
                    said: 0,
                    place: 0,
                    last: vec![None; people],
                });
            }
            talk.rooms.push(room);
        }
        talk
    }

    pub fn run(&mut self) {
        for talker in std::mem::take(&mut self.talkers) {
            let (stop, written) = (self.stop.clone(), self.written.clone());
            self.tasks
                .push(tokio::spawn(talker.talk(self.hosts.clone(), stop, written)));
        }
    }

    /// A checker that has found something ends.
    pub fn is_alive(&self) -> bool {
        !self.tasks.iter().any(JoinHandle::is_finished)
    }

    pub fn confirmed(&self) -> u32 {
        let numbers = self.rooms.iter().flat_map(|room| &room.confirmed);
        numbers.map(|n| n.load(SeqCst)).sum()
    }

    /// What everybody will have seen once all see so many more of each.
    pub fn goals(&self, more: u32) -> Vec<u32> {
        let numbers = self.rooms.iter().flat_map(|room| &room.confirmed);
        numbers.map(|n| n.load(SeqCst) + more).collect()
    }

    pub fn is_reached(&self, goals: &[u32]) -> bool {
        self.seen_by_all()
            .iter()
            .zip(goals)
            .all(|(seen, goal)| seen >= goal)
    }

    /// For each who says something, what of it everybody has seen.
    pub fn seen_by_all(&self) -> Vec<u32> {
        let each = |room: &Arc<Conversation>| {
            let seen = room.senders().map(|sender| room.seen_by_all(sender));
            seen.collect::<Vec<_>>()
        };
        self.rooms.iter().flat_map(each).collect()
    }

    /// Where everybody is, and how far.
    pub fn states(&self) -> String {
        let lines = self.rooms.iter().enumerate().flat_map(|(n, room)| {
            let state = move |(me, state): (usize, &Mutex<String>)| {
                format!("\n  {me} in room {n}: {}", state.lock().unwrap())
            };
            room.states.iter().enumerate().map(state)
        });
        lines.collect()
    }

    /// Says nothing more, and waits until everybody has seen everything. How much that was.
    pub async fn finish(self) -> u32 {
        self.stop.store(true, SeqCst);
        let quiet = async {
            // What was said last may be on its way.
            let mut before = None;
            while before != Some(self.confirmed()) {
                before = Some(self.confirmed());
                sleep(Duration::from_secs(1)).await;
            }
        };
        timeout(NEVER, quiet).await.expect("no end of it");
        let confirmed = self.confirmed();
        self.written.store(true, SeqCst);
        for task in self.tasks {
            let read = timeout(NEVER, task).await;
            read.expect("something confirmed is missing").unwrap();
        }
        for room in &self.rooms {
            let order = room.order.lock().unwrap();
            for sender in room.senders() {
                let said = order
                    .values()
                    .filter(|(from, _)| *from == sender)
                    .map(|(_, n)| *n);
                let said: Vec<u32> = said.collect();
                let all: Vec<u32> = (1..=said.len() as u32).collect();
                assert_eq!(said, all, "{sender}: lost, doubled or out of order");
                assert!(all.len() as u32 >= room.confirmed[sender].load(SeqCst));
            }
        }
        confirmed
    }
}
