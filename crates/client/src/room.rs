//! A room as a machine without I/O, beside the messenger and independent of it: no SIM takes part.
//! Inputs in, one batch of changes and effects out; the law is that of the crate's page.
//!
//! The person's private key is the adapter's: WebCrypto's in the browser, not extractable. The machine
//! asks for each signature ([`RoomEffect::Sign`]) and goes on when it has come. What is sealed under a
//! sequence is stored before that, so a sequence is never used for two texts.
//!
//! What was said is kept in memory alone: the server has it until the room ends, and the code opens it.
//! Everything that comes is verified here again: who signed it, whose name it is, that no sequence is used
//! twice.

mod contacts;
mod events;
mod io;
mod link;
mod people;
mod record;
mod say;
mod view;

pub use io::{RoomEffect, RoomInput, RoomOutput};

use crate::{CommandId, HttpError, LoadError, record::key, table};
use bytes::Bytes;
use link::Link;
use people::People;
use rand_core::CryptoRngCore;
use record::RoomRecord;
use rly_crypto::{RoomKeys, RoomName};
use rly_protocol::{
    Decode, Encode, ErrorCode, PublicKey, RoomId, Timestamp,
    api::{Blob, CreateRoom, RoomState},
    limits::ROOM_CODE_LETTERS,
    room::RoomLimits,
};
use rly_view::{Failure, FailureCode, RoomAnswer, RoomCode, RoomCommand, RoomEndView, RoomPhase, RoomUpdate};
use std::collections::BTreeMap;
use view::Shown;

/// How a text's characters are counted: extended grapheme clusters (Unicode annex 29). In the browser
/// `Intl.Segmenter` does it, elsewhere a crate.
pub type Count = fn(&str) -> usize;

/// The machine of one room.
pub struct Room {
    origin: String,
    count: Count,
    keys: RoomKeys,
    record: RoomRecord,
    /// Something of it is stored.
    kept: bool,
    phase: RoomPhase,
    link: Link,
    people: People,
    /// Own messages that the server has and that have not come back yet.
    sent: Vec<record::Pending>,
    /// What is shown, in its order.
    shown: BTreeMap<u64, Shown>,
    /// The last place that was taken.
    place: u64,
    /// The last place that the list of people of the latest joining includes.
    head: u64,
    closes_at: Timestamp,
    /// The server's clock is so far ahead of ours, in ms.
    ahead: i64,
    /// Who wait for the answer to what was asked of the server over HTTP (several tabs may open a room),
    asked: Vec<CommandId>,
    /// to join,
    joining: Option<CommandId>,
    /// to delete everything,
    deleting: Option<CommandId>,
    /// and to end the room.
    closing: Option<CommandId>,
    trouble: Option<FailureCode>,
    timer: Option<Timestamp>,
    /// The view has to be told again.
    dirty: bool,
}

/// Passed along while an input is handled.
struct Cx<'a> {
    now: Timestamp,
    rng: &'a mut dyn CryptoRngCore,
    out: &'a mut RoomOutput,
}

impl Cx<'_> {
    fn answer(&mut self, from: Option<CommandId>, outcome: Result<RoomAnswer, FailureCode>) {
        if let Some(from) = from {
            let outcome = outcome.map_err(Failure::from);
            self.out.answers.push((from, outcome));
        }
    }

    fn effect(&mut self, effect: RoomEffect) {
        self.out.effects.push(effect);
    }
}

fn new_code(rng: &mut dyn CryptoRngCore) -> RoomCode {
    let mut random = [0; ROOM_CODE_LETTERS];
    rng.fill_bytes(&mut random);
    RoomCode::from_random(&random)
}

impl Room {
    /// A room to be made, with a code of its own; [`RoomCommand::Create`] goes in next. `own` is a new key
    /// of the adapter's.
    pub fn create(own: PublicKey, origin: String, count: Count, rng: &mut dyn CryptoRngCore) -> Self {
        let code = new_code(rng);
        Self::new(&code, own, true, origin, count)
    }

    /// A room that somebody else has made; [`RoomCommand::Open`] goes in next.
    pub fn open(code: &RoomCode, own: PublicKey, origin: String, count: Count) -> Self {
        Self::new(code, own, false, origin, count)
    }

