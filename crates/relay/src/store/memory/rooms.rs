//! Rooms in memory.

use super::super::{
    Change, Deadlines, Hash, Outcome, RoomRecord, RoomSnapshot, Session, SharedEntry, event, presence,
};
use bytes::Bytes;
use rly_protocol::{
    PublicKey, RoomId, Timestamp,
    room::{RoomEvent, RoomLimits, RoomPerson},
};
use std::collections::{BTreeMap, HashMap};

pub(super) struct Room {
    token: Hash,
    creator: PublicKey,
    limits: RoomLimits,
    ends: Timestamp,
    closes: Timestamp,
    head: u64,
    numbers: u32,
    messages: u64,
    people: BTreeMap<u32, Person>,
    entries: BTreeMap<u64, Entry>,
}

struct Person {
    key: PublicKey,
    name_hash: Hash,
    name_number: u16,
    name: Bytes,
    seq: u64,
    session: Option<Session>,
}

struct Entry {
    writer: u32,
    nth: u64,
    at: Timestamp,
    body: Bytes,
}

impl Person {
    fn view(&self, number: u32) -> RoomPerson {
        RoomPerson {
            number,
            key: self.key,
            name_hash: self.name_hash,
            name_number: self.name_number,
            name: self.name.clone(),
            here: self.session.is_some(),
        }
    }
}

impl Room {
    pub fn record(&self) -> RoomRecord {
        let old = self.messages.saturating_sub(self.limits.history.into());
        let too_old = self
            .entries
            .iter()
            .rev()
            .find(|(_, entry)| old > 0 && entry.nth <= old);
        RoomRecord {
            token: self.token,
            creator: self.creator,
            limits: self.limits,
            ends: self.ends,
            closes: self.closes,
            head: self.head,
            floor: too_old.map_or(0, |(place, _)| *place),
            people: self.people.len() as u16,
        }
    }

    pub fn snapshot(&self) -> RoomSnapshot {
        RoomSnapshot {
            record: self.record(),
            people: (self.people.iter())
                .map(|(number, person)| person.view(*number))
                .collect(),
        }
    }

    pub fn page(&self, after: u64, limit: u32) -> Vec<SharedEntry> {
        let entry = |(place, entry): (&u64, &Entry)| SharedEntry {
            place: *place,
            at: entry.at,
            body: entry.body.clone(),
        };
        (self.entries.range(after + 1..).map(entry))
            .take(limit as usize)
            .collect()
    }

    fn come_or_go(&mut self, number: u32, at: Timestamp, here: bool) {
        let both = presence(number);
        self.entries
            .retain(|_, entry| entry.writer != number || !both.contains(&entry.body));
        let [back, away] = both;
        self.append(number, at, if here { back } else { away });
    }

    fn append(&mut self, writer: u32, at: Timestamp, body: Bytes) {
        self.head += 1;
        let nth = self.messages;
        self.entries.insert(
            self.head,
            Entry {
                writer,
                nth,
                at,
                body,
            },
        );
    }

    fn active(&mut self, at: Timestamp) {
        self.closes = at.plus_seconds(self.limits.idle_seconds.into()).min(self.ends);
    }

    fn join(
        &mut self,
        key: PublicKey,
        name_hash: Hash,
        name: &Bytes,
        session: Session,
        at: Timestamp,
    ) -> Outcome {
        if let Some((&number, person)) = self.people.iter_mut().find(|(_, person)| person.key == key) {
            let (seq, away) = (person.seq, person.session.replace(session).is_none());
            if away {
                self.come_or_go(number, at, true);
            }
            return Outcome::Joined { number, seq };
        }
        if self.people.len() >= usize::from(self.limits.people) {
            return Outcome::Full;
        }
        let same = self
            .people
            .values()
            .filter(|person| person.name_hash == name_hash);
        let name_number = same.map(|person| person.name_number).max().unwrap_or(0) + 1;
        self.numbers += 1;
        let (number, name) = (self.numbers, name.clone());
        let session = Some(session);
        let person = Person {
            key,
            name_hash,
            name_number,
            name,
            seq: 0,
            session,
        };
        let joined = event(&RoomEvent::Joined {
            person: person.view(number),
        });
        self.people.insert(number, person);
        self.append(number, at, joined);
        self.active(at);
        Outcome::Joined { number, seq: 0 }
    }

