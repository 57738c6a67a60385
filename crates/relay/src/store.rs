//! The port behind which queues last: whole batches in, pages out.
//!
//! A store does not decide anything about delivery. It applies a [`Batch`] completely or not at all,
//! and once [`Store::apply`] has returned `Ok`, a power cut takes nothing of it away.

mod memory;
mod postgres;
mod sqlite;
#[cfg(test)]
mod suite;
#[cfg(test)]
use postgres::ACKNOWLEDGE;
#[cfg(test)]
pub(crate) use suite::fresh_database;

pub use memory::MemoryStore;
pub use postgres::PostgresStore;
pub(crate) use postgres::shared;
pub use sqlite::SqliteStore;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use rly_protocol::{
    Encode, EnvelopeId, Incarnation, InviteId, PublicKey, QueueId, RoomId, Timestamp,
    frame::{Kind, VaultEntry},
    room::{RoomEvent, RoomLimits, RoomPerson},
};
use std::sync::Arc;
use thiserror::Error;

/// SHA-256 of something.
pub type Hash = [u8; 32];
/// Days since 1970.
pub type Day = u32;

/// Why a store could not do what it was asked.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    /// The disk is full, read-only or failing.
    #[error("the disk under the database cannot be used: {0}")]
    Disk(String),
    /// The file is damaged, or is no database.
    #[error("the database is damaged or is not a Rly Chat database: {0}")]
    Damaged(String),
    /// Made by a newer version of this program.
    #[error("the database was made by a newer version of this program")]
    Newer,
    /// Anything else.
    #[error("the database cannot be used: {0}")]
    Failed(String),
}

impl StoreError {
    /// The part to name to whoever runs the server.
    pub fn part(&self) -> &'static str {
        match self {
            Self::Disk(_) => "disk",
            Self::Damaged(_) | Self::Newer | Self::Failed(_) => "store",
        }
    }
}

/// One envelope as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Where.
    pub queue: QueueId,
    /// Its place; unique in the whole store. 0, where several nodes share the store: the store gives it.
    pub seq: u64,
    /// The sender's name for it.
    pub id: EnvelopeId,
    /// From whom.
    pub kind: Kind,
    /// When it came.
    pub at: Timestamp,
    /// What.
    pub body: Bytes,
}

/// A change other than envelopes that come and go.
#[derive(Clone, Debug)]
pub enum Change {
    /// Makes a mailbox.
    Register {
        /// Its id.
        queue: QueueId,
        /// SHA-256 of its address.
        address: Hash,
        /// Who reads it.
        reader: PublicKey,
        /// Today.
        day: Day,
    },
    /// Deletes a mailbox with its envelopes and invites.
    DeleteQueue {
        /// Which.
        queue: QueueId,
    },
    /// Records that mailboxes were used.
    Touch {
        /// Which.
        queues: Vec<QueueId>,
        /// Today.
        day: Day,
    },
    /// Records an invite.
    Share {
        /// Its UUID.
        invite: InviteId,
        /// The mailbox it leads to.
        queue: QueueId,
        /// What it holds.
        card: Bytes,
        /// When it ends.
        expires: Timestamp,
    },
    /// Opens an invite if nobody has, and then stores the notice of that.
    Claim {
        /// Its UUID.
        invite: InviteId,
        /// SHA-256 of the claimant's key.
        key: Hash,
        /// Now.
        at: Timestamp,
        /// For the mailbox that the invite leads to.
        notice: Envelope,
    },
    /// Takes an unopened invite back.
    Withdraw {
        /// Its UUID.
        invite: InviteId,
        /// The mailbox it leads to.
        queue: QueueId,
    },
    /// Makes a vault if there is none.
    OpenVault {
        /// Its id.
        vault: QueueId,
        /// Today.
        day: Day,
    },
    /// Writes slots if the vault is at a generation; an empty blob deletes its slot. No slot twice.
    WriteVault {
        /// Its id.
        vault: QueueId,
        /// The generation it must be at.
        expected: u64,
        /// What to write.
        entries: Vec<VaultEntry>,
        /// How many bytes the vault may then hold, if that is more than it holds.
        quota: u64,
        /// Today.
        day: Day,
    },
    /// Makes a room, unless its id is taken.
    MakeRoom {
        /// Its id.
        room: RoomId,
        /// SHA-256 of the token that joining takes.
        token: Hash,
        /// Who may end it.
        creator: PublicKey,
        /// Its bounds.
        limits: RoomLimits,
        /// Now.
        at: Timestamp,
    },
    /// Lets somebody in, or back in.
    JoinRoom {
        /// Which.
        room: RoomId,
        /// Who.
        key: PublicKey,
        /// Keyed hash of their name; not looked at if they belong to the room.
        name_hash: Hash,
        /// Their sealed name; the same.
        name: Bytes,
        /// The connection that reads for them from now on.
        session: Session,
        /// Now.
        at: Timestamp,
    },
    /// Somebody says something.
    PostRoom {
        /// Where.
        room: RoomId,
        /// Who.
        number: u32,
        /// Their sequence.
        seq: u64,
        /// The event that it is, in its byte form.
        event: Bytes,
        /// Now.
        at: Timestamp,
    },
    /// A connection reads for somebody no more; nothing happens if another one does by now.
    LeaveRoom {
        /// Which.
        room: RoomId,
        /// Who.
        number: u32,
        /// That connection.
        session: Session,
        /// Now.
        at: Timestamp,
    },
    /// Deletes a person of a room and all that they said.
    DeletePerson {
        /// Which room.
        room: RoomId,
        /// Who.
        number: u32,
        /// Now.
        at: Timestamp,
    },
    /// Deletes a room with everything in it.
    EndRoom {
        /// Which.
        room: RoomId,
        /// Only if its time is over at this moment.
        due: Option<Timestamp>,
    },
    /// No connection reads any room: the relay has just started.
    NobodyReads,
}

