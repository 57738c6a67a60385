//! Writing: a batch in few statements of many rows.

use super::{Sql, blob, fixed, int, number, rooms, rows, small};
use crate::store::{Batch, Change, Day, Deadlines, Envelope, Outcome, Swept};
use rly_protocol::{InviteId, QueueId, Timestamp, frame::VaultEntry};
use sqlx::{PgConnection, PgPool, Row, postgres::PgRow};
use std::sync::Arc;

/// How long the id of an acknowledged envelope is known, in ms: longer than a copy of it can be on its
/// way through the log.
const DONE_MS: i64 = 3_600_000;
/// The database's clock, which is one for all nodes.
macro_rules! db_now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    };
}

/// Acknowledges: bodies go now, ids later, see [`sweep`]. By the index on queue and number; see the migration
/// "statistics".
pub(in crate::store) const ACKNOWLEDGE: &str = concat!(
    "UPDATE envelopes SET body = NULL, done = ",
    db_now!(),
    " FROM unnest($1::bytea[], $2::bigint[]) AS gone (queue, seq) \
      WHERE envelopes.queue = gone.queue AND envelopes.seq = gone.seq AND envelopes.body IS NOT NULL"
);

pub(super) async fn apply(pool: PgPool, batch: Arc<Batch>) -> Sql<Vec<Outcome>> {
    let mut transaction = pool.begin().await?;
    let db = &mut *transaction;
    if let Some(end) = batch.reserve {
        sqlx::query("UPDATE meta SET next_seq = greatest(next_seq, $1)")
            .bind(int(end))
            .execute(&mut *db)
            .await?;
    }
    if let Some(keyring) = batch.keyring {
        sqlx::query("UPDATE meta SET keyring = $1")
            .bind(&keyring[..])
            .execute(&mut *db)
            .await?;
    }
    insert(db, &batch.envelopes).await?;
    remove(db, &batch.removed).await?;
    rooms::lock(db, &batch.changes).await?;
    let mut outcomes = Vec::with_capacity(batch.changes.len());
    for change in &batch.changes {
        outcomes.push(apply_change(db, change).await?);
    }
    transaction.commit().await?;
    Ok(outcomes)
}

async fn insert(db: &mut PgConnection, envelopes: &[Envelope]) -> Sql<()> {
    if envelopes.is_empty() {
        return Ok(());
    }
    let queues: Vec<&[u8]> = envelopes.iter().map(|row| &row.queue.0[..]).collect();
    let ids: Vec<&[u8]> = envelopes.iter().map(|row| &row.id.0[..]).collect();
    let seqs: Vec<i64> = envelopes.iter().map(|row| int(row.seq)).collect();
    let kinds: Vec<i16> = envelopes.iter().map(|row| row.kind as i16).collect();
    let created: Vec<i64> = envelopes.iter().map(|row| int(row.at.0)).collect();
    let bodies: Vec<&[u8]> = envelopes.iter().map(|row| &row.body[..]).collect();
    sqlx::query(
        "INSERT INTO envelopes (queue, id, seq, kind, created, body) \
         SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::smallint[], $5::bigint[], $6::bytea[]) \
         ON CONFLICT ON CONSTRAINT envelopes_pk DO NOTHING",
    )
    .bind(queues)
    .bind(ids)
    .bind(seqs)
    .bind(kinds)
    .bind(created)
    .bind(bodies)
    .execute(db)
    .await?;
    Ok(())
}

async fn remove(db: &mut PgConnection, removed: &[(QueueId, u64)]) -> Sql<()> {
    if removed.is_empty() {
        return Ok(());
    }
    let queues: Vec<&[u8]> = removed.iter().map(|(queue, _)| &queue.0[..]).collect();
    let seqs: Vec<i64> = removed.iter().map(|(_, seq)| int(*seq)).collect();
    sqlx::query(ACKNOWLEDGE)
        .bind(queues)
        .bind(seqs)
        .execute(db)
        .await?;
    Ok(())
}

