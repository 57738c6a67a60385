//! One queue as the engine sees it: what waits, who reads, how far. Pure: every method is a decision,
//! and the caller carries it out while it holds the queue's lock, so that order is kept.
//!
//! An envelope's life: *queued* (given to a connected reader at once, if there is one), *writing*
//! (part of a batch under way), *stored*; or gone at any of these points, because the reader has
//! acknowledged it. One that was acknowledged while queued is never written. The index of everything
//! that waits is always here, at most [`Limits::queue_envelopes`](crate::Limits) entries; bodies are
//! here until they are stored and given away.
//!
//! A reader is *live* once it has been given everything there is; from then on what arrives is given
//! to it at once. Before that, [`QueueState::next`] says what comes next: something that is in memory,
//! or a page of the store. All of this happens by sequence number, so there is no seam.

use bytes::Bytes;
use rly_protocol::{EnvelopeId, frame::Kind};
use std::collections::{HashMap, HashSet, VecDeque};

use crate::store::{Envelope, Place};

/// Acknowledged ids remembered for each queue, to know a repeated envelope.
const RECENT_MAX: usize = 512;
/// How much is read from the store at once.
const PAGE_ENVELOPES: u32 = 256;
const PAGE_BYTES: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// To be written.
    Queued,
    /// In the batch that is being written.
    Writing,
    /// Confirmed.
    Stored,
    /// A notice whose cause is being written: it and what follows must wait for that.
    Held,
    /// Its commit failed, and its sender knows; but the reader has it and may still acknowledge it.
    Failed,
}

struct Waiting<R> {
    place: Place,
    stage: Stage,
    body: Option<Bytes>,
    reply: Option<R>,
    /// Replies to the same envelope sent again meanwhile.
    more: Vec<R>,
}

struct Reader<S> {
    /// Which subscription.
    number: u64,
    sink: S,
    /// The last sequence number given to it.
    cursor: u64,
    live: bool,
}

#[derive(Default)]
struct Recent {
    order: VecDeque<EnvelopeId>,
    ids: HashSet<EnvelopeId>,
}

impl Recent {
    fn insert(&mut self, id: EnvelopeId) {
        if self.ids.insert(id) {
            self.order.push_back(id);
            if self.order.len() > RECENT_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.ids.remove(&oldest);
            }
        }
    }
}

/// How much may wait in a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quota {
    pub envelopes: u32,
    pub bytes: u64,
}

/// What to do with an envelope that a sender offers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offer<R> {
    /// Take it: call [`QueueState::admit`].
    Fresh(R),
    /// It is confirmed already.
    Known(R),
    /// It is on its way to be; the answer comes with the first one's.
    Joined,
    /// It failed before and is to be written again, under its number.
    Again,
    /// There is no room.
    Full(R),
    /// The queue is deleted.
    Gone(R),
}

/// An envelope for the reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deliverable {
    pub seq: u64,
    pub id: EnvelopeId,
    pub kind: Kind,
    pub body: Bytes,
}

/// What a reader that catches up needs next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// This; then say [`QueueState::delivered`].
    Deliver(Deliverable),
    /// A page of the store.
    Fetch { after: u64, limit: u32, until: u64 },
    /// A commit that decides about a notice.
    Wait,
    /// Nothing: it is live.
    Live,
    /// Nothing any more: somebody else reads.
    Stop,
}

/// Rows of the store on their way to a reader, in order.
#[derive(Default)]
pub(crate) struct Page {
    pub rows: VecDeque<Envelope>,
    /// Everything stored up to here is in `rows`, or was, or is gone.
    pub until: u64,
}

impl Page {
    /// What the store gave for a [`Next::Fetch`].
    pub fn read(rows: Vec<Envelope>, limit: u32, until: u64) -> Self {
        // A full page may have ended early, at a row that is not in the index.
        let last = rows.last().filter(|_| rows.len() >= limit as usize);
        let until = last.map_or(until, |row| row.seq.min(until));
        Self {
            rows: rows.into(),
            until,
        }
    }
}

