//! The embedded store: one SQLite file in WAL mode, one connection that writes, a few that read.
//!
//! `synchronous=FULL` makes each commit wait for the disk, so the engine commits in groups.
//! `secure_delete` overwrites what is deleted in the file, and [`Store::scrub`] truncates the WAL,
//! where the bytes would otherwise be found until it is reused.
//!
//! A commit that failed leaves nothing behind: SQLite writes the next one over it in the log. Only a
//! process that dies in between would find it there and build on it, although the kernel may have
//! given up writing those pages; so the log is emptied at each start, before anything is added.

mod batch;
mod log;
mod open;

use super::{
    Batch, Deadlines, Envelope, Hash, Identity, Outcome, Place, QueueRecord, Store, StoreError, StoreFuture,
    Swept, VaultPage,
};
use bytes::Bytes;
use rly_protocol::{
    EnvelopeId, Incarnation, PublicKey, QueueId, Timestamp,
    frame::{Kind, VaultEntry},
};
use sqlx::{Connection, Row, SqliteConnection, SqlitePool, sqlite::SqliteConnectOptions, sqlite::SqliteRow};
use std::path::Path;
use tokio::sync::Mutex;

/// The embedded store.
pub struct SqliteStore {
    options: SqliteConnectOptions,
    /// Empty after a failure, until the next write opens it again: what a failed commit leaves in a
    /// connection is nothing to build on.
    writer: Mutex<Option<SqliteConnection>>,
    readers: SqlitePool,
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
    async fn write<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let mut writer = self.writer.lock().await;
        let mut connection = self.connection(&mut writer).await?;
        let result = async {
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            let result = work(&mut transaction).await?;
            transaction.commit().await?;
            Ok(result)
        }
        .await;
        if result.is_ok() {
            *writer = Some(connection);
        }
        result.map_err(failed)
    }

    /// The writing connection, out of its place: it goes back only if all went well.
    async fn connection(
        &self,
        writer: &mut Option<SqliteConnection>,
    ) -> Result<SqliteConnection, StoreError> {
        match writer.take() {
            Some(connection) => Ok(connection),
            None => SqliteConnection::connect_with(&self.options)
                .await
                .map_err(failed),
        }
    }
}

/// Sorts SQLite's errors (<https://www.sqlite.org/rescode.html>) into those that we tell apart.
fn failed(error: sqlx::Error) -> StoreError {
    let code = (error.as_database_error())
        .and_then(|error| error.code()?.parse::<u32>().ok())
        .map(|extended| extended & 0xff);
    let text = match error.as_database_error() {
        Some(error) => error.message().to_owned(),
        None => error.to_string(),
    };
    match code {
        // READONLY, IOERR, FULL, CANTOPEN
        Some(8 | 10 | 13 | 14) => StoreError::Disk(text),
        // CORRUPT, NOTADB
        Some(11 | 26) => StoreError::Damaged(text),
        _ => StoreError::Failed(text),
    }
}

/// Moves everything from the log into the file, for good, and empties the log. False: somebody reads
/// it just now.
async fn empty_log(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_one(connection)
        .await
        .map_err(failed)?;
    // The first column tells whether a reader was in the way.
    Ok(row.try_get::<i64, _>(0).map_err(failed)? == 0)
}

/// A column holds what this program never wrote.
fn damaged(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("unexpected value in column {what}").into())
}

fn id(row: &SqliteRow, column: &str) -> Result<[u8; 16], sqlx::Error> {
    sized(row, column)
}

fn sized<const N: usize>(row: &SqliteRow, column: &str) -> Result<[u8; N], sqlx::Error> {
    row.try_get::<&[u8], _>(column)?
        .try_into()
        .map_err(|_| damaged(column))
}

fn number(row: &SqliteRow, column: &str) -> Result<u64, sqlx::Error> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(|_| damaged(column))
}

fn narrow(row: &SqliteRow, column: &str) -> Result<u32, sqlx::Error> {
    u32::try_from(row.try_get::<i64, _>(column)?).map_err(|_| damaged(column))
}

fn blob(row: &SqliteRow, column: &str) -> Result<Bytes, sqlx::Error> {
    Ok(row.try_get::<Vec<u8>, _>(column)?.into())
}

fn kind(row: &SqliteRow) -> Result<Kind, sqlx::Error> {
    match row.try_get::<i64, _>("kind")? {
        0 => Ok(Kind::Envelope),
        1 => Ok(Kind::Notice),
        _ => Err(damaged("kind")),
    }
}

