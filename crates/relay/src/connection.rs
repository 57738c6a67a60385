//! One websocket: frames in, frames out.

use crate::{
    Refusal,
    cells::{Cell, CellState},
    cluster, deliver, disk,
    engine::{Engine, hash, tell_replaced},
    invites,
    keys::random,
    message::Message,
    metrics::Counters,
    outbox::Outbox,
    peers::{Peer, Use},
    queue::{Deliverable, Offer, Quota},
    reply::Reply,
    rooms::{self, Joining, Member, Post},
    seats::Seat,
    store::Place,
    vaults,
    writer::Job,
};
use bytes::Bytes;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use rly_protocol::{
    Address, DecodeError, EnvelopeId, ErrorCode, PublicKey, QueueId, RoomId, Signature, Timestamp,
    frame::{ClientFrame, Kind, Proof, Req, ServerFrame, Ticket, proof_message},
    limits::{ENVELOPE_SIZES, FRAME_MAX, PROTOCOL_VERSIONS, TICKET_TTL},
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

/// When to try again to write to a full queue.
pub(crate) const QUEUE_FULL_WAIT: Duration = Duration::from_secs(30);
/// Bytes taken out of a connection's buffer at once, about.
const TAKEN: usize = 32 << 10;
const CROWDED_WAIT: Duration = Duration::from_secs(10);

/// One websocket.
pub struct Connection {
    incoming: Incoming,
    outgoing: Outgoing,
}

impl Connection {
    pub(crate) fn open(engine: &Arc<Engine>, peer: IpAddr) -> Result<Self, Refusal> {
        let Some(seat) = engine.seats.take(peer) else {
            return Err(Refusal::later(ErrorCode::TooManyConnections, CROWDED_WAIT));
        };
        let outbox = Arc::new(Outbox::new(engine.load.clone()));
        let session = engine.number();
        {
            // Under the lock, so that the end says goodbye to whoever is let in.
            let mut sessions = engine.sessions.lock();
            if engine.stopping.is_cancelled() {
                return Err(Refusal::stopping());
            }
            if sessions.len() >= engine.config.limits.connections {
                return Err(Refusal::later(ErrorCode::TooManyConnections, CROWDED_WAIT));
            }
            sessions.insert(session, outbox.clone());
        }
        Counters::count(&engine.counters.connections);
        let nonce = random();
        outbox.answer(&ServerFrame::Hello {
            min: PROTOCOL_VERSIONS.0,
            max: PROTOCOL_VERSIONS.1,
            nonce,
            incarnation: *engine.incarnation.lock(),
            now: engine.now(),
        });
        let incoming = Incoming {
            engine: engine.clone(),
            peer: engine.peers.of(peer),
            session,
            nonce,
            outbox: outbox.clone(),
            reading: HashMap::new(),
            vaults: HashSet::new(),
            _seat: seat,
            rooms: HashMap::new(),
            posts: Vec::new(),
        };
        Ok(Self {
            incoming,
            outgoing: Outgoing {
                outbox,
                taken: VecDeque::new(),
            },
        })
    }

    /// The two directions, for a task each or for both in one.
    pub fn split(self) -> (Incoming, Outgoing) {
        (self.incoming, self.outgoing)
    }
}

/// What goes to the socket.
pub struct Outgoing {
    outbox: Arc<Outbox>,
    /// Taken out of the buffer, in order.
    taken: VecDeque<Bytes>,
}

impl Outgoing {
    /// The next message to send, Hello first. `None`: close the socket. Dropping the future loses
    /// nothing.
    pub async fn next(&mut self) -> Option<Bytes> {
        if self.taken.is_empty() {
            self.taken = VecDeque::new();
            let mut messages = Vec::new();
            self.outbox.take(TAKEN, &mut messages).await;
            self.encode(messages);
        }
        self.taken.pop_front()
    }

    /// The next message if one is there now, to send several in one go.
    pub fn try_next(&mut self) -> Option<Bytes> {
        if self.taken.is_empty() {
            let mut messages = Vec::new();
            self.outbox.try_take(TAKEN, &mut messages);
            self.encode(messages);
        }
        self.taken.pop_front()
    }

    /// Encodes all of them into one piece of memory.
    fn encode(&mut self, messages: Vec<Message>) {
        let size = messages.iter().map(Message::size).sum();
        let mut bytes = Vec::with_capacity(size);
        let mut ends = Vec::with_capacity(messages.len());
        for message in messages {
            message.append_to(&mut bytes);
            ends.push(bytes.len());
        }
        let (bytes, mut start) = (Bytes::from(bytes), 0);
        self.taken = VecDeque::with_capacity(ends.len());
        for end in ends {
            self.taken.push_back(bytes.slice(start..end));
            start = end;
        }
    }
}

/// What comes from the socket. Dropping it is the end of the connection.
pub struct Incoming {
    pub(crate) engine: Arc<Engine>,
    pub(crate) peer: Arc<Peer>,
    pub(crate) session: u64,
    pub(crate) nonce: [u8; 32],
    pub(crate) outbox: Arc<Outbox>,
    /// The queues that this connection has subscribed to, and under which number.
    reading: HashMap<QueueId, (Arc<Cell>, u64)>,
    /// The vaults that it has opened.
    pub(crate) vaults: HashSet<QueueId>,
    _seat: Seat,
    /// The rooms that it has joined.
    pub(crate) rooms: HashMap<RoomId, Member>,
    /// What was said in them, until [`Self::rest`].
    pub(crate) posts: Vec<Post>,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        for (queue, (cell, number)) in &self.reading {
            cell.state.lock().queue.unsubscribe(*number);
            self.leave(queue);
        }
        vaults::leave(self);
        rooms::flush(self);
        rooms::leave_all(self);
        self.engine.sessions.lock().remove(&self.session);
        Counters::sub(&self.engine.counters.connections, 1);
        self.outbox.close();
    }
}

