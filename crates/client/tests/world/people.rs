//! What people do in tests, and what they see.

use super::{World, relay::DeviceIndex};
use rand_core::RngCore;
use rly_client::{Input, table};
use rly_protocol::{
    Encode, ErrorCode, PublicKey,
    api::{ImportContact, Imported},
    to_base64url,
};
use rly_view::{
    Answer, Command, Content, ConversationView, FailureCode, Link, MessageState, MessageView, Note,
    OpenedLetter,
};

impl World {
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

    /// A command of a page. `None` if the browser died and nobody is there to be answered.
    pub fn try_run(&mut self, d: DeviceIndex, command: Command) -> Option<Result<Answer, FailureCode>> {
        let ends = self.devices[d].ends;
        let from = self.command(d, command);
        while self.devices[d].ends == ends && !self.devices[d].answers.contains_key(&from) && self.step() {}
        self.devices[d].answers.remove(&from)
    }

    /// The SIM's file.
    pub fn export(&mut self, d: DeviceIndex) -> String {
        match self.run(d, Command::ExportSim) {
            Ok(Answer::SimFile { text, .. }) => text,
            _ => panic!("no file"),
        }
    }

    /// A new device takes over the SIM of a file.
    pub fn restore(&mut self, file: &str) -> DeviceIndex {
        let d = self.add_device();
        let import = Command::ImportSim {
            file: file.into(),
            password: None,
        };
        assert!(matches!(self.run(d, import), Ok(Answer::Done)));
        d
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
    pub fn open(&mut self, d: DeviceIndex, link: &str) -> Result<String, ErrorCode> {
        let (claim_key, imported) = self.claim(link)?;
        Ok(self.keep_opened(d, link, claim_key, imported))
    }

    /// Claims a link.
    pub fn claim(&mut self, link: &str) -> Result<(PublicKey, Imported), ErrorCode> {
        self.tell_relay();
        let mut key = [4; 65];
        self.rng.fill_bytes(&mut key[1..]);
        let claim_key = PublicKey::try_from(&key[..]).unwrap();
        let imported = self.relay.claim(&ImportContact {
            invite: parsed(link).invite.clone(),
            claim_key,
        })?;
        Ok((claim_key, imported))
    }

    /// Stores an opened letter.
    pub fn keep_opened(
        &mut self,
        d: DeviceIndex,
        link: &str,
        claim_key: PublicKey,
        imported: Imported,
    ) -> String {
        let link = parsed(link);
        let mut id = [0; 16];
        self.rng.fill_bytes(&mut id);
        let letter = OpenedLetter {
            id,
            invite: link.invite.clone(),
            secret: link.secret,
            claim_key,
            opened_at: self.clock(d),
            claimed: Some((imported.address, imported.card.0.into())),
        };
        let row = letter.to_bytes();
        let mut key = vec![table::LETTERS];
        key.extend_from_slice(&id);
        self.devices[d].store.0.insert(key, row.clone());
        self.input(d, Input::Letter { id, row: Some(row) });
        to_base64url(&id)
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

    /// The conversation of a device with a person of this name, if there is one.
    pub fn line(&self, d: DeviceIndex, name: &str) -> Option<&ConversationView> {
        self.devices[d]
            .state
            .conversations
            .iter()
            .find(|c| c.name == name)
    }

    /// The conversation of a device with a person of this name.
    pub fn with(&self, d: DeviceIndex, name: &str) -> String {
        let line = self.line(d, name);
        line.unwrap_or_else(|| panic!("no conversation with {name} on {d}"))
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
        // To look is not to do anything: who is to die does so later.
        let dies = self.devices[d].dies.take();
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
        let shown = self.finish_read(d, read, rows);
        self.devices[d].dies = dies;
        shown
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

    pub fn assert_delivered(&mut self, from: DeviceIndex, to: &str) {
        let states = self.states(from, to);
        assert!(
            states.iter().all(|state| *state == MessageState::Delivered),
            "{from} to {to}: {states:?}"
        );
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
        self.assert_delivered(a, &name_b);
        self.assert_delivered(b, &name_a);
        let code = |d: DeviceIndex, with: &str| self.line(d, with).map(|c| c.safety_code.clone());
        assert_eq!(code(a, &name_b), code(b, &name_a));
        assert_eq!(code(a, &name_b).map(|code| code.len()), Some(60));
    }
}

fn parsed(link: &str) -> Link {
    Link::from_fragment(link.split_once('#').expect("a fragment").1).expect("a good link")
}
