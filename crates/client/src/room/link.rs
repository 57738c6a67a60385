//! The connection of a room: hello, joining, answers, and waiting before the next try.

use super::{Cx, Room, RoomEffect, failure};
use bytes::Bytes;
use rly_crypto::RoomName;
use rly_protocol::{
    ErrorCode, Signature, Timestamp,
    frame::{ClientFrame, Req, ServerFrame},
    limits::PROTOCOL_VERSIONS,
};
use rly_view::{FailureCode, RoomAnswer, RoomEndView, RoomPhase};

/// What is waited for before the second try, and at most, in ms.
const WAIT_FIRST: u64 = 1_000;
const WAIT_MOST: u64 = 30_000;
/// How long a server may take to let somebody in, in ms.
const PATIENCE: u64 = 20_000;

/// What a signature is for.
pub(super) enum Signing {
    Join {
        n: u64,
        name_hash: [u8; 32],
        name: Bytes,
    },
    Post {
        n: u64,
    },
}

/// What an answer is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Join,
    /// Of the message with this sequence.
    Post {
        seq: u64,
    },
    Delete,
    Close,
}

#[derive(Default)]
pub(super) struct Link {
    pub open: bool,
    pub nonce: Option<[u8; 32]>,
    pub signing: Option<Signing>,
    pub asked: Vec<(Req, Asked)>,
    last: u32,
    next_signature: u64,
    /// When the next try is due,
    pub retry_at: Option<Timestamp>,
    /// or this one is given up.
    pub give_up_at: Option<Timestamp>,
    /// When something may be said again.
    pub post_at: Option<Timestamp>,
    failures: u32,
}

impl Link {
    pub fn is_posting(&self) -> bool {
        matches!(self.signing, Some(Signing::Post { .. }))
            || self
                .asked
                .iter()
                .any(|(_, what)| matches!(what, Asked::Post { .. }))
    }

    pub fn signature(&mut self) -> u64 {
        self.next_signature += 1;
        self.next_signature
    }
}

impl Room {
    pub(super) fn connect(&mut self, cx: &mut Cx) {
        if self.link.open || self.is_over() {
            return;
        }
        self.link.open = true;
        self.link.retry_at = None;
        self.link.give_up_at = Some(Timestamp(cx.now.0 + PATIENCE));
        self.phase = RoomPhase::Connecting;
        self.dirty = true;
        cx.effect(RoomEffect::OpenSocket);
    }

    pub(super) fn disconnect(&mut self, cx: &mut Cx) {
        if self.link.open {
            cx.effect(RoomEffect::CloseSocket);
        }
        let failures = self.link.failures;
        let next_signature = self.link.next_signature;
        self.link = Link {
            failures,
            next_signature,
            ..Link::default()
        };
    }

    /// The connection ended by itself.
    pub(super) fn lost(&mut self, cx: &mut Cx) {
        if self.link.open {
            self.link.open = false;
            self.try_later(cx, None);
        }
    }

    fn try_later(&mut self, cx: &mut Cx, wait: Option<u64>) {
        self.disconnect(cx);
        if self.is_over() || !(self.record.inside || self.record.deleting) {
            return;
        }
        self.phase = RoomPhase::Connecting;
        self.dirty = true;
        self.link.failures = (self.link.failures + 1).min(16);
        let most = (WAIT_FIRST << (self.link.failures - 1).min(5)).min(WAIT_MOST);
        // Some time of the upper half, so that not all come back at once.
        let wait = wait
            .unwrap_or(0)
            .max(most / 2 + cx.rng.next_u64() % (most / 2 + 1));
        self.link.retry_at = Some(Timestamp(cx.now.0 + wait));
    }

    pub(super) fn timer(&mut self, cx: &mut Cx) {
        let due = |at: Option<Timestamp>| at.is_some_and(|at| at <= cx.now);
        if due(self.link.give_up_at) {
            self.try_later(cx, None);
        } else if due(self.link.retry_at) {
            self.connect(cx);
        }
        if self.link.post_at.is_some_and(|at| at <= cx.now) {
            self.link.post_at = None;
        }
        self.timer = None;
    }