    fn post(&mut self, number: u32, seq: u64, event: &Bytes, at: Timestamp) -> Outcome {
        let Some(person) = self.people.get_mut(&number) else {
            return Outcome::NotIn;
        };
        if seq <= person.seq {
            return Outcome::Conflict;
        }
        person.seq = seq;
        self.messages += 1;
        self.append(number, at, event.clone());
        self.active(at);
        Outcome::Said(self.head)
    }

    fn leave(&mut self, number: u32, session: Session, at: Timestamp) {
        let person = self.people.get_mut(&number);
        if let Some(person) = person.filter(|person| person.session == Some(session)) {
            person.session = None;
            self.come_or_go(number, at, false);
        }
    }

    fn delete(&mut self, number: u32, at: Timestamp) -> Outcome {
        if self.people.remove(&number).is_none() {
            return Outcome::NotIn;
        }
        self.entries.retain(|_, entry| entry.writer != number);
        // Nobody's: what is left of a person who joins again must not be taken for theirs.
        self.append(0, at, event(&RoomEvent::Deleted { number }));
        Outcome::Done
    }
}

pub(super) fn change(rooms: &mut HashMap<RoomId, Room>, change: &Change) -> Outcome {
    let open = |rooms: &mut HashMap<RoomId, Room>, room: &RoomId, at: Timestamp| {
        rooms.get(room).is_some_and(|room| room.closes > at)
    };
    match change {
        Change::MakeRoom {
            room,
            token,
            creator,
            limits,
            at,
        } => {
            if rooms.contains_key(room) {
                return Outcome::Conflict;
            }
            let ends = at.plus_seconds(limits.life_seconds.into());
            let mut made = Room {
                token: *token,
                creator: *creator,
                limits: *limits,
                ends,
                closes: ends,
                head: 0,
                numbers: 0,
                messages: 0,
                people: BTreeMap::new(),
                entries: BTreeMap::new(),
            };
            made.active(*at);
            rooms.insert(*room, made);
            Outcome::Done
        }
        Change::EndRoom { room, due } => {
            let over = |room: &Room| due.is_none_or(|due| room.closes <= due);
            match rooms.get(room) {
                Some(found) if over(found) => {
                    rooms.remove(room);
                    Outcome::Done
                }
                _ => Outcome::Missing,
            }
        }
        Change::NobodyReads => {
            for person in rooms.values_mut().flat_map(|room| room.people.values_mut()) {
                person.session = None;
            }
            Outcome::Done
        }
        Change::JoinRoom { room, at, .. }
        | Change::PostRoom { room, at, .. }
        | Change::LeaveRoom { room, at, .. }
        | Change::DeletePerson { room, at, .. }
            if open(rooms, room, *at) =>
        {
            rooms
                .get_mut(room)
                .map_or(Outcome::Missing, |room| change_in(room, change))
        }
        _ => Outcome::Missing,
    }
}

fn change_in(room: &mut Room, change: &Change) -> Outcome {
    match change {
        Change::JoinRoom {
            key,
            name_hash,
            name,
            session,
            at,
            ..
        } => room.join(*key, *name_hash, name, *session, *at),
        Change::PostRoom {
            number,
            seq,
            event,
            at,
            ..
        } => room.post(*number, *seq, event, *at),
        Change::LeaveRoom {
            number, session, at, ..
        } => {
            room.leave(*number, *session, *at);
            Outcome::Done
        }
        Change::DeletePerson { number, at, .. } => room.delete(*number, *at),
        _ => Outcome::Missing,
    }
}

pub(super) fn sweep(rooms: &mut HashMap<RoomId, Room>, by: &Deadlines) -> (Vec<RoomId>, u64) {
    let over = rooms.iter().filter(|(_, room)| room.closes <= by.now);
    let over: Vec<RoomId> = over.map(|(room, _)| *room).take(by.limit as usize).collect();
    rooms.retain(|room, _| !over.contains(room));
    let mut entries = 0;
    for room in rooms.values_mut() {
        let (floor, before) = (room.record().floor, room.entries.len());
        room.entries.retain(|place, _| *place > floor);
        entries += (before - room.entries.len()) as u64;
    }
    (over, entries)
}