async fn apply_change(db: &mut PgConnection, change: &Change) -> Sql<Outcome> {
    match change {
        Change::Register {
            queue,
            address,
            reader,
            day,
        } => {
            sqlx::query(
                "INSERT INTO queues (id, address, reader, created_day, used_day) VALUES ($1, $2, $3, $4, $4)",
            )
            .bind(&queue.0[..])
            .bind(&address[..])
            .bind(&reader.as_bytes()[..])
            .bind(small(*day))
            .execute(db)
            .await?;
            Ok(Outcome::Done)
        }
        Change::DeleteQueue { queue } => {
            delete_queues(db, &[*queue]).await?;
            Ok(Outcome::Done)
        }
        Change::Touch { queues, day } => {
            let mut queues: Vec<&[u8]> = queues.iter().map(|queue| &queue.0[..]).collect();
            queues.sort_unstable();
            // In the order in which others lock them.
            sqlx::query(
                "UPDATE queues SET used_day = $2 WHERE id IN \
                 (SELECT id FROM queues WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE)",
            )
            .bind(queues)
            .bind(small(*day))
            .execute(db)
            .await?;
            Ok(Outcome::Done)
        }
        Change::Share {
            invite,
            queue,
            card,
            expires,
        } => {
            let done = sqlx::query(
                "INSERT INTO invites (id, queue, card, expires) SELECT $1, id, $2, $3 FROM queues WHERE id = $4",
            )
            .bind(&invite.0[..])
            .bind(&card[..])
            .bind(int(expires.0))
            .bind(&queue.0[..])
            .execute(db)
            .await?;
            Ok(match rows(&done) {
                0 => Outcome::Missing,
                _ => Outcome::Done,
            })
        }
        Change::Claim {
            invite,
            key,
            at,
            notice,
        } => claim(db, *invite, key, *at, notice).await,
        Change::Withdraw { invite, queue } => withdraw(db, *invite, *queue).await,
        Change::OpenVault { vault, day } => {
            sqlx::query(
                "INSERT INTO vaults (id, generation, bytes, used_day) VALUES ($1, 0, 0, $2) \
                 ON CONFLICT DO NOTHING",
            )
            .bind(&vault.0[..])
            .bind(small(*day))
            .execute(db)
            .await?;
            Ok(Outcome::Done)
        }
        Change::WriteVault {
            vault,
            expected,
            entries,
            quota,
            day,
        } => write_vault(db, (*vault, *expected), entries, *quota, *day).await,
        Change::MakeRoom { .. }
        | Change::JoinRoom { .. }
        | Change::PostRoom { .. }
        | Change::LeaveRoom { .. }
        | Change::DeletePerson { .. }
        | Change::EndRoom { .. }
        | Change::NobodyReads => rooms::change(db, change).await,
    }
}

/// The queues' rows first: an envelope that is being stored meanwhile is waited for, and goes too.
async fn delete_queues(db: &mut PgConnection, queues: &[QueueId]) -> Sql<()> {
    let mut ids: Vec<&[u8]> = queues.iter().map(|queue| &queue.0[..]).collect();
    ids.sort_unstable();
    for sql in [
        "DELETE FROM queues WHERE id IN (SELECT id FROM queues WHERE id = ANY($1) ORDER BY id FOR UPDATE)",
        "DELETE FROM envelopes WHERE queue = ANY($1)",
        "DELETE FROM invites WHERE queue = ANY($1)",
        "DELETE FROM readers WHERE queue = ANY($1)",
    ] {
        sqlx::query(sql).bind(&ids).execute(&mut *db).await?;
    }
    Ok(())
}