/// A new reader.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Subscribed<S> {
    /// Who read before.
    pub replaced: Option<S>,
    /// Whether there is something to catch up.
    pub behind: bool,
}

/// What an acknowledgement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub envelopes: usize,
    /// How many of them were never written.
    pub elided: usize,
    /// Places have become free in the store and no removal was asked for yet.
    pub remove: bool,
}

/// One queue.
pub(crate) struct QueueState<R, S> {
    waiting: VecDeque<Waiting<R>>,
    ids: HashMap<EnvelopeId, u64>,
    /// Numbers of those that are queued, in order; some may have left.
    queued: VecDeque<u64>,
    bytes: u64,
    held: usize,
    acked: u64,
    recent: Recent,
    reader: Option<Reader<S>>,
    removals: Vec<u64>,
    removing: bool,
    gone: bool,
}

impl<R, S: Clone> QueueState<R, S> {
    /// A queue in which this waits, as the store says.
    pub fn new(stored: Vec<Place>) -> Self {
        let waiting: VecDeque<_> = (stored.into_iter())
            .map(|place| Waiting {
                place,
                stage: Stage::Stored,
                body: None,
                reply: None,
                more: Vec::new(),
            })
            .collect();
        Self {
            ids: waiting.iter().map(|w| (w.place.id, w.place.seq)).collect(),
            bytes: waiting.iter().map(|w| u64::from(w.place.size)).sum(),
            queued: VecDeque::new(),
            held: 0,
            acked: 0,
            recent: Recent::default(),
            reader: None,
            removals: Vec::new(),
            removing: false,
            gone: false,
            waiting,
        }
    }

    /// Whether forgetting all this loses nothing but the memory of recent ids.
    pub fn is_idle(&self) -> bool {
        self.reader.is_none()
            && self.removals.is_empty()
            && !self.removing
            && (self.waiting.iter()).all(|waiting| waiting.stage == Stage::Stored)
    }

    /// Whether it was deleted.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// Decides about an envelope.
    pub fn offer(&mut self, id: EnvelopeId, size: usize, reply: R, quota: Quota) -> Offer<R> {
        if self.gone {
            return Offer::Gone(reply);
        }
        if self.recent.ids.contains(&id) {
            return Offer::Known(reply);
        }
        if let Some(waiting) = self.ids.get(&id).copied().and_then(|seq| self.find_mut(seq)) {
            return match waiting.stage {
                Stage::Stored | Stage::Held => Offer::Known(reply),
                Stage::Queued | Stage::Writing => {
                    waiting.more.push(reply);
                    Offer::Joined
                }
                Stage::Failed => {
                    let seq = waiting.place.seq;
                    waiting.stage = Stage::Queued;
                    waiting.reply = Some(reply);
                    self.queued.push_back(seq);
                    Offer::Again
                }
            };
        }
        if self.waiting.len() >= quota.envelopes as usize || self.bytes + size as u64 > quota.bytes {
            return Offer::Full(reply);
        }
        Offer::Fresh(reply)
    }

    /// Takes an envelope that was found fresh. The number must be above all before it. If there is a
    /// live reader, it is to be given the envelope now.
    pub fn admit(&mut self, place: Place, body: Bytes, reply: R) -> Option<&S> {
        self.push(place, Stage::Queued, body, Some(reply));
        self.queued.push_back(place.seq);
        let held = self.held;
        let reader = self.reader.as_mut().filter(|reader| reader.live && held == 0)?;
        reader.cursor = place.seq;
        Some(&reader.sink)
    }

    /// Reserves a place for a notice whose cause is about to be written.
    pub fn hold(&mut self, place: Place, body: Bytes) {
        self.held += 1;
        self.push(place, Stage::Held, body, None);
    }

    /// The cause was written, or was not. Afterwards what was held back is [`ready`](Self::ready).
    pub fn release(&mut self, seq: u64, stored: bool) {
        let keep_body = self.is_live();
        let Some(at) = self.position(seq) else { return };
        if self.waiting[at].stage != Stage::Held {
            return;
        }
        self.held -= 1;
        if stored {
            self.waiting[at].stage = Stage::Stored;
            if !keep_body {
                self.waiting[at].body = None;
            }
        } else {
            self.take_out(at);
        }
    }

