//! The machine: what is loaded, what comes in, and what goes out in one batch.

use crate::{
    connection::Link,
    context::{Cx, SimState},
    conversation::Conversation,
    io::{CommandId, Effect, HttpRequest, HttpResult, Input, Key, Output, table},
    letters::KeptLetter,
    parse::parse_id,
    record::{
        AskedRejoin, ContactRecord, ConversationId, ConversationRecord, DeletedRecord, DeletionRecord,
        InviteRecord, OutRecord, SimRecord, SlotRecord, key, put, sim_key,
    },
    vault::VaultState,
};
use core::mem;
use rand_core::CryptoRngCore;
use rly_crypto::Sim;
use rly_protocol::{Decode, DecodeError, QueueId, Timestamp};
use rly_view::{Answer, Command, FailureCode, FromWorker, MessageView, OpenedLetter};
use std::collections::BTreeMap;
use thiserror::Error;

/// Why stored rows could not be loaded. Nothing was changed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum LoadError {
    /// A row was written by a newer version.
    #[error("what is stored was written by a newer version")]
    Newer,
    /// A row is damaged.
    #[error("what is stored is damaged")]
    Damaged,
}

impl From<DecodeError> for LoadError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Version(_) => Self::Newer,
            _ => Self::Damaged,
        }
    }
}

type Rows = Vec<(Key, Vec<u8>)>;

/// What an HTTP request is for.
pub(crate) enum HttpPurpose {
    /// The mailbox of a new link.
    InviteMailbox(crate::invites::NewInvite),
    /// The new link.
    Invite(crate::invites::NewInvite),
    /// The mailbox that a letter's author will answer to.
    ReplyMailbox(crate::letters::NewReply),
}

/// Messages that are being read from storage for a page.
pub(crate) struct Read {
    from: CommandId,
    conversation: String,
    /// What storage gave, once it has, and whether there is more.
    rows: Option<(Vec<MessageView>, bool)>,
    /// What changed since the read was asked for: what comes from storage may be older.
    changed: BTreeMap<u64, MessageView>,
}

/// The messenger.
pub struct Machine {
    pub(crate) origin: String,
    pub(crate) sim: Option<SimState>,
    pub(crate) conversations: BTreeMap<ConversationId, Conversation>,
    pub(crate) invites: BTreeMap<[u8; 16], InviteRecord>,
    pub(crate) letters: BTreeMap<[u8; 16], KeptLetter>,
    pub(crate) deletions: BTreeMap<QueueId, DeletionRecord>,
    /// What was deleted, on this or another device of the SIM, and is not to come back.
    pub(crate) deleted: BTreeMap<[u8; 16], DeletedRecord>,
    pub(crate) vault: VaultState,
    pub(crate) link: Link,
    pub(crate) http: BTreeMap<u64, HttpPurpose>,
    pub(crate) reads: BTreeMap<u64, Read>,
    pub(crate) next_id: u64,
    /// The SIM is to be deleted: who waits for it, and until when.
    pub(crate) ending: Option<(Vec<CommandId>, Timestamp)>,
    /// The state view has to be told again.
    pub(crate) state_dirty: bool,
    timer: Option<Timestamp>,
    /// The latest time that was told.
    now: Timestamp,
    out: Output,
}