async fn claim(
    db: &mut PgConnection,
    invite: InviteId,
    key: &[u8; 32],
    at: Timestamp,
    notice: &Envelope,
) -> Sql<Outcome> {
    // In the order in which the deletion of a queue locks them. Without its queue there is no invite.
    sqlx::query("SELECT FROM queues WHERE id = $1 FOR NO KEY UPDATE")
        .bind(&notice.queue.0[..])
        .execute(&mut *db)
        .await?;
    let card = sqlx::query(
        "UPDATE invites SET claimed = $1, claim_key = $2 \
         WHERE id = $3 AND queue = $4 AND claimed IS NULL AND NOT withdrawn AND expires > $1 \
         AND card IS NOT NULL RETURNING card",
    )
    .bind(int(at.0))
    .bind(&key[..])
    .bind(&invite.0[..])
    .bind(&notice.queue.0[..])
    .fetch_optional(&mut *db)
    .await?;
    if let Some(row) = card {
        let mut notice = notice.clone();
        if notice.seq == 0 {
            notice.seq = next_number(db).await?;
        }
        insert(db, std::slice::from_ref(&notice)).await?;
        return Ok(Outcome::Claimed(blob(&row, 0)?));
    }
    let found = sqlx::query("SELECT claimed, claim_key, card, withdrawn FROM invites WHERE id = $1")
        .bind(&invite.0[..])
        .fetch_optional(db)
        .await?;
    match found {
        None => Ok(Outcome::Missing),
        Some(row) if row.try_get(3)? => Ok(Outcome::Withdrawn),
        Some(row) => taken(&row),
    }
}

/// The queue's row is locked by whoever asks.
async fn next_number(db: &mut PgConnection) -> Sql<u64> {
    let row = sqlx::query("SELECT nextval('envelope_numbers')")
        .fetch_one(db)
        .await?;
    number(&row, 0)
}

/// An invite that is neither open nor withdrawn: opened, or over.
fn taken(row: &PgRow) -> Sql<Outcome> {
    if row.try_get::<Option<i64>, _>(0)?.is_none() {
        return Ok(Outcome::Missing);
    }
    Ok(Outcome::Taken {
        at: Timestamp(number(row, 0)?),
        key: fixed(row, 1)?,
        card: row.try_get::<Option<Vec<u8>>, _>(2)?.map(Into::into),
    })
}

async fn withdraw(db: &mut PgConnection, invite: InviteId, queue: QueueId) -> Sql<Outcome> {
    let done = sqlx::query(
        "UPDATE invites SET withdrawn = true, card = NULL WHERE id = $1 AND queue = $2 AND claimed IS NULL",
    )
    .bind(&invite.0[..])
    .bind(&queue.0[..])
    .execute(&mut *db)
    .await?;
    if rows(&done) != 0 {
        return Ok(Outcome::Done);
    }
    let found =
        sqlx::query("SELECT claimed, claim_key, NULL::bytea FROM invites WHERE id = $1 AND queue = $2")
            .bind(&invite.0[..])
            .bind(&queue.0[..])
            .fetch_optional(db)
            .await?;
    found.map_or(Ok(Outcome::Missing), |row| taken(&row))
}

async fn write_vault(
    db: &mut PgConnection,
    (vault, expected): (QueueId, u64),
    entries: &[VaultEntry],
    quota: u64,
    day: Day,
) -> Sql<Outcome> {
    let found = sqlx::query("SELECT generation, bytes FROM vaults WHERE id = $1 FOR NO KEY UPDATE")
        .bind(&vault.0[..])
        .fetch_optional(&mut *db)
        .await?;
    let Some(row) = found else {
        return Ok(Outcome::Missing);
    };
    if number(&row, 0)? != expected {
        return Ok(Outcome::Conflict);
    }
    let slots: Vec<i32> = entries.iter().map(|entry| small(entry.slot)).collect();
    let before = sqlx::query(
        "SELECT coalesce(sum(octet_length(blob)), 0)::bigint FROM vault_entries \
         WHERE vault = $1 AND slot = ANY($2)",
    )
    .bind(&vault.0[..])
    .bind(&slots)
    .fetch_one(&mut *db)
    .await?;
    let more: u64 = entries.iter().map(|entry| entry.blob.len() as u64).sum();
    let held = number(&row, 1)?;
    let bytes = held.saturating_sub(number(&before, 0)?) + more;
    if bytes > quota.max(held) {
        return Ok(Outcome::Full);
    }
    sqlx::query("DELETE FROM vault_entries WHERE vault = $1 AND slot = ANY($2)")
        .bind(&vault.0[..])
        .bind(&slots)
        .execute(&mut *db)
        .await?;
    let kept: Vec<&VaultEntry> = entries.iter().filter(|entry| !entry.blob.is_empty()).collect();
    let slots: Vec<i32> = kept.iter().map(|entry| small(entry.slot)).collect();
    let blobs: Vec<&[u8]> = kept.iter().map(|entry| &entry.blob[..]).collect();
    sqlx::query(
        "INSERT INTO vault_entries (vault, slot, blob) \
         SELECT $1, slot, blob FROM unnest($2::integer[], $3::bytea[]) AS new (slot, blob)",
    )
    .bind(&vault.0[..])
    .bind(slots)
    .bind(blobs)
    .execute(&mut *db)
    .await?;
    sqlx::query("UPDATE vaults SET generation = $2, bytes = $3, used_day = $4 WHERE id = $1")
        .bind(&vault.0[..])
        .bind(int(expected + 1))
        .bind(int(bytes))
        .bind(small(day))
        .execute(db)
        .await?;
    Ok(Outcome::Written(expected + 1))
}

