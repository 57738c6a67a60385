//! What happens in a room, verified and put in its place.

use super::{
    Cx, Room,
    people::People,
    record::{Said, kind},
    view::Shown,
};
use rly_protocol::{
    Decode, Signature, Timestamp,
    limits::{ROOM_TEXT_CHARACTERS, TEXT_MAX},
    room::{RoomEvent, RoomPerson},
    to_base64url,
};
use rly_view::{RoomContentView, RoomPhase, RoomUpdate};

impl Room {
    /// The server has let us in. False: not as ourselves.
    pub(super) fn joined(
        &mut self,
        cx: &mut Cx,
        you: u32,
        seq: u64,
        head: u64,
        people: &[RoomPerson],
    ) -> bool {
        let before = core::mem::take(&mut self.people);
        for person in people {
            if !self.people.take(&self.keys, person) {
                continue;
            }
            // What was seen of them stays seen.
            let known = before
                .by_number
                .get(&person.number)
                .filter(|known| known.key == person.key);
            if let (Some(known), Some(now)) = (known, self.people.by_number.get_mut(&person.number)) {
                now.seq = known.seq;
            }
        }
        if self
            .people
            .by_number
            .get(&you)
            .is_none_or(|person| person.key != self.record.key)
        {
            self.people = before;
            return false;
        }
        self.people.you = Some(you);
        self.head = head;
        if head < self.place {
            // The server goes back: it is an older copy. Everything is read again.
            self.start_again(cx);
        }
        // Who has gone since, and what they said.
        let gone: Vec<u32> = (before.by_number.keys())
            .filter(|number| !self.people.by_number.contains_key(number))
            .copied()
            .collect();
        for number in gone {
            self.take_back(cx, number);
        }
        self.confirm(cx, seq);
        self.resume_contacts(cx);
        self.dirty = true;
        true
    }

    fn start_again(&mut self, cx: &mut Cx) {
        let ids = self.shown.values().map(|shown| to_base64url(&shown.id)).collect();
        self.shown.clear();
        self.place = 0;
        let room = self.id().into();
        cx.out.updates.push(RoomUpdate::Removed { room, ids });
    }

    pub(super) fn happened(&mut self, cx: &mut Cx, place: u64, at: Timestamp, event: RoomEvent) {
        if self.phase != RoomPhase::Inside || place <= self.place {
            return;
        }
        self.place = place;
        let new = place > self.head;
        // Between two places there is room for a note.
        let order = place.saturating_mul(2);
        match event {
            RoomEvent::Message {
                from,
                seq,
                body,
                signature,
            } => {
                self.active(at);
                self.said(cx, (order, at), (from, seq), &body, &signature);
            }
            RoomEvent::Joined { person } => {
                self.active(at);
                if new && !self.people.take(&self.keys, &person) {
                    return;
                }
                // Who has joined and gone is not told of.
                if self.people.by_number.contains_key(&person.number) {
                    self.show(
                        cx,
                        (order, at),
                        person.number,
                        note_id(order),
                        RoomContentView::Joined,
                    );
                }
            }
            RoomEvent::Back { number } if new => self.here_is(number, true),
            RoomEvent::Away { number } if new => self.here_is(number, false),
            RoomEvent::Back { .. } | RoomEvent::Away { .. } => {}
            RoomEvent::Deleted { number } => {
                self.take_back(cx, number);
                if !new {
                    return;
                }
                self.people.by_number.remove(&number);
                self.dirty = true;
                if self.people.is_you(number) {
                    // Another connection of ours has deleted everything.
                    self.people = People::default();
                    self.forget(cx, RoomPhase::Deleted);
                }
            }
        }
    }

    fn active(&mut self, at: Timestamp) {
        let closes = at
            .plus_seconds(self.record.limits.idle_seconds.into())
            .min(self.record.ends_at);
        if closes > self.closes_at {
            self.closes_at = closes;
            self.dirty = true;
        }
    }

