//! Rooms, and the queue with many readers that carries them. The room's row is locked by whoever adds
//! to it: what becomes visible later has a higher place. Each change tells all nodes with its commit.

use super::{Sql, blob, fixed, int, number, rows, small, small_number};
use crate::store::{
    Change, Hash, Outcome, RoomRecord, RoomSnapshot, Session, SharedEntry, event, presence, room_queue,
};
use bytes::Bytes;
use rly_protocol::{
    PublicKey, QueueId, RoomId, Timestamp,
    room::{RoomEvent, RoomLimits, RoomPerson},
};
use sqlx::{PgConnection, PgPool, Row, postgres::PgRow};

/// Where nodes hear of rooms in which something happened.
pub(crate) const CHANNEL: &str = "rly_rooms";

/// Locks all rooms that changes are of, in one order: otherwise two nodes whose batches name the same rooms
/// in another order would wait for each other, a second each time.
pub(super) async fn lock(db: &mut PgConnection, changes: &[Change]) -> Sql<()> {
    let of = |change: &Change| match change {
        Change::JoinRoom { room, .. }
        | Change::PostRoom { room, .. }
        | Change::LeaveRoom { room, .. }
        | Change::DeletePerson { room, .. }
        | Change::EndRoom { room, .. } => Some(room.0.to_vec()),
        _ => None,
    };
    let mut rooms: Vec<Vec<u8>> = changes.iter().filter_map(of).collect();
    rooms.sort_unstable();
    rooms.dedup();
    // One alone is locked by its change.
    if rooms.len() > 1 {
        sqlx::query("SELECT FROM rooms WHERE id = ANY($1) ORDER BY id FOR UPDATE")
            .bind(rooms)
            .execute(db)
            .await?;
    }
    Ok(())
}

pub(super) async fn change(db: &mut PgConnection, change: &Change) -> Sql<Outcome> {
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
            let done = sqlx::query(
                "INSERT INTO rooms (id, token, creator, idle, life, people, history, ends, closes) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
            )
            .bind(&room.0[..])
            .bind(&token[..])
            .bind(&creator.as_bytes()[..])
            .bind(small(limits.idle_seconds))
            .bind(small(limits.life_seconds))
            .bind(i32::from(limits.people))
            .bind(i32::from(limits.history))
            .bind(int(ends.0))
            .bind(int(closes.0))
            .execute(db)
            .await?;
            Ok(if rows(&done) == 0 {
                Outcome::Conflict
            } else {
                Outcome::Done
            })
        }
        Change::NobodyReads => {
            sqlx::query("UPDATE room_people SET session = NULL WHERE session IS NOT NULL")
                .execute(db)
                .await?;
            Ok(Outcome::Done)
        }
        Change::EndRoom { room, due } => {
            let due = due.map_or(i64::MAX, |due| int(due.0));
            // The row first: whoever adds to the room meanwhile is waited for.
            let found = sqlx::query("SELECT FROM rooms WHERE id = $1 AND closes <= $2 FOR UPDATE")
                .bind(&room.0[..])
                .bind(due)
                .fetch_optional(&mut *db)
                .await?;
            if found.is_none() {
                return Ok(Outcome::Missing);
            }
            delete(db, *room).await?;
            Ok(Outcome::Done)
        }
        Change::JoinRoom { room, at, .. }
        | Change::PostRoom { room, at, .. }
        | Change::LeaveRoom { room, at, .. }
        | Change::DeletePerson { room, at, .. } => {
            let found = sqlx::query("SELECT FROM rooms WHERE id = $1 AND closes > $2 FOR UPDATE")
                .bind(&room.0[..])
                .bind(int(at.0))
                .fetch_optional(&mut *db)
                .await?;
            match found {
                Some(_) => change_in(db, change).await,
                None => Ok(Outcome::Missing),
            }
        }
        _ => Ok(Outcome::Missing),
    }
}

