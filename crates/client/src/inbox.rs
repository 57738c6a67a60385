//! Receiving: from an envelope to a message in its place.

use crate::{
    context::{Cx, SimState},
    conversation::{Conversation, group_tag, short_hash},
    envelope::Parcel,
    inner::{self, Inner, Missing, Receipt},
    io::table,
    machine::Machine,
    record::{Cargo, ContentRecord, key, put},
};
use bytes::Bytes;
use rly_crypto::{MlsError, Received};
use rly_protocol::{
    Decode, DecodeError, PublicKey, QueueId, Timestamp,
    frame::{Kind, Notice},
};
use rly_view::{card::SignedCard, name};

/// Messages that may wait for an earlier one,
const HELD_MAX: usize = 64;
/// and how long, in seconds, before the gap is shown.
const HELD_SECONDS: u64 = 10;
/// Stretches of missing messages that are told apart.
const MISSING: usize = 32;

impl Conversation {
    /// Takes an envelope from one of the routes' mailboxes.
    pub fn receive(&mut self, cx: &mut Cx, me: &SimState, route: usize, body: &[u8]) {
        let Some(own_route) = self.contact.routes.get(route).filter(|_| !self.contact.blocked) else {
            return;
        };
        // Not sealed with our outer key: not from anybody who has our card.
        let Ok(plain) = own_route.own_outer_key().open(body) else {
            return;
        };
        // A sender repeats the same bytes, and nobody else can make any: known by their hash, a
        // repetition stays one under whatever id it is delivered.
        if !self.note_seen(cx, short_hash(body)) {
            return;
        }
        if core::mem::take(&mut self.local.gone) {
            self.local_dirty = true;
        }
        match Parcel::from_bytes(&plain) {
            Ok(Parcel::Message { message }) => self.receive_mls(cx, route, &message),
            Ok(Parcel::Rejoin {
                number,
                sim_key,
                key_package,
                signature,
            }) => {
                self.receive_rejoin(cx, me, route, number, &sim_key, &key_package, &signature);
            }
            Ok(Parcel::Welcome { number, welcome }) => self.receive_welcome(cx, me, route, number, &welcome),
            // The route exists: its Join was taken. This one is a repetition, or of somebody else who
            // has seen the same card.
            Ok(Parcel::Join { card, .. }) => {
                if sender_of(&card) != Some(self.contact.sim_key) {
                    self.add_note(cx, ContentRecord::Unreadable);
                }
            }
            Err(DecodeError::Invalid) => self.add_newer(cx),
            Err(_) => self.add_note(cx, ContentRecord::Unreadable),
        }
    }

    fn add_newer(&mut self, cx: &mut Cx) {
        let id = cx.random();
        self.add_message(cx.now, id, false, ContentRecord::NeedsNewer, None);
    }

    fn receive_mls(&mut self, cx: &mut Cx, route: usize, message: &[u8]) {
        // Without a group the Welcome is still to come; the sender keeps what had no receipt. Where
        // it writes for long without having sent one, the re-join or its answer was lost.
        let Some(group) = self.group_of(route) else {
            return self.renew_rejoin(cx.now);
        };
        let received = group.process(message);
        if received.is_ok() {
            self.heard(cx);
        }
        match received {
            Ok(Received::Message(plain)) => self.receive_plain(cx, &plain),
            Ok(Received::Commit) => {}
            // A message of a group before a re-join: what had no receipt comes again in the new one.
            Err(MlsError::OtherGroup) if self.is_former(message) => {}
            Err(MlsError::Refused | MlsError::WrongMember) => self.add_note(cx, ContentRecord::Unreadable),
            Err(_) => {
                // The two ends no longer share a state: an old profile was put back, or somebody
                // interfered. Say so and make a new group; nothing without a receipt is lost.
                self.add_note(cx, ContentRecord::Unreadable);
                self.rejoin_due = true;
            }
        }
    }

    /// Takes an MLS plaintext.
    pub fn receive_plain(&mut self, cx: &mut Cx, plain: &[u8]) {
        let Some(message) = Inner::parse(plain) else {
            return self.add_newer(cx);
        };
        match message.kind {
            inner::RECEIPT => {
                if let Ok(receipt) = Receipt::from_bytes(&message.body) {
                    self.receipt(cx, &receipt);
                }
            }
            inner::NAME => {
                if let Some(name) = message.text() {
                    self.rename(cx, name::cleaned(&name));
                }
            }
            _ if message.is_numbered() => self.receive_numbered(cx, message),
            _ => {}
        }
    }