impl Incoming {
    /// Takes one binary websocket message. Some wait for the next: see [`Self::waits`].
    ///
    /// # Errors
    /// The connection is over. Its Goodbye is already in [`Outgoing`]: read no more, send what is
    /// there until `None`, and close.
    pub async fn handle(&mut self, message: Bytes) -> Result<(), ErrorCode> {
        let result = match self.outbox.ending() {
            Some(code) => Err(code),
            None => self.take(message).await,
        };
        if let Err(code) = result {
            self.outbox.goodbye(code, 0);
        }
        result
    }

    async fn take(&mut self, message: Bytes) -> Result<(), ErrorCode> {
        if message.len() > FRAME_MAX {
            return Err(ErrorCode::TooLarge);
        }
        let frame = ClientFrame::from_message(message).map_err(|error| match error {
            DecodeError::Version(_) => ErrorCode::VersionUnsupported,
            _ => ErrorCode::FrameInvalid,
        })?;
        match frame {
            ClientFrame::Send {
                req,
                address,
                id,
                body,
            } => {
                if let Err(refusal) = self.send(req, address, id, body).await {
                    self.refuse(req, &refusal);
                }
            }
            ClientFrame::Ack { queue, seq } => self.acknowledge(queue, seq),
            ClientFrame::Ping { nonce } => self.outbox.answer(&ServerFrame::Pong { nonce }),
            // What is rare lies apart, or each connection at rest would hold room for it.
            rare => Box::pin(self.take_rare(rare)).await,
        }
        Ok(())
    }

    /// Whether something waits for what comes next: say with [`Self::rest`] that nothing does for now.
    pub fn waits(&self) -> bool {
        !self.posts.is_empty()
    }

    /// Nothing more has come for now: what waited is done.
    pub fn rest(&mut self) {
        rooms::flush(self);
    }

