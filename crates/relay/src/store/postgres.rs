//! The store of a cluster: PostgreSQL, shared by all nodes.
//!
//! Every method is one transaction in READ COMMITTED; where that is not enough, rows are locked. A
//! transaction that PostgreSQL gave up for another's sake (deadlock) is tried again. Nothing waits for
//! ever: a server that does not answer is a failure, and a node that was stopped in the middle of a
//! transaction loses it, so that it holds up nobody.

mod batch;
mod open;
mod pages;
mod rooms;
pub(crate) mod shared;

#[cfg(test)]
pub(super) use batch::ACKNOWLEDGE;

use super::{
    Batch, Deadlines, Envelope, Hash, Identity, Outcome, Place, QueueRecord, RoomRecord, RoomSnapshot,
    SharedEntry, Store, StoreError, StoreFuture, Swept, VaultBounds, VaultPage, VaultRoom,
};
use bytes::Bytes;
use rly_protocol::{
    EnvelopeId, Incarnation, PublicKey, QueueId, RoomId,
    frame::{Kind, VaultEntry},
};
use sqlx::{
    PgPool, Row,
    postgres::{PgQueryResult, PgRow},
};
use std::{future::Future, sync::Arc, time::Duration};

type Sql<T> = Result<T, sqlx::Error>;

/// How long an answer may take before the database counts as away.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a transaction is tried that PostgreSQL gives up.
const TRIES: u32 = 5;
/// Deadlock, serialisation failure.
const TRY_AGAIN: [&str; 2] = ["40P01", "40001"];

/// The store of a cluster. Clones share their connections.
#[derive(Clone)]
pub struct PostgresStore {
    pool: PgPool,
    pages: pages::Pages,
}

impl PostgresStore {
    /// Opens a database, and makes or migrates the tables.
    ///
    /// # Errors
    /// [`StoreError`], one clear line, without the password. A database that is newer or holds another
    /// program's tables is left as it is.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        open::open(url).await
    }

    /// Hears of rooms in which something happened, on any node.
    pub(crate) async fn listen_to_rooms(&self) -> Result<sqlx::postgres::PgListener, StoreError> {
        let listening = async {
            let mut listener = sqlx::postgres::PgListener::connect_with(&self.pool).await?;
            listener.listen(rooms::CHANNEL).await?;
            Ok(listener)
        };
        listening.await.map_err(|error: sqlx::Error| failed(&error))
    }

    /// Does `work`, again if PostgreSQL gave it up for another's sake.
    async fn run<T, F>(&self, work: impl Fn(PgPool) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Sql<T>>,
    {
        let mut tries = 1;
        loop {
            let result = tokio::time::timeout(PATIENCE, work(self.pool.clone())).await;
            let error = match result {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) => error,
                Err(_) => return Err(StoreError::Failed("PostgreSQL does not answer".into())),
            };
            let code = error.as_database_error().and_then(|error| error.code());
            if tries == TRIES || !code.is_some_and(|code| TRY_AGAIN.contains(&&*code)) {
                return Err(failed(&error));
            }
            tries += 1;
        }
    }
}

/// One line, without anything that was to be stored.
fn failed(error: &sqlx::Error) -> StoreError {
    let text = match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            let text = format!("PostgreSQL says: {} ({code})", error.message());
            match &*code {
                // Disk full, I/O error.
                "53100" | "58030" => return StoreError::Disk(text),
                // Data and index corrupted.
                "XX001" | "XX002" => return StoreError::Damaged(text),
                _ => text,
            }
        }
        sqlx::Error::PoolTimedOut => "no connection to PostgreSQL in time".into(),
        other => format!("PostgreSQL: {other}"),
    };
    StoreError::Failed(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// As PostgreSQL has it: sequence numbers and times stay far below 2^63.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Slots, days and limits.
fn small(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn number(row: &PgRow, column: usize) -> Sql<u64> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(|error| decoding(column, error))
}

fn small_number(row: &PgRow, column: usize) -> Sql<u32> {
    let value: i32 = row.try_get(column)?;
    u32::try_from(value).map_err(|error| decoding(column, error))
}

fn fixed<const N: usize>(row: &PgRow, column: usize) -> Sql<[u8; N]> {
    let bytes: &[u8] = row.try_get(column)?;
    <[u8; N]>::try_from(bytes).map_err(|error| decoding(column, error))
}

fn blob(row: &PgRow, column: usize) -> Sql<Bytes> {
    Ok(row.try_get::<Vec<u8>, _>(column)?.into())
}

fn kind(row: &PgRow, column: usize) -> Sql<Kind> {
    match row.try_get::<i16, _>(column)? {
        0 => Ok(Kind::Envelope),
        1 => Ok(Kind::Notice),
        _ => Err(decoding(column, "no such kind of envelope")),
    }
}

fn decoding(
    column: usize,
    source: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>,
) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: column.to_string(),
        source: source.into(),
    }
}

fn rows(result: &PgQueryResult) -> u64 {
    result.rows_affected()
}

