//! What several nodes need of one database beside the store's port: moving the log into it, and knowing
//! who reads where.

use super::{PostgresStore, Sql, fixed, int, number, small_number};
use crate::store::{Day, Hash, StoreError};
use bytes::Bytes;
use rly_protocol::{EnvelopeId, Incarnation, QueueId, Timestamp};
use sqlx::{PgPool, Row, postgres::PgRow};
use std::sync::Arc;

/// A partition of the log.
pub(crate) type Partition = i32;

/// A partition in the hands of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub partition: Partition,
    /// Taking the partition again raises it.
    pub epoch: i64,
    /// The offset of the first record that is not in the store.
    pub next: i64,
}

/// How far a partition moves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move {
    pub held: Held,
    /// The offset after the last record.
    pub to: i64,
}

/// An envelope out of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub queue: QueueId,
    pub id: EnvelopeId,
    pub at: Timestamp,
    pub body: Bytes,
}

/// What became of records.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    /// They are stored; so many of them were new, and to a mailbox that there is.
    Stored(u64),
    /// Nothing was stored: all but these partitions are another node's by now.
    Fenced(Vec<Partition>),
}

/// What a writing node needs to know of a mailbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TargetRecord {
    pub queue: QueueId,
    pub used_day: Day,
    /// Envelopes that wait there.
    pub envelopes: u32,
    /// And their bytes.
    pub bytes: u64,
}

/// A reader whose socket this node holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub queue: QueueId,
    pub number: i64,
    /// The last number that it knows of.
    pub after: u64,
}

/// What a look at a reader found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Looked {
    pub queue: QueueId,
    pub number: i64,
    /// Something is there that it does not know of.
    pub news: bool,
    /// A later subscription took its place.
    pub replaced: bool,
}

impl PostgresStore {
    /// Which log this store is filled from: `log` and `partitions` if none was so far.
    pub(crate) async fn bind_log(&self, log: &str, partitions: i32) -> Result<(String, i32), StoreError> {
        let log: Arc<str> = log.into();
        self.run(move |pool| bind_log(pool, log.clone(), partitions))
            .await
    }

    /// Takes partitions: from now on nobody else moves them.
    pub(crate) async fn take(&self, node: &str, partitions: &[Partition]) -> Result<Vec<Held>, StoreError> {
        let (node, partitions): (Arc<str>, Arc<[i32]>) = (node.into(), partitions.into());
        self.run(move |pool| take(pool, node.clone(), partitions.clone()))
            .await
    }

    /// Stores records and moves their partitions, or does neither.
    pub(crate) async fn append(
        &self,
        moves: Arc<[Move]>,
        records: Arc<[Record]>,
    ) -> Result<Appended, StoreError> {
        self.run(move |pool| append(pool, moves.clone(), records.clone()))
            .await
    }

    /// Moves a partition over records that the log does not have any more. As what was confirmed may
    /// have been among them, the store is another one from then on, and clients send again what has no
    /// receipt. False: the partition is another node's.
    pub(crate) async fn skip(&self, over: Move, incarnation: Incarnation) -> Result<bool, StoreError> {
        self.run(move |pool| skip(pool, over, incarnation)).await
    }

    /// Which store this is now.
    pub(crate) async fn incarnation(&self) -> Result<Incarnation, StoreError> {
        self.run(|pool| async move {
            let row = sqlx::query("SELECT incarnation FROM meta")
                .fetch_one(&pool)
                .await?;
            Ok(Incarnation(fixed(&row, 0)?))
        })
        .await
    }

    /// What a writing node needs to know of the mailbox with this address.
    pub(crate) async fn target(&self, address: Hash) -> Result<Option<TargetRecord>, StoreError> {
        self.run(move |pool| target(pool, address)).await
    }

    /// A socket of this node reads a queue: the number of this subscription, and the node that held the
    /// reader before.
    pub(crate) async fn read_here(
        &self,
        node: &str,
        queue: QueueId,
    ) -> Result<(i64, Option<String>), StoreError> {
        let node: Arc<str> = node.into();
        self.run(move |pool| read_here(pool, node.clone(), queue)).await
    }

    /// The nodes that hold readers of these queues.
    pub(crate) async fn readers(&self, queues: &[QueueId]) -> Result<Vec<(QueueId, String)>, StoreError> {
        let queues: Arc<[QueueId]> = queues.into();
        self.run(move |pool| readers(pool, queues.clone())).await
    }

    /// Looks after readers of this node, and puts back those that the database has forgotten.
    pub(crate) async fn look(&self, node: &str, readers: &[Reading]) -> Result<Vec<Looked>, StoreError> {
        let (node, readers): (Arc<str>, Arc<[Reading]>) = (node.into(), readers.into());
        self.run(move |pool| look(pool, node.clone(), readers.clone()))
            .await
    }
}

