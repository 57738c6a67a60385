//! The one task that writes. It takes everything that is due, commits it in one transaction and then
//! answers. While a commit is under way the next batch gathers, so the more there is to do, the less
//! each envelope costs.
//!
//! What a connected reader was given at once may linger for a few milliseconds, since an envelope that
//! is acknowledged in that time need not be written at all. Everything else is due immediately.

use crate::{
    Refusal,
    cells::Cell,
    deliver::give_ready,
    engine::Engine,
    keys::random,
    metrics::Counters,
    store::{Batch, Change, Envelope, Outcome, Place, StoreError},
};
use rly_protocol::{
    Encode, EnvelopeId, InviteId, Timestamp,
    frame::{Kind, Notice},
};
use std::{collections::VecDeque, ops::Range, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc::UnboundedReceiver, oneshot},
    time::{Instant, sleep_until},
};

/// Jobs taken at once.
const JOBS_MAX: usize = 2_048;
/// What one transaction holds at most, about.
const BATCH_ENVELOPES: usize = 2_048;
const BATCH_BYTES: usize = 16 << 20;
/// How long what a reader was given waits for the acknowledgement.
const LINGER: Duration = Duration::from_millis(5);
/// Removals wait for more of their kind: nobody waits for them.
const REMOVAL_LINGER: Duration = Duration::from_millis(25);
/// How long after a failure the store is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Where the outcome of a change goes.
pub(crate) type ChangeReply = oneshot::Sender<Result<Outcome, Refusal>>;

/// Where it goes whether a commit succeeded.
pub(crate) type Probe = oneshot::Sender<Result<(), StoreError>>;

/// Something to write.
pub(crate) enum Job {
    /// What is queued, up to a number.
    Write { cell: Arc<Cell>, upto: u64 },
    /// The same, in a moment.
    Linger { cell: Arc<Cell>, upto: u64 },
    /// Places to free.
    Remove { cell: Arc<Cell> },
    /// A change that concerns no queue in memory.
    Change { change: Change, reply: ChangeReply },
    /// A queue to delete.
    Delete { cell: Arc<Cell>, reply: ChangeReply },
    /// An invite to open.
    Claim {
        cell: Arc<Cell>,
        invite: InviteId,
        key: [u8; 32],
        at: Timestamp,
        reply: ChangeReply,
    },
    /// Sequence numbers to reserve.
    Reserve,
    /// To learn whether writing works.
    Probe(Probe),
    /// Everything that there is, at once; then say so.
    Flush(oneshot::Sender<()>),
    /// The end.
    Stop,
}

/// What follows from the outcome of a change.
enum Effect {
    None,
    Deleted(Arc<Cell>),
    Notice { cell: Arc<Cell>, seq: u64 },
}

/// A batch and whom it concerns.
#[derive(Default)]
struct Work {
    batch: Batch,
    bytes: usize,
    /// Which of the batch's envelopes are whose.
    written: Vec<(Arc<Cell>, Range<usize>)>,
    removed: Vec<(Arc<Cell>, Range<usize>)>,
    changes: Vec<(ChangeReply, Effect)>,
    /// Who wants to know how it ends.
    probes: Vec<Probe>,
}

impl Work {
    fn is_empty(&self) -> bool {
        let batch = &self.batch;
        batch.envelopes.is_empty()
            && batch.removed.is_empty()
            && batch.changes.is_empty()
            && batch.reserve.is_none()
    }

    fn is_full(&self) -> bool {
        self.batch.envelopes.len() + self.batch.changes.len() >= BATCH_ENVELOPES || self.bytes >= BATCH_BYTES
    }

    fn write(&mut self, cell: &Arc<Cell>, upto: u64, now: Timestamp) {
        let from = self.batch.envelopes.len();
        let mut state = cell.state.lock();
        state.queue.start_writing(upto, |place, body| {
            self.bytes += body.len();
            self.batch.envelopes.push(Envelope {
                queue: cell.id,
                seq: place.seq,
                id: place.id,
                kind: place.kind,
                at: now,
                body,
            });
        });
        drop(state);
        let to = self.batch.envelopes.len();
        if from < to {
            self.written.push((cell.clone(), from..to));
        }
    }

    fn remove(&mut self, cell: Arc<Cell>) {
        let from = self.batch.removed.len();
        let seqs = cell.state.lock().queue.take_removals();
        self.batch
            .removed
            .extend(seqs.into_iter().map(|seq| (cell.id, seq)));
        let to = self.batch.removed.len();
        if from < to {
            self.removed.push((cell, from..to));
        }
    }

    fn change(&mut self, change: Change, reply: ChangeReply, effect: Effect) {
        self.batch.changes.push(change);
        self.changes.push((reply, effect));
    }
}