/// Names a connection in a room.
pub type Session = [u8; 16];

/// A room, but for its people and what happened in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomRecord {
    /// SHA-256 of the token that joining takes.
    pub token: Hash,
    /// Who may end it.
    pub creator: PublicKey,
    /// Its bounds.
    pub limits: RoomLimits,
    /// When it ends at the latest.
    pub ends: Timestamp,
    /// When it ends if nothing is said.
    pub closes: Timestamp,
    /// The newest place.
    pub head: u64,
    /// The newest place that is too old for the history.
    pub floor: u64,
    /// How many belong to it.
    pub people: u16,
}

/// A room and who belongs to it, of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomSnapshot {
    /// The room.
    pub record: RoomRecord,
    /// By number.
    pub people: Vec<RoomPerson>,
}

/// Something in a queue with many readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedEntry {
    /// Its place; rises by one within the queue.
    pub place: u64,
    /// When it came.
    pub at: Timestamp,
    /// What.
    pub body: Bytes,
}

/// The queue that carries a room.
pub(crate) fn room_queue(room: &RoomId) -> QueueId {
    QueueId(room.0)
}

/// What is stored of an event.
pub(crate) fn event(event: &RoomEvent) -> Bytes {
    event.to_bytes().into()
}

/// The two events of somebody who comes and goes, in their byte form: back, and away. The newest says all that
/// there is to know, so a room keeps no older one: otherwise those whose connections break all the time
/// would make it longer and longer for everybody who joins.
pub(crate) fn presence(number: u32) -> [Bytes; 2] {
    [RoomEvent::Back { number }, RoomEvent::Away { number }].map(|one| event(&one))
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done (again, if it had been done before).
    Done,
    /// There is no such queue, invite or vault, or its time is over.
    Missing,
    /// The invite was unopened and is opened now; this is its card.
    Claimed(Bytes),
    /// The invite had been opened.
    Taken {
        /// When.
        at: Timestamp,
        /// SHA-256 of the claimant's key.
        key: Hash,
        /// Its card, if it is still there.
        card: Option<Bytes>,
    },
    /// The invite had been withdrawn.
    Withdrawn,
    /// The vault is at this generation now.
    Written(u64),
    /// The vault is not at the generation expected.
    Conflict,
    /// The vault cannot hold that much, or the room not more people.
    Full,
    /// Somebody belongs to the room.
    Joined {
        /// As this number.
        number: u32,
        /// The highest sequence of theirs that was taken.
        seq: u64,
    },
    /// What was said has this place in the room's order.
    Said(u64),
    /// There is the room, but this person does not belong to it.
    NotIn,
}

/// What is applied together. Envelopes come first, then removals, then changes in their order.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// To store.
    pub envelopes: Vec<Envelope>,
    /// Places that are free now: queue and sequence number.
    pub removed: Vec<(QueueId, u64)>,
    /// Everything else.
    pub changes: Vec<Change>,
    /// Sequence numbers below this are taken from now on.
    pub reserve: Option<u64>,
    /// The server keys that belong to the store from now on.
    pub keyring: Option<[u8; 16]>,
}

/// What a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Which store this is.
    pub incarnation: Incarnation,
    /// Fingerprint of the server keys that belong to it.
    pub keyring: [u8; 16],
    /// The first sequence number that was never reserved.
    pub next_seq: u64,
}