impl Machine {
    /// Takes over what is stored: every row but those of [`table::MESSAGES`]
    /// and [`table::ROOMS`]. `origin` is the
    /// server's.
    ///
    /// # Errors
    /// [`LoadError`]; rows of tables that are not known here count as newer.
    pub fn load(rows: Vec<(Key, Vec<u8>)>, origin: String) -> Result<Self, LoadError> {
        let mut machine = Self {
            origin,
            sim: None,
            conversations: BTreeMap::new(),
            invites: BTreeMap::new(),
            letters: BTreeMap::new(),
            deletions: BTreeMap::new(),
            deleted: BTreeMap::new(),
            vault: VaultState::default(),
            link: Link::default(),
            http: BTreeMap::new(),
            reads: BTreeMap::new(),
            next_id: 0,
            ending: None,
            state_dirty: true,
            timer: None,
            now: Timestamp(0),
            out: Output::default(),
        };
        let mut local: BTreeMap<ConversationId, ConversationRecord> = BTreeMap::new();
        let mut contacts: BTreeMap<ConversationId, ContactRecord> = BTreeMap::new();
        let mut groups: BTreeMap<(ConversationId, [u8; 8]), Rows> = BTreeMap::new();
        let mut parts = Vec::new();
        for (key, value) in rows {
            let (&table, rest) = key.split_first().ok_or(LoadError::Damaged)?;
            match table {
                table::SIM => {
                    let record = SimRecord::from_bytes(&value)?;
                    machine.sim = Some(SimState {
                        sim: Sim::from_seed(&record.seed),
                        record,
                    });
                }
                table::CONTACTS => {
                    contacts.insert(id16(rest)?, ContactRecord::from_bytes(&value)?);
                }
                table::CONVERSATIONS => {
                    local.insert(id16(rest)?, ConversationRecord::from_bytes(&value)?);
                }
                table::INVITES => {
                    machine
                        .invites
                        .insert(id16(rest)?, InviteRecord::from_bytes(&value)?);
                }
                table::MLS => {
                    let (conversation, rest) = rest.split_first_chunk::<16>().ok_or(LoadError::Damaged)?;
                    let (tag, rest) = rest.split_first_chunk::<8>().ok_or(LoadError::Damaged)?;
                    groups
                        .entry((*conversation, *tag))
                        .or_default()
                        .push((rest.to_vec(), value));
                }
                table::VAULT => {
                    let slot = u32::from_bytes(rest)?;
                    machine.vault.slots.insert(slot, SlotRecord::from_bytes(&value)?);
                }
                table::LETTERS => {
                    machine.keep(id16(rest)?, OpenedLetter::from_bytes(&value)?);
                }
                table::DELETIONS => {
                    machine
                        .deletions
                        .insert(QueueId(id16(rest)?), DeletionRecord::from_bytes(&value)?);
                }
                table::DELETED => {
                    machine
                        .deleted
                        .insert(id16(rest)?, DeletedRecord::from_bytes(&value)?);
                }
                table::OUTBOX | table::SEEN | table::HELD | table::REJOINS => parts.push((key, value)),
                table::MESSAGES | table::ANSWERED | table::ROOMS => {}
                _ => return Err(LoadError::Newer),
            }
        }
        for (id, contact) in contacts {
            let local = local.remove(&id).ok_or(LoadError::Damaged)?;
            machine
                .conversations
                .insert(id, Conversation::load(id, contact, local));
        }
        for ((conversation, tag), rows) in groups {
            let group = rly_crypto::Conversation::load(rows).map_err(|_| LoadError::Damaged)?;
            if let Some(conversation) = machine.conversations.get_mut(&conversation) {
                conversation.groups.insert(tag, group);
            }
        }
        for (key, value) in parts {
            let (conversation, rest) = key[1..].split_first_chunk::<16>().ok_or(LoadError::Damaged)?;
            let Some(conversation) = machine.conversations.get_mut(conversation) else {
                continue;
            };
            match key[0] {
                table::OUTBOX => {
                    conversation
                        .outbox
                        .insert(u64::from_bytes(rest)?, OutRecord::from_bytes(&value)?);
                }
                table::SEEN => {
                    let id = <[u8; 16]>::from_bytes(&value)?;
                    conversation.seen.insert(u16::from_bytes(rest)?, id);
                }
                table::REJOINS => conversation.asked = Some(AskedRejoin::from_bytes(&value)?),
                _ => {
                    conversation
                        .held
                        .insert(u64::from_bytes(rest)?, crate::inner::Inner::from_bytes(&value)?);
                }
            }
        }
        machine.check_vault();
        Ok(machine)
    }