    /// The last number that is known here.
    pub fn newest(&self) -> u64 {
        let last = self.waiting.back().map_or(0, |waiting| waiting.place.seq);
        let given = self.reader.as_ref().map_or(0, |reader| reader.cursor);
        last.max(given).max(self.acked)
    }

    /// Takes note of what others have stored, for a reader that is catching up.
    pub fn learn(&mut self, rows: Vec<Envelope>) {
        for row in rows {
            if self.gone || row.seq <= self.newest() {
                continue;
            }
            let place = Place {
                seq: row.seq,
                id: row.id,
                kind: row.kind,
                size: row.body.len() as u32,
            };
            self.push(place, Stage::Stored, row.body, None);
        }
        if self.reader.is_none() {
            self.forget_bodies();
        }
    }

    /// A live reader is not live any more: somebody has to give it what there is.
    pub fn fall_behind(&mut self) -> Option<(u64, S)> {
        let reader = self.reader.as_mut().filter(|reader| reader.live)?;
        reader.live = false;
        Some((reader.number, reader.sink.clone()))
    }

    /// The next envelope for a live reader that was held back, with the reader; then say
    /// [`delivered`](Self::delivered).
    pub fn ready(&mut self) -> Option<(u64, S, Deliverable)> {
        let reader = self.reader.as_ref().filter(|reader| reader.live)?;
        let waiting = self.after(reader.cursor)?;
        if waiting.stage == Stage::Held {
            return None;
        }
        let body = waiting.body.clone()?;
        Some((
            reader.number,
            reader.sink.clone(),
            deliverable(&waiting.place, body),
        ))
    }

    /// Starts to write what is queued, up to and including a number, while `write` takes more.
    pub fn start_writing(&mut self, upto: u64, mut write: impl FnMut(&Place, Bytes) -> bool) {
        while self.queued.front().is_some_and(|seq| *seq <= upto) {
            let Some(seq) = self.queued.pop_front() else {
                return;
            };
            if let Some(waiting) = self.find_mut(seq)
                && waiting.stage == Stage::Queued
                && let Some(body) = waiting.body.clone()
            {
                waiting.stage = Stage::Writing;
                if !write(&waiting.place, body) {
                    return;
                }
            }
        }
    }

    /// The last number that is queued, if any is.
    pub fn last_queued(&mut self) -> Option<u64> {
        while let Some(seq) = self.queued.back().copied() {
            if self.find(seq).is_some_and(|w| w.stage == Stage::Queued) {
                return Some(seq);
            }
            self.queued.pop_back();
        }
        None
    }

    /// An envelope is stored: answer these. True: the reader acknowledged it meanwhile, and its place
    /// is to be freed.
    pub fn stored(&mut self, seq: u64, mut answer: impl FnMut(R)) -> bool {
        let live_cursor = (self.reader.as_ref())
            .filter(|reader| reader.live)
            .map(|reader| reader.cursor);
        let gone = self.gone;
        match self.find_mut(seq) {
            Some(waiting) => {
                waiting.stage = Stage::Stored;
                // Kept only while a live reader has still to be given it.
                if live_cursor.is_none_or(|cursor| cursor >= seq) {
                    waiting.body = None;
                }
                waiting.reply.take().into_iter().for_each(&mut answer);
                waiting.more.drain(..).for_each(answer);
                false
            }
            None if gone => false,
            None => {
                self.removals.push(seq);
                !std::mem::replace(&mut self.removing, true)
            }
        }
    }

    /// A batch failed. Everything of this queue that is not stored fails with it, what is queued
    /// behind it too, so that a sender's order is kept when it tries again.
    pub fn fail(&mut self, mut refuse: impl FnMut(R)) {
        let given = self.reader.as_ref().map_or(0, |reader| reader.cursor);
        self.queued.clear();
        for at in (0..self.waiting.len()).rev() {
            let waiting = &mut self.waiting[at];
            if !matches!(waiting.stage, Stage::Queued | Stage::Writing) {
                continue;
            }
            waiting.reply.take().into_iter().for_each(&mut refuse);
            waiting.more.drain(..).for_each(&mut refuse);
            if waiting.place.seq <= given {
                waiting.stage = Stage::Failed;
            } else {
                self.take_out(at);
            }
        }
    }