/// The room is there and locked.
async fn change_in(db: &mut PgConnection, change: &Change) -> Sql<Outcome> {
    match change {
        Change::JoinRoom {
            room,
            key,
            name_hash,
            name,
            session,
            at,
        } => join(db, *room, (key, name_hash, name), session, *at).await,
        Change::PostRoom {
            room,
            number,
            seq,
            event,
            at,
        } => post(db, *room, *number, *seq, event, *at).await,
        Change::LeaveRoom {
            room,
            number,
            session,
            at,
        } => {
            let sql =
                "UPDATE room_people SET session = NULL WHERE room = $1 AND number = $2 AND session = $3";
            let left = sqlx::query(sql)
                .bind(&room.0[..])
                .bind(small(*number))
                .bind(&session[..])
                .execute(&mut *db)
                .await?;
            if rows(&left) != 0 {
                come_or_go(db, *room, *number, *at, false).await?;
            }
            Ok(Outcome::Done)
        }
        Change::DeletePerson { room, number, at } => {
            let gone = sqlx::query("DELETE FROM room_people WHERE room = $1 AND number = $2")
                .bind(&room.0[..])
                .bind(small(*number))
                .execute(&mut *db)
                .await?;
            if rows(&gone) == 0 {
                return Ok(Outcome::NotIn);
            }
            sqlx::query("DELETE FROM shared_entries WHERE queue = $1 AND writer = $2")
                .bind(&room_queue(room).0[..])
                .bind(small(*number))
                .execute(&mut *db)
                .await?;
            // Nobody's: it stays.
            let deleted = event(&RoomEvent::Deleted { number: *number });
            append(db, *room, 0, *at, false, &deleted).await?;
            Ok(Outcome::Done)
        }
        _ => Ok(Outcome::Missing),
    }
}