    /// The contact goes by another name. It is said where they write: nobody becomes somebody else unseen.
    fn rename(&mut self, cx: &mut Cx, name: String) {
        if name == self.contact.name {
            return;
        }
        let from = core::mem::replace(&mut self.contact.name, name.clone());
        self.contact_dirty = true;
        self.add_note(cx, ContentRecord::Renamed { from, to: name });
    }

    fn receive_numbered(&mut self, cx: &mut Cx, message: Inner) {
        if message.stream != self.local.in_stream {
            // A new stream: the sender made a new group, or sends everything once more.
            self.release_held(cx);
            self.local.in_stream = message.stream;
            (self.local.in_seq, self.local.in_hash) = (0, [0; 32]);
            self.local.missing.clear();
            self.local_dirty = true;
        }
        self.receipt_due = true;
        if message.seq <= self.local.in_seq {
            return self.take_late(cx, message);
        }
        if message.seq == self.local.in_seq + 1 {
            self.take_in(cx, message);
            self.take_held(cx);
        } else {
            put(&mut cx.out.changes, self.held_key(message.seq), &message);
            self.held.insert(message.seq, message);
            self.held_since.get_or_insert(cx.now);
            if self.held.len() > HELD_MAX {
                self.release_held(cx);
            }
        }
    }

    fn held_key(&self, seq: u64) -> Vec<u8> {
        key(table::HELD, &[&self.id, &seq.to_be_bytes()])
    }

    /// The next message of the stream.
    fn take_in(&mut self, cx: &mut Cx, message: Inner) {
        if message.previous != self.local.in_hash {
            self.add_note(cx, ContentRecord::Fork);
            // The sender runs in an old state: in places before this it has said something else than what came.
            // It sends again what it does not know to be here; the rest is known by its id.
            self.local.missing.clear();
            if message.seq > 1 {
                self.note_missing(1, message.seq - 1);
            }
        }
        (self.local.in_seq, self.local.in_hash) = (message.seq, message.hash());
        self.local_dirty = true;
        self.show(cx, message);
    }

    fn show(&mut self, cx: &mut Cx, message: Inner) {
        if self.note_seen(cx, message.id) {
            let content = match message.text() {
                Some(text) => ContentRecord::Text { text },
                None => ContentRecord::NeedsNewer,
            };
            self.add_message(message.at, message.id, false, content, None);
            self.local.active_at = cx.now;
        }
    }

    /// A message whose gap is shown already: better late than never.
    fn take_late(&mut self, cx: &mut Cx, message: Inner) {
        let Some(at) = self.local.missing.iter().position(|m| m.contains(message.seq)) else {
            // The place is taken. By something else: the sender runs in an old state.
            if !self.seen.contains(&message.id) {
                self.add_note(cx, ContentRecord::Fork);
                self.show(cx, message);
            }
            return;
        };
        let gap = self.local.missing.remove(at);
        let rest = [
            Missing {
                first: gap.first,
                last: message.seq - 1,
            },
            Missing {
                first: message.seq + 1,
                last: gap.last,
            },
        ];
        for rest in rest.into_iter().rev().filter(|rest| rest.first <= rest.last) {
            self.local.missing.insert(at, rest);
        }
        self.local_dirty = true;
        self.show(cx, message);
    }

    /// Notes what was waited for in vain, for the receipts. Of very many stretches the first become
    /// one: what is sent again without need is known by its id.
    fn note_missing(&mut self, first: u64, last: u64) {
        let missing = &mut self.local.missing;
        missing.push(Missing { first, last });
        if missing.len() > MISSING {
            let first = missing.remove(0);
            if let Some(second) = missing.first_mut() {
                second.first = first.first;
            }
        }
        self.receipt_due = true;
    }

    fn take_held(&mut self, cx: &mut Cx) {
        // A number is the contact's choice: after the last one there is none.
        while let Some(message) = (self.local.in_seq.checked_add(1)).and_then(|next| self.held.remove(&next))
        {
            cx.out.changes.delete(self.held_key(message.seq));
            self.take_in(cx, message);
        }
        if self.held.is_empty() {
            self.held_since = None;
        }
    }

