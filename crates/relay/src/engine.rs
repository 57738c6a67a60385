//! The relay as its callers see it, and what all of its parts share.

use crate::{
    Clock, Connection, KafkaConfig, KafkaError, Keyring, Limits, Metrics, PostgresStore, Refusal,
    RelayConfig, Store, StoreError,
    cells::{Cell, CellState, Cells},
    cluster::Cluster,
    disk, invites,
    keys::random,
    metrics::Counters,
    outbox::Outbox,
    peers::{Peers, Use},
    reply::Load,
    rooms::{self, Rooms},
    seats::Seats,
    sequence::{BLOCK, Sequence},
    store::{Batch, Change, Day, Hash, Identity, Outcome},
    sweeper,
    writer::{ChangeReply, Job, Writer},
};
use parking_lot::Mutex;
use rly_protocol::{
    ErrorCode, Incarnation, QueueId, RoomId, Timestamp,
    api::{CreateRoom, ImportContact, Imported, RegisterSim, Registered, RoomState, ShareContact, Shared},
    frame::ServerFrame,
};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64,
            Ordering::{AcqRel, Relaxed},
        },
    },
    time::Duration,
};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// How long a client is asked to wait before it connects to the server that comes next.
const RECONNECT: Duration = Duration::from_secs(1);

/// What a mailbox, an invite or a notice takes on the disk, about.
const ROW: usize = 256;

/// Why a relay does not start.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StartError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store belongs to other keys.
    #[error("the server key is not the one that this database was made with")]
    Keyring,
    /// The log cannot be used.
    #[error(transparent)]
    Log(#[from] KafkaError),
}

/// What all parts share.
pub(crate) struct Engine {
    pub config: RelayConfig,
    pub keyring: Keyring,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    /// Which store this is. In a cluster it may become another one while the relay runs.
    pub incarnation: Mutex<Incarnation>,
    /// Where envelopes go through a log and the store is shared; none: everything is here.
    pub cluster: Option<Arc<Cluster>>,
    pub cells: Cells,
    pub peers: Peers,
    /// For connections.
    pub seats: Seats,
    pub counters: Arc<Counters>,
    pub load: Arc<Load>,
    pub sequence: Sequence,
    /// What the last commit met, if it failed.
    pub health: Mutex<Option<StoreError>>,
    /// What the disk said when deleted bytes should have left it last, if it refused.
    pub scrubbing: Mutex<Option<StoreError>>,
    /// Connections, to say goodbye to.
    pub sessions: Mutex<HashMap<u64, Arc<Outbox>>>,
    /// Who uses which vault: session and its buffer.
    pub vaults: Mutex<HashMap<QueueId, (u64, Arc<Outbox>)>>,
    /// Rooms that are read here.
    pub rooms: Rooms,
    /// Queues whose day of last use has changed.
    pub touched: Mutex<Vec<QueueId>>,
    /// The day on which vaults were swept last: looking at all of them has time.
    pub vaults_swept: AtomicU32,
    pub stopping: CancellationToken,
    /// There is less free disk space than there must be.
    pub disk_low: AtomicBool,
    jobs: mpsc::UnboundedSender<Job>,
    numbers: AtomicU64,
    /// Something was deleted since the disk was last cleaned of it.
    dirty: AtomicBool,
}

