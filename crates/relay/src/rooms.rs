//! Rooms: joining, saying, leaving, ending. Everything goes into the store first, and readers are given
//! what they find there: the order of a room is the order of the store, on one node as on many.
//!
//! After each commit a room is pulled: its new entries are read once and given to all. In a cluster
//! the database tells every node of each commit, and open rooms are pulled every two seconds all the same.

mod posts;

pub(crate) use posts::{Post, flush, post};

use crate::{
    Refusal, RoomMakers,
    bucket::Bucket,
    connection::{Incoming, signed},
    engine::{Engine, hash},
    keys::random,
    message::Message,
    outbox::Outbox,
    peers::{Use, network},
    shared::{Behind, Readers},
    store::{Change, Hash, Outcome, RoomRecord, Session, SharedEntry, StoreError, room_queue},
};
use bytes::Bytes;
use parking_lot::Mutex;
use rly_protocol::{
    Decode, ErrorCode, PublicKey, RoomId, Signature, Timestamp,
    api::{Blob, CreateRoom, RoomState},
    frame::{Req, ServerFrame},
    limits::{ROOM_HISTORY_MAX, ROOM_IDLE_MIN, ROOM_LIFE_MAX, ROOM_NAME_SIZE, ROOM_PEOPLE_MAX},
    room::{RoomEnd, RoomEvent, RoomLimits, join_message},
};
use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};
use subtle::ConstantTimeEq;

/// Read from the store at once.
const PAGE: u32 = 128;
/// How often open rooms are looked at: for the end of their time, and in a cluster for news.
const LOOK: Duration = Duration::from_secs(1);
/// After a failure of the store.
const RETRY: Duration = Duration::from_millis(500);

/// The rooms that are read here, and who made which.
#[derive(Default)]
pub(crate) struct Rooms {
    open: Mutex<HashMap<RoomId, Arc<Room>>>,
    /// From which network rooms were made that may still be open. Kept in memory alone: on the disk it
    /// would link rooms to each other.
    made: Mutex<HashMap<RoomId, (IpAddr, Timestamp)>>,
}

/// A room that is read here.
pub(crate) struct Room {
    id: RoomId,
    token: Hash,
    creator: PublicKey,
    limits: RoomLimits,
    ends: Timestamp,
    state: Mutex<State>,
}

struct State {
    closes: Timestamp,
    readers: Readers<Arc<Outbox>>,
    /// A task reads what is new.
    pulling: bool,
    /// Something may be new that it has not looked for.
    woken: bool,
    gone: bool,
}

/// A connection's share of a room.
pub(crate) struct Member {
    room: Arc<Room>,
    /// As a reader.
    reader: u64,
    /// As a person.
    number: u32,
    key: PublicKey,
    session: Session,
    posts: Bucket,
}

/// What a client asks for to join.
pub(crate) struct Joining {
    pub room: RoomId,
    pub token: [u8; 32],
    pub key: PublicKey,
    pub name_hash: Hash,
    pub name: Bytes,
    pub after: u64,
    pub signature: Signature,
}