    /// What was waited for does not come: show the gap and go on.
    pub fn release_held(&mut self, cx: &mut Cx) {
        while let Some((seq, previous)) = self
            .held
            .first_key_value()
            .map(|(seq, message)| (*seq, message.previous))
        {
            let missing = seq.saturating_sub(self.local.in_seq.saturating_add(1));
            if missing > 0 {
                self.add_note(
                    cx,
                    ContentRecord::Gap {
                        missing: u32::try_from(missing).unwrap_or(u32::MAX),
                    },
                );
                self.note_missing(self.local.in_seq + 1, seq - 1);
                (self.local.in_seq, self.local.in_hash) = (seq - 1, previous);
            }
            self.take_held(cx);
        }
        self.held_since = None;
    }

    /// The contact has our group: what answered its link is not needed any more.
    pub fn heard(&mut self, cx: &mut Cx) {
        let joins: Vec<u64> = self
            .outbox
            .iter()
            .filter(|(_, row)| row.join)
            .map(|(n, _)| *n)
            .collect();
        for n in joins {
            let Some(mut row) = self.outbox.get(&n).cloned() else {
                continue;
            };
            match &row.cargo {
                Cargo::Control { .. } => self.delete_out(cx, n),
                // The server has it, or it was given up: from here on a text like any other.
                Cargo::Text { failed, .. } => {
                    if *failed || row.sent_at.is_some() {
                        row.sealed = None;
                    }
                    row.join = false;
                    self.put_out(cx, n, row);
                }
            }
        }
    }

    fn is_former(&self, message: &[u8]) -> bool {
        rly_crypto::group_of_message(message).is_some_and(|id| self.local.former.contains(&group_tag(&id)))
    }

    /// When the waiting for an earlier message ends.
    pub fn held_due(&self) -> Option<Timestamp> {
        self.held_since.map(|since| since.plus_seconds(HELD_SECONDS))
    }
}

/// Whose card it is; `None` if it is nobody's.
fn sender_of(card: &[u8]) -> Option<PublicKey> {
    let signed = SignedCard::from_bytes(card).ok()?;
    Some(rly_crypto::verify_card(&signed).ok()?.sim_key)
}

impl Machine {
    /// An envelope or notice was delivered. It is acknowledged with this batch, once it is stored.
    pub(crate) fn delivered(&mut self, cx: &mut Cx, queue: QueueId, kind: Kind, body: &Bytes) {
        self.state_dirty = true;
        if kind == Kind::Notice {
            if let Ok(Notice::InviteOpened { invite, at }) = Notice::from_bytes(body) {
                self.invite_opened(cx, invite, at);
            }
            return;
        }
        let Some(me) = &self.sim else { return };
        let owner = self
            .conversations
            .values_mut()
            .find_map(|c| c.route_of(&queue).map(|route| (route, c)));
        match owner {
            Some((route, conversation)) => conversation.receive(cx, me, route, body),
            None => self.receive_join(cx, &queue, body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{io::Output, record::ContactRecord};
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
    use rly_protocol::Encode;

    #[test]
    fn a_contact_gets_no_name_that_misleads() {
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        let sim_key = rly_crypto::Sim::generate(rng).public_key();
        let mut out = Output::default();
        let cx = &mut Cx {
            now: Timestamp(1),
            rng,
            out: &mut out,
        };
        let contact = ContactRecord {
            sim_key,
            name: "Ada".into(),
            own_name: "Bob".into(),
            routes: Vec::new(),
            created_at: cx.now,
            verified: false,
            blocked: false,
            rejoin_seen: 0,
            rejoin_sent: 0,
            began_with: None,
        };
        let mut conversation = Conversation::new(cx, [1; 16], contact);
        for (name, shown) in [
            ("boB \u{202e}", "boB"),
            ("\u{200b}", name::UNNAMED),
            ("A\nd\u{7}a", "Ada"),
        ] {
            let message = conversation.unnumbered(cx, inner::NAME, name.as_bytes().to_vec());
            conversation.receive_plain(cx, &message.to_bytes());
            assert_eq!(conversation.contact.name, shown);
        }
    }
}
