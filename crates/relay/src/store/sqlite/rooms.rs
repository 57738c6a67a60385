//! Rooms, and the queue with many readers that carries them.

use super::{batch::execute, blob, int, number};
use crate::store::{
    Change, Hash, Outcome, RoomRecord, RoomSnapshot, Session, SharedEntry, event, presence, room_queue,
};
use bytes::Bytes;
use rly_protocol::{
    PublicKey, QueueId, RoomId, Timestamp,
    room::{RoomEvent, RoomLimits, RoomPerson},
};
use rusqlite::{Connection, OptionalExtension, Result as Sql, Row, params, types::Type};

pub(super) fn change(db: &Connection, change: &Change) -> Sql<Outcome> {
    match change {
        Change::MakeRoom {
            room,
            token,
            creator,
            limits,
            at,
        } => {
            let ends = at.plus_seconds(limits.life_seconds.into());
            let closes = at.plus_seconds(limits.idle_seconds.into()).min(ends);
            let done = execute(
                db,
                "INSERT INTO rooms (id, token, creator, idle, life, people, history, ends, closes) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                params![
                    room.0,
                    token,
                    creator.as_bytes(),
                    limits.idle_seconds,
                    limits.life_seconds,
                    limits.people,
                    limits.history,
                    int(ends.0),
                    int(closes.0)
                ],
            )?;
            Ok(if done == 0 {
                Outcome::Conflict
            } else {
                Outcome::Done
            })
        }
        Change::JoinRoom {
            room,
            key,
            name_hash,
            name,
            session,
            at,
        } => {
            if !is_open(db, *room, *at)? {
                return Ok(Outcome::Missing);
            }
            join(db, *room, (key, name_hash, name), session, *at)
        }
        Change::PostRoom {
            room,
            number,
            seq,
            event,
            at,
        } => {
            if !is_open(db, *room, *at)? {
                return Ok(Outcome::Missing);
            }
            post(db, *room, *number, *seq, event, *at)
        }
        Change::LeaveRoom {
            room,
            number,
            session,
            at,
        } => {
            let sql = "UPDATE room_people SET session = NULL WHERE room = ? AND number = ? AND session = ?";
            if execute(db, sql, params![room.0, number, session])? != 0 {
                come_or_go(db, *room, *number, *at, false)?;
            }
            Ok(Outcome::Done)
        }
        Change::DeletePerson { room, number, at } => {
            if !is_open(db, *room, *at)? {
                return Ok(Outcome::Missing);
            }
            let sql = "DELETE FROM room_people WHERE room = ? AND number = ?";
            if execute(db, sql, params![room.0, number])? == 0 {
                return Ok(Outcome::NotIn);
            }
            let sql = "DELETE FROM shared_entries WHERE queue = ? AND writer = ?";
            execute(db, sql, params![room_queue(room).0, number])?;
            // Nobody's: it stays.
            let deleted = event(&RoomEvent::Deleted { number: *number });
            append(db, *room, 0, *at, false, &deleted)?;
            Ok(Outcome::Done)
        }
        Change::EndRoom { room, due } => {
            let due = due.map_or(i64::MAX, |due| int(due.0));
            let mut find = db.prepare_cached("SELECT 1 FROM rooms WHERE id = ? AND closes <= ?")?;
            if !find.exists(params![room.0, due])? {
                return Ok(Outcome::Missing);
            }
            delete(db, *room)?;
            Ok(Outcome::Done)
        }
        Change::NobodyReads => {
            execute(
                db,
                "UPDATE room_people SET session = NULL WHERE session IS NOT NULL",
                [],
            )?;
            Ok(Outcome::Done)
        }
        _ => Ok(Outcome::Missing),
    }
}

fn is_open(db: &Connection, room: RoomId, at: Timestamp) -> Sql<bool> {
    let mut find = db.prepare_cached("SELECT 1 FROM rooms WHERE id = ? AND closes > ?")?;
    find.exists(params![room.0, int(at.0)])
}