/// Makes a room.
pub(crate) async fn create(engine: &Engine, peer: IpAddr, request: CreateRoom) -> Result<RoomState, Refusal> {
    engine.allow(peer, Use::Room)?;
    match engine.config.rooms {
        RoomMakers::Anyone => {}
        RoomMakers::Accounts => return Err(ErrorCode::RoomsNeedAccount.into()),
        RoomMakers::Off => return Err(ErrorCode::RoomsOff.into()),
    }
    let Blob(token) = request.token_hash;
    let token = Hash::try_from(token).map_err(|_| ErrorCode::RoomInvalid)?;
    if !allowed(&request.limits) {
        return Err(ErrorCode::RoomInvalid.into());
    }
    if p256::PublicKey::from_sec1_bytes(request.creator.as_bytes()).is_err() {
        return Err(ErrorCode::KeyInvalid.into());
    }
    let now = engine.now();
    let place = network(peer);
    let room = request.room;
    let counted = {
        let mut made = engine.rooms.made.lock();
        made.retain(|_, (_, ends)| *ends > now);
        let open = made.values().filter(|(by, _)| *by == place).count();
        if open >= engine.config.limits.rooms_per_peer {
            return Err(Refusal::later(ErrorCode::RoomsTooMany, Duration::from_secs(60)));
        }
        // Counted before it is made, so that many at one moment do not pass.
        let ends = now.plus_seconds(request.limits.life_seconds.into());
        let counted = !made.contains_key(&room);
        made.entry(room).or_insert((place, ends));
        counted
    };
    let change = Change::MakeRoom {
        room,
        token,
        creator: request.creator,
        limits: request.limits,
        at: now,
    };
    let made = match engine.change(change).await {
        Ok(Outcome::Done) => return state(engine, room).await,
        Ok(_) => ErrorCode::RoomTaken.into(),
        Err(refusal) => refusal,
    };
    if counted {
        engine.rooms.made.lock().remove(&room);
    }
    Err(made)
}

fn allowed(limits: &RoomLimits) -> bool {
    (ROOM_IDLE_MIN..=ROOM_LIFE_MAX).contains(&limits.life_seconds)
        && (ROOM_IDLE_MIN..=limits.life_seconds).contains(&limits.idle_seconds)
        && (2..=ROOM_PEOPLE_MAX).contains(&limits.people)
        && limits.history <= ROOM_HISTORY_MAX
}

/// A room as it is now.
pub(crate) async fn look(engine: &Engine, peer: IpAddr, room: RoomId) -> Result<RoomState, Refusal> {
    engine.allow(peer, Use::Join)?;
    state(engine, room).await
}

async fn state(engine: &Engine, room: RoomId) -> Result<RoomState, Refusal> {
    let record = stored(engine, room).await?;
    Ok(RoomState {
        room,
        limits: record.limits,
        people: record.people,
        closes_at: record.closes,
        ends_at: record.ends,
        now: engine.now(),
    })
}

async fn stored(engine: &Engine, room: RoomId) -> Result<RoomRecord, Refusal> {
    let record = engine.store.room(room).await.map_err(unavailable)?;
    record
        .filter(|record| record.closes > engine.now())
        .ok_or_else(|| ErrorCode::NoRoom.into())
}

/// The room, from memory or the store.
async fn find(engine: &Engine, id: RoomId) -> Result<Arc<Room>, Refusal> {
    let known = engine.rooms.open.lock().get(&id).cloned();
    if let Some(room) = known {
        return Ok(room);
    }
    let record = stored(engine, id).await?;
    let room = Room {
        id,
        token: record.token,
        creator: record.creator,
        limits: record.limits,
        ends: record.ends,
        state: Mutex::new(State {
            closes: record.closes,
            readers: Readers::new(record.head),
            pulling: false,
            woken: false,
            gone: false,
        }),
    };
    Ok(engine
        .rooms
        .open
        .lock()
        .entry(id)
        .or_insert(Arc::new(room))
        .clone())
}