    /// Does not wait any longer for the next try.
    pub(super) fn wake(&mut self, cx: &mut Cx) {
        if self.link.retry_at.is_some() {
            self.connect(cx);
        }
    }

    pub(super) fn set_timer(&mut self, cx: &mut Cx) {
        let end = (self.kept && !self.is_over()).then(|| {
            let end = match self.phase {
                RoomPhase::Inside => self.closes_at,
                _ => self.record.ends_at,
            };
            self.here(Timestamp(end.0.saturating_add(super::GRACE_MS)))
        });
        let posting = self.link.post_at.filter(|_| !self.record.outbox.is_empty());
        let due = [end, self.link.retry_at, self.link.give_up_at, posting]
            .into_iter()
            .flatten()
            .min();
        if due != self.timer {
            self.timer = due;
            due.into_iter()
                .for_each(|due| cx.effect(RoomEffect::SetTimer(due)));
        }
    }

    fn request(&mut self, cx: &mut Cx, what: Asked, frame: impl FnOnce(Req) -> ClientFrame) {
        self.link.last += 1;
        self.link.asked.push((self.link.last, what));
        cx.effect(RoomEffect::SendFrame(frame(self.link.last).to_message()));
    }

    pub(super) fn ask_to_delete(&mut self, cx: &mut Cx) {
        let room = self.id();
        self.request(cx, Asked::Delete, |req| ClientFrame::RoomDelete { req, room });
    }

    pub(super) fn ask_to_close(&mut self, cx: &mut Cx) {
        let room = self.id();
        self.request(cx, Asked::Close, |req| ClientFrame::RoomClose { req, room });
    }

    pub(super) fn ask_to_post(&mut self, cx: &mut Cx, seq: u64, body: Bytes, signature: Signature) {
        let room = self.id();
        self.request(cx, Asked::Post { seq }, |req| ClientFrame::RoomPost {
            req,
            room,
            seq,
            body,
            signature,
        });
    }

    /// The server has said hello: joins.
    fn greeted(&mut self, cx: &mut Cx, nonce: [u8; 32]) {
        self.link.nonce = Some(nonce);
        let name = self
            .record
            .name
            .as_deref()
            .and_then(|name| RoomName::new(name).ok());
        let Some(name) = name else {
            return self.disconnect(cx);
        };
        let name_hash = self.keys.name_hash(&name);
        let Ok(name) = self.keys.seal_name(&self.record.key, &name, cx.rng) else {
            return self.disconnect(cx);
        };
        let message = self.keys.to_sign_join(&self.origin, &nonce, &name_hash, &name);
        let n = self.link.signature();
        self.link.signing = Some(Signing::Join {
            n,
            name_hash,
            name: name.into(),
        });
        let key = self.record.key;
        cx.effect(RoomEffect::Sign { n, key, message });
    }

    pub(super) fn signed(&mut self, cx: &mut Cx, of: u64, signature: Signature) {
        match self.link.signing.take() {
            Some(Signing::Join { n, name_hash, name }) if n == of => {
                let (room, token, key, after) = (self.id(), *self.keys.token(), self.record.key, self.place);
                self.request(cx, Asked::Join, |req| ClientFrame::RoomJoin {
                    req,
                    room,
                    token,
                    key,
                    name_hash,
                    name,
                    after,
                    signature,
                });
            }
            Some(Signing::Post { n }) if n == of => self.post_signed(cx, signature),
            other => self.link.signing = other,
        }
    }

