//! Saying something: sealed under the next sequence, stored, signed, stored, sent.

use super::{
    Cx, Room, RoomEffect,
    link::Signing,
    record::{Pending, Said, Sealed, kind},
};
use crate::parse::parse_id;
use bytes::Bytes;
use rly_protocol::{
    Encode, ErrorCode, Signature, Timestamp,
    limits::{ROOM_TEXT_CHARACTERS, TEXT_MAX},
};
use rly_view::{FailureCode, RoomAnswer, RoomPhase};

impl Room {
    pub(super) fn say(&mut self, cx: &mut Cx, id: &str, text: &str) -> Result<RoomAnswer, FailureCode> {
        let id = parse_id(id)?;
        if text.trim().is_empty() || text.len() > TEXT_MAX || (self.count)(text) > ROOM_TEXT_CHARACTERS {
            return Err(FailureCode::TextInvalid);
        }
        if self.record.name.is_none() {
            return Err(FailureCode::RoomNotJoined);
        }
        let known = |said: &Said| said.id == id;
        let waiting = self
            .record
            .outbox
            .iter()
            .chain(&self.sent)
            .any(|pending| known(&pending.said));
        if waiting || self.shown.values().any(|shown| shown.id == id) {
            return Ok(RoomAnswer::Done);
        }
        self.queue(
            cx,
            Said {
                kind: kind::TEXT,
                id,
                content: Bytes::copy_from_slice(text.as_bytes()),
            },
        );
        let waiting = self.waiting();
        self.tell_messages(cx, waiting);
        Ok(RoomAnswer::Done)
    }

    pub(super) fn queue(&mut self, cx: &mut Cx, said: Said) {
        self.record.outbox.push(Pending {
            said,
            at: cx.now,
            sealed: None,
        });
        self.store(cx);
    }

    /// Sends what is next, if it is time for that: one at a time, so that order survives.
    pub(super) fn go_on(&mut self, cx: &mut Cx) {
        let ready = self.phase == RoomPhase::Inside
            && !self.record.deleting
            && !self.link.is_posting()
            && self.link.signing.is_none()
            && self.link.post_at.is_none();
        if !ready {
            return;
        }
        let Some(first) = self.record.outbox.first_mut() else {
            return;
        };
        if first.sealed.is_none() {
            let seq = self.record.seq + 1;
            let plain = first.said.to_bytes();
            let Ok(body) = self.keys.seal_body(&self.record.key, seq, &plain, cx.rng) else {
                self.record.outbox.remove(0);
                return self.store(cx);
            };
            first.sealed = Some(Sealed {
                seq,
                body: body.into(),
                signature: None,
            });
            self.record.seq = seq;
            // Before it is signed: a sequence is used for one text alone.
            self.store(cx);
        }
        let Some(Sealed { seq, body, signature }) = self
            .record
            .outbox
            .first()
            .and_then(|pending| pending.sealed.clone())
        else {
            return;
        };
        match signature {
            Some(signature) => self.ask_to_post(cx, seq, body, signature),
            None => {
                let n = self.link.signature();
                let message = self.keys.to_sign(seq, &body);
                self.link.signing = Some(Signing::Post { n });
                let key = self.record.key;
                cx.effect(RoomEffect::Sign { n, key, message });
            }
        }
    }

    pub(super) fn post_signed(&mut self, cx: &mut Cx, signature: Signature) {
        let first = self.record.outbox.first_mut();
        if let Some(sealed) = first.and_then(|pending| pending.sealed.as_mut()) {
            sealed.signature = Some(signature);
            // Sent by the next step, when this is stored.
            self.store(cx);
        }
    }

    /// Whether the first of the outbox is the message with this sequence. It may have come back, as
    /// everybody got it, before the answer did: then it waits no more.
    fn waits(&self, seq: u64) -> bool {
        let first = self.record.outbox.first().and_then(|first| first.sealed.as_ref());
        first.is_some_and(|sealed| sealed.seq == seq)
    }

    /// The server has the message with this sequence.
    pub(super) fn posted(&mut self, cx: &mut Cx, seq: u64) {
        if !self.waits(seq) {
            return;
        }
        let pending = self.record.outbox.remove(0);
        self.store(cx);
        if self.shown.values().any(|shown| shown.id == pending.said.id) {
            return;
        }
        if pending.said.kind == kind::TEXT {
            self.sent.push(pending);
            let waiting = self.waiting();
            self.tell_messages(cx, waiting);
        }
    }

    /// Everything up to `seq` has arrived, as a new connection has told.
    pub(super) fn confirm(&mut self, cx: &mut Cx, seq: u64) {
        self.record.seq = self.record.seq.max(seq);
        let sealed = |pending: &Pending| pending.sealed.as_ref().map(|sealed| sealed.seq);
        while let Some(first) = self.record.outbox.first().and_then(sealed)
            && first <= seq
        {
            self.posted(cx, first);
        }
        self.store(cx);
    }

    pub(super) fn post_refused(&mut self, cx: &mut Cx, seq: u64, code: Option<ErrorCode>, wait: u64) {
        match code {
            Some(ErrorCode::RoomNotJoined) => self.lost(cx),
            _ if !self.waits(seq) => {}
            _ if wait > 0 => self.link.post_at = Some(Timestamp(cx.now.0 + wait)),
            // The sequence is used up: another copy of this browser's state has used it. What is shown
            // twice is known by its id.
            Some(ErrorCode::RoomReplayed) => {
                if let Some(first) = self.record.outbox.first_mut() {
                    first.sealed = None;
                    self.store(cx);
                }
            }
            _ => {
                // It would be refused again.
                if !self.record.outbox.is_empty() {
                    let failed = self.record.outbox.remove(0);
                    self.store(cx);
                    self.trouble = Some(FailureCode::Refused);
                    let id = rly_protocol::to_base64url(&failed.said.id);
                    let room = self.id().into();
                    cx.out
                        .updates
                        .push(rly_view::RoomUpdate::Removed { room, ids: vec![id] });
                }
            }
        }
    }
}