    async fn take_rare(&mut self, frame: ClientFrame) {
        if !matches!(frame, ClientFrame::RoomPost { .. }) {
            rooms::flush(self);
        }
        match frame {
            // Taken above.
            ClientFrame::Send { .. } | ClientFrame::Ack { .. } | ClientFrame::Ping { .. } => {}
            ClientFrame::Subscribe { req, queue, proof } => {
                if let Err(refusal) = self.subscribe(req, queue, proof).await {
                    self.refuse(req, &refusal);
                }
            }
            ClientFrame::Unsubscribe { req, queue } => {
                if let Some((cell, number)) = self.reading.remove(&queue) {
                    cell.state.lock().queue.unsubscribe(number);
                    self.leave(&queue);
                }
                self.outbox.done(req);
            }
            ClientFrame::DeleteQueue { req, queue } => {
                let result = self.delete(queue).await;
                self.answer(req, result);
            }
            ClientFrame::WithdrawInvite { req, queue, invite } => {
                let result = match self.reads(queue) {
                    Ok(_) => invites::withdraw(&self.engine, queue, invite).await,
                    Err(refusal) => Err(refusal),
                };
                self.answer(req, result);
            }
            ClientFrame::OpenVault { req, key, signature } => {
                if let Err(refusal) = vaults::open(self, req, key, signature).await {
                    self.refuse(req, &refusal);
                }
            }
            ClientFrame::VaultRead { req, queue, from } => {
                if let Err(refusal) = vaults::read(self, req, queue, from).await {
                    self.refuse(req, &refusal);
                }
            }
            ClientFrame::RoomJoin {
                req,
                room,
                token,
                key,
                name_hash,
                name,
                after,
                signature,
            } => {
                let joining = Joining {
                    room,
                    token,
                    key,
                    name_hash,
                    name,
                    after,
                    signature,
                };
                if let Err(refusal) = rooms::join(self, req, joining).await {
                    self.refuse(req, &refusal);
                }
            }
            ClientFrame::RoomPost {
                req,
                room,
                seq,
                body,
                signature,
            } => {
                if let Err(refusal) = rooms::post(self, req, room, seq, body, signature) {
                    self.refuse(req, &refusal);
                }
            }
            ClientFrame::RoomLeave { req, room } => {
                rooms::leave(self, room);
                self.outbox.done(req);
            }
            ClientFrame::RoomDelete { req, room } => {
                let result = rooms::delete(self, room).await;
                self.answer(req, result);
            }
            ClientFrame::RoomClose { req, room } => {
                let result = rooms::close(self, room).await;
                self.answer(req, result);
            }
            ClientFrame::VaultWrite {
                req,
                queue,
                expected,
                entries,
            } => {
                if let Err(refusal) = vaults::write(self, req, queue, expected, entries).await {
                    self.refuse(req, &refusal);
                }
            }
        }
    }