async fn bind_log(pool: PgPool, log: Arc<str>, partitions: i32) -> Sql<(String, i32)> {
    let mut transaction = pool.begin().await?;
    let db = &mut *transaction;
    let row = sqlx::query("SELECT log FROM meta FOR UPDATE")
        .fetch_one(&mut *db)
        .await?;
    let bound: Option<String> = row.try_get(0)?;
    if bound.is_none() {
        sqlx::query("UPDATE meta SET log = $1")
            .bind(&*log)
            .execute(&mut *db)
            .await?;
        sqlx::query(
            "INSERT INTO partitions (partition, next_offset, epoch) \
             SELECT partition, 0, 0 FROM generate_series(0, $1 - 1) AS partition",
        )
        .bind(partitions)
        .execute(&mut *db)
        .await?;
    }
    let count = sqlx::query("SELECT count(*)::integer FROM partitions")
        .fetch_one(&mut *db)
        .await?;
    let count = count.try_get(0)?;
    transaction.commit().await?;
    Ok((bound.unwrap_or_else(|| log.to_string()), count))
}

async fn take(pool: PgPool, node: Arc<str>, partitions: Arc<[Partition]>) -> Sql<Vec<Held>> {
    let rows = sqlx::query(
        "UPDATE partitions SET epoch = epoch + 1, node = $1 WHERE partition IN \
         (SELECT partition FROM partitions WHERE partition = ANY($2) ORDER BY partition FOR UPDATE) \
         RETURNING partition, epoch, next_offset",
    )
    .bind(&*node)
    .bind(&partitions[..])
    .fetch_all(&pool)
    .await?;
    let held = |row: &PgRow| {
        Ok(Held {
            partition: row.try_get(0)?,
            epoch: row.try_get(1)?,
            next: row.try_get(2)?,
        })
    };
    rows.iter().map(held).collect()
}

/// Moves offsets; those that moved. Rows are locked in order, so that nobody waits in a circle.
const MOVE: &str = "UPDATE partitions SET next_offset = moved.upto \
    FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bigint[]) AS moved (partition, epoch, at, upto) \
    WHERE partitions.partition = moved.partition AND partitions.epoch = moved.epoch \
    AND partitions.next_offset = moved.at RETURNING partitions.partition";

async fn append(pool: PgPool, moves: Arc<[Move]>, records: Arc<[Record]>) -> Sql<Appended> {
    let mut transaction = pool.begin().await?;
    let db = &mut *transaction;
    let moved = sqlx::query(MOVE)
        .bind(moves.iter().map(|one| one.held.partition).collect::<Vec<_>>())
        .bind(moves.iter().map(|one| one.held.epoch).collect::<Vec<_>>())
        .bind(moves.iter().map(|one| one.held.next).collect::<Vec<_>>())
        .bind(moves.iter().map(|one| one.to).collect::<Vec<_>>())
        .fetch_all(&mut *db)
        .await?;
    if moved.len() < moves.len() {
        let held = moved
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Sql<Vec<Partition>>>()?;
        return Ok(Appended::Fenced(held));
    }
    let mut stored = 0;
    if !records.is_empty() {
        let queues: Vec<&[u8]> = records.iter().map(|record| &record.queue.0[..]).collect();
        let mut locked = queues.clone();
        locked.sort_unstable();
        locked.dedup();
        // From here to the commit nobody else gives numbers in these queues.
        sqlx::query("SELECT FROM queues WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE")
            .bind(locked)
            .execute(&mut *db)
            .await?;
        let ids: Vec<&[u8]> = records.iter().map(|record| &record.id.0[..]).collect();
        let created: Vec<i64> = records.iter().map(|record| int(record.at.0)).collect();
        let bodies: Vec<&[u8]> = records.iter().map(|record| &record.body[..]).collect();
        let done = sqlx::query(
            "INSERT INTO envelopes (queue, id, seq, kind, created, body) \
             SELECT queue, id, nextval('envelope_numbers'), 0, created, body FROM (\
                 SELECT new.queue, new.id, new.created, new.body FROM \
                 unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bytea[]) \
                 WITH ORDINALITY AS new (queue, id, created, body, place) \
                 JOIN queues ON queues.id = new.queue ORDER BY place\
             ) AS ordered ON CONFLICT ON CONSTRAINT envelopes_pk DO NOTHING",
        )
        .bind(queues)
        .bind(ids)
        .bind(created)
        .bind(bodies)
        .execute(&mut *db)
        .await?;
        stored = done.rows_affected();
    }
    transaction.commit().await?;
    Ok(Appended::Stored(stored))
}