    pub(super) fn frame(&mut self, cx: &mut Cx, message: Bytes) {
        if !self.link.open {
            return;
        }
        let Ok(frame) = ServerFrame::from_message(message) else {
            return self.try_later(cx, None);
        };
        match frame {
            ServerFrame::Hello {
                min, max, nonce, now, ..
            } => {
                if max < PROTOCOL_VERSIONS.0 || min > PROTOCOL_VERSIONS.1 || self.link.nonce.is_some() {
                    return self.try_later(cx, None);
                }
                self.ahead = (now.0 as i64).wrapping_sub(cx.now.0 as i64);
                self.greeted(cx, nonce);
            }
            ServerFrame::RoomJoined {
                req,
                room,
                you,
                seq,
                creator,
                limits,
                ends_at,
                closes_at,
                head,
                people,
            } if room == self.id() && self.answered(req) == Some(Asked::Join) => {
                self.learn(limits, ends_at, closes_at);
                self.record.creator = creator == self.record.key;
                if !self.joined(cx, you, seq, head, &people) {
                    // The server says that we are somebody else.
                    self.trouble = Some(FailureCode::Refused);
                    cx.answer(self.joining.take(), Err(FailureCode::Refused));
                    return self.try_later(cx, None);
                }
                self.link.failures = 0;
                self.link.give_up_at = None;
                self.phase = RoomPhase::Inside;
                self.trouble = None;
                cx.answer(self.joining.take(), Ok(RoomAnswer::Done));
                if self.record.deleting {
                    self.ask_to_delete(cx);
                }
            }
            ServerFrame::RoomHappened {
                room,
                place,
                at,
                event,
            } if room == self.id() => {
                self.happened(cx, place, at, event);
            }
            ServerFrame::RoomEnded { room, why } if room == self.id() => {
                self.ended(cx, Some(RoomEndView::from(why)));
            }
            ServerFrame::Done { req } => match self.answered(req) {
                Some(Asked::Post { seq }) => self.posted(cx, seq),
                Some(Asked::Delete) => {
                    cx.answer(self.deleting.take(), Ok(RoomAnswer::Done));
                    self.forget(cx, RoomPhase::Deleted);
                }
                Some(Asked::Close) => self.ended(cx, Some(RoomEndView::Creator)),
                Some(Asked::Join) | None => {}
            },
            ServerFrame::Error {
                req,
                code,
                retry_after,
            } => {
                if let Some(what) = self.answered(req) {
                    self.refused(cx, what, ErrorCode::from_number(code), retry_after.into());
                }
            }
            ServerFrame::Goodbye { retry_after, .. } => self.try_later(cx, Some(retry_after.into())),
            _ => {}
        }
    }

    fn answered(&mut self, req: Req) -> Option<Asked> {
        let at = self.link.asked.iter().position(|(asked, _)| *asked == req)?;
        Some(self.link.asked.remove(at).1)
    }

    fn refused(&mut self, cx: &mut Cx, what: Asked, code: Option<ErrorCode>, wait: u64) {
        if code == Some(ErrorCode::NoRoom) {
            return self.ended(cx, None);
        }
        let failure = code.map_or(FailureCode::Refused, failure);
        self.dirty = true;
        match what {
            Asked::Join if wait > 0 => self.try_later(cx, Some(wait)),
            Asked::Join => {
                self.trouble = Some(failure);
                self.record.inside = false;
                self.store(cx);
                self.disconnect(cx);
                self.phase = RoomPhase::Outside;
                cx.answer(self.joining.take(), Err(failure));
                if self.record.deleting && code != Some(ErrorCode::RoomFull) {
                    cx.answer(self.deleting.take(), Err(failure));
                } else if self.record.deleting {
                    // The room is full without us: nothing of ours is there.
                    cx.answer(self.deleting.take(), Ok(RoomAnswer::Done));
                    self.forget(cx, RoomPhase::Deleted);
                }
            }
            Asked::Post { seq } => self.post_refused(cx, seq, code, wait),
            Asked::Delete if code == Some(ErrorCode::RoomNotJoined) => {
                cx.answer(self.deleting.take(), Ok(RoomAnswer::Done));
                self.forget(cx, RoomPhase::Deleted);
            }
            Asked::Delete => self.try_later(cx, Some(wait)),
            Asked::Close => cx.answer(self.closing.take(), Err(failure)),
        }
    }
}