    async fn send(&self, req: Req, address: Address, id: EnvelopeId, body: Bytes) -> Result<(), Refusal> {
        let engine = &self.engine;
        if !ENVELOPE_SIZES.contains(&body.len()) {
            return Err(ErrorCode::EnvelopeInvalid.into());
        }
        if engine.stopping.is_cancelled() {
            return Err(Refusal::stopping());
        }
        let now = engine.now();
        disk::check(engine)?;
        self.allow_bytes(Use::Send, body.len(), now)?;
        if engine.load.is_too_high() {
            return Err(Refusal::unavailable());
        }
        let hash = hash(address.as_bytes());
        if let Some(cluster) = &engine.cluster {
            return Box::pin(cluster::send(
                engine,
                cluster,
                &self.outbox,
                req,
                (hash, id, body),
                now,
            ))
            .await;
        }
        let cell = match engine.cells.at(&hash) {
            Some(cell) => cell,
            None => Box::pin(engine.cell_at(&hash)).await?.ok_or(ErrorCode::NoQueue)?,
        };

        let limits = &engine.config.limits;
        let quota = Quota {
            envelopes: limits.queue_envelopes,
            bytes: limits.queue_bytes,
        };
        let mut guard = cell.state.lock();
        let state = &mut *guard;
        if let Err(wait) = state.bucket.take(now, limits.sends_per_address) {
            Counters::count(&engine.counters.rate_limited);
            return Err(Refusal::later(ErrorCode::RateLimited, wait));
        }
        engine.used_locked(cell.id, state, now);
        let reply = Reply::new(self.outbox.clone(), req, body.len() as u32);
        let reply = match state.queue.offer(id, body.len(), reply, quota) {
            Offer::Fresh(reply) => reply,
            Offer::Known(reply) => {
                drop(guard);
                reply.done();
                return Ok(());
            }
            Offer::Joined => return Ok(()),
            Offer::Again => {
                let job = write_soon(&cell, state);
                drop(guard);
                job.into_iter().for_each(|job| engine.job(job));
                return Ok(());
            }
            Offer::Full(_) => {
                Counters::count(&engine.counters.queue_full);
                return Err(Refusal::later(ErrorCode::QueueFull, QUEUE_FULL_WAIT));
            }
            Offer::Gone(_) => return Err(ErrorCode::NoQueue.into()),
        };
        let seq = engine.next_seq()?;
        Counters::count(&engine.counters.accepted);
        let kind = Kind::Envelope;
        let place = Place {
            seq,
            id,
            kind,
            size: body.len() as u32,
        };
        // Under the lock, so that deliveries are in the order of their numbers.
        let given = state.queue.admit(place, body.clone(), reply).map(|reader| {
            let envelope = Deliverable { seq, id, kind, body };
            reader.deliver(Message::deliver(cell.id, envelope))
        });
        let job = match given {
            Some(Ok(())) => (!std::mem::replace(&mut state.lingering, true)).then(|| Job::Linger {
                cell: cell.clone(),
                upto: seq,
            }),
            Some(Err(_)) => {
                state.queue.detach();
                write_soon(&cell, state)
            }
            None => write_soon(&cell, state),
        };
        drop(guard);
        job.into_iter().for_each(|job| engine.job(job));
        Ok(())
    }

    fn acknowledge(&self, queue: QueueId, seq: u64) {
        let Some((cell, number)) = self.reading.get(&queue) else {
            return;
        };
        let mut state = cell.state.lock();
        let done = state.queue.acknowledge(*number, seq, |reply| reply.done());
        drop(state);
        let counters = &self.engine.counters;
        if done.envelopes > 0 {
            Counters::add(&counters.acknowledged, done.envelopes);
        }
        if done.elided > 0 {
            Counters::add(&counters.elided, done.elided);
        }
        if done.remove {
            self.engine.job(Job::Remove { cell: cell.clone() });
        }
    }

    async fn subscribe(&mut self, req: Req, queue: QueueId, proof: Proof) -> Result<(), Refusal> {
        let engine = self.engine.clone();
        if let Proof::Signed { .. } = proof {
            self.allow(Use::Proof)?;
        }
        // Before the store is asked: whoever has no ticket of ours costs it nothing.
        if let Proof::Ticket { ticket } = &proof {
            if !engine.keyring.is_ticket(&queue, ticket) {
                return Err(ErrorCode::ProofInvalid.into());
            }
            if ticket.expires <= engine.now() {
                return Err(ErrorCode::TicketExpired.into());
            }
        }
        let cell = engine.cell(&queue).await?.ok_or(ErrorCode::NoQueue)?;
        let ticket = match proof {
            Proof::Signed { signature } => {
                self.check(&cell.reader, &queue, &signature)?;
                self.ticket(&queue)
            }
            // Not renewed: after a day a reader shows again that it has the key.
            Proof::Ticket { ticket } => ticket,
        };
        engine.used(&cell, engine.now());
        if let Some(cluster) = &engine.cluster {
            let reader = (self.session, &self.outbox);
            cluster::read_here(&engine, cluster, queue, reader, true).await?;
        }
        let number = engine.number();
        let mut state = cell.state.lock();
        if state.queue.is_gone() {
            return Err(ErrorCode::NoQueue.into());
        }
        let subscribed = state.queue.subscribe(number, self.outbox.clone());
        if let Some(before) = subscribed.replaced {
            tell_replaced(queue, &before, &self.outbox);
        }
        // Under the lock, so that it comes before the first envelope.
        self.outbox
            .answer(&ServerFrame::Subscribed { req, queue, ticket });
        drop(state);
        if subscribed.behind {
            let (engine, cell, outbox) = (engine.clone(), cell.clone(), self.outbox.clone());
            tokio::spawn(deliver::catch_up(engine, cell, number, outbox));
        }
        if let Some(cluster) = &engine.cluster {
            if !cluster::holds(cluster, &queue, self.session) {
                // Another node was faster, and nobody would wake this reader.
                cell.state.lock().queue.unsubscribe(number);
                self.outbox.answer(&ServerFrame::Replaced { queue });
            }
            // What is known here may be old: others store, too.
            deliver::wake(&engine, &cell);
        }
        self.reading.insert(queue, (cell, number));
        Ok(())
    }

