//! The embedded store: one SQLite file in WAL mode, one connection that writes, a few that read.
//!
//! `synchronous=FULL` makes each commit wait for the disk, so the engine commits in groups.
//! `secure_delete` overwrites what is deleted in the file, and [`Store::scrub`] truncates the WAL,
//! where the bytes would otherwise be found until it is reused.
//!
//! A commit that failed leaves nothing behind: SQLite writes the next one over it in the log. Only a
//! process that dies in between would find it there and build on it, although the kernel may have
//! given up writing those pages; so the log is emptied at each start, before anything is added.

//!
//! SQLite is used through rusqlite, on threads where waiting is allowed; sqlx only keeps the migrations.

mod batch;
mod connections;
mod log;
mod open;
mod rooms;

use super::{
    Batch, Deadlines, Envelope, Hash, Identity, Outcome, Place, QueueRecord, RoomRecord, RoomSnapshot,
    SharedEntry, Store, StoreError, StoreFuture, Swept, VaultBounds, VaultPage, VaultRoom,
};
use bytes::Bytes;
use connections::Connections;
use rly_protocol::{
    EnvelopeId, Incarnation, PublicKey, QueueId, RoomId, Timestamp,
    frame::{Kind, VaultEntry},
};
use rusqlite::{
    Connection, OptionalExtension, Result as Sql, Row, Transaction, TransactionBehavior, params, types::Type,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The embedded store.
pub struct SqliteStore {
    writer: Connections,
    readers: Connections,
    file: PathBuf,
}

impl SqliteStore {
    /// Opens or makes the database file.
    ///
    /// # Errors
    /// [`StoreError`], one clear line. A file that is damaged or newer is left as it is.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        open::open(path).await
    }

    /// Runs `work` in one transaction on the writing connection.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction) -> Sql<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let transact = move |db: &mut Connection| {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        self.writer.run(transact).await
    }
}

/// Moves everything from the log into the file, for good, and empties the log. False: somebody reads
/// it just now.
fn empty_log(db: &Connection) -> Sql<bool> {
    // The first column tells whether a reader was in the way.
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map(|in_the_way: i64| in_the_way == 0)
}

/// Sequence numbers and times. Columns are told by their place: names are looked up for each row.
fn number(row: &Row, column: usize) -> Sql<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

fn blob(row: &Row, column: usize) -> Sql<Bytes> {
    Ok(Bytes::copy_from_slice(row.get_ref(column)?.as_blob()?))
}

fn kind(row: &Row, column: usize) -> Sql<Kind> {
    match row.get(column)? {
        0 => Ok(Kind::Envelope),
        1 => Ok(Kind::Notice),
        other => Err(rusqlite::Error::IntegralValueOutOfRange(column, other)),
    }
}

/// As SQLite has it: sequence numbers and times stay far below 2^63.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn identity(db: &Connection, fresh: Identity) -> Sql<Identity> {
    db.execute(
        "INSERT INTO meta (one, incarnation, keyring, next_seq) VALUES (1, ?, ?, ?) \
         ON CONFLICT (one) DO NOTHING",
        params![fresh.incarnation.0, fresh.keyring, int(fresh.next_seq)],
    )?;
    db.query_row("SELECT incarnation, keyring, next_seq FROM meta", [], |row| {
        Ok(Identity {
            incarnation: Incarnation(row.get(0)?),
            keyring: row.get(1)?,
            next_seq: number(row, 2)?,
        })
    })
}

fn read_queue(db: &Connection, queue: QueueId) -> Sql<Option<QueueRecord>> {
    let mut found = db.prepare_cached("SELECT address, reader, used_day FROM queues WHERE id = ?")?;
    let record = found.query_row([queue.0], |row| {
        let reader = PublicKey::try_from(row.get_ref(1)?.as_blob()?);
        let reader =
            reader.map_err(|error| rusqlite::Error::FromSqlConversionFailure(1, Type::Blob, error.into()))?;
        Ok(QueueRecord {
            address: row.get(0)?,
            reader,
            used_day: row.get(2)?,
            waiting: Vec::new(),
        })
    });
    let Some(record) = record.optional()? else {
        return Ok(None);
    };
    // `length` of a blob reads the row's header only, never the body.
    let mut places =
        db.prepare_cached("SELECT seq, id, kind, length(body) FROM envelopes WHERE queue = ? ORDER BY seq")?;
    let waiting = places.query_map([queue.0], |row| {
        Ok(Place {
            seq: number(row, 0)?,
            id: EnvelopeId(row.get(1)?),
            kind: kind(row, 2)?,
            size: row.get(3)?,
        })
    })?;
    Ok(Some(QueueRecord {
        waiting: waiting.collect::<Sql<_>>()?,
        ..record
    }))
}

