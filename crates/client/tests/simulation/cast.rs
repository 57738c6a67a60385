//! Who takes part in a run, what they have said, and what was shown to them.

use crate::world::{World, relay::DeviceIndex};
use rly_view::{Answer, Command, Content, MessageState, MessageView, Note, Phase};
use std::collections::{BTreeMap, BTreeSet};

/// A person with their devices.
pub struct Person {
    pub devices: Vec<DeviceIndex>,
    /// The device in their hand.
    pub active: DeviceIndex,
    /// The SIM's file, saved on the first day.
    pub file: String,
    /// Went to another device although this one said that its latest is not in the vault yet.
    pub hasty: bool,
}

/// A text that a person was told is stored.
pub struct Said {
    pub text: String,
    pub from: usize,
    pub device: DeviceIndex,
    pub to: usize,
    /// Tried again by hand: its place is a later one.
    pub retried: bool,
}

pub struct Cast {
    pub world: World,
    pub people: Vec<Person>,
    /// Who has answered whose link.
    pub pairs: BTreeSet<(usize, usize)>,
    pub said: Vec<Said>,
    /// Texts that were shown to a person in a profile that is no more, by who said them.
    pub shown_before: BTreeMap<(usize, usize), BTreeSet<String>>,
}

pub fn name(person: usize) -> String {
    format!("Person {person}")
}

impl Cast {
    /// A person takes up another device.
    pub fn go_to(&mut self, p: usize, device: DeviceIndex) {
        let person = &mut self.people[p];
        let sim = self.world.devices[person.active].state.sim.as_ref();
        person.hasty |= person.active != device && sim.is_none_or(|sim| !sim.vault_current);
        person.active = device;
    }

    pub fn new(seed: u64, people: usize) -> Self {
        let mut world = World::new(seed, people);
        let people = (0..people)
            .map(|d| {
                let create = Command::CreateSim {
                    name: name(d),
                    password: None,
                };
                assert!(world.run(d, create).is_ok());
                let file = world.export(d);
                Person {
                    devices: vec![d],
                    active: d,
                    file,
                    hasty: false,
                }
            })
            .collect();
        Self {
            world,
            people,
            pairs: BTreeSet::new(),
            said: Vec::new(),
            shown_before: BTreeMap::new(),
        }
    }

    /// A number below `n`.
    pub fn any(&mut self, n: usize) -> usize {
        use rand_core::RngCore;
        self.world.rng.next_u32() as usize % n
    }

    pub fn devices(&self) -> Vec<DeviceIndex> {
        let all = self
            .people
            .iter()
            .flat_map(|person| person.devices.iter().copied());
        all.filter(|d| !self.world.devices[*d].closed).collect()
    }

    pub fn next_text(&self, what: &str) -> String {
        format!("{what} {}", self.said.len())
    }

    fn note(&mut self, text: String, from: usize, to: usize) {
        let device = self.people[from].active;
        self.said.push(Said {
            text,
            from,
            device,
            to,
            retried: false,
        });
    }

    /// A command as a page gives it: once more if the browser died before it was answered.
    fn insist(&mut self, d: DeviceIndex, command: Command) -> Option<Answer> {
        for _ in 0..3 {
            if let Some(outcome) = self.world.try_run(d, command.clone()) {
                return outcome.ok();
            }
        }
        None
    }

    /// Somebody writes to somebody they know.
    pub fn say(&mut self, from: usize, to: usize, what: &str) {
        let d = self.people[from].active;
        let Some(conversation) = self.world.line(d, &name(to)).map(|line| line.id.clone()) else {
            return;
        };
        let (text, id) = (self.next_text(what), self.world.id());
        let send = Command::Send {
            conversation,
            id,
            text: text.clone(),
        };
        if self.insist(d, send).is_some() {
            self.note(text, from, to);
        }
    }