/// A connection joins.
pub(crate) async fn join(of: &mut Incoming, req: Req, joining: Joining) -> Result<(), Refusal> {
    of.allow(Use::Join)?;
    let engine = of.engine.clone();
    let room = find(&engine, joining.room).await?;
    if !bool::from(hash(&joining.token).ct_eq(&room.token)) {
        return Err(ErrorCode::RoomSecretWrong.into());
    }
    if joining.name.len() != ROOM_NAME_SIZE {
        return Err(ErrorCode::RoomInvalid.into());
    }
    let (origin, name) = (&engine.config.origin, hash(&joining.name));
    let message = join_message(origin, &of.nonce, &room.id, &joining.name_hash, &name);
    if !signed(&joining.key, &message, &joining.signature) {
        return Err(ErrorCode::RoomSignatureWrong.into());
    }
    leave(of, room.id);
    let session = random();
    let change = Change::JoinRoom {
        room: room.id,
        key: joining.key,
        name_hash: joining.name_hash,
        name: joining.name,
        session,
        at: engine.now(),
    };
    let (number, seq) = match engine.change(change).await? {
        Outcome::Joined { number, seq } => (number, seq),
        Outcome::Full => return Err(ErrorCode::RoomFull.into()),
        _ => return Err(ErrorCode::NoRoom.into()),
    };
    let reader = engine.number();
    let member = Member {
        room: room.clone(),
        reader,
        number,
        key: joining.key,
        session,
        posts: Bucket::default(),
    };
    // From here on the end of the connection is told.
    of.rooms.insert(room.id, member);
    let result = begin(of, req, &room, (reader, number, seq, joining.after)).await;
    if result.is_err() {
        leave(of, room.id);
    }
    result
}

/// Tells who has joined how the room is, and begins to give.
async fn begin(
    of: &Incoming,
    req: Req,
    room: &Arc<Room>,
    (reader, number, seq, after): (u64, u32, u64, u64),
) -> Result<(), Refusal> {
    let engine = &of.engine;
    let snapshot = engine.store.room_snapshot(room.id).await.map_err(unavailable)?;
    let snapshot = snapshot.ok_or(ErrorCode::NoRoom)?;
    let record = snapshot.record;
    let behind = {
        let mut state = room.state.lock();
        if state.gone {
            return Err(ErrorCode::NoRoom.into());
        }
        // Under the lock, so that it comes before the first event.
        of.outbox.answer(&ServerFrame::RoomJoined {
            req,
            room: room.id,
            you: number,
            seq,
            creator: record.creator,
            limits: record.limits,
            ends_at: record.ends,
            closes_at: record.closes,
            head: record.head,
            people: snapshot.people,
        });
        let cursor = after.min(record.head).max(record.floor);
        state.readers.read(reader, of.outbox.clone(), cursor)
    };
    if behind {
        tokio::spawn(catch_up(engine.clone(), room.clone(), reader, of.outbox.clone()));
    }
    wake(engine, room);
    Ok(())
}

/// A person and all that they said are deleted.
pub(crate) async fn delete(of: &mut Incoming, id: RoomId) -> Result<(), Refusal> {
    let member = of.rooms.get(&id).ok_or(ErrorCode::RoomNotJoined)?;
    let (room, number, reader) = (member.room.clone(), member.number, member.reader);
    let engine = of.engine.clone();
    let change = Change::DeletePerson {
        room: id,
        number,
        at: engine.now(),
    };
    engine.change(change).await?;
    of.rooms.remove(&id);
    room.state.lock().readers.leave(reader);
    wake(&engine, &room);
    Ok(())
}

/// The creator ends the room.
pub(crate) async fn close(of: &Incoming, id: RoomId) -> Result<(), Refusal> {
    let member = of.rooms.get(&id).ok_or(ErrorCode::RoomNotJoined)?;
    if member.key != member.room.creator {
        return Err(ErrorCode::RoomNotCreator.into());
    }
    let room = member.room.clone();
    of.engine.change(Change::EndRoom { room: id, due: None }).await?;
    ended(&of.engine, &room, RoomEnd::Creator);
    Ok(())
}

/// A connection reads a room no more.
pub(crate) fn leave(of: &mut Incoming, id: RoomId) {
    if let Some(member) = of.rooms.remove(&id) {
        away(&of.engine, member);
    }
}

/// A connection has ended.
pub(crate) fn leave_all(of: &mut Incoming) {
    for member in std::mem::take(&mut of.rooms).into_values() {
        away(&of.engine, member);
    }
}

