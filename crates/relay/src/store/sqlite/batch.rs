//! Writing: few statements for many rows, since each statement is a round trip to SQLite's thread.

use super::{blob, id, int, number, sized};
use crate::store::{Batch, Change, Deadlines, Envelope, Outcome, Swept};
use rly_protocol::{InviteId, QueueId, Timestamp, frame::VaultEntry};
use sqlx::{AssertSqlSafe, Row, SqliteConnection, sqlite::SqliteRow};
use std::{fmt::Write, sync::LazyLock};

/// Rows in the largest INSERT, a power of two. Six values each: far from SQLite's limit of 32,766.
const ROWS_MAX: usize = 512;

/// INSERTs for 1, 2, 4 … rows. What is left over is filled up with NULLs, which the WHERE drops:
/// a batch of any size is one statement for each 512 rows, and all of them stay prepared.
static INSERTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let sizes = (0..).map(|n| 1 << n).take_while(|rows| *rows <= ROWS_MAX);
    sizes
        .map(|rows| {
            let values = vec!["(?, ?, ?, ?, ?, ?)"; rows].join(", ");
            format!(
                "INSERT INTO envelopes (seq, queue, id, kind, created, body) \
                 SELECT * FROM (VALUES {values}) WHERE column1 IS NOT NULL"
            )
        })
        .collect()
});

pub(super) async fn apply(db: &mut SqliteConnection, batch: &Batch) -> Result<Vec<Outcome>, sqlx::Error> {
    if let Some(end) = batch.reserve {
        sqlx::query("UPDATE meta SET next_seq = max(next_seq, ?)")
            .bind(int(end))
            .execute(&mut *db)
            .await?;
    }
    if let Some(keyring) = batch.keyring {
        sqlx::query("UPDATE meta SET keyring = ?")
            .bind(&keyring[..])
            .execute(&mut *db)
            .await?;
    }
    for rows in batch.envelopes.chunks(ROWS_MAX) {
        insert(db, rows).await?;
    }
    remove(db, &batch.removed).await?;
    let mut outcomes = Vec::with_capacity(batch.changes.len());
    for change in &batch.changes {
        outcomes.push(apply_change(db, change).await?);
    }
    Ok(outcomes)
}

async fn insert(db: &mut SqliteConnection, rows: &[Envelope]) -> Result<(), sqlx::Error> {
    let size = rows.len().next_power_of_two();
    let sql = INSERTS[size.trailing_zeros() as usize].as_str();
    let mut query = sqlx::query(sql);
    for row in rows {
        query = query
            .bind(int(row.seq))
            .bind(&row.queue.0[..])
            .bind(&row.id.0[..])
            .bind(i64::from(row.kind as u8))
            .bind(int(row.at.0))
            .bind(&row.body[..]);
    }
    for _ in 0..(size - rows.len()) * 6 {
        query = query.bind(None::<i64>);
    }
    query.execute(db).await?;
    Ok(())
}

async fn remove(db: &mut SqliteConnection, removed: &[(QueueId, u64)]) -> Result<(), sqlx::Error> {
    if removed.is_empty() {
        return Ok(());
    }
    // Sequence numbers are unique in the store: the queue is not needed.
    let mut list = String::with_capacity(removed.len() * 12);
    for (n, (_, seq)) in removed.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(list, "{}{seq}", if n == 0 { '[' } else { ',' });
    }
    list.push(']');
    sqlx::query("DELETE FROM envelopes WHERE seq IN (SELECT value FROM json_each(?))")
        .bind(list)
        .execute(db)
        .await?;
    Ok(())
}