async fn identity(pool: PgPool, fresh: Identity) -> Sql<Identity> {
    sqlx::query(
        "INSERT INTO meta (incarnation, keyring, next_seq) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(&fresh.incarnation.0[..])
    .bind(&fresh.keyring[..])
    .bind(int(fresh.next_seq))
    .execute(&pool)
    .await?;
    let row = sqlx::query("SELECT incarnation, keyring, next_seq FROM meta")
        .fetch_one(&pool)
        .await?;
    Ok(Identity {
        incarnation: Incarnation(fixed(&row, 0)?),
        keyring: fixed(&row, 1)?,
        next_seq: number(&row, 2)?,
    })
}

async fn read_queue(pool: PgPool, queue: QueueId) -> Sql<Option<QueueRecord>> {
    let found = sqlx::query("SELECT address, reader, used_day FROM queues WHERE id = $1")
        .bind(&queue.0[..])
        .fetch_optional(&pool)
        .await?;
    let Some(row) = found else { return Ok(None) };
    let reader: &[u8] = row.try_get(1)?;
    let places = sqlx::query(
        "SELECT seq, id, kind, octet_length(body) FROM envelopes \
         WHERE queue = $1 AND body IS NOT NULL ORDER BY seq",
    )
    .bind(&queue.0[..])
    .fetch_all(&pool)
    .await?;
    let place = |row: &PgRow| {
        Ok(Place {
            seq: number(row, 0)?,
            id: EnvelopeId(fixed(row, 1)?),
            kind: kind(row, 2)?,
            size: small_number(row, 3)?,
        })
    };
    Ok(Some(QueueRecord {
        address: fixed(&row, 0)?,
        reader: PublicKey::try_from(reader).map_err(|error| decoding(1, error))?,
        used_day: small_number(&row, 2)?,
        waiting: places.iter().map(place).collect::<Sql<_>>()?,
    }))
}

/// One statement, so generation and slots are of one moment.
///
/// The sizes of one slot more than fits are looked at; a blob over the bounds is not read.
async fn read_vault(pool: PgPool, vault: QueueId, from: u32, bounds: VaultBounds) -> Sql<Option<VaultPage>> {
    let rows = sqlx::query(
        "SELECT generation, slot, size, CASE WHEN upto <= $4 OR upto = size THEN blob END \
         FROM vaults LEFT JOIN LATERAL (SELECT slot, blob, octet_length(blob) AS size, \
         sum(octet_length(blob)) OVER (ORDER BY slot) AS upto \
         FROM (SELECT slot, blob FROM vault_entries WHERE vault = id AND slot >= $1 ORDER BY slot LIMIT $3) \
         AS next) AS page ON true WHERE id = $2 ORDER BY slot",
    )
    .bind(small(from))
    .bind(&vault.0[..])
    .bind(
        i64::try_from(bounds.entries)
            .unwrap_or(i64::MAX)
            .saturating_add(1),
    )
    .bind(i64::try_from(bounds.bytes).unwrap_or(i64::MAX))
    .fetch_all(&pool)
    .await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let mut page = VaultPage {
        generation: number(first, 0)?,
        entries: Vec::with_capacity(rows.len()),
        more: false,
    };
    let mut room = VaultRoom::new(bounds);
    for row in &rows {
        if row.try_get::<Option<i32>, _>(1)?.is_none() {
            break;
        }
        if !room.take(small_number(row, 2)? as usize) {
            page.more = true;
            break;
        }
        page.entries.push(VaultEntry {
            slot: small_number(row, 1)?,
            blob: blob(row, 3)?,
        });
    }
    Ok(Some(page))
}

impl Store for PostgresStore {
    fn identity(&self, fresh: Identity) -> StoreFuture<'_, Identity> {
        Box::pin(self.run(move |pool| identity(pool, fresh)))
    }

    fn apply(&self, batch: Arc<Batch>) -> StoreFuture<'_, Vec<Outcome>> {
        Box::pin(self.run(move |pool| batch::apply(pool, batch.clone())))
    }

    fn find_address(&self, address: Hash) -> StoreFuture<'_, Option<QueueId>> {
        Box::pin(self.run(move |pool| async move {
            let row = sqlx::query("SELECT id FROM queues WHERE address = $1")
                .bind(&address[..])
                .fetch_optional(&pool)
                .await?;
            row.map(|row| fixed(&row, 0).map(QueueId)).transpose()
        }))
    }

    fn queue(&self, queue: QueueId) -> StoreFuture<'_, Option<QueueRecord>> {
        Box::pin(self.run(move |pool| read_queue(pool, queue)))
    }

    fn page(&self, queue: QueueId, after: u64, limit: u32) -> StoreFuture<'_, Vec<Envelope>> {
        Box::pin(self.envelopes(queue, after, limit))
    }

    fn vault_page(
        &self,
        vault: QueueId,
        from: u32,
        bounds: VaultBounds,
    ) -> StoreFuture<'_, Option<VaultPage>> {
        Box::pin(self.run(move |pool| read_vault(pool, vault, from, bounds)))
    }

    fn room(&self, room: RoomId) -> StoreFuture<'_, Option<RoomRecord>> {
        Box::pin(self.run(move |pool| rooms::read(pool, room)))
    }

    fn room_snapshot(&self, room: RoomId) -> StoreFuture<'_, Option<RoomSnapshot>> {
        Box::pin(self.run(move |pool| rooms::snapshot(pool, room)))
    }

    fn shared_page(&self, queue: QueueId, after: u64, limit: u32) -> StoreFuture<'_, Vec<SharedEntry>> {
        Box::pin(self.run(move |pool| rooms::page(pool, queue, after, limit)))
    }

    fn sweep(&self, deadlines: Deadlines) -> StoreFuture<'_, Swept> {
        Box::pin(self.run(move |pool| batch::sweep(pool, deadlines)))
    }

    /// Nothing: what is deleted cannot be read at once, and its bytes go when autovacuum gives its pages
    /// to others. docs/operations.md says how long that takes.
    fn scrub(&self) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn check(&self) -> StoreFuture<'_, ()> {
        Box::pin(self.run(|pool| async move {
            sqlx::query("SELECT next_seq FROM meta")
                .fetch_optional(&pool)
                .await
                .map(|_| ())
        }))
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.pool.close().await;
            Ok(())
        })
    }
}