fn join(
    db: &Connection,
    room: RoomId,
    (key, name_hash, name): (&PublicKey, &Hash, &Bytes),
    session: &Session,
    at: Timestamp,
) -> Sql<Outcome> {
    let mut find =
        db.prepare_cached("SELECT number, seq, session IS NULL FROM room_people WHERE room = ? AND key = ?")?;
    let known = find.query_row(params![room.0, key.as_bytes()], |row| {
        Ok((row.get::<_, u32>(0)?, number(row, 1)?, row.get::<_, bool>(2)?))
    });
    if let Some((number, seq, away)) = known.optional()? {
        let sql = "UPDATE room_people SET session = ? WHERE room = ? AND number = ?";
        execute(db, sql, params![session, room.0, number])?;
        if away {
            come_or_go(db, room, number, at, true)?;
        }
        return Ok(Outcome::Joined { number, seq });
    }
    let mut count = db.prepare_cached(
        "SELECT rooms.people > (SELECT count(*) FROM room_people WHERE room = ?1), numbers + 1, \
         (SELECT coalesce(max(name_number), 0) + 1 FROM room_people WHERE room = ?1 AND name_hash = ?2) \
         FROM rooms WHERE id = ?1",
    )?;
    let (has_room, number, name_number): (bool, u32, u16) = count
        .query_row(params![room.0, name_hash], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    if !has_room {
        return Ok(Outcome::Full);
    }
    execute(
        db,
        "UPDATE rooms SET numbers = ? WHERE id = ?",
        params![number, room.0],
    )?;
    execute(
        db,
        "INSERT INTO room_people (room, number, key, name_hash, name_number, name, session) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        params![
            room.0,
            number,
            key.as_bytes(),
            name_hash,
            name_number,
            &name[..],
            session
        ],
    )?;
    let person = RoomPerson {
        number,
        key: *key,
        name_hash: *name_hash,
        name_number,
        name: name.clone(),
        here: true,
    };
    append(db, room, number, at, false, &event(&RoomEvent::Joined { person }))?;
    active(db, room, at)?;
    Ok(Outcome::Joined { number, seq: 0 })
}

fn post(db: &Connection, room: RoomId, number: u32, seq: u64, event: &Bytes, at: Timestamp) -> Sql<Outcome> {
    let sql = "UPDATE room_people SET seq = ?1 WHERE room = ?2 AND number = ?3 AND seq < ?1";
    if execute(db, sql, params![int(seq), room.0, number])? == 0 {
        let mut find = db.prepare_cached("SELECT 1 FROM room_people WHERE room = ? AND number = ?")?;
        return Ok(match find.exists(params![room.0, number])? {
            true => Outcome::Conflict,
            false => Outcome::NotIn,
        });
    }
    let place = append(db, room, number, at, true, event)?;
    active(db, room, at)?;
    Ok(Outcome::Said(place))
}

/// Somebody is back or away: that alone is kept of their coming and going.
fn come_or_go(db: &Connection, room: RoomId, number: u32, at: Timestamp, here: bool) -> Sql<()> {
    let [back, away] = presence(number);
    let sql = "DELETE FROM shared_entries WHERE queue = ? AND writer = ? AND body IN (?, ?)";
    execute(
        db,
        sql,
        params![room_queue(&room).0, number, &back[..], &away[..]],
    )?;
    append(db, room, number, at, false, if here { &back } else { &away })?;
    Ok(())
}

/// Gives it its place, which is none (0) if there is no room.
fn append(
    db: &Connection,
    room: RoomId,
    writer: u32,
    at: Timestamp,
    message: bool,
    body: &Bytes,
) -> Sql<u64> {
    let mut place = db.prepare_cached(
        "UPDATE rooms SET head = head + 1, messages = messages + ? WHERE id = ? RETURNING head, messages",
    )?;
    let place = place.query_row(params![message, room.0], |row| {
        Ok((number(row, 0)?, number(row, 1)?))
    });
    let Some((place, nth)) = place.optional()? else {
        return Ok(0);
    };
    execute(
        db,
        "INSERT INTO shared_entries (queue, place, writer, nth, created, body) VALUES (?, ?, ?, ?, ?, ?)",
        params![
            room_queue(&room).0,
            int(place),
            writer,
            int(nth),
            int(at.0),
            &body[..]
        ],
    )?;
    Ok(place)
}

/// Something was said, or somebody has come: it goes on.
fn active(db: &Connection, room: RoomId, at: Timestamp) -> Sql<()> {
    let sql = "UPDATE rooms SET closes = min(ends, ? + idle * 1000) WHERE id = ?";
    execute(db, sql, params![int(at.0), room.0])?;
    Ok(())
}