    /// Takes one input. What follows from it waits for [`Machine::take_output`].
    pub fn handle(&mut self, input: Input, now: Timestamp, rng: &mut dyn CryptoRngCore) {
        if now < mem::replace(&mut self.now, now) {
            self.clock_set_back(now);
        }
        let mut out = mem::take(&mut self.out);
        let cx = &mut Cx {
            now,
            rng,
            out: &mut out,
        };
        match input {
            Input::Start => {
                for conversation in self.conversations.values_mut() {
                    conversation.started(now);
                }
                self.connect_if_due(cx);
            }
            Input::Command { from, command } => self.command(cx, from, command),
            Input::Letter { id, row } => {
                match row.and_then(|row| OpenedLetter::from_bytes(&row).ok()) {
                    Some(letter) => self.keep(id, letter),
                    None => drop(self.letters.remove(&id)),
                }
                self.state_dirty = true;
            }
            Input::SocketOpened => self.socket_opened(cx),
            Input::SocketFrame(message) => self.socket_frame(cx, message),
            Input::SocketClosed => self.socket_closed(cx),
            Input::Http { id, result } => self.http_ended(cx, id, result),
            Input::Rows { id, rows, more } => self.rows_read(id, &rows, more),
            Input::Timer => {
                self.timer = None;
                self.state_dirty = true;
                self.timer_fired(cx);
            }
        }
        self.out = out;
    }

    /// Everything that follows from the inputs so far, as one batch.
    pub fn take_output(&mut self, now: Timestamp, rng: &mut dyn CryptoRngCore) -> Output {
        let mut out = mem::take(&mut self.out);
        let cx = &mut Cx {
            now,
            rng,
            out: &mut out,
        };
        self.flush_conversations(cx);
        self.flush_vault(cx);
        self.flush_deletions(cx);
        self.finish_ending(cx);
        self.note_changed(cx);
        self.answer_reads(cx);
        let due = self.next_due(now);
        if due != self.timer {
            self.timer = due;
            if let Some(due) = due {
                cx.out.effects.push(Effect::SetTimer(due));
            }
        }
        if mem::take(&mut self.state_dirty) {
            cx.out.updates.push(FromWorker::State(self.state_view(now)));
        }
        out
    }

    /// The state for a page that has just come.
    pub fn state(&self, now: Timestamp) -> FromWorker {
        FromWorker::State(self.state_view(now))
    }

    fn command(&mut self, cx: &mut Cx, from: CommandId, command: Command) {
        let outcome = match command {
            Command::CreateSim { name, password } => self.create_sim(cx, &name, password.as_deref()),
            Command::ImportSim { file, password } => {
                let outcome = self.import_sim(cx, &file, password.as_deref());
                self.state_dirty = true;
                return cx.answer_with(from, outcome);
            }
            Command::ExportSim => self.export_sim(cx),
            Command::ExportSealed { password } => self.export_sealed(cx, &password),
            Command::SetName { name } => self.set_name(cx, &name),
            Command::SetPassword { password } => self.set_password(cx, password.as_deref()),
            Command::CreateInvite {
                id,
                letter,
                name,
                ttl_seconds,
            } => {
                return self.create_invite(cx, from, &id, letter, name, ttl_seconds);
            }
            Command::WithdrawInvite { id } => return self.withdraw_invite(cx, from, &id),
            Command::ForgetInvite { id } => self.forget_invite(cx, &id),
            Command::KeepLetter { id } => self.keep_letter(&id),
            Command::DropLetter { id } => self.drop_letter(cx, &id),
            Command::Reply { letter, name, text } => return self.reply(cx, from, &letter, name, text),
            Command::Send {
                conversation,
                id,
                text,
            } => self.send(cx, &conversation, &id, text),
            Command::Retry { conversation, id } => self.retry(cx, &conversation, &id),
            Command::LoadMessages {
                conversation,
                before,
                limit,
            } => {
                return self.load_messages(cx, from, &conversation, before, limit);
            }
            Command::MarkRead { conversation } => self.with(&conversation, |c| c.mark_read()),
            Command::SetVerified {
                conversation,
                verified,
            } => self.with(&conversation, |c| c.set_verified(verified)),
            Command::Block { conversation } => self.block(cx, &conversation),
            Command::DeleteConversation { conversation } => self.delete_conversation(cx, &conversation),
            Command::UseHere => self.use_here(cx),
            Command::DeleteSim => return self.delete_sim(cx, from),
            Command::SetPersisted { persisted } => self.set_persisted(cx, persisted),
            Command::Wake => {
                self.wake(cx);
                Ok(Answer::Done)
            }
        };
        self.state_dirty = true;
        cx.answer(from, outcome);
    }