fn away(engine: &Arc<Engine>, member: Member) {
    let room = member.room;
    {
        let mut state = room.state.lock();
        state.readers.leave(member.reader);
        if state.gone {
            return;
        }
    }
    // Without a runtime everything is at its end.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    let engine = engine.clone();
    runtime.spawn(async move {
        let change = Change::LeaveRoom {
            room: room.id,
            number: member.number,
            session: member.session,
            at: engine.now(),
        };
        // If that fails, they are shown as here until they come back or the room ends.
        if engine.change(change).await.is_ok() {
            wake(&engine, &room);
        }
    });
}

/// Something may be new in a room: gives it to its readers.
pub(crate) fn wake(engine: &Arc<Engine>, room: &Arc<Room>) {
    let mut state = room.state.lock();
    state.woken = true;
    if !state.gone && !std::mem::replace(&mut state.pulling, true) {
        drop(state);
        tokio::spawn(pull(engine.clone(), room.clone()));
    }
}

/// The same for the room with this id, if it is read here.
pub(crate) fn wake_id(engine: &Arc<Engine>, id: &RoomId) {
    let room = engine.rooms.open.lock().get(id).cloned();
    if let Some(room) = room {
        wake(engine, &room);
    }
}

async fn pull(engine: Arc<Engine>, room: Arc<Room>) {
    loop {
        let after = {
            let mut state = room.state.lock();
            if state.gone || !std::mem::take(&mut state.woken) {
                state.pulling = false;
                return;
            }
            state.readers.head()
        };
        let page = match engine.store.shared_page(room_queue(&room.id), after, PAGE).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "reading from the store failed");
                tokio::time::sleep(RETRY).await;
                room.state.lock().woken = true;
                continue;
            }
        };
        if page.is_empty() {
            // Nothing new, or no room any more: another node, or the sweep, has ended it.
            if let Ok(None) = engine.store.room(room.id).await {
                ended(&engine, &room, why(&room, engine.now()));
            }
            continue;
        }
        let mut state = room.state.lock();
        state.woken |= page.len() == PAGE as usize;
        for entry in page {
            give_live(&engine, &room, &mut state, entry);
        }
    }
}

/// Something new is in the store. Readers who have all that comes before it are given it at once, and
/// otherwise it is read with what comes before.
fn give_new(engine: &Arc<Engine>, room: &Arc<Room>, entry: SharedEntry) {
    let mut state = room.state.lock();
    let next = state.readers.head() + 1;
    if entry.place == next {
        give_live(engine, room, &mut state, entry);
    } else if entry.place > next {
        drop(state);
        wake(engine, room);
    }
}

/// Gives what is at the next place to all who are live.
fn give_live(engine: &Arc<Engine>, room: &Arc<Room>, state: &mut State, entry: SharedEntry) {
    let (place, at) = (entry.place, entry.at);
    let Some((message, active)) = message(room.id, entry) else {
        return;
    };
    if active {
        let closes = at.plus_seconds(room.limits.idle_seconds.into()).min(room.ends);
        state.closes = state.closes.max(closes);
    }
    let give = |outbox: &Arc<Outbox>| outbox.catch_up(|| Message::event(message.clone()));
    for number in state.readers.give(place, give) {
        if let Some(outbox) = state.readers.sink(number) {
            tokio::spawn(catch_up(engine.clone(), room.clone(), number, outbox.clone()));
        }
    }
}

/// Gives a reader that is behind what it lacks, never far ahead of its socket, until it is live.
async fn catch_up(engine: Arc<Engine>, room: Arc<Room>, number: u64, outbox: Arc<Outbox>) {
    while outbox.room().await {
        let (after, head) = {
            let mut state = room.state.lock();
            match state.readers.behind(number) {
                Behind::Page { after } => (after, state.readers.head()),
                Behind::Live | Behind::Gone => return,
            }
        };
        let page = match engine.store.shared_page(room_queue(&room.id), after, PAGE).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "reading from the store failed");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        let mut state = room.state.lock();
        if page.len() < PAGE as usize && page.last().is_none_or(|last| last.place < head) {
            // What was between is deleted; nothing is left to wait for.
            let given = page
                .into_iter()
                .all(|entry| give_one(&mut state, &room, number, entry));
            if given {
                state.readers.skip(number, head);
            }
            continue;
        }
        for entry in page {
            if !give_one(&mut state, &room, number, entry) {
                break;
            }
        }
    }
}