/// As SQLite has it: sequence numbers and times stay far below 2^63.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl SqliteStore {
    async fn read_identity(&self, fresh: Identity) -> Result<Identity, StoreError> {
        self.write(async |connection| {
            sqlx::query(
                "INSERT INTO meta (one, incarnation, keyring, next_seq) VALUES (1, ?, ?, ?) \
                 ON CONFLICT (one) DO NOTHING",
            )
            .bind(&fresh.incarnation.0[..])
            .bind(&fresh.keyring[..])
            .bind(int(fresh.next_seq))
            .execute(&mut *connection)
            .await?;
            let row = sqlx::query("SELECT incarnation, keyring, next_seq FROM meta")
                .fetch_one(connection)
                .await?;
            Ok(Identity {
                incarnation: Incarnation(id(&row, "incarnation")?),
                keyring: id(&row, "keyring")?,
                next_seq: number(&row, "next_seq")?,
            })
        })
        .await
    }

    async fn read_queue(&self, queue: QueueId) -> Result<Option<QueueRecord>, sqlx::Error> {
        let found = sqlx::query("SELECT address, reader, used_day FROM queues WHERE id = ?")
            .bind(&queue.0[..])
            .fetch_optional(&self.readers)
            .await?;
        let Some(row) = found else { return Ok(None) };
        // `length` of a blob reads the row's header only, never the body.
        let places = sqlx::query(
            "SELECT seq, id, kind, length(body) AS size FROM envelopes WHERE queue = ? ORDER BY seq",
        )
        .bind(&queue.0[..])
        .fetch_all(&self.readers)
        .await?;
        let waiting = places.iter().map(|row| {
            Ok(Place {
                seq: number(row, "seq")?,
                id: EnvelopeId(id(row, "id")?),
                kind: kind(row)?,
                size: narrow(row, "size")?,
            })
        });
        Ok(Some(QueueRecord {
            address: sized(&row, "address")?,
            reader: PublicKey::try_from(row.try_get::<&[u8], _>("reader")?).map_err(|_| damaged("reader"))?,
            used_day: narrow(&row, "used_day")?,
            waiting: waiting.collect::<Result<_, sqlx::Error>>()?,
        }))
    }

    async fn read_page(&self, queue: QueueId, after: u64, limit: u32) -> Result<Vec<Envelope>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT seq, id, kind, created, body FROM envelopes WHERE queue = ? AND seq > ? \
             ORDER BY seq LIMIT ?",
        )
        .bind(&queue.0[..])
        .bind(int(after))
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await?;
        let envelopes = rows.iter().map(|row| {
            Ok(Envelope {
                queue,
                seq: number(row, "seq")?,
                id: EnvelopeId(id(row, "id")?),
                kind: kind(row)?,
                at: Timestamp(number(row, "created")?),
                body: blob(row, "body")?,
            })
        });
        envelopes.collect()
    }

    /// One statement, so generation and slots are of one moment.
    async fn read_vault(
        &self,
        vault: QueueId,
        from: u32,
        limit: u32,
    ) -> Result<Option<VaultPage>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT generation, slot, blob FROM vaults LEFT JOIN vault_entries \
             ON vault = id AND slot >= ? WHERE id = ? ORDER BY slot LIMIT ?",
        )
        .bind(i64::from(from))
        .bind(&vault.0[..])
        .bind(i64::from(limit.max(1)))
        .fetch_all(&self.readers)
        .await?;
        let Some(first) = rows.first() else {
            return Ok(None);
        };
        let generation = number(first, "generation")?;
        let mut entries = Vec::with_capacity(rows.len());
        for row in &rows {
            if row.try_get::<Option<i64>, _>("slot")?.is_some() {
                entries.push(VaultEntry {
                    slot: narrow(row, "slot")?,
                    blob: blob(row, "blob")?,
                });
            }
        }
        Ok(Some(VaultPage { generation, entries }))
    }
}

impl Store for SqliteStore {
    fn identity(&self, fresh: Identity) -> StoreFuture<'_, Identity> {
        Box::pin(self.read_identity(fresh))
    }

    fn apply<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a, Vec<Outcome>> {
        Box::pin(self.write(async |connection| batch::apply(connection, batch).await))
    }

    fn find_address(&self, address: Hash) -> StoreFuture<'_, Option<QueueId>> {
        Box::pin(async move {
            let row = sqlx::query("SELECT id FROM queues WHERE address = ?")
                .bind(&address[..])
                .fetch_optional(&self.readers)
                .await
                .map_err(failed)?;
            row.map(|row| id(&row, "id").map(QueueId).map_err(failed))
                .transpose()
        })
    }

    fn queue(&self, queue: QueueId) -> StoreFuture<'_, Option<QueueRecord>> {
        Box::pin(async move { self.read_queue(queue).await.map_err(failed) })
    }

    fn page(&self, queue: QueueId, after: u64, limit: u32) -> StoreFuture<'_, Vec<Envelope>> {
        Box::pin(async move { self.read_page(queue, after, limit).await.map_err(failed) })
    }

    fn vault_page(&self, vault: QueueId, from: u32, limit: u32) -> StoreFuture<'_, Option<VaultPage>> {
        Box::pin(async move { self.read_vault(vault, from, limit).await.map_err(failed) })
    }

    fn sweep(&self, deadlines: Deadlines) -> StoreFuture<'_, Swept> {
        Box::pin(self.write(async move |connection| batch::sweep(connection, deadlines).await))
    }

    fn scrub(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let mut writer = self.writer.lock().await;
            let mut connection = self.connection(&mut writer).await?;
            let emptied = empty_log(&mut connection).await?;
            *writer = Some(connection);
            if emptied {
                Ok(())
            } else {
                Err(StoreError::Failed("the log is in use".into()))
            }
        })
    }

    fn check(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            sqlx::query("SELECT next_seq FROM meta")
                .fetch_optional(&self.readers)
                .await
                .map_err(failed)?;
            Ok(())
        })
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.readers.close().await;
            let scrubbed = self.scrub().await;
            if let Some(connection) = self.writer.lock().await.take() {
                connection.close().await.map_err(failed)?;
            }
            scrubbed
        })
    }
}