    /// One writes a letter, the other answers it. Nobody waits for anything to arrive.
    pub fn meet(&mut self, a: usize, b: usize) {
        if self.pairs.contains(&(a, b)) || self.pairs.contains(&(b, a)) || a == b {
            return;
        }
        let (device_a, device_b) = (self.people[a].active, self.people[b].active);
        let (id, letter) = (self.world.id(), self.next_text("letter"));
        let invite = Command::CreateInvite {
            id,
            letter: Some(letter.clone()),
            name: Some(name(a)),
            ttl_seconds: 2_592_000,
        };
        let Some(Answer::Invite { link, .. }) = self.insist(device_a, invite) else {
            return;
        };
        let Ok(opened) = self.world.open(device_b, &link) else {
            return;
        };
        let text = format!("answer {}", self.said.len());
        let reply = Command::Reply {
            letter: opened,
            name: Some(name(b)),
            text: text.clone(),
        };
        if self.insist(device_b, reply).is_some() {
            self.note(letter, a, b);
            self.note(text, b, a);
            self.pairs.insert((a, b));
        }
    }

    /// Everything that a device shows of a conversation.
    pub fn shown(&mut self, d: DeviceIndex, with: usize) -> Vec<MessageView> {
        match self.world.line(d, &name(with)) {
            Some(_) => self.world.shown(d, &name(with)),
            None => Vec::new(),
        }
    }

    pub fn state_of(&mut self, said: usize) -> Option<MessageState> {
        let (device, to, text) = {
            let said = &self.said[said];
            (said.device, said.to, said.text.clone())
        };
        let shown = self.shown(device, to);
        let own = shown
            .into_iter()
            .find(|message| message.own && is(message, &text))?;
        own.state
    }

    /// All that was ever shown to a person of what another one said.
    pub fn ever_shown(&mut self, to: usize, from: usize) -> BTreeSet<String> {
        let mut texts = self.shown_before.get(&(to, from)).cloned().unwrap_or_default();
        for d in self.people[to].devices.clone() {
            texts.extend(self.shown(d, from).iter().filter(|m| !m.own).filter_map(text_of));
        }
        texts
    }

    /// A profile is about to go.
    pub fn remember(&mut self, person: usize) {
        for other in 0..self.people.len() {
            let texts = self.ever_shown(person, other);
            self.shown_before.insert((person, other), texts);
        }
    }

    /// Whether one of the person's devices went back to what it was.
    pub fn was_put_back(&self, person: usize) -> bool {
        self.shown_before.contains_key(&(person, person))
    }

    /// A person takes the SIM back to the device in their hand, where the page says that they have to.
    pub fn take_back(&mut self, person: usize) {
        let d = self.people[person].active;
        if self.world.devices[d].state.phase == Phase::Replaced {
            self.world.try_run(d, Command::UseHere);
        }
    }

    /// A person tries again what was not delivered.
    pub fn retry_failed(&mut self, person: usize) {
        let d = self.people[person].active;
        for other in 0..self.people.len() {
            let shown = self.shown(d, other);
            for message in shown
                .into_iter()
                .filter(|m| m.state == Some(MessageState::Failed))
            {
                let conversation = self.world.with(d, &name(other));
                let retry = Command::Retry {
                    conversation,
                    id: message.id.clone(),
                };
                self.world.try_run(d, retry);
                if let Some(text) = text_of(&message) {
                    let said = self.said.iter_mut().filter(|said| said.text == text);
                    said.for_each(|said| said.retried = true);
                }
            }
        }
    }
}

pub fn text_of(message: &MessageView) -> Option<String> {
    match &message.content {
        Content::Text(text) => Some(text.clone()),
        _ => None,
    }
}

pub fn note_of(message: &MessageView) -> Option<Note> {
    match message.content.clone() {
        Content::Note(note) => Some(note),
        _ => None,
    }
}

fn is(message: &MessageView, text: &str) -> bool {
    matches!(&message.content, Content::Text(own) if own == text)
}