pub(super) async fn sweep(pool: PgPool, by: Deadlines) -> Sql<Swept> {
    let mut transaction = pool.begin().await?;
    let db = &mut *transaction;
    // One node at a time; the others find less to do next time.
    let alone = sqlx::query("SELECT pg_try_advisory_xact_lock($1)")
        .bind(SWEEPING)
        .fetch_one(&mut *db)
        .await?;
    if !alone.try_get::<bool, _>(0)? {
        return Ok(Swept::default());
    }
    let envelopes = sqlx::query(
        "DELETE FROM envelopes WHERE (queue, id) IN (SELECT queue, id FROM envelopes \
         WHERE body IS NOT NULL AND created < $1 ORDER BY created LIMIT $2) RETURNING queue, seq",
    )
    .bind(int(by.envelopes.0))
    .bind(i64::from(by.limit))
    .fetch_all(&mut *db)
    .await?;
    sqlx::query(concat!(
        "DELETE FROM envelopes WHERE (queue, id) IN (SELECT queue, id FROM envelopes WHERE done < ",
        db_now!(),
        " - $1 ORDER BY done LIMIT $2)"
    ))
    .bind(DONE_MS)
    // Everything that was acknowledged passes here.
    .bind(100 * i64::from(by.limit))
    .execute(&mut *db)
    .await?;

    let unused = sqlx::query("SELECT id FROM queues WHERE used_day < $1 ORDER BY used_day LIMIT $2")
        .bind(small(by.queues))
        .bind(i64::from(by.limit))
        .fetch_all(&mut *db)
        .await?;
    let queues = unused
        .iter()
        .map(|row| fixed(row, 0).map(QueueId))
        .collect::<Sql<Vec<_>>>()?;
    if !queues.is_empty() {
        delete_queues(db, &queues).await?;
    }

    let mut invites = 0;
    for (sql, time) in [
        (
            "UPDATE invites SET card = NULL WHERE card IS NOT NULL AND claimed < $1",
            by.claims,
        ),
        (
            "UPDATE invites SET card = NULL WHERE card IS NOT NULL AND claimed IS NULL AND expires <= $1",
            by.now,
        ),
        ("DELETE FROM invites WHERE expires < $1", by.claims),
    ] {
        invites += rows(&sqlx::query(sql).bind(int(time.0)).execute(&mut *db).await?);
    }
    // The head is slot 0. Whoever writes to one just now keeps it.
    let vaults = sqlx::query(
        "DELETE FROM vaults WHERE id IN (SELECT id FROM vaults WHERE used_day < $1 AND NOT EXISTS \
         (SELECT 1 FROM vault_entries WHERE vault = id AND slot > 0) LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind(small(by.vaults))
    .bind(i64::from(by.limit))
    .execute(&mut *db)
    .await?;
    let (rooms, entries) = rooms::sweep(db, by.now, by.limit).await?;
    transaction.commit().await?;
    let place = |row: &PgRow| Ok((QueueId(fixed(row, 0)?), number(row, 1)?));
    Ok(Swept {
        envelopes: envelopes.iter().map(place).collect::<Sql<_>>()?,
        queues,
        invites,
        vaults: rows(&vaults),
        rooms,
        entries,
    })
}

/// Names the sweep's lock: "rlysweep".
const SWEEPING: i64 = 0x726c_7973_7765_6570;