async fn join(
    db: &mut PgConnection,
    room: RoomId,
    (key, name_hash, name): (&PublicKey, &Hash, &Bytes),
    session: &Session,
    at: Timestamp,
) -> Sql<Outcome> {
    let known =
        sqlx::query("SELECT number, seq, session IS NULL FROM room_people WHERE room = $1 AND key = $2")
            .bind(&room.0[..])
            .bind(&key.as_bytes()[..])
            .fetch_optional(&mut *db)
            .await?;
    if let Some(row) = known {
        let (person, seq) = (small_number(&row, 0)?, number(&row, 1)?);
        sqlx::query("UPDATE room_people SET session = $1 WHERE room = $2 AND number = $3")
            .bind(&session[..])
            .bind(&room.0[..])
            .bind(small(person))
            .execute(&mut *db)
            .await?;
        if row.try_get(2)? {
            come_or_go(db, room, person, at, true).await?;
        }
        return Ok(Outcome::Joined { number: person, seq });
    }
    let row = sqlx::query(
        "SELECT rooms.people > (SELECT count(*) FROM room_people WHERE room = $1), numbers + 1, \
         (SELECT coalesce(max(name_number), 0) + 1 FROM room_people WHERE room = $1 AND name_hash = $2) \
         FROM rooms WHERE id = $1",
    )
    .bind(&room.0[..])
    .bind(&name_hash[..])
    .fetch_one(&mut *db)
    .await?;
    if !row.try_get::<bool, _>(0)? {
        return Ok(Outcome::Full);
    }
    let person = RoomPerson {
        number: u32::try_from(number(&row, 1)?).unwrap_or(u32::MAX),
        key: *key,
        name_hash: *name_hash,
        name_number: small_number(&row, 2)?.try_into().unwrap_or(u16::MAX),
        name: name.clone(),
        here: true,
    };
    let given = person.number;
    sqlx::query("UPDATE rooms SET numbers = $1 WHERE id = $2")
        .bind(i64::from(given))
        .bind(&room.0[..])
        .execute(&mut *db)
        .await?;
    sqlx::query(
        "INSERT INTO room_people (room, number, key, name_hash, name_number, name, session) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&room.0[..])
    .bind(small(given))
    .bind(&key.as_bytes()[..])
    .bind(&name_hash[..])
    .bind(i32::from(person.name_number))
    .bind(&name[..])
    .bind(&session[..])
    .execute(&mut *db)
    .await?;
    append(db, room, given, at, false, &event(&RoomEvent::Joined { person })).await?;
    active(db, room, at).await?;
    Ok(Outcome::Joined {
        number: given,
        seq: 0,
    })
}

async fn post(
    db: &mut PgConnection,
    room: RoomId,
    person: u32,
    seq: u64,
    event: &Bytes,
    at: Timestamp,
) -> Sql<Outcome> {
    let taken = sqlx::query("UPDATE room_people SET seq = $1 WHERE room = $2 AND number = $3 AND seq < $1")
        .bind(int(seq))
        .bind(&room.0[..])
        .bind(small(person))
        .execute(&mut *db)
        .await?;
    if rows(&taken) == 0 {
        let found = sqlx::query("SELECT FROM room_people WHERE room = $1 AND number = $2")
            .bind(&room.0[..])
            .bind(small(person))
            .fetch_optional(db)
            .await?;
        return Ok(found.map_or(Outcome::NotIn, |_| Outcome::Conflict));
    }
    let place = append(db, room, person, at, true, event).await?;
    active(db, room, at).await?;
    Ok(Outcome::Said(place))
}

/// Somebody is back or away: that alone is kept of their coming and going.
async fn come_or_go(db: &mut PgConnection, room: RoomId, number: u32, at: Timestamp, here: bool) -> Sql<()> {
    let [back, away] = presence(number);
    sqlx::query("DELETE FROM shared_entries WHERE queue = $1 AND writer = $2 AND body IN ($3, $4)")
        .bind(&room_queue(&room).0[..])
        .bind(small(number))
        .bind(&back[..])
        .bind(&away[..])
        .execute(&mut *db)
        .await?;
    append(db, room, number, at, false, if here { &back } else { &away }).await?;
    Ok(())
}

/// Gives it its place.
async fn append(
    db: &mut PgConnection,
    room: RoomId,
    writer: u32,
    at: Timestamp,
    message: bool,
    body: &Bytes,
) -> Sql<u64> {
    let row = sqlx::query(
        "UPDATE rooms SET head = head + 1, messages = messages + $1 WHERE id = $2 RETURNING head, messages",
    )
    .bind(i64::from(message))
    .bind(&room.0[..])
    .fetch_one(&mut *db)
    .await?;
    let place = number(&row, 0)?;
    sqlx::query(
        "INSERT INTO shared_entries (queue, place, writer, nth, created, body) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&room_queue(&room).0[..])
    .bind(int(place))
    .bind(small(writer))
    .bind(int(number(&row, 1)?))
    .bind(int(at.0))
    .bind(&body[..])
    .execute(&mut *db)
    .await?;
    tell(db, room).await?;
    Ok(place)
}

/// Tells all nodes, once this is committed, that something happened. If one does not hear it, it looks
/// by itself before long.
async fn tell(db: &mut PgConnection, room: RoomId) -> Sql<()> {
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(String::from(room))
        .execute(db)
        .await?;
    Ok(())
}

/// Something was said, or somebody has come: it goes on.
async fn active(db: &mut PgConnection, room: RoomId, at: Timestamp) -> Sql<()> {
    sqlx::query("UPDATE rooms SET closes = least(ends, $1 + idle::bigint * 1000) WHERE id = $2")
        .bind(int(at.0))
        .bind(&room.0[..])
        .execute(db)
        .await?;
    Ok(())
}

/// The room's row is locked.
async fn delete(db: &mut PgConnection, room: RoomId) -> Sql<()> {
    for sql in [
        "DELETE FROM shared_entries WHERE queue = $1",
        "DELETE FROM room_people WHERE room = $1",
        "DELETE FROM rooms WHERE id = $1",
    ] {
        sqlx::query(sql).bind(&room.0[..]).execute(&mut *db).await?;
    }
    tell(db, room).await
}

/// Rooms whose time is over, and what is too old for the history of others.
pub(super) async fn sweep(db: &mut PgConnection, now: Timestamp, limit: u32) -> Sql<(Vec<RoomId>, u64)> {
    let over = sqlx::query("SELECT id FROM rooms WHERE closes <= $1 ORDER BY id LIMIT $2 FOR UPDATE")
        .bind(int(now.0))
        .bind(i64::from(limit))
        .fetch_all(&mut *db)
        .await?;
    let over = over
        .iter()
        .map(|row| fixed(row, 0).map(RoomId))
        .collect::<Sql<Vec<_>>>()?;
    for room in &over {
        delete(db, *room).await?;
    }
    let old = sqlx::query(
        "DELETE FROM shared_entries USING rooms \
         WHERE queue = id AND messages > history AND nth <= messages - history",
    )
    .execute(db)
    .await?;
    Ok((over, rows(&old)))
}

pub(super) async fn read(pool: PgPool, room: RoomId) -> Sql<Option<RoomRecord>> {
    let mut db = pool.acquire().await?;
    read_in(&mut db, room).await
}

async fn read_in(db: &mut PgConnection, room: RoomId) -> Sql<Option<RoomRecord>> {
    let found = sqlx::query(
        "SELECT token, creator, idle, life, people, history, ends, closes, head, \
         (SELECT coalesce(max(place), 0) FROM shared_entries \
          WHERE queue = id AND messages > history AND nth <= messages - history), \
         (SELECT count(*) FROM room_people WHERE room = id) FROM rooms WHERE id = $1",
    )
    .bind(&room.0[..])
    .fetch_optional(db)
    .await?;
    let record = |row: PgRow| {
        let narrow =
            |column| Ok::<_, sqlx::Error>(small_number(&row, column)?.try_into().unwrap_or(u16::MAX));
        Ok(RoomRecord {
            token: fixed(&row, 0)?,
            creator: key(&row, 1)?,
            limits: RoomLimits {
                idle_seconds: small_number(&row, 2)?,
                life_seconds: small_number(&row, 3)?,
                people: narrow(4)?,
                history: narrow(5)?,
            },
            ends: Timestamp(number(&row, 6)?),
            closes: Timestamp(number(&row, 7)?),
            head: number(&row, 8)?,
            floor: number(&row, 9)?,
            people: number(&row, 10)?.try_into().unwrap_or(u16::MAX),
        })
    };
    found.map(record).transpose()
}

pub(super) async fn snapshot(pool: PgPool, room: RoomId) -> Sql<Option<RoomSnapshot>> {
    // Room and people of one moment: whoever adds to it holds the row.
    let mut transaction = pool.begin().await?;
    let db = &mut *transaction;
    sqlx::query("SELECT FROM rooms WHERE id = $1 FOR SHARE")
        .bind(&room.0[..])
        .execute(&mut *db)
        .await?;
    let Some(record) = read_in(db, room).await? else {
        return Ok(None);
    };
    let rows = sqlx::query(
        "SELECT number, key, name_hash, name_number, name, session IS NOT NULL FROM room_people \
         WHERE room = $1 ORDER BY number",
    )
    .bind(&room.0[..])
    .fetch_all(&mut *db)
    .await?;
    transaction.commit().await?;
    let person = |row: &PgRow| {
        Ok(RoomPerson {
            number: small_number(row, 0)?,
            key: key(row, 1)?,
            name_hash: fixed(row, 2)?,
            name_number: small_number(row, 3)?.try_into().unwrap_or(u16::MAX),
            name: blob(row, 4)?,
            here: row.try_get(5)?,
        })
    };
    let people = rows.iter().map(person).collect::<Sql<_>>()?;
    Ok(Some(RoomSnapshot { record, people }))
}

pub(super) async fn page(pool: PgPool, queue: QueueId, after: u64, limit: u32) -> Sql<Vec<SharedEntry>> {
    let rows = sqlx::query(
        "SELECT place, created, body FROM shared_entries WHERE queue = $1 AND place > $2 ORDER BY place LIMIT $3",
    )
    .bind(&queue.0[..])
    .bind(int(after))
    .bind(i64::from(limit))
    .fetch_all(&pool)
    .await?;
    let entry = |row: &PgRow| {
        Ok(SharedEntry {
            place: number(row, 0)?,
            at: Timestamp(number(row, 1)?),
            body: blob(row, 2)?,
        })
    };
    rows.iter().map(entry).collect()
}

fn key(row: &PgRow, column: usize) -> Sql<PublicKey> {
    let bytes: &[u8] = row.try_get(column)?;
    PublicKey::try_from(bytes).map_err(|error| super::decoding(column, error))
}