fn delete(db: &Connection, room: RoomId) -> Sql<()> {
    execute(
        db,
        "DELETE FROM shared_entries WHERE queue = ?",
        [room_queue(&room).0],
    )?;
    execute(db, "DELETE FROM room_people WHERE room = ?", [room.0])?;
    execute(db, "DELETE FROM rooms WHERE id = ?", [room.0])?;
    Ok(())
}

/// Rooms whose time is over, and what is too old for the history of others.
pub(super) fn sweep(db: &Connection, now: Timestamp, limit: u32) -> Sql<(Vec<RoomId>, u64)> {
    let mut over = db.prepare_cached("SELECT id FROM rooms WHERE closes <= ? ORDER BY closes LIMIT ?")?;
    let over = over
        .query_map(params![int(now.0), limit], |row| row.get(0).map(RoomId))?
        .collect::<Sql<Vec<_>>>()?;
    for room in &over {
        delete(db, *room)?;
    }
    let mut long = db.prepare_cached("SELECT id, messages - history FROM rooms WHERE messages > history")?;
    let long = long
        .query_map([], |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, i64>(1)?)))?
        .collect::<Sql<Vec<_>>>()?;
    let mut entries = 0;
    for (queue, nth) in long {
        let sql = "DELETE FROM shared_entries WHERE queue = ? AND nth <= ?";
        entries += execute(db, sql, params![queue, nth])?;
    }
    Ok((over, entries as u64))
}

pub(super) fn read(db: &Connection, room: RoomId) -> Sql<Option<RoomRecord>> {
    let mut find = db.prepare_cached(
        "SELECT token, creator, idle, life, people, history, ends, closes, head, \
         (SELECT coalesce(max(place), 0) FROM shared_entries \
          WHERE queue = id AND messages > history AND nth <= messages - history), \
         (SELECT count(*) FROM room_people WHERE room = id) FROM rooms WHERE id = ?",
    )?;
    let record = find.query_row([room.0], |row| {
        Ok(RoomRecord {
            token: row.get(0)?,
            creator: key(row, 1)?,
            limits: RoomLimits {
                idle_seconds: row.get(2)?,
                life_seconds: row.get(3)?,
                people: row.get(4)?,
                history: row.get(5)?,
            },
            ends: Timestamp(number(row, 6)?),
            closes: Timestamp(number(row, 7)?),
            head: number(row, 8)?,
            floor: number(row, 9)?,
            people: row.get(10)?,
        })
    });
    record.optional()
}

pub(super) fn snapshot(db: &mut Connection, room: RoomId) -> Sql<Option<RoomSnapshot>> {
    // Room and people of one moment.
    let db = db.transaction()?;
    let Some(record) = read(&db, room)? else {
        return Ok(None);
    };
    let mut find = db.prepare_cached(
        "SELECT number, key, name_hash, name_number, name, session IS NOT NULL FROM room_people \
         WHERE room = ? ORDER BY number",
    )?;
    let people = find.query_map([room.0], |row| {
        Ok(RoomPerson {
            number: row.get(0)?,
            key: key(row, 1)?,
            name_hash: row.get(2)?,
            name_number: row.get(3)?,
            name: blob(row, 4)?,
            here: row.get(5)?,
        })
    })?;
    let people = people.collect::<Sql<_>>()?;
    Ok(Some(RoomSnapshot { record, people }))
}

pub(super) fn page(db: &Connection, queue: QueueId, after: u64, limit: u32) -> Sql<Vec<SharedEntry>> {
    let mut page = db.prepare_cached(
        "SELECT place, created, body FROM shared_entries WHERE queue = ? AND place > ? ORDER BY place LIMIT ?",
    )?;
    let rows = page.query_map(params![queue.0, int(after), limit], |row| {
        Ok(SharedEntry {
            place: number(row, 0)?,
            at: Timestamp(number(row, 1)?),
            body: blob(row, 2)?,
        })
    })?;
    rows.collect()
}

fn key(row: &Row, column: usize) -> Sql<PublicKey> {
    PublicKey::try_from(row.get_ref(column)?.as_blob()?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, error.into()))
}