/// An envelope's place, without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number.
    pub seq: u64,
    /// Its name.
    pub id: EnvelopeId,
    /// From whom.
    pub kind: Kind,
    /// Size of its body.
    pub size: u32,
}

/// A mailbox and what waits in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRecord {
    /// SHA-256 of its address.
    pub address: Hash,
    /// Who reads it.
    pub reader: PublicKey,
    /// When it was used last.
    pub used_day: Day,
    /// What waits, in order.
    pub waiting: Vec<Place>,
}

/// A part of a vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultPage {
    /// The vault's generation when this was read.
    pub generation: u64,
    /// Slots in order.
    pub entries: Vec<VaultEntry>,
    /// There are more slots.
    pub more: bool,
}

/// How much a page of a vault holds at most, but one slot in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VaultBounds {
    /// Slots.
    pub entries: usize,
    /// Bytes of their blobs.
    pub bytes: usize,
}

/// A page of a vault that is being filled.
pub(crate) struct VaultRoom {
    bounds: VaultBounds,
    entries: usize,
    bytes: usize,
}

impl VaultRoom {
    pub fn new(bounds: VaultBounds) -> Self {
        Self {
            bounds,
            entries: 0,
            bytes: 0,
        }
    }

    /// Whether a blob of this size still fits, as the first one always does.
    pub fn take(&mut self, size: usize) -> bool {
        self.entries += 1;
        self.bytes += size;
        self.entries == 1 || self.entries <= self.bounds.entries && self.bytes <= self.bounds.bytes
    }
}

/// What has come to its end by a moment.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Now.
    pub now: Timestamp,
    /// Envelopes that came before this.
    pub envelopes: Timestamp,
    /// Cards claimed before this, and invites that ended before this.
    pub claims: Timestamp,
    /// Mailboxes not used since before this day.
    pub queues: Day,
    /// Vaults that hold nothing but their head and were not written since before this day.
    pub vaults: Day,
    /// How many envelopes and mailboxes at most in one go.
    pub limit: u32,
}

/// What a sweep removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Envelopes.
    pub envelopes: Vec<(QueueId, u64)>,
    /// Mailboxes.
    pub queues: Vec<QueueId>,
    /// Cards and invites.
    pub invites: u64,
    /// Vaults.
    pub vaults: u64,
    /// Rooms.
    pub rooms: Vec<RoomId>,
    /// What was too old for the history of rooms.
    pub entries: u64,
}

/// The result of a store's work.
pub type StoreFuture<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Where queues last.
pub trait Store: Send + Sync + 'static {
    /// What the store is; a new one takes `fresh` (and `next_seq` from it) as its identity.
    fn identity(&self, fresh: Identity) -> StoreFuture<'_, Identity>;

    /// Applies a batch, all or nothing; one outcome for each change.
    fn apply(&self, batch: Arc<Batch>) -> StoreFuture<'_, Vec<Outcome>>;

    /// The mailbox with this address.
    fn find_address(&self, address: Hash) -> StoreFuture<'_, Option<QueueId>>;

    /// A mailbox and the index of what waits in it.
    fn queue(&self, queue: QueueId) -> StoreFuture<'_, Option<QueueRecord>>;

    /// Envelopes after a place, in order.
    fn page(&self, queue: QueueId, after: u64, limit: u32) -> StoreFuture<'_, Vec<Envelope>>;

    /// A vault's slots from `from` on; `None` if there is no such vault. What is over the bounds is not
    /// read.
    fn vault_page(
        &self,
        vault: QueueId,
        from: u32,
        bounds: VaultBounds,
    ) -> StoreFuture<'_, Option<VaultPage>>;

    /// A room.
    fn room(&self, room: RoomId) -> StoreFuture<'_, Option<RoomRecord>>;

    /// A room and who belongs to it.
    fn room_snapshot(&self, room: RoomId) -> StoreFuture<'_, Option<RoomSnapshot>>;

    /// What is in a queue with many readers after a place, in order.
    fn shared_page(&self, queue: QueueId, after: u64, limit: u32) -> StoreFuture<'_, Vec<SharedEntry>>;

    /// Removes what has come to its end.
    fn sweep(&self, deadlines: Deadlines) -> StoreFuture<'_, Swept>;

    /// Makes the bytes of what was removed leave the disk.
    fn scrub(&self) -> StoreFuture<'_, ()>;

    /// Bytes that are free where it keeps what it is given, if it knows.
    fn free_space(&self) -> StoreFuture<'_, Option<u64>> {
        Box::pin(async { Ok(None) })
    }

    /// Whether reading works.
    fn check(&self) -> StoreFuture<'_, ()>;

    /// Ends all work and leaves nothing unwritten.
    fn close(&self) -> StoreFuture<'_, ()>;
}