fn give_one(state: &mut State, room: &Room, number: u64, entry: SharedEntry) -> bool {
    let place = entry.place;
    match message(room.id, entry) {
        Some((message, _)) => state.readers.give_one(number, place, |outbox| {
            outbox.catch_up(|| Message::event(message))
        }),
        None => true,
    }
}

/// The frame of an entry, and whether it keeps the room from being idle.
fn message(room: RoomId, entry: SharedEntry) -> Option<(Bytes, bool)> {
    let event = RoomEvent::from_bytes(&entry.body).ok()?;
    let active = matches!(event, RoomEvent::Message { .. } | RoomEvent::Joined { .. });
    let frame = ServerFrame::RoomHappened {
        room,
        place: entry.place,
        at: entry.at,
        event,
    };
    Some((frame.to_message(), active))
}

fn why(room: &Room, now: Timestamp) -> RoomEnd {
    if now >= room.ends {
        RoomEnd::Life
    } else if now >= room.state.lock().closes {
        RoomEnd::Idle
    } else {
        RoomEnd::Creator
    }
}

/// A room is no more, in the store as well: everybody who reads it is told.
fn ended(engine: &Engine, room: &Arc<Room>, why: RoomEnd) {
    engine.rooms.open.lock().remove(&room.id);
    engine.rooms.made.lock().remove(&room.id);
    let readers = {
        let mut state = room.state.lock();
        state.gone = true;
        state.readers.take_all()
    };
    for outbox in readers {
        outbox.answer(&ServerFrame::RoomEnded { room: room.id, why });
    }
}

/// The sweep has ended these.
pub(crate) fn swept(engine: &Engine, rooms: &[RoomId]) {
    for id in rooms {
        engine.rooms.made.lock().remove(id);
        let room = engine.rooms.open.lock().get(id).cloned();
        if let Some(room) = room {
            ended(engine, &room, why(&room, engine.now()));
        }
    }
}

/// Looks at open rooms until the relay stops.
pub(crate) async fn look_after(engine: Arc<Engine>) {
    let mut looks = 0u64;
    while engine
        .stopping
        .run_until_cancelled(tokio::time::sleep(LOOK))
        .await
        .is_some()
    {
        looks += 1;
        look_once(&engine).await;
        if engine.cluster.is_some() && looks.is_multiple_of(2) {
            let rooms: Vec<_> = engine.rooms.open.lock().values().cloned().collect();
            rooms.iter().for_each(|room| wake(&engine, room));
        }
    }
}

/// Ends what is over, and forgets what nobody reads.
pub(crate) async fn look_once(engine: &Arc<Engine>) {
    let now = engine.now();
    let mut due = Vec::new();
    engine.rooms.open.lock().retain(|_, room| {
        let state = room.state.lock();
        if state.closes <= now && !state.gone {
            due.push(room.clone());
        }
        // Whoever is about to join holds it, too.
        !state.readers.is_empty() || state.pulling || Arc::strong_count(room) > 1
    });
    for room in due {
        match engine
            .change(Change::EndRoom {
                room: room.id,
                due: Some(now),
            })
            .await
        {
            Ok(Outcome::Done) => ended(engine, &room, why(&room, now)),
            // Another node knows of something newer, or was faster.
            Ok(_) => match engine.store.room(room.id).await {
                Ok(Some(record)) => room.state.lock().closes = record.closes,
                Ok(None) => ended(engine, &room, why(&room, now)),
                Err(_) => {}
            },
            Err(_) => {}
        }
    }
}

fn unavailable(error: StoreError) -> Refusal {
    tracing::warn!(%error, "reading from the store failed");
    Refusal::unavailable()
}
