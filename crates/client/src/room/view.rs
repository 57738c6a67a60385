//! What pages see of a room.

use super::{
    Room,
    record::{ContactStep, kind},
};
use rly_protocol::{Timestamp, to_base64url};
use rly_view::{
    MessageState, RoomContact, RoomContentView, RoomMessageView, RoomPersonView, RoomUpdate, RoomView,
};

/// A message, or a note, in its place.
pub(super) struct Shown {
    pub id: [u8; 16],
    pub from: u32,
    pub at: Timestamp,
    pub content: RoomContentView,
}

/// What waits is shown after all that has a place.
pub(super) const WAITING: u64 = 1 << 52;

impl Room {
    /// Everything but messages.
    pub fn view(&self) -> RoomView {
        let person = |(number, person): (&u32, &super::people::Person)| RoomPersonView {
            number: *number,
            name: person.name.clone(),
            name_number: person.name_number,
            here: person.here,
            contact: self.contact(&person.key),
        };
        RoomView {
            room: self.id().into(),
            phase: self.phase,
            limits: self.record.limits,
            closes_at: self.here(self.closes_at),
            ends_at: self.here(self.record.ends_at),
            you: self.people.you,
            name: self.record.name.clone(),
            retry_at: self.link.retry_at,
            creator: self.record.creator,
            people: self.people.by_number.iter().map(person).collect(),
            trouble: self.trouble,
        }
    }

    /// All messages, in order, with what waits at the end.
    pub fn messages(&self) -> Vec<RoomMessageView> {
        let placed = (self.shown.iter()).map(|(order, shown)| self.message(*order, shown));
        placed.chain(self.waiting()).collect()
    }

    fn contact(&self, key: &rly_protocol::PublicKey) -> RoomContact {
        let state = self.record.contacts.iter().find(|contact| contact.person == *key);
        match state.map(|contact| contact.step) {
            None | Some(ContactStep::None | ContactStep::Refused) => RoomContact::None,
            Some(ContactStep::Asked) => RoomContact::Asked,
            Some(ContactStep::AsksUs) => RoomContact::AsksYou,
            Some(ContactStep::Agreed) => RoomContact::Agreed,
            Some(ContactStep::Kept) => RoomContact::Kept,
        }
    }

    pub(super) fn message(&self, order: u64, shown: &Shown) -> RoomMessageView {
        let own = self.people.is_you(shown.from);
        let person = self.people.by_number.get(&shown.from);
        RoomMessageView {
            id: to_base64url(&shown.id),
            order,
            from: shown.from,
            name: person.map_or(String::new(), |person| person.name.clone()),
            name_number: person.map_or(1, |person| person.name_number),
            own,
            at: self.here(shown.at),
            content: shown.content.clone(),
            state: (own && matches!(shown.content, RoomContentView::Text { .. }))
                .then_some(MessageState::Sent),
        }
    }

    /// One's own messages that have no place yet.
    pub(super) fn waiting(&self) -> Vec<RoomMessageView> {
        let sent = self.sent.iter().map(|pending| (pending, MessageState::Sent));
        let outbox = self
            .record
            .outbox
            .iter()
            .map(|pending| (pending, MessageState::Sending));
        let texts = sent
            .chain(outbox)
            .filter(|(pending, _)| pending.said.kind == kind::TEXT);
        let you = self.people.you.unwrap_or(0);
        let person = self.people.by_number.get(&you);
        let message =
            |(n, (pending, state)): (usize, (&super::record::Pending, MessageState))| RoomMessageView {
                id: to_base64url(&pending.said.id),
                order: WAITING + n as u64,
                from: you,
                name: person.map_or(String::new(), |person| person.name.clone()),
                name_number: person.map_or(1, |person| person.name_number),
                own: true,
                at: pending.at,
                content: RoomContentView::Text {
                    text: String::from_utf8_lossy(&pending.said.content).into_owned(),
                },
                state: Some(state),
            };
        texts.enumerate().map(message).collect()
    }

    /// Tells pages of what is new at a place.
    pub(super) fn tell(&self, cx: &mut super::Cx, order: u64) {
        if let Some(shown) = self.shown.get(&order) {
            self.tell_messages(cx, vec![self.message(order, shown)]);
        }
    }

    pub(super) fn tell_messages(&self, cx: &mut super::Cx, new: Vec<RoomMessageView>) {
        if let Some(RoomUpdate::Messages { messages, .. }) = cx.out.updates.last_mut() {
            return messages.extend(new);
        }
        let room = self.id().into();
        cx.out.updates.push(RoomUpdate::Messages { room, messages: new });
    }
}