fn read_page(db: &Connection, queue: QueueId, after: u64, limit: u32) -> Sql<Vec<Envelope>> {
    let mut page = db.prepare_cached(
        "SELECT seq, id, kind, created, body FROM envelopes WHERE queue = ? AND seq > ? ORDER BY seq LIMIT ?",
    )?;
    let mut rows = page.query(params![queue.0, int(after), limit])?;
    // One piece of memory for all bodies: they leave together, too.
    let (mut envelopes, mut bodies) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let start = bodies.len();
        bodies.extend_from_slice(row.get_ref(4)?.as_blob()?);
        let envelope = Envelope {
            queue,
            seq: number(row, 0)?,
            id: EnvelopeId(row.get(1)?),
            kind: kind(row, 2)?,
            at: Timestamp(number(row, 3)?),
            body: Bytes::new(),
        };
        envelopes.push((envelope, start..bodies.len()));
    }
    let bodies = Bytes::from(bodies);
    let with_body = |(envelope, range)| Envelope {
        body: bodies.slice(range),
        ..envelope
    };
    Ok(envelopes.into_iter().map(with_body).collect())
}

/// One statement, so generation and slots are of one moment.
fn read_vault(db: &Connection, vault: QueueId, from: u32, bounds: VaultBounds) -> Sql<Option<VaultPage>> {
    // The row's number instead of its blob: a column is fetched whole, whether it is looked at or not.
    let mut statement = db.prepare_cached(
        "SELECT generation, slot, length(blob), vault_entries.rowid FROM vaults LEFT JOIN vault_entries \
         ON vault = id AND slot >= ? WHERE id = ? ORDER BY slot",
    )?;
    let mut content = db.prepare_cached("SELECT blob FROM vault_entries WHERE rowid = ?")?;
    let mut rows = statement.query(params![from, vault.0])?;
    let (mut page, mut room) = (None, VaultRoom::new(bounds));
    while let Some(row) = rows.next()? {
        let page = page.get_or_insert(VaultPage {
            generation: number(row, 0)?,
            entries: Vec::new(),
            more: false,
        });
        let Some(slot) = row.get(1)? else { break };
        let size: u32 = row.get(2)?;
        if !room.take(size as usize) {
            page.more = true;
            break;
        }
        let at: i64 = row.get(3)?;
        let blob = content.query_row([at], |row| blob(row, 0))?;
        page.entries.push(VaultEntry { slot, blob });
    }
    Ok(page)
}

impl Store for SqliteStore {
    fn identity(&self, fresh: Identity) -> StoreFuture<'_, Identity> {
        Box::pin(self.write(move |db| identity(db, fresh)))
    }

    fn apply(&self, batch: Arc<Batch>) -> StoreFuture<'_, Vec<Outcome>> {
        Box::pin(self.write(move |db| batch::apply(db, &batch)))
    }

    fn find_address(&self, address: Hash) -> StoreFuture<'_, Option<QueueId>> {
        Box::pin(self.readers.run(move |db| {
            let mut found = db.prepare_cached("SELECT id FROM queues WHERE address = ?")?;
            found
                .query_row([address], |row| row.get(0).map(QueueId))
                .optional()
        }))
    }

    fn queue(&self, queue: QueueId) -> StoreFuture<'_, Option<QueueRecord>> {
        Box::pin(self.readers.run(move |db| read_queue(db, queue)))
    }

    fn page(&self, queue: QueueId, after: u64, limit: u32) -> StoreFuture<'_, Vec<Envelope>> {
        Box::pin(self.readers.run(move |db| read_page(db, queue, after, limit)))
    }

    fn vault_page(
        &self,
        vault: QueueId,
        from: u32,
        bounds: VaultBounds,
    ) -> StoreFuture<'_, Option<VaultPage>> {
        Box::pin(self.readers.run(move |db| read_vault(db, vault, from, bounds)))
    }

    fn room(&self, room: RoomId) -> StoreFuture<'_, Option<RoomRecord>> {
        Box::pin(self.readers.run(move |db| rooms::read(db, room)))
    }

    fn room_snapshot(&self, room: RoomId) -> StoreFuture<'_, Option<RoomSnapshot>> {
        Box::pin(self.readers.run(move |db| rooms::snapshot(db, room)))
    }

    fn shared_page(&self, queue: QueueId, after: u64, limit: u32) -> StoreFuture<'_, Vec<SharedEntry>> {
        Box::pin(self.readers.run(move |db| rooms::page(db, queue, after, limit)))
    }

    fn sweep(&self, deadlines: Deadlines) -> StoreFuture<'_, Swept> {
        Box::pin(self.write(move |db| batch::sweep(db, deadlines)))
    }

    fn scrub(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            if self.writer.run(|db| empty_log(db)).await? {
                Ok(())
            } else {
                Err(StoreError::Failed("the log is in use".into()))
            }
        })
    }

    fn free_space(&self) -> StoreFuture<'_, Option<u64>> {
        let file = self.file.clone();
        Box::pin(async move {
            let look = move || rustix::fs::statvfs(&file);
            let disk = |error: String| StoreError::Disk(error);
            let found = tokio::task::spawn_blocking(look)
                .await
                .map_err(|error| disk(error.to_string()))?
                .map_err(|error| disk(error.to_string()))?;
            Ok(Some(found.f_bavail.saturating_mul(found.f_frsize)))
        })
    }

    fn check(&self) -> StoreFuture<'_, ()> {
        Box::pin(self.readers.run(|db| {
            let mut look = db.prepare_cached("SELECT next_seq FROM meta")?;
            look.query_row([], |_| Ok(())).optional().map(|_| ())
        }))
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let read = self.readers.close().await;
            let scrubbed = self.scrub().await;
            self.writer.close().await?;
            read.and(scrubbed)
        })
    }
}