impl Engine {
    /// A number that no other session or subscription has.
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed)
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Hands a job to the writer. After the end it goes nowhere, as does everything else.
    pub fn job(&self, job: Job) {
        let _ = self.jobs.send(job);
    }

    /// The next sequence number.
    pub fn next_seq(&self) -> Result<u64, Refusal> {
        let taken = self.sequence.take().ok_or_else(Refusal::unavailable)?;
        if taken.reserve {
            self.job(Job::Reserve);
        }
        Ok(taken.seq)
    }

    /// Has something written, from now on; the future waits until it lasts.
    pub fn written<F: FnOnce(ChangeReply) -> Job>(
        &self,
        job: F,
    ) -> impl Future<Output = Result<Outcome, Refusal>> + use<F> {
        let (reply, outcome) = oneshot::channel();
        self.job(job(reply));
        async { outcome.await.unwrap_or_else(|_| Err(Refusal::stopping())) }
    }

    /// Has a change written, from now on; the future waits until it lasts.
    pub fn change(&self, change: Change) -> impl Future<Output = Result<Outcome, Refusal>> + use<> {
        self.written(|reply| Job::Change { change, reply })
    }

    /// Takes one of a rate from a peer, for something that is to be stored.
    pub fn allow(&self, peer: IpAddr, what: Use) -> Result<(), Refusal> {
        self.allow_bytes(peer, what, 0)
    }

    /// The same for something that has so many bytes beside what any row has.
    pub fn allow_bytes(&self, peer: IpAddr, what: Use, bytes: usize) -> Result<(), Refusal> {
        if self.stopping.is_cancelled() {
            return Err(Refusal::stopping());
        }
        disk::check(self)?;
        let limits = &self.config.limits;
        let allowed = self
            .peers
            .of(peer)
            .take_bytes(what, ROW + bytes, self.now(), limits);
        if allowed.is_err() {
            Counters::count(&self.counters.rate_limited);
        }
        allowed
    }

    /// The queue with this id.
    pub async fn cell(&self, id: &QueueId) -> Result<Option<Arc<Cell>>, Refusal> {
        self.cells.load(id, &*self.store, self.now()).await
    }

    /// The queue with this address.
    pub async fn cell_at(&self, address: &Hash) -> Result<Option<Arc<Cell>>, Refusal> {
        self.cells.find(address, &*self.store, self.now()).await
    }

    /// A queue is used now: keeps it in memory, and from being dropped for disuse.
    pub fn used(&self, cell: &Cell, now: Timestamp) {
        let mut state = cell.state.lock();
        self.used_locked(cell.id, &mut state, now);
    }

    /// The same for one whose state is locked.
    pub fn used_locked(&self, id: QueueId, state: &mut CellState, now: Timestamp) {
        state.used = now;
        let today = day(now);
        if state.used_day != today {
            state.used_day = today;
            self.touched.lock().push(id);
        }
    }

    /// A queue is no more, in the store as well.
    pub fn forget(&self, cell: &Cell) {
        self.cells.remove(cell);
        if let Some(cluster) = &self.cluster {
            cluster.targets.forget(&cell.address);
        }
        let refusal = Refusal::new(ErrorCode::NoQueue);
        cell.state.lock().queue.delete(|reply| reply.refuse(&refusal));
    }

    /// Something was deleted.
    pub fn mark_dirty(&self) {
        self.dirty.store(true, Relaxed);
    }

    /// Whether something was deleted since the last call.
    pub fn take_dirty(&self) -> bool {
        self.dirty.swap(false, AcqRel)
    }
}

/// The day of a moment.
pub(crate) fn day(at: Timestamp) -> Day {
    u32::try_from(at.seconds() / 86_400).unwrap_or(u32::MAX)
}

