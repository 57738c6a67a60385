//! Writing: a prepared statement for each row.

use super::{blob, int, number, rooms};
use crate::store::{Batch, Change, Day, Deadlines, Envelope, Outcome, Swept};
use rly_protocol::{InviteId, QueueId, Timestamp, frame::VaultEntry};
use rusqlite::{Connection, OptionalExtension, Params, Result as Sql, Row, params};

pub(super) fn apply(db: &Connection, batch: &Batch) -> Sql<Vec<Outcome>> {
    if let Some(end) = batch.reserve {
        execute(db, "UPDATE meta SET next_seq = max(next_seq, ?)", [int(end)])?;
    }
    if let Some(keyring) = batch.keyring {
        execute(db, "UPDATE meta SET keyring = ?", [keyring])?;
    }
    insert(db, &batch.envelopes)?;
    remove(db, &batch.removed)?;
    batch
        .changes
        .iter()
        .map(|change| apply_change(db, change))
        .collect()
}

/// How many rows it changed.
pub(super) fn execute(db: &Connection, sql: &str, params: impl Params) -> Sql<usize> {
    db.prepare_cached(sql)?.execute(params)
}

fn insert(db: &Connection, envelopes: &[Envelope]) -> Sql<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO envelopes (seq, queue, id, kind, created, body) VALUES (?, ?, ?, ?, ?, ?)",
    )?;
    for row in envelopes {
        let kind = row.kind as u8;
        insert.execute(params![
            int(row.seq),
            row.queue.0,
            row.id.0,
            kind,
            int(row.at.0),
            &row.body[..]
        ])?;
    }
    Ok(())
}

fn remove(db: &Connection, removed: &[(QueueId, u64)]) -> Sql<()> {
    // Sequence numbers are unique in the store: the queue is not needed.
    let mut seqs: Vec<i64> = removed.iter().map(|(_, seq)| int(*seq)).collect();
    seqs.sort_unstable();
    // Neighbours leave together, which costs less.
    let mut remove = db.prepare_cached("DELETE FROM envelopes WHERE seq BETWEEN ? AND ?")?;
    for run in seqs.chunk_by(|seq, next| seq + 1 == *next) {
        remove.execute(params![run.first(), run.last()])?;
    }
    Ok(())
}

fn apply_change(db: &Connection, change: &Change) -> Sql<Outcome> {
    match change {
        Change::Register {
            queue,
            address,
            reader,
            day,
        } => {
            execute(
                db,
                "INSERT INTO queues (id, address, reader, created_day, used_day) VALUES (?1, ?2, ?3, ?4, ?4)",
                params![queue.0, address, reader.as_bytes(), day],
            )?;
            Ok(Outcome::Done)
        }
        Change::DeleteQueue { queue } => {
            delete_queue(db, *queue)?;
            Ok(Outcome::Done)
        }
        Change::Touch { queues, day } => {
            for queue in queues {
                let params = params![day, queue.0];
                execute(db, "UPDATE queues SET used_day = ? WHERE id = ?", params)?;
            }
            Ok(Outcome::Done)
        }
        Change::Share {
            invite,
            queue,
            card,
            expires,
        } => {
            let done = execute(
                db,
                "INSERT INTO invites (id, queue, card, expires) SELECT ?, id, ?, ? FROM queues WHERE id = ?",
                params![invite.0, &card[..], int(expires.0), queue.0],
            )?;
            Ok(match done {
                0 => Outcome::Missing,
                _ => Outcome::Done,
            })
        }
        Change::Claim {
            invite,
            key,
            at,
            notice,
        } => claim(db, *invite, key, *at, notice),
        Change::Withdraw { invite, queue } => withdraw(db, *invite, *queue),
        Change::OpenVault { vault, day } => {
            execute(
                db,
                "INSERT INTO vaults (id, generation, bytes, used_day) VALUES (?, 0, 0, ?) \
                 ON CONFLICT (id) DO NOTHING",
                params![vault.0, day],
            )?;
            Ok(Outcome::Done)
        }
        Change::WriteVault {
            vault,
            expected,
            entries,
            quota,
            day,
        } => write_vault(db, (*vault, *expected), entries, *quota, *day),
        Change::MakeRoom { .. }
        | Change::JoinRoom { .. }
        | Change::PostRoom { .. }
        | Change::LeaveRoom { .. }
        | Change::DeletePerson { .. }
        | Change::EndRoom { .. }
        | Change::NobodyReads => rooms::change(db, change),
    }
}

fn delete_queue(db: &Connection, queue: QueueId) -> Sql<()> {
    for sql in [
        "DELETE FROM envelopes WHERE queue = ?",
        "DELETE FROM invites WHERE queue = ?",
        "DELETE FROM queues WHERE id = ?",
    ] {
        execute(db, sql, [queue.0])?;
    }
    Ok(())
}

fn claim(
    db: &Connection,
    invite: InviteId,
    key: &[u8; 32],
    at: Timestamp,
    notice: &Envelope,
) -> Sql<Outcome> {
    let mut win = db.prepare_cached(
        "UPDATE invites SET claimed = ?1, claim_key = ?2 \
         WHERE id = ?3 AND claimed IS NULL AND withdrawn = 0 AND expires > ?1 AND card IS NOT NULL \
         RETURNING card",
    )?;
    let card = win.query_row(params![int(at.0), key, invite.0], |row| blob(row, 0));
    if let Some(card) = card.optional()? {
        insert(db, std::slice::from_ref(notice))?;
        return Ok(Outcome::Claimed(card));
    }
    let mut find =
        db.prepare_cached("SELECT claimed, claim_key, card, withdrawn FROM invites WHERE id = ?")?;
    let found = find.query_row([invite.0], |row| match row.get(3)? {
        false => taken(row),
        true => Ok(Outcome::Withdrawn),
    });
    Ok(found.optional()?.unwrap_or(Outcome::Missing))
}