async fn apply_change(db: &mut SqliteConnection, change: &Change) -> Result<Outcome, sqlx::Error> {
    match change {
        Change::Register {
            queue,
            address,
            reader,
            day,
        } => {
            sqlx::query(
                "INSERT INTO queues (id, address, reader, created_day, used_day) VALUES (?1, ?2, ?3, ?4, ?4)",
            )
            .bind(&queue.0[..])
            .bind(&address[..])
            .bind(&reader.as_bytes()[..])
            .bind(i64::from(*day))
            .execute(db)
            .await?;
            Ok(Outcome::Done)
        }
        Change::DeleteQueue { queue } => {
            delete_queue(db, *queue).await?;
            Ok(Outcome::Done)
        }
        Change::Touch { queues, day } => {
            for queue in queues {
                sqlx::query("UPDATE queues SET used_day = ? WHERE id = ?")
                    .bind(i64::from(*day))
                    .bind(&queue.0[..])
                    .execute(&mut *db)
                    .await?;
            }
            Ok(Outcome::Done)
        }
        Change::Share {
            invite,
            queue,
            card,
            expires,
        } => {
            let done = sqlx::query(
                "INSERT INTO invites (id, queue, card, expires) SELECT ?, id, ?, ? FROM queues WHERE id = ?",
            )
            .bind(&invite.0[..])
            .bind(&card[..])
            .bind(int(expires.0))
            .bind(&queue.0[..])
            .execute(db)
            .await?;
            Ok(match done.rows_affected() {
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
        Change::OpenVault { vault } => {
            sqlx::query(
                "INSERT INTO vaults (id, generation, bytes) VALUES (?, 0, 0) ON CONFLICT (id) DO NOTHING",
            )
            .bind(&vault.0[..])
            .execute(db)
            .await?;
            Ok(Outcome::Done)
        }
        Change::WriteVault {
            vault,
            expected,
            entries,
            quota,
        } => write_vault(db, *vault, *expected, entries, *quota).await,
    }
}

async fn delete_queue(db: &mut SqliteConnection, queue: QueueId) -> Result<(), sqlx::Error> {
    for sql in [
        "DELETE FROM envelopes WHERE queue = ?",
        "DELETE FROM invites WHERE queue = ?",
        "DELETE FROM queues WHERE id = ?",
    ] {
        sqlx::query(sql).bind(&queue.0[..]).execute(&mut *db).await?;
    }
    Ok(())
}

async fn claim(
    db: &mut SqliteConnection,
    invite: InviteId,
    key: &[u8; 32],
    at: Timestamp,
    notice: &Envelope,
) -> Result<Outcome, sqlx::Error> {
    let won = sqlx::query(
        "UPDATE invites SET claimed = ?1, claim_key = ?2 \
         WHERE id = ?3 AND claimed IS NULL AND withdrawn = 0 AND expires > ?1 AND card IS NOT NULL \
         RETURNING card",
    )
    .bind(int(at.0))
    .bind(&key[..])
    .bind(&invite.0[..])
    .fetch_optional(&mut *db)
    .await?;
    if let Some(row) = won {
        insert(db, std::slice::from_ref(notice)).await?;
        return Ok(Outcome::Claimed(blob(&row, "card")?));
    }
    let row = sqlx::query("SELECT claimed, claim_key, withdrawn, card FROM invites WHERE id = ?")
        .bind(&invite.0[..])
        .fetch_optional(db)
        .await?;
    let Some(row) = row else {
        return Ok(Outcome::Missing);
    };
    if row.try_get::<i64, _>("withdrawn")? != 0 {
        return Ok(Outcome::Withdrawn);
    }
    taken(&row)
}

/// An invite that is neither open nor withdrawn: opened, or over.
fn taken(row: &SqliteRow) -> Result<Outcome, sqlx::Error> {
    if row.try_get::<Option<i64>, _>("claimed")?.is_none() {
        return Ok(Outcome::Missing);
    }
    Ok(Outcome::Taken {
        at: Timestamp(number(row, "claimed")?),
        key: sized(row, "claim_key")?,
        card: row.try_get::<Option<Vec<u8>>, _>("card")?.map(Into::into),
    })
}

async fn withdraw(
    db: &mut SqliteConnection,
    invite: InviteId,
    queue: QueueId,
) -> Result<Outcome, sqlx::Error> {
    let done = sqlx::query(
        "UPDATE invites SET withdrawn = 1, card = NULL WHERE id = ? AND queue = ? AND claimed IS NULL",
    )
    .bind(&invite.0[..])
    .bind(&queue.0[..])
    .execute(&mut *db)
    .await?;
    if done.rows_affected() != 0 {
        return Ok(Outcome::Done);
    }
    let row = sqlx::query("SELECT claimed, claim_key, NULL AS card FROM invites WHERE id = ? AND queue = ?")
        .bind(&invite.0[..])
        .bind(&queue.0[..])
        .fetch_optional(db)
        .await?;
    row.map_or(Ok(Outcome::Missing), |row| taken(&row))
}

async fn write_vault(
    db: &mut SqliteConnection,
    vault: QueueId,
    expected: u64,
    entries: &[VaultEntry],
    quota: u64,
) -> Result<Outcome, sqlx::Error> {
    let row = sqlx::query("SELECT generation, bytes FROM vaults WHERE id = ?")
        .bind(&vault.0[..])
        .fetch_optional(&mut *db)
        .await?;
    let Some(row) = row else {
        return Ok(Outcome::Missing);
    };
    if number(&row, "generation")? != expected {
        return Ok(Outcome::Conflict);
    }
    let slots: Vec<String> = entries.iter().map(|entry| entry.slot.to_string()).collect();
    let slots = format!("[{}]", slots.join(","));
    let before = sqlx::query(
        "SELECT coalesce(sum(length(blob)), 0) AS bytes FROM vault_entries \
         WHERE vault = ? AND slot IN (SELECT value FROM json_each(?))",
    )
    .bind(&vault.0[..])
    .bind(slots.as_str())
    .fetch_one(&mut *db)
    .await?;
    let added: u64 = entries.iter().map(|entry| entry.blob.len() as u64).sum();
    let bytes = number(&row, "bytes")?.saturating_sub(number(&before, "bytes")?) + added;
    if bytes > quota {
        return Ok(Outcome::Full);
    }
    sqlx::query("DELETE FROM vault_entries WHERE vault = ? AND slot IN (SELECT value FROM json_each(?))")
        .bind(&vault.0[..])
        .bind(slots)
        .execute(&mut *db)
        .await?;
    let filled: Vec<&VaultEntry> = entries.iter().filter(|entry| !entry.blob.is_empty()).collect();
    if !filled.is_empty() {
        let values = vec!["(?, ?, ?)"; filled.len()].join(", ");
        let sql = format!("INSERT INTO vault_entries (vault, slot, blob) VALUES {values}");
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for entry in filled {
            query = query
                .bind(&vault.0[..])
                .bind(i64::from(entry.slot))
                .bind(&entry.blob[..]);
        }
        query.execute(&mut *db).await?;
    }
    sqlx::query("UPDATE vaults SET generation = ?, bytes = ? WHERE id = ?")
        .bind(int(expected + 1))
        .bind(int(bytes))
        .bind(&vault.0[..])
        .execute(db)
        .await?;
    Ok(Outcome::Written(expected + 1))
}

pub(super) async fn sweep(db: &mut SqliteConnection, by: Deadlines) -> Result<Swept, sqlx::Error> {
    // Sequence numbers rise with time, so the oldest come first and no index on time is needed.
    let rows = sqlx::query(
        "SELECT seq, queue FROM (SELECT seq, queue, created FROM envelopes ORDER BY seq LIMIT ?) \
         WHERE created < ?",
    )
    .bind(i64::from(by.limit))
    .bind(int(by.envelopes.0))
    .fetch_all(&mut *db)
    .await?;
    let mut swept = Swept::default();
    for row in &rows {
        swept
            .envelopes
            .push((QueueId(id(row, "queue")?), number(row, "seq")?));
    }
    remove(db, &swept.envelopes).await?;

    let rows = sqlx::query("SELECT id FROM queues WHERE used_day < ? LIMIT ?")
        .bind(i64::from(by.queues))
        .bind(i64::from(by.limit))
        .fetch_all(&mut *db)
        .await?;
    for row in &rows {
        let queue = QueueId(id(row, "id")?);
        delete_queue(db, queue).await?;
        swept.queues.push(queue);
    }

    for sql in [
        "UPDATE invites SET card = NULL WHERE card IS NOT NULL AND claimed < ?2",
        "UPDATE invites SET card = NULL WHERE card IS NOT NULL AND claimed IS NULL AND expires <= ?1",
        "DELETE FROM invites WHERE expires < ?2",
    ] {
        let done = sqlx::query(sql)
            .bind(int(by.now.0))
            .bind(int(by.claims.0))
            .execute(&mut *db)
            .await?;
        swept.invites += done.rows_affected();
    }
    Ok(swept)
}