/// SHA-256.
pub(crate) fn hash(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// The relay. Clones are the same relay.
#[derive(Clone)]
pub struct Relay {
    engine: Arc<Engine>,
}

impl Relay {
    /// Starts a relay on a store of its own.
    ///
    /// # Errors
    /// [`StartError`], one clear line. The store is unchanged then.
    pub async fn start(
        config: RelayConfig,
        keyring: Keyring,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let identity = Self::identify(&keyring, &*store).await?;
        Self::begin(config, keyring, (store, identity), None, clock).await
    }

    /// Starts one node of a cluster: the store is shared with others, and envelopes go through a log.
    ///
    /// # Errors
    /// [`StartError`], one clear line.
    pub async fn start_node(
        config: RelayConfig,
        keyring: Keyring,
        store: PostgresStore,
        log: KafkaConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let identity = Self::identify(&keyring, &store).await?;
        let cluster = Arc::new(Cluster::connect(store.clone(), log).await?);
        let shared = (Arc::new(store) as Arc<dyn Store>, identity);
        let relay = Self::begin(config, keyring, shared, Some(cluster.clone()), clock).await?;
        cluster.kafka.count_with(relay.engine.counters.clone());
        Cluster::run(&relay.engine, &cluster)?;
        Ok(relay)
    }

    /// What the store is; these keys must be its own.
    async fn identify(keyring: &Keyring, store: &dyn Store) -> Result<Identity, StartError> {
        let fresh = Identity {
            incarnation: Incarnation(random()),
            keyring: keyring.fingerprint(),
            next_seq: 1,
        };
        let identity = store.identity(fresh).await?;
        if !keyring.knows(&identity.keyring) {
            return Err(StartError::Keyring);
        }
        Ok(identity)
    }

    async fn begin(
        config: RelayConfig,
        keyring: Keyring,
        (store, identity): (Arc<dyn Store>, Identity),
        cluster: Option<Arc<Cluster>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let start = identity.next_seq;
        let begin = Batch {
            reserve: Some(start + BLOCK),
            keyring: Some(keyring.fingerprint()),
            // Whoever read rooms is gone with the process that was before. Nodes have others beside them.
            changes: if cluster.is_none() {
                vec![Change::NobodyReads]
            } else {
                Vec::new()
            },
            ..Batch::default()
        };
        store.apply(begin.into()).await?;

        let (jobs, inbox) = mpsc::unbounded_channel();
        let counters = Arc::<Counters>::default();
        let engine = Arc::new(Engine {
            seats: Seats::new(config.limits.connections_per_peer),
            config,
            keyring,
            store,
            clock,
            incarnation: Mutex::new(identity.incarnation),
            cluster,
            cells: Cells::new(),
            peers: Peers::default(),
            load: Arc::new(Load::new(counters.clone())),
            counters,
            sequence: Sequence::new(start),
            health: Mutex::new(None),
            scrubbing: Mutex::new(None),
            sessions: Mutex::default(),
            vaults: Mutex::default(),
            rooms: Rooms::default(),
            touched: Mutex::default(),
            vaults_swept: AtomicU32::new(0),
            stopping: CancellationToken::new(),
            disk_low: AtomicBool::new(false),
            jobs,
            numbers: AtomicU64::new(1),
            // What was deleted before the last end may still be in the log.
            dirty: AtomicBool::new(true),
        });
        tokio::spawn(Writer::new(engine.clone(), inbox).run());
        tokio::spawn(sweeper::run(engine.clone()));
        // Known before anybody asks for anything.
        disk::look(&engine).await;
        tokio::spawn(disk::watch(engine.clone()));
        tokio::spawn(rooms::look_after(engine.clone()));
        Ok(Self { engine })
    }

    /// Makes a mailbox.
    ///
    /// # Errors
    /// [`Refusal`] with `key_invalid`, `rate_limited` or `unavailable`.
    pub async fn register_sim(&self, peer: IpAddr, request: RegisterSim) -> Result<Registered, Refusal> {
        invites::register(&self.engine, peer, request).await
    }

    /// Makes an invite.
    ///
    /// # Errors
    /// [`Refusal`] with `token_invalid`, `card_invalid`, `ttl_invalid`, `no_queue`, `rate_limited` or
    /// `unavailable`.
    pub async fn share_contact(&self, peer: IpAddr, request: ShareContact) -> Result<Shared, Refusal> {
        invites::share(&self.engine, peer, request).await
    }

    /// Opens an invite, which uses it up.
    ///
    /// # Errors
    /// [`Refusal`] with `invite_invalid`, `invite_used` (and when), `invite_expired`,
    /// `invite_withdrawn`, `key_invalid`, `rate_limited` or `unavailable`.
    pub async fn import_contact(&self, peer: IpAddr, request: ImportContact) -> Result<Imported, Refusal> {
        invites::import(&self.engine, peer, request).await
    }

    /// Makes a room.
    ///
    /// # Errors
    /// [`Refusal`] with `room_taken`, `room_invalid`, `key_invalid`, `rooms_off`, `rooms_need_account`,
    /// `rooms_too_many`, `rate_limited` or `unavailable`.
    pub async fn create_room(&self, peer: IpAddr, request: CreateRoom) -> Result<RoomState, Refusal> {
        rooms::create(&self.engine, peer, request).await
    }

    /// A room as it is now.
    ///
    /// # Errors
    /// [`Refusal`] with `no_room`, `rate_limited` or `unavailable`.
    pub async fn room_state(&self, peer: IpAddr, room: RoomId) -> Result<RoomState, Refusal> {
        rooms::look(&self.engine, peer, room).await
    }

    /// A websocket has been opened.
    ///
    /// # Errors
    /// [`Refusal`] with `too_many_connections` or `stopping`.
    pub fn connect(&self, peer: IpAddr) -> Result<Connection, Refusal> {
        Connection::open(&self.engine, peer)
    }

    /// Whether everything that is needed works: reads, and commits something harmless, as what worked
    /// a minute ago says nothing about a disk that nobody has written to since.
    ///
    /// # Errors
    /// The name of the part that does not: `store`, `disk` or `broker`, or `stopping`.
    pub async fn ready(&self) -> Result<(), String> {
        let engine = &self.engine;
        if engine.stopping.is_cancelled() {
            return Err("stopping".into());
        }
        for failure in [&engine.health, &engine.scrubbing] {
            if let Some(error) = failure.lock().as_ref() {
                return Err(error.part().into());
            }
        }
        if let Some(part) = engine.cluster.as_ref().and_then(|cluster| cluster.failing()) {
            return Err(part.into());
        }
        disk::look(engine).await;
        if engine.disk_low.load(Relaxed) {
            return Err("disk".into());
        }
        let part = |error: StoreError| error.part().to_owned();
        engine.store.check().await.map_err(part)?;
        let (reply, outcome) = oneshot::channel();
        engine.job(Job::Probe(reply));
        match outcome.await {
            Ok(written) => written.map_err(part),
            Err(_) => Err("stopping".into()),
        }
    }

    /// What each peer may use.
    pub fn limits(&self) -> &Limits {
        &self.engine.config.limits
    }

    /// Counters and gauges.
    pub fn metrics(&self) -> Metrics {
        self.engine.counters.read()
    }

    /// Ends gracefully: takes nothing new, writes and answers what was taken, says goodbye to every
    /// connection, closes the store. The sockets' tasks then have [`crate::Outgoing`] frames to send
    /// until it returns `None`.
    pub async fn stop(&self) {
        let engine = &self.engine;
        if engine.stopping.is_cancelled() {
            return;
        }
        engine.stopping.cancel();
        let (flushed, done) = oneshot::channel();
        engine.job(Job::Flush(flushed));
        // An error means that the writer is gone, and with it whatever there was to wait for.
        let _ = done.await;
        if let Some(cluster) = &engine.cluster {
            cluster.flush().await;
        }
        let sessions: Vec<_> = engine.sessions.lock().values().cloned().collect();
        let wait = Refusal::later(ErrorCode::Stopping, RECONNECT).retry_ms();
        for outbox in sessions {
            outbox.goodbye(ErrorCode::Stopping, wait);
        }
        // What came between the flush and the goodbyes.
        let (flushed, done) = oneshot::channel();
        engine.job(Job::Flush(flushed));
        let _ = done.await;
        engine.job(Job::Stop);
        if let Some(cluster) = &engine.cluster {
            cluster.leave().await;
        }
        if let Err(error) = engine.store.close().await {
            tracing::error!(%error, "closing the store failed");
        }
    }

    #[cfg(any(test, rly_fuzz))]
    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }
}

/// Tells a connection that it no longer reads a queue or uses a vault.
pub(crate) fn tell_replaced(queue: QueueId, before: &Arc<Outbox>, by: &Arc<Outbox>) {
    if !Arc::ptr_eq(before, by) {
        before.answer(&ServerFrame::Replaced { queue });
    }
}