/// An invite that is neither open nor withdrawn: opened, or over.
fn taken(row: &Row) -> Sql<Outcome> {
    if row.get::<_, Option<i64>>(0)?.is_none() {
        return Ok(Outcome::Missing);
    }
    Ok(Outcome::Taken {
        at: Timestamp(number(row, 0)?),
        key: row.get(1)?,
        card: row.get::<_, Option<Vec<u8>>>(2)?.map(Into::into),
    })
}

fn withdraw(db: &Connection, invite: InviteId, queue: QueueId) -> Sql<Outcome> {
    let done = execute(
        db,
        "UPDATE invites SET withdrawn = 1, card = NULL WHERE id = ? AND queue = ? AND claimed IS NULL",
        params![invite.0, queue.0],
    )?;
    if done != 0 {
        return Ok(Outcome::Done);
    }
    let mut find =
        db.prepare_cached("SELECT claimed, claim_key, NULL FROM invites WHERE id = ? AND queue = ?")?;
    let found = find.query_row(params![invite.0, queue.0], taken);
    Ok(found.optional()?.unwrap_or(Outcome::Missing))
}

fn write_vault(
    db: &Connection,
    (vault, expected): (QueueId, u64),
    entries: &[VaultEntry],
    quota: u64,
    day: Day,
) -> Sql<Outcome> {
    let mut find = db.prepare_cached("SELECT generation, bytes FROM vaults WHERE id = ?")?;
    let found = find.query_row([vault.0], |row| Ok((number(row, 0)?, number(row, 1)?)));
    let Some((generation, held)) = found.optional()? else {
        return Ok(Outcome::Missing);
    };
    if generation != expected {
        return Ok(Outcome::Conflict);
    }
    let mut bytes = held;
    let mut size =
        db.prepare_cached("SELECT length(blob) FROM vault_entries WHERE vault = ? AND slot = ?")?;
    for entry in entries {
        let before = size.query_row(params![vault.0, entry.slot], |row| number(row, 0));
        bytes = bytes.saturating_sub(before.optional()?.unwrap_or_default());
    }
    bytes += entries.iter().map(|entry| entry.blob.len() as u64).sum::<u64>();
    if bytes > quota.max(held) {
        return Ok(Outcome::Full);
    }
    for VaultEntry { slot, blob } in entries {
        let slot_params = params![vault.0, slot];
        execute(
            db,
            "DELETE FROM vault_entries WHERE vault = ? AND slot = ?",
            slot_params,
        )?;
        if !blob.is_empty() {
            let sql = "INSERT INTO vault_entries (vault, slot, blob) VALUES (?, ?, ?)";
            execute(db, sql, params![vault.0, slot, &blob[..]])?;
        }
    }
    execute(
        db,
        "UPDATE vaults SET generation = ?, bytes = ?, used_day = ? WHERE id = ?",
        params![int(expected + 1), int(bytes), day, vault.0],
    )?;
    Ok(Outcome::Written(expected + 1))
}

pub(super) fn sweep(db: &Connection, by: Deadlines) -> Sql<Swept> {
    // Sequence numbers rise with time, so the oldest come first and no index on time is needed.
    let mut old = db.prepare_cached(
        "SELECT queue, seq FROM (SELECT seq, queue, created FROM envelopes ORDER BY seq LIMIT ?) \
         WHERE created < ?",
    )?;
    let envelopes = old
        .query_map(params![by.limit, int(by.envelopes.0)], |row| {
            Ok((QueueId(row.get(0)?), number(row, 1)?))
        })?
        .collect::<Sql<Vec<_>>>()?;
    remove(db, &envelopes)?;

    let mut unused = db.prepare_cached("SELECT id FROM queues WHERE used_day < ? LIMIT ?")?;
    let queues = unused
        .query_map([by.queues, by.limit], |row| row.get(0).map(QueueId))?
        .collect::<Sql<Vec<_>>>()?;
    for queue in &queues {
        delete_queue(db, *queue)?;
    }

    let (now, claims) = (int(by.now.0), int(by.claims.0));
    let invites = execute(
        db,
        "UPDATE invites SET card = NULL WHERE card IS NOT NULL AND claimed < ?",
        [claims],
    )? + execute(
        db,
        "UPDATE invites SET card = NULL WHERE card IS NOT NULL AND claimed IS NULL AND expires <= ?",
        [now],
    )? + execute(db, "DELETE FROM invites WHERE expires < ?", [claims])?;
    // The head is slot 0.
    let vaults = execute(
        db,
        "DELETE FROM vaults WHERE id IN (SELECT id FROM vaults WHERE used_day < ? AND NOT EXISTS \
         (SELECT 1 FROM vault_entries WHERE vault = id AND slot > 0) LIMIT ?)",
        [by.vaults, by.limit],
    )?;
    let (rooms, entries) = rooms::sweep(db, by.now, by.limit)?;
    Ok(Swept {
        envelopes,
        queues,
        invites: invites as u64,
        vaults: vaults as u64,
        rooms,
        entries,
    })
}