    async fn delete(&mut self, queue: QueueId) -> Result<(), Refusal> {
        let cell = self.reads(queue)?;
        self.engine.written(|reply| Job::Delete { cell, reply }).await?;
        if let Some(cluster) = &self.engine.cluster {
            cluster::tell_gone(cluster, queue, self.engine.now());
        }
        self.reading.remove(&queue);
        Ok(())
    }

    /// The queue, if this connection is its reader.
    fn reads(&self, queue: QueueId) -> Result<Arc<Cell>, Refusal> {
        match self.reading.get(&queue) {
            Some((cell, number)) if cell.state.lock().queue.reads(*number) => Ok(cell.clone()),
            _ => Err(ErrorCode::ProofInvalid.into()),
        }
    }

    /// This connection reads a queue, or uses a vault, no more.
    pub(crate) fn leave(&self, queue: &QueueId) {
        if let Some(cluster) = &self.engine.cluster {
            cluster::leave(cluster, queue, self.session);
        }
    }

    pub(crate) fn allow(&self, what: Use) -> Result<(), Refusal> {
        let engine = &self.engine;
        self.counted(self.peer.take(what, engine.now(), &engine.config.limits))
    }

    pub(crate) fn allow_bytes(&self, what: Use, bytes: usize, now: Timestamp) -> Result<(), Refusal> {
        let limits = &self.engine.config.limits;
        self.counted(self.peer.take_bytes(what, bytes, now, limits))
    }

    fn counted(&self, allowed: Result<(), Refusal>) -> Result<(), Refusal> {
        if allowed.is_err() {
            Counters::count(&self.engine.counters.rate_limited);
        }
        allowed
    }

    /// Whether the holder of the key signed for this queue, server and connection.
    pub(crate) fn check(
        &self,
        key: &PublicKey,
        queue: &QueueId,
        signature: &Signature,
    ) -> Result<(), Refusal> {
        let message = proof_message(&self.engine.config.origin, &self.nonce, queue);
        if signed(key, &message, signature) {
            Ok(())
        } else {
            Err(ErrorCode::ProofInvalid.into())
        }
    }

    pub(crate) fn ticket(&self, queue: &QueueId) -> Ticket {
        let expires = self.engine.now().plus_seconds(TICKET_TTL);
        self.engine.keyring.ticket(queue, expires)
    }

    fn answer(&self, req: Req, result: Result<(), Refusal>) {
        match result {
            Ok(()) => self.outbox.done(req),
            Err(refusal) => self.refuse(req, &refusal),
        }
    }

    fn refuse(&self, req: Req, refusal: &Refusal) {
        self.outbox
            .answer(&ServerFrame::error(req, refusal.code, refusal.retry_ms()));
    }
}

/// Whether this is the key's ECDSA P-256 SHA-256 signature.
pub(crate) fn signed(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.as_bytes())
        .verify(message, &signature.0)
        .is_ok()
}

/// The job to write what is queued, unless it was given and has not begun.
fn write_soon(cell: &Arc<Cell>, state: &mut CellState) -> Option<Job> {
    let given = std::mem::replace(&mut state.due, true);
    (!given).then(|| Job::Write { cell: cell.clone() })
}