    /// The id of a new HTTP request or read.
    pub(crate) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(crate) fn start_http(&mut self, cx: &mut Cx, purpose: HttpPurpose, request: HttpRequest) {
        let id = self.new_id();
        self.http.insert(id, purpose);
        cx.out.effects.push(Effect::Http { id, request });
    }

    fn http_ended(&mut self, cx: &mut Cx, id: u64, result: HttpResult) {
        match self.http.remove(&id) {
            Some(HttpPurpose::InviteMailbox(new)) => self.invite_mailbox_made(cx, new, result),
            Some(HttpPurpose::Invite(new)) => self.invite_made(cx, new, result),
            Some(HttpPurpose::ReplyMailbox(new)) => self.reply_mailbox_made(cx, new, result),
            None => {}
        }
        self.state_dirty = true;
    }

    /// The conversation that a page named.
    pub(crate) fn named(&self, name: &str) -> Result<ConversationId, FailureCode> {
        let id = parse_id(name)?;
        self.conversations
            .contains_key(&id)
            .then_some(id)
            .ok_or(FailureCode::NotFound)
    }

    fn with(&mut self, name: &str, change: impl FnOnce(&mut Conversation)) -> Result<Answer, FailureCode> {
        let id = self.named(name)?;
        let conversation = self.conversations.get_mut(&id).ok_or(FailureCode::NotFound)?;
        change(conversation);
        Ok(Answer::Done)
    }

    pub(crate) fn save_sim(&self, cx: &mut Cx) {
        if let Some(state) = &self.sim {
            put(&mut cx.out.changes, sim_key(), &state.record);
        }
    }

    fn rows_read(&mut self, id: u64, rows: &[(Key, Vec<u8>)], more: bool) {
        if let Some(read) = self.reads.get_mut(&id) {
            let mut stored: Vec<MessageView> = Vec::with_capacity(rows.len());
            for (key, value) in rows {
                let before = stored.last().map_or(Timestamp(0), |message| message.at);
                stored.extend(crate::view::message_from_row(key, value, before));
            }
            // Where the first cannot be read, the time is that of the one after it.
            let known = stored.iter().map(|message| message.at).find(|at| at.0 > 0);
            for message in stored.iter_mut().take_while(|message| message.at.0 == 0) {
                message.at = known.unwrap_or_default();
            }
            read.rows = Some((stored, more));
        }
    }

    /// Answers those whose rows were read, with what changed meanwhile, in this batch as well: its news
    /// are told before its answers.
    fn answer_reads(&mut self, cx: &mut Cx) {
        for (_, mut read) in self.reads.extract_if(.., |_, read| read.rows.is_some()) {
            let (stored, more) = read.rows.take().unwrap_or_default();
            let messages = stored
                .into_iter()
                .map(|message| read.changed.remove(&message.order).unwrap_or(message))
                .collect();
            cx.answer(read.from, Ok(Answer::Messages { messages, more }));
        }
    }

    /// Has those who wait for messages get them as they are after this batch.
    fn note_changed(&mut self, cx: &mut Cx) {
        for update in &cx.out.updates {
            let FromWorker::Messages {
                conversation,
                messages,
            } = update
            else {
                continue;
            };
            for read in self
                .reads
                .values_mut()
                .filter(|read| read.conversation == *conversation)
            {
                read.changed
                    .extend(messages.iter().map(|message| (message.order, message.clone())));
            }
        }
    }

    fn load_messages(&mut self, cx: &mut Cx, from: CommandId, name: &str, before: Option<u64>, limit: u32) {
        let conversation = match self.named(name) {
            Ok(id) => id,
            Err(code) => return cx.answer(from, Err(code)),
        };
        let id = self.new_id();
        let read = Read {
            from,
            conversation: name.to_owned(),
            rows: None,
            changed: BTreeMap::new(),
        };
        self.reads.insert(id, read);
        cx.out.effects.push(Effect::ReadMessages {
            id,
            prefix: key(table::MESSAGES, &[&conversation]),
            before: before.map(|order| crate::record::message_key(&conversation, order)),
            limit: limit.clamp(1, 1000),
        });
    }
}

fn id16(bytes: &[u8]) -> Result<[u8; 16], LoadError> {
    bytes.try_into().map_err(|_| LoadError::Damaged)
}