    /// A new reader. It starts after what was acknowledged.
    pub fn subscribe(&mut self, number: u64, sink: S) -> Subscribed<S> {
        let replaced = self.detach();
        let live = self.waiting.is_empty();
        self.reader = Some(Reader {
            number,
            sink,
            cursor: self.acked,
            live,
        });
        Subscribed {
            replaced,
            behind: !live,
        }
    }

    /// Ends a subscription, if it is still the one.
    pub fn unsubscribe(&mut self, number: u64) -> bool {
        let is_it = self.reads(number);
        if is_it {
            self.detach();
        }
        is_it
    }

    /// Whether this subscription is the one.
    pub fn reads(&self, number: u64) -> bool {
        self.reader.as_ref().is_some_and(|reader| reader.number == number)
    }

    /// What a reader that catches up needs next, given what has been read from the store.
    pub fn next(&mut self, number: u64, page: &mut Page) -> Next {
        loop {
            let Some(reader) = self.reader.as_mut().filter(|reader| reader.number == number) else {
                return Next::Stop;
            };
            let cursor = reader.cursor;
            while page.rows.front().is_some_and(|row| row.seq <= cursor) {
                page.rows.pop_front();
            }
            let first = self.waiting.partition_point(|w| w.place.seq <= cursor);
            let Some(waiting) = self.waiting.get(first) else {
                reader.live = true;
                return Next::Live;
            };
            if waiting.stage == Stage::Held {
                return Next::Wait;
            }
            let seq = waiting.place.seq;
            if let Some(body) = waiting.body.clone() {
                return Next::Deliver(deliverable(&waiting.place, body));
            }
            // Rows of a batch whose failure was reported, but that are there all the same.
            while page.rows.front().is_some_and(|row| row.seq < seq) {
                page.rows.pop_front();
            }
            if let Some(row) = page.rows.front().filter(|row| row.seq == seq) {
                return Next::Deliver(deliverable(&waiting.place, row.body.clone()));
            }
            if page.until < seq {
                return self.fetch(first, cursor.max(page.until));
            }
            // Stored when the page was asked for, and not in it: it has been removed.
            self.take_out(first);
        }
    }

    /// The reader was given this.
    pub fn delivered(&mut self, number: u64, seq: u64) {
        if let Some(reader) = self.reader.as_mut().filter(|reader| reader.number == number) {
            reader.cursor = reader.cursor.max(seq);
        }
        if let Some(waiting) = self.find_mut(seq)
            && waiting.stage == Stage::Stored
        {
            waiting.body = None;
        }
    }

    /// The reader has everything up to `upto`, as far as it was given to it.
    pub fn acknowledge(&mut self, number: u64, upto: u64, mut answer: impl FnMut(R)) -> Acknowledged {
        let mut done = Acknowledged::default();
        let Some(reader) = self.reader.as_ref().filter(|reader| reader.number == number) else {
            return done;
        };
        let upto = upto.min(reader.cursor);
        while self.waiting.front().is_some_and(|w| w.place.seq <= upto) {
            let Some(waiting) = self.waiting.pop_front() else {
                break;
            };
            self.bytes -= u64::from(waiting.place.size);
            self.ids.remove(&waiting.place.id);
            self.recent.insert(waiting.place.id);
            done.envelopes += 1;
            match waiting.stage {
                Stage::Stored => self.removals.push(waiting.place.seq),
                Stage::Queued => done.elided += 1,
                Stage::Writing | Stage::Held | Stage::Failed => {}
            }
            waiting
                .reply
                .into_iter()
                .chain(waiting.more)
                .for_each(&mut answer);
        }
        self.acked = self.acked.max(upto);
        if self.waiting.is_empty() {
            self.queued.clear();
        }
        done.remove = !self.removals.is_empty() && !std::mem::replace(&mut self.removing, true);
        done
    }