    /// A stored room: the value of a row of [`table::ROOMS`]. [`RoomInput::Start`] goes in next.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(row: &[u8], origin: String, count: Count) -> Result<Self, LoadError> {
        let record = RoomRecord::from_bytes(row)?;
        let code = core::str::from_utf8(&record.code)
            .ok()
            .and_then(|code| code.parse().ok());
        let code: RoomCode = code.ok_or(LoadError::Damaged)?;
        let mut room = Self::new(&code, record.key, record.creator, origin, count);
        room.closes_at = record.ends_at;
        room.record = record;
        room.kept = true;
        Ok(room)
    }

    fn new(code: &RoomCode, own: PublicKey, creator: bool, origin: String, count: Count) -> Self {
        let record = RoomRecord {
            code: Bytes::copy_from_slice(code.as_bytes()),
            key: own,
            creator,
            limits: rly_view::ROOM_PRESET,
            ends_at: Timestamp(0),
            name: None,
            inside: false,
            deleting: false,
            seq: 0,
            outbox: Vec::new(),
            contacts: Vec::new(),
        };
        Self {
            origin,
            count,
            keys: RoomKeys::new(code),
            record,
            kept: false,
            phase: RoomPhase::Outside,
            link: Link::default(),
            people: People::default(),
            sent: Vec::new(),
            shown: BTreeMap::new(),
            place: 0,
            head: 0,
            closes_at: Timestamp(0),
            ahead: 0,
            asked: Vec::new(),
            joining: None,
            deleting: None,
            closing: None,
            trouble: None,
            timer: None,
            dirty: true,
        }
    }

    /// Which room it is. While one is being made this may change.
    pub fn id(&self) -> RoomId {
        self.keys.id()
    }

    /// Which room a code is of.
    pub fn id_of(code: &RoomCode) -> RoomId {
        RoomKeys::new(code).id()
    }

    /// The key that it signs with.
    pub fn key(&self) -> PublicKey {
        self.record.key
    }

    /// Nothing of the room is kept any more: the machine can go once no page shows it.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, RoomPhase::Ended { .. } | RoomPhase::Deleted)
    }

    /// Something is to be done even if nobody looks at the room: what was to be deleted when the
    /// connection was lost, or all of a room whose life is over.
    pub fn is_pending(&self, now: Timestamp) -> bool {
        self.record.deleting || now.0 >= self.record.ends_at.0.saturating_add(GRACE_MS)
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Timestamp, rng: &mut dyn CryptoRngCore, input: RoomInput) -> RoomOutput {
        let mut out = RoomOutput::default();
        let cx = &mut Cx {
            now,
            rng,
            out: &mut out,
        };
        match input {
            RoomInput::Start => self.start(cx),
            RoomInput::Command { from, command } => self.command(cx, from, command),
            RoomInput::Http(result) => self.http(cx, result),
            RoomInput::SocketOpened => {}
            RoomInput::SocketFrame(message) => self.frame(cx, message),
            RoomInput::SocketClosed => self.lost(cx),
            RoomInput::Signed { n, signature } => self.signed(cx, n, signature),
            RoomInput::Timer => self.timer(cx),
            RoomInput::Wake => self.wake(cx),
        }
        self.end_in_time(cx);
        self.go_on(cx);
        self.set_timer(cx);
        if core::mem::take(&mut self.dirty) {
            cx.out.updates.push(RoomUpdate::View { view: self.view() });
        }
        out
    }

    fn start(&mut self, cx: &mut Cx) {
        if self.record.inside || self.record.deleting {
            self.connect(cx);
        } else {
            cx.effect(RoomEffect::Look(self.id()));
        }
    }

    fn command(&mut self, cx: &mut Cx, from: CommandId, command: RoomCommand) {
        self.dirty = true;
        let gone = self.is_over() && !matches!(command, RoomCommand::Show { .. });
        let outcome = match command {
            _ if gone => Err(FailureCode::RoomGone),
            RoomCommand::Create { limits } => {
                self.record.limits = limits;
                self.asked.push(from);
                return self.ask_to_create(cx);
            }
            RoomCommand::Open { .. } if self.kept => {
                if self.phase == RoomPhase::Outside {
                    // From outside nobody hears how much longer it lasts.
                    cx.effect(RoomEffect::Look(self.id()));
                }
                Ok(self.opened())
            }
            RoomCommand::Open { .. } => {
                self.asked.push(from);
                return cx.effect(RoomEffect::Look(self.id()));
            }
            RoomCommand::Join { name, .. } => return self.join(cx, from, &name),
            RoomCommand::Send { id, text, .. } => self.say(cx, &id, &text),
            RoomCommand::Leave { .. } => {
                self.leave(cx);
                Ok(RoomAnswer::Done)
            }
            RoomCommand::DeleteEverything { .. } => return self.delete_everything(cx, from),
            RoomCommand::Close { .. } => return self.close(cx, from),
            RoomCommand::KeepContact { person, .. } => self.keep_contact(cx, person),
            RoomCommand::RefuseContact { person, .. } => self.refuse_contact(cx, person),
            RoomCommand::Show { .. } => Ok(RoomAnswer::View {
                view: self.view(),
                messages: self.messages(),
            }),
            RoomCommand::Wake => {
                self.wake(cx);
                Ok(RoomAnswer::Done)
            }
            RoomCommand::InviteMade { person, link, .. } => {
                self.invite_made(cx, person, link);
                Ok(RoomAnswer::Done)
            }
            RoomCommand::ContactMade {
                person, conversation, ..
            } => {
                self.contact_made(cx, person, conversation);
                Ok(RoomAnswer::Done)
            }
        };
        cx.answer(Some(from), outcome);
    }

    fn ask_to_create(&mut self, cx: &mut Cx) {
        cx.effect(RoomEffect::Create(CreateRoom {
            room: self.id(),
            token_hash: Blob(self.keys.token_hash().into()),
            creator: self.record.key,
            limits: self.record.limits,
        }));
    }

    fn http(&mut self, cx: &mut Cx, result: Result<RoomState, HttpError>) {
        match result {
            Ok(state) if state.room == self.id() => {
                self.ahead = (state.now.0 as i64).wrapping_sub(cx.now.0 as i64);
                self.learn(state.limits, state.ends_at, state.closes_at);
                self.store(cx);
                let answer = self.opened();
                self.answer_asked(cx, Ok(answer));
            }
            Ok(_) => self.answer_asked(cx, Err(FailureCode::Refused)),
            Err(HttpError::Code(ErrorCode::RoomTaken, _)) if self.record.creator && !self.kept => {
                let code = new_code(cx.rng);
                self.record.code = Bytes::copy_from_slice(code.as_bytes());
                self.keys = RoomKeys::new(&code);
                self.ask_to_create(cx);
            }
            Err(HttpError::Code(ErrorCode::NoRoom, _)) => {
                self.answer_asked(cx, Err(FailureCode::RoomGone));
                self.ended(cx, None);
            }
            Err(error) => {
                let code = match error {
                    HttpError::Code(code, _) => failure(code),
                    HttpError::Network => FailureCode::Offline,
                };
                self.trouble = Some(code);
                self.answer_asked(cx, Err(code));
            }
        }
        self.dirty = true;
    }

    fn answer_asked(&mut self, cx: &mut Cx, outcome: Result<RoomAnswer, FailureCode>) {
        for from in core::mem::take(&mut self.asked) {
            cx.answer(Some(from), outcome.clone());
        }
    }

    fn opened(&self) -> RoomAnswer {
        RoomAnswer::Opened {
            room: self.id().into(),
            link: self.keys.code().to_url(&self.origin),
            view: self.view(),
        }
    }

    /// The server has told how the room is.
    fn learn(&mut self, limits: RoomLimits, ends_at: Timestamp, closes_at: Timestamp) {
        self.record.limits = limits;
        self.record.ends_at = ends_at;
        self.closes_at = closes_at.min(ends_at);
        self.dirty = true;
    }

    fn join(&mut self, cx: &mut Cx, from: CommandId, name: &str) {
        let Ok(name) = RoomName::new(name) else {
            return cx.answer(Some(from), Err(FailureCode::NameInvalid));
        };
        self.record.name.get_or_insert_with(|| name.as_str().to_owned());
        self.record.inside = true;
        self.store(cx);
        if self.phase == RoomPhase::Inside {
            return cx.answer(Some(from), Ok(RoomAnswer::Done));
        }
        let before = self.joining.replace(from);
        cx.answer(before, Err(FailureCode::Busy));
        self.connect(cx);
    }

    fn leave(&mut self, cx: &mut Cx) {
        self.record.inside = false;
        self.store(cx);
        self.disconnect(cx);
        self.phase = RoomPhase::Outside;
        cx.answer(self.joining.take(), Err(FailureCode::RoomNotJoined));
    }

    fn delete_everything(&mut self, cx: &mut Cx, from: CommandId) {
        if self.record.name.is_none() {
            // Nothing of it is anywhere but here.
            cx.answer(Some(from), Ok(RoomAnswer::Done));
            return self.forget(cx, RoomPhase::Deleted);
        }
        self.record.deleting = true;
        self.record.outbox.clear();
        self.store(cx);
        let before = self.deleting.replace(from);
        cx.answer(before, Err(FailureCode::Busy));
        if self.phase == RoomPhase::Inside {
            self.ask_to_delete(cx);
        } else {
            self.connect(cx);
        }
    }

    fn close(&mut self, cx: &mut Cx, from: CommandId) {
        if self.phase != RoomPhase::Inside {
            return cx.answer(Some(from), Err(FailureCode::RoomNotJoined));
        }
        let before = self.closing.replace(from);
        cx.answer(before, Err(FailureCode::Busy));
        self.ask_to_close(cx);
    }

    /// The room is no more.
    fn ended(&mut self, cx: &mut Cx, why: Option<RoomEndView>) {
        cx.answer(self.joining.take(), Err(FailureCode::RoomGone));
        let done = match why {
            Some(_) => Ok(RoomAnswer::Done),
            None => Err(FailureCode::RoomGone),
        };
        cx.answer(self.closing.take(), done);
        // With the room everything of ours is gone.
        cx.answer(self.deleting.take(), Ok(RoomAnswer::Done));
        self.forget(cx, RoomPhase::Ended { why });
    }

    /// Deletes all that is kept here.
    fn forget(&mut self, cx: &mut Cx, phase: RoomPhase) {
        self.disconnect(cx);
        if self.kept {
            cx.out.changes.delete(key(table::ROOMS, &[self.id().as_bytes()]));
            self.kept = false;
        }
        self.record.outbox.clear();
        self.sent.clear();
        self.record.contacts.clear();
        self.record.inside = false;
        self.shown.clear();
        self.people = People::default();
        cx.effect(RoomEffect::ForgetKey(self.record.key));
        self.phase = phase;
        self.dirty = true;
    }

    /// Ends here what the server does not end: in every open browser nothing outlives the room's time.
    fn end_in_time(&mut self, cx: &mut Cx) {
        if self.is_over() || !self.kept {
            return;
        }
        let server_now = self.server_now(cx.now);
        if server_now.0 >= self.record.ends_at.0.saturating_add(GRACE_MS) {
            self.ended(cx, Some(RoomEndView::Life));
        } else if self.phase == RoomPhase::Inside && server_now.0 >= self.closes_at.0.saturating_add(GRACE_MS)
        {
            self.ended(cx, Some(RoomEndView::Idle));
        }
    }

    fn server_now(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_add_signed(self.ahead))
    }

    /// A moment of the server's clock in ours.
    fn here(&self, at: Timestamp) -> Timestamp {
        Timestamp(at.0.saturating_add_signed(self.ahead.saturating_neg()))
    }

    fn store(&mut self, cx: &mut Cx) {
        self.kept = true;
        let row = key(table::ROOMS, &[self.id().as_bytes()]);
        cx.out.changes.put(row, self.record.to_bytes());
        self.dirty = true;
    }
}

/// How long after its time a room that the server did not end is ended here.
const GRACE_MS: u64 = 30_000;

/// What a server's code means to a person.
fn failure(code: ErrorCode) -> FailureCode {
    match code {
        ErrorCode::NoRoom => FailureCode::RoomGone,
        ErrorCode::RoomFull => FailureCode::RoomFull,
        ErrorCode::RoomSecretWrong => FailureCode::RoomSecretWrong,
        ErrorCode::RoomNotCreator => FailureCode::RoomNotCreator,
        ErrorCode::RoomNotJoined => FailureCode::RoomNotJoined,
        ErrorCode::RoomInvalid => FailureCode::RoomLimitsInvalid,
        ErrorCode::RoomsOff | ErrorCode::RoomsNeedAccount => FailureCode::RoomsOff,
        ErrorCode::RoomsTooMany => FailureCode::RoomsTooMany,
        ErrorCode::RateLimited | ErrorCode::Unavailable | ErrorCode::Stopping => FailureCode::Busy,
        _ => FailureCode::Refused,
    }
}