async fn skip(pool: PgPool, over: Move, incarnation: Incarnation) -> Sql<bool> {
    let mut transaction = pool.begin().await?;
    let db = &mut *transaction;
    let moved = sqlx::query(MOVE)
        .bind(vec![over.held.partition])
        .bind(vec![over.held.epoch])
        .bind(vec![over.held.next])
        .bind(vec![over.to])
        .fetch_all(&mut *db)
        .await?;
    if moved.is_empty() {
        return Ok(false);
    }
    sqlx::query("UPDATE meta SET incarnation = $1")
        .bind(&incarnation.0[..])
        .execute(&mut *db)
        .await?;
    transaction.commit().await?;
    Ok(true)
}

async fn target(pool: PgPool, address: Hash) -> Sql<Option<TargetRecord>> {
    let row = sqlx::query(
        "SELECT id, used_day, waiting.n::integer, waiting.bytes::bigint FROM queues, LATERAL \
         (SELECT count(*) AS n, coalesce(sum(octet_length(body)), 0) AS bytes FROM envelopes \
          WHERE queue = queues.id AND body IS NOT NULL) AS waiting WHERE address = $1",
    )
    .bind(&address[..])
    .fetch_optional(&pool)
    .await?;
    row.map(|row| {
        Ok(TargetRecord {
            queue: QueueId(fixed(&row, 0)?),
            used_day: small_number(&row, 1)?,
            envelopes: small_number(&row, 2)?,
            bytes: number(&row, 3)?,
        })
    })
    .transpose()
}

async fn read_here(pool: PgPool, node: Arc<str>, queue: QueueId) -> Sql<(i64, Option<String>)> {
    let row = sqlx::query(
        "WITH before AS (SELECT node FROM readers WHERE queue = $1) \
         INSERT INTO readers (queue, node, number) VALUES ($1, $2, nextval('reader_numbers')) \
         ON CONFLICT ON CONSTRAINT readers_pk DO UPDATE SET node = excluded.node, number = excluded.number \
         RETURNING number, (SELECT node FROM before)",
    )
    .bind(&queue.0[..])
    .bind(&*node)
    .fetch_one(&pool)
    .await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

async fn readers(pool: PgPool, queues: Arc<[QueueId]>) -> Sql<Vec<(QueueId, String)>> {
    let queues: Vec<&[u8]> = queues.iter().map(|queue| &queue.0[..]).collect();
    let rows = sqlx::query("SELECT queue, node FROM readers WHERE queue = ANY($1)")
        .bind(queues)
        .fetch_all(&pool)
        .await?;
    let reader = |row: &PgRow| Ok((QueueId(fixed(row, 0)?), row.try_get(1)?));
    rows.iter().map(reader).collect()
}

async fn look(pool: PgPool, node: Arc<str>, readers: Arc<[Reading]>) -> Sql<Vec<Looked>> {
    let queues: Vec<&[u8]> = readers.iter().map(|reading| &reading.queue.0[..]).collect();
    let numbers: Vec<i64> = readers.iter().map(|reading| reading.number).collect();
    let after: Vec<i64> = readers.iter().map(|reading| int(reading.after)).collect();
    sqlx::query(
        "INSERT INTO readers (queue, node, number) \
         SELECT queue, $3, number FROM unnest($1::bytea[], $2::bigint[]) AS here (queue, number) \
         WHERE NOT EXISTS (SELECT FROM readers WHERE readers.queue = here.queue) \
         ORDER BY queue ON CONFLICT ON CONSTRAINT readers_pk DO NOTHING",
    )
    .bind(&queues)
    .bind(&numbers)
    .bind(&*node)
    .execute(&pool)
    .await?;
    let rows = sqlx::query(
        "SELECT * FROM (SELECT here.queue, here.number, EXISTS (SELECT FROM envelopes \
             WHERE envelopes.queue = here.queue AND envelopes.seq > here.after AND body IS NOT NULL) AS news, \
             readers.number IS DISTINCT FROM here.number AS replaced \
         FROM unnest($1::bytea[], $2::bigint[], $3::bigint[]) AS here (queue, number, after) \
         LEFT JOIN readers ON readers.queue = here.queue) AS seen WHERE news OR replaced",
    )
    .bind(&queues)
    .bind(&numbers)
    .bind(&after)
    .fetch_all(&pool)
    .await?;
    let looked = |row: &PgRow| {
        Ok(Looked {
            queue: QueueId(fixed(row, 0)?),
            number: row.try_get(1)?,
            news: row.try_get(2)?,
            replaced: row.try_get(3)?,
        })
    };
    rows.iter().map(looked).collect()
}
