//! What people say in a room: checked, gathered, written and given to its readers.

use super::{Room, give_new};
use crate::{
    Refusal,
    connection::{Incoming, signed},
    engine::hash,
    metrics::Counters,
    peers::Use,
    reply::Reply,
    store::{Change, Outcome, SharedEntry, event},
};
use bytes::Bytes;
use rly_protocol::{
    ErrorCode, RoomId, Signature, Timestamp,
    frame::Req,
    limits::ENVELOPE_SIZES,
    room::{RoomEvent, post_message},
};
use std::sync::Arc;

/// Messages of one connection that wait for each other at most.
const POSTS: usize = 64;

/// What somebody said that is not on its way into the store yet.
pub(crate) struct Post {
    room: Arc<Room>,
    number: u32,
    seq: u64,
    event: Bytes,
    at: Timestamp,
    reply: Reply,
}

/// Somebody says something. It waits for what else the same connection says at once: see [`flush`].
pub(crate) fn post(
    of: &mut Incoming,
    req: Req,
    id: RoomId,
    seq: u64,
    body: Bytes,
    signature: Signature,
) -> Result<(), Refusal> {
    let engine = of.engine.clone();
    if engine.stopping.is_cancelled() {
        return Err(Refusal::stopping());
    }
    of.allow(Use::Send)?;
    if engine.load.is_too_high() {
        return Err(Refusal::unavailable());
    }
    let now = engine.now();
    let member = of.rooms.get_mut(&id).ok_or(ErrorCode::RoomNotJoined)?;
    if let Err(wait) = member.posts.take(now, engine.config.limits.posts_per_person) {
        Counters::count(&engine.counters.rate_limited);
        return Err(Refusal::later(ErrorCode::RateLimited, wait));
    }
    if !ENVELOPE_SIZES.contains(&body.len()) {
        return Err(ErrorCode::EnvelopeInvalid.into());
    }
    // Sequences are stored as signed numbers.
    if seq == 0 || i64::try_from(seq).is_err() {
        return Err(ErrorCode::RoomReplayed.into());
    }
    if !signed(&member.key, &post_message(&id, seq, &hash(&body)), &signature) {
        return Err(ErrorCode::RoomSignatureWrong.into());
    }
    let (room, number) = (member.room.clone(), member.number);
    let reply = Reply::new(of.outbox.clone(), req, body.len() as u32);
    let message = RoomEvent::Message {
        from: number,
        seq,
        body,
        signature,
    };
    of.posts.push(Post {
        room,
        number,
        seq,
        event: event(&message),
        at: now,
        reply,
    });
    if of.posts.len() >= POSTS {
        flush(of);
    }
    Ok(())
}

/// What was said goes into the store, in its order and in one commit, so that each reader is woken once
/// for all of it. It is answered when it is there.
pub(crate) fn flush(of: &mut Incoming) {
    if of.posts.is_empty() {
        return;
    }
    let engine = of.engine.clone();
    let under_way = |post: Post| {
        let committed = engine.change(Change::PostRoom {
            room: post.room.id,
            number: post.number,
            seq: post.seq,
            event: post.event.clone(),
            at: post.at,
        });
        (post, committed)
    };
    let posts: Vec<_> = std::mem::take(&mut of.posts).into_iter().map(under_way).collect();
    // Without a runtime everything is at its end.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    runtime.spawn(async move {
        let mut outcomes = Vec::with_capacity(posts.len());
        for (post, committed) in posts {
            outcomes.push((post, committed.await));
        }
        for (post, outcome) in outcomes {
            let refusal = match outcome {
                Ok(Outcome::Said(place)) => {
                    Counters::count(&engine.counters.accepted);
                    let (at, body) = (post.at, post.event);
                    give_new(&engine, &post.room, SharedEntry { place, at, body });
                    post.reply.done();
                    continue;
                }
                Ok(Outcome::Conflict) => ErrorCode::RoomReplayed.into(),
                Ok(Outcome::NotIn) => ErrorCode::RoomNotJoined.into(),
                Ok(_) => ErrorCode::NoRoom.into(),
                Err(refusal) => refusal,
            };
            post.reply.refuse(&refusal);
        }
    });
}