    fn here_is(&mut self, number: u32, here: bool) {
        if let Some(person) = self.people.by_number.get_mut(&number) {
            person.here = here;
            self.dirty = true;
        }
    }

    fn said(
        &mut self,
        cx: &mut Cx,
        place: (u64, Timestamp),
        (from, seq): (u32, u64),
        body: &[u8],
        signature: &Signature,
    ) {
        // Nobody that we know: made up, or of somebody who has gone since.
        let Some(person) = self.people.by_number.get_mut(&from) else {
            return;
        };
        let fresh = person.seq.is_none_or(|before| seq > before);
        let plain = match self.keys.open_body(&person.key, seq, body, signature) {
            Ok(plain) if fresh => plain,
            _ => return self.show(cx, place, from, note_id(place.0), RoomContentView::Forged),
        };
        let missing = person.seq.map_or(0, |before| seq - before - 1);
        person.seq = Some(seq);
        let key = person.key;
        let Ok(said) = Said::from_bytes(&plain) else {
            return self.show(cx, place, from, note_id(place.0), RoomContentView::NeedsNewer);
        };
        if missing > 0 && !self.people.is_you(from) {
            let count = u32::try_from(missing).unwrap_or(u32::MAX);
            let before = (place.0 - 1, place.1);
            self.show(
                cx,
                before,
                from,
                note_id(before.0),
                RoomContentView::Missing { count },
            );
        }
        self.record
            .outbox
            .retain(|pending| pending.said.id != said.id || from != self.people.you.unwrap_or(0));
        self.sent.retain(|pending| pending.said.id != said.id);
        let content = match said.kind {
            kind::TEXT => self.text(&said.content),
            kind::ASK => return self.asked_for_contact(cx, key, &said),
            kind::LINK => return self.link_came(cx, key, &said),
            unknown if unknown < kind::HIDDEN => RoomContentView::NeedsNewer,
            _ => return,
        };
        // Said once, however often it was sent.
        let again = |shown: &Shown| shown.from == from && shown.id == said.id;
        if !self.shown.values().any(again) {
            self.show(cx, place, from, said.id, content);
        }
    }

    fn text(&self, content: &[u8]) -> RoomContentView {
        let text = String::from_utf8_lossy(&content[..content.len().min(TEXT_MAX)]).into_owned();
        if content.len() <= TEXT_MAX && (self.count)(&text) <= ROOM_TEXT_CHARACTERS {
            return RoomContentView::Text { text };
        }
        // So much that it fits however characters are counted.
        RoomContentView::TooLong {
            text: text.chars().take(ROOM_TEXT_CHARACTERS).collect(),
        }
    }

    fn show(
        &mut self,
        cx: &mut Cx,
        (place, at): (u64, Timestamp),
        from: u32,
        id: [u8; 16],
        content: RoomContentView,
    ) {
        self.shown.insert(
            place,
            Shown {
                id,
                from,
                at,
                content,
            },
        );
        self.tell(cx, place);
        while self.shown.len() > SHOWN {
            if let Some((_, old)) = self.shown.pop_first() {
                let room = self.id().into();
                let ids = vec![to_base64url(&old.id)];
                cx.out.updates.push(RoomUpdate::Removed { room, ids });
            }
        }
    }

    /// Forgets what somebody said.
    fn take_back(&mut self, cx: &mut Cx, number: u32) {
        let mut ids = Vec::new();
        self.shown.retain(|_, shown| {
            if shown.from == number {
                ids.push(to_base64url(&shown.id));
            }
            shown.from != number
        });
        if !ids.is_empty() {
            let room = self.id().into();
            cx.out.updates.push(RoomUpdate::Removed { room, ids });
        }
    }
}

/// Messages and notes that are shown at most.
const SHOWN: usize = 2_000;

/// What is no message of a person's has an id of its place.
fn note_id(place: u64) -> [u8; 16] {
    let mut id = *b"rly note\0\0\0\0\0\0\0\0";
    id[8..].copy_from_slice(&place.to_be_bytes());
    id
}