/// The writer task's state.
pub(crate) struct Writer {
    engine: Arc<Engine>,
    jobs: UnboundedReceiver<Job>,
    due: VecDeque<Job>,
    lingering: VecDeque<(Instant, Arc<Cell>, u64)>,
    removing: Vec<Arc<Cell>>,
    remove_at: Option<Instant>,
    retry_at: Option<Instant>,
    flushes: Vec<oneshot::Sender<()>>,
    stopped: bool,
}

impl Writer {
    pub fn new(engine: Arc<Engine>, jobs: UnboundedReceiver<Job>) -> Self {
        Self {
            engine,
            jobs,
            due: VecDeque::new(),
            lingering: VecDeque::new(),
            removing: Vec::new(),
            remove_at: None,
            retry_at: None,
            flushes: Vec::new(),
            stopped: false,
        }
    }

    /// Writes until it is told to stop.
    pub async fn run(mut self) {
        let mut inbox = Vec::with_capacity(JOBS_MAX);
        while !self.stopped {
            if self.due.is_empty() {
                let deadline = self.deadline();
                tokio::select! {
                    biased;
                    n = self.jobs.recv_many(&mut inbox, JOBS_MAX) => if n == 0 { break },
                    () = until(deadline) => {}
                }
            } else {
                // A batch was full: take along what has come meanwhile, without waiting.
                while inbox.len() < JOBS_MAX
                    && let Ok(job) = self.jobs.try_recv()
                {
                    inbox.push(job);
                }
            }
            self.sort(inbox.drain(..));
            let work = self.gather();
            if !work.is_empty() {
                self.commit(work).await;
            }
            if self.due.is_empty() && self.lingering.is_empty() {
                for flushed in self.flushes.drain(..) {
                    // Whoever asked may have given up.
                    let _ = flushed.send(());
                }
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let lingering = self.lingering.front().map(|(at, ..)| *at);
        [lingering, self.remove_at, self.retry_at]
            .into_iter()
            .flatten()
            .min()
    }

    fn sort(&mut self, inbox: impl Iterator<Item = Job>) {
        let now = Instant::now();
        for job in inbox {
            match job {
                Job::Linger { cell, upto } => self.lingering.push_back((now + LINGER, cell, upto)),
                Job::Remove { cell } => self.remove_later(cell),
                Job::Flush(flushed) => self.flushes.push(flushed),
                Job::Stop => self.stopped = true,
                other => self.due.push_back(other),
            }
        }
    }

    fn remove_later(&mut self, cell: Arc<Cell>) {
        self.removing.push(cell);
        self.remove_at
            .get_or_insert_with(|| Instant::now() + REMOVAL_LINGER);
    }

    /// Everything that is due, as far as it fits into one batch.
    fn gather(&mut self) -> Work {
        let engine = self.engine.clone();
        let (instant, now) = (Instant::now(), engine.clock.now());
        let flush = !self.flushes.is_empty();
        let mut work = Work::default();
        let mut reserve = false;
        while !work.is_full()
            && let Some(job) = self.due.pop_front()
        {
            match job {
                Job::Write { cell, upto } => work.write(&cell, upto, now),
                Job::Change { change, reply } => work.change(change, reply, Effect::None),
                Job::Delete { cell, reply } => {
                    let change = Change::DeleteQueue { queue: cell.id };
                    work.change(change, reply, Effect::Deleted(cell));
                }
                Job::Claim {
                    cell,
                    invite,
                    key,
                    at,
                    reply,
                } => self.claim(&mut work, cell, invite, key, at, reply),
                Job::Reserve => reserve = true,
                Job::Probe(reply) => work.probes.push(reply),
                // Sorted elsewhere.
                Job::Linger { .. } | Job::Remove { .. } | Job::Flush(_) | Job::Stop => {}
            }
        }
        while !work.is_full()
            && self
                .lingering
                .front()
                .is_some_and(|(at, ..)| flush || *at <= instant)
            && let Some((_, cell, upto)) = self.lingering.pop_front()
        {
            work.write(&cell, upto, now);
            let mut state = cell.state.lock();
            match state.queue.last_queued() {
                Some(upto) => {
                    drop(state);
                    self.lingering.push_back((instant + LINGER, cell, upto));
                }
                None => state.lingering = false,
            }
        }
        // Removals go along with whatever is written, or alone when they have waited long enough.
        if flush || !work.is_empty() || self.remove_at.is_some_and(|at| at <= instant) {
            self.remove_at = None;
            for cell in self.removing.drain(..) {
                work.remove(cell);
            }
        }
        // A reservation that failed goes along with whatever is tried next.
        if reserve || !work.is_empty() {
            work.batch.reserve = engine.sequence.wanted();
        }
        let retry = self.retry_at.take_if(|at| *at <= instant).is_some();
        if (retry || !work.probes.is_empty()) && work.is_empty() {
            // Something harmless, to learn whether writing works (again). One number is given up for
            // it: SQLite writes nothing where nothing changes.
            let more = engine.sequence.end() + 1;
            work.batch.reserve = Some(engine.sequence.wanted().unwrap_or(more));
        }
        work
    }

    /// The notice takes its place in the queue now; whether it is filled depends on the claim.
    fn claim(
        &self,
        work: &mut Work,
        cell: Arc<Cell>,
        invite: InviteId,
        key: [u8; 32],
        at: Timestamp,
        reply: ChangeReply,
    ) {
        let notice = Notice::InviteOpened { invite, at }.to_bytes();
        let mut state = cell.state.lock();
        let taken = self.engine.sequence.take().filter(|_| !state.queue.is_gone());
        // More are reserved with this very batch, if they are needed.
        let Some(taken) = taken else {
            let gone = state.queue.is_gone();
            drop(state);
            let outcome = if gone {
                Ok(Outcome::Missing)
            } else {
                Err(Refusal::unavailable())
            };
            // Whoever asked may have given up, here and below.
            let _ = reply.send(outcome);
            return;
        };
        let place = Place {
            seq: taken.seq,
            id: EnvelopeId(random()),
            kind: Kind::Notice,
            size: notice.len() as u32,
        };
        let notice = Envelope {
            queue: cell.id,
            seq: place.seq,
            id: place.id,
            kind: place.kind,
            at,
            body: notice.into(),
        };
        state.queue.hold(place, notice.body.clone());
        drop(state);
        let change = Change::Claim {
            invite,
            key,
            at,
            notice,
        };
        work.change(change, reply, Effect::Notice { cell, seq: place.seq });
    }

    async fn commit(&mut self, work: Work) {
        let result = self.engine.store.apply(&work.batch).await;
        match result {
            Ok(outcomes) => self.succeeded(work, outcomes),
            Err(error) => self.failed(work, error),
        }
    }

    fn succeeded(&mut self, work: Work, outcomes: Vec<Outcome>) {
        let engine = self.engine.clone();
        let batch = &work.batch;
        if engine.health.lock().take().is_some() {
            tracing::info!("the store works again");
        }
        self.retry_at = None;
        for probe in work.probes {
            // Whoever asked may have given up.
            let _ = probe.send(Ok(()));
        }
        Counters::count(&engine.counters.commits);
        Counters::add(&engine.counters.committed, batch.envelopes.len());
        if !batch.removed.is_empty() || !batch.changes.is_empty() {
            engine.mark_dirty();
        }
        if let Some(end) = batch.reserve {
            engine.sequence.reserved(end);
        }
        for (cell, range) in work.written {
            let mut remove = false;
            let mut state = cell.state.lock();
            for envelope in &batch.envelopes[range] {
                remove |= state.queue.stored(envelope.seq, |reply| reply.done());
            }
            drop(state);
            if remove {
                self.remove_later(cell);
            }
        }
        for ((reply, effect), outcome) in work.changes.into_iter().zip(outcomes) {
            match effect {
                Effect::None => {}
                Effect::Deleted(cell) => engine.forget(&cell),
                Effect::Notice { cell, seq } => {
                    settle(&cell, seq, matches!(outcome, Outcome::Claimed(_)));
                }
            }
            let _ = reply.send(Ok(outcome));
        }
    }

    fn failed(&mut self, work: Work, error: StoreError) {
        let engine = self.engine.clone();
        tracing::error!(%error, "a commit failed; nothing in it was confirmed");
        Counters::count(&engine.counters.commit_failures);
        for probe in work.probes {
            let _ = probe.send(Err(error.clone()));
        }
        *engine.health.lock() = Some(error);
        self.retry_at = Some(Instant::now() + RETRY);
        for (cell, _) in work.written {
            let refusal = Refusal::unavailable();
            cell.state.lock().queue.fail(|reply| reply.refuse(&refusal));
        }
        for (cell, range) in work.removed {
            let seqs = work.batch.removed[range].iter().map(|(_, seq)| *seq);
            cell.state.lock().queue.put_back_removals(seqs);
            self.removing.push(cell);
            self.remove_at = self.retry_at;
        }
        for (reply, effect) in work.changes {
            if let Effect::Notice { cell, seq } = effect {
                settle(&cell, seq, false);
            }
            let _ = reply.send(Err(Refusal::unavailable()));
        }
    }
}

/// A claim was decided: the notice is there, or its place is given up, and what came after it goes on.
fn settle(cell: &Cell, seq: u64, stored: bool) {
    let mut state = cell.state.lock();
    state.queue.release(seq, stored);
    give_ready(cell, &mut state);
    drop(state);
    cell.settled.notify_waiters();
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