    /// Places to free in the store. Asked for once for each `remove` that was reported.
    pub fn take_removals(&mut self) -> Vec<u64> {
        self.removing = false;
        std::mem::take(&mut self.removals)
    }

    /// They could not be freed now.
    pub fn put_back_removals(&mut self, seqs: impl IntoIterator<Item = u64>) {
        self.removing = true;
        self.removals.extend(seqs);
    }

    /// The store has dropped this for its age.
    pub fn expire(&mut self, seq: u64) {
        if let Some(at) = self.position(seq)
            && self.waiting[at].stage == Stage::Stored
        {
            self.take_out(at);
        }
    }

    /// The queue is deleted: nobody reads any more, and what was on its way is refused.
    pub fn delete(&mut self, mut refuse: impl FnMut(R)) -> Option<S> {
        self.gone = true;
        self.held = 0;
        self.bytes = 0;
        self.ids.clear();
        self.queued.clear();
        self.removals.clear();
        for waiting in self.waiting.drain(..) {
            waiting
                .reply
                .into_iter()
                .chain(waiting.more)
                .for_each(&mut refuse);
        }
        self.reader.take().map(|reader| reader.sink)
    }

    /// Ends the present subscription. What was only in that reader's hands is dropped.
    pub fn detach(&mut self) -> Option<S> {
        let reader = self.reader.take()?;
        for at in (0..self.waiting.len()).rev() {
            match self.waiting[at].stage {
                Stage::Failed => self.take_out(at),
                Stage::Stored => self.waiting[at].body = None,
                _ => {}
            }
        }
        Some(reader.sink)
    }

    fn forget_bodies(&mut self) {
        for waiting in self.waiting.iter_mut().filter(|w| w.stage == Stage::Stored) {
            waiting.body = None;
        }
    }

    fn is_live(&self) -> bool {
        self.reader.as_ref().is_some_and(|reader| reader.live)
    }

    fn fetch(&self, first: usize, after: u64) -> Next {
        let (mut limit, mut bytes, mut until) = (0, 0, after);
        for waiting in self.waiting.range(first..) {
            bytes += u64::from(waiting.place.size);
            if waiting.body.is_some() || limit == PAGE_ENVELOPES || (limit > 0 && bytes > PAGE_BYTES) {
                break;
            }
            limit += 1;
            until = waiting.place.seq;
        }
        Next::Fetch { after, limit, until }
    }

    fn push(&mut self, place: Place, stage: Stage, body: Bytes, reply: Option<R>) {
        debug_assert!(self.waiting.back().is_none_or(|last| last.place.seq < place.seq));
        self.ids.insert(place.id, place.seq);
        self.bytes += u64::from(place.size);
        self.waiting.push_back(Waiting {
            place,
            stage,
            body: Some(body),
            reply,
            more: Vec::new(),
        });
    }

    fn take_out(&mut self, at: usize) {
        if let Some(waiting) = self.waiting.remove(at) {
            self.ids.remove(&waiting.place.id);
            self.bytes -= u64::from(waiting.place.size);
        }
    }

    fn after(&self, seq: u64) -> Option<&Waiting<R>> {
        self.waiting
            .get(self.waiting.partition_point(|w| w.place.seq <= seq))
    }

    fn position(&self, seq: u64) -> Option<usize> {
        self.waiting
            .binary_search_by_key(&seq, |waiting| waiting.place.seq)
            .ok()
    }

    fn find(&self, seq: u64) -> Option<&Waiting<R>> {
        self.position(seq).map(|at| &self.waiting[at])
    }

    fn find_mut(&mut self, seq: u64) -> Option<&mut Waiting<R>> {
        self.position(seq).map(|at| &mut self.waiting[at])
    }
}

fn deliverable(place: &Place, body: Bytes) -> Deliverable {
    Deliverable {
        seq: place.seq,
        id: place.id,
        kind: place.kind,
        body,
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
