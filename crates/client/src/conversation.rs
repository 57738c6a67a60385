//! One conversation: its contact, its routes with their MLS groups, and what is shown.

use crate::{
    context::Cx,
    inner::Inner,
    io::table,
    parse::start_of,
    record::{
        AskedRejoin, ContactRecord, ContentRecord, ConversationId, ConversationRecord, LastRecord,
        MessageRecord, OutRecord, Route, key, message_key, put, state_byte,
    },
};
use core::{cell::OnceCell, mem};
use rly_protocol::{QueueId, Timestamp, frame::Req, to_base64url};
use rly_view::{FromWorker, MessageState};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Ids of the latest messages and envelopes that are kept to know doubles.
const SEEN: u16 = 2048;

/// Groups of before that are remembered.
const FORMER: usize = 16;

/// The start of a hash: names bytes without keeping them.
pub(crate) fn short_hash(bytes: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&Sha256::digest(bytes)[..16]);
    short
}

/// Names a group.
pub(crate) fn group_tag(group_id: &[u8]) -> [u8; 16] {
    short_hash(group_id)
}

/// Ids seen lately, in a ring.
#[derive(Default)]
pub(crate) struct Seen {
    ring: BTreeMap<u16, [u8; 16]>,
    ids: BTreeSet<[u8; 16]>,
}

impl Seen {
    pub fn insert(&mut self, place: u16, id: [u8; 16]) {
        if let Some(old) = self.ring.insert(place, id) {
            self.ids.remove(&old);
        }
        self.ids.insert(id);
    }

    pub fn contains(&self, id: &[u8; 16]) -> bool {
        self.ids.contains(id)
    }
}

/// One conversation.
pub(crate) struct Conversation {
    pub id: ConversationId,
    pub contact: ContactRecord,
    pub local: ConversationRecord,
    pub groups: BTreeMap<[u8; 8], rly_crypto::Conversation>,
    pub outbox: BTreeMap<u64, OutRecord>,
    pub seen: Seen,
    pub held: BTreeMap<u64, Inner>,
    /// Since when something is held.
    pub held_since: Option<Timestamp>,
    /// The outbox row that the server is answering.
    pub in_flight: Option<(u64, Req)>,
    /// The server asked to wait until then.
    pub retry_at: Option<Timestamp>,
    pub receipt_due: bool,
    pub rejoin_due: bool,
    /// When the last re-join was asked for.
    pub rejoin_at: Option<Timestamp>,
    /// How often the contact asked for a re-join as well since ours was asked for, and when it did last.
    pub ties: u8,
    pub tied_at: Option<Timestamp>,
    /// Until when the contact's re-joins that were taken since this device started would have taken, each at
    /// its time.
    pub rejoins_taken_until: Option<Timestamp>,
    /// The contact's newest re-join that has to wait.
    pub asked: Option<AskedRejoin>,
    /// Made when it is first shown.
    pub safety_code: OnceCell<String>,
    pub contact_dirty: bool,
    pub local_dirty: bool,
    /// Messages changed in this batch, by order.
    changed: BTreeMap<u64, MessageRecord>,
}

impl Conversation {
    pub fn load(id: ConversationId, contact: ContactRecord, local: ConversationRecord) -> Self {
        Self {
            id,
            contact,
            local,
            groups: BTreeMap::new(),
            outbox: BTreeMap::new(),
            seen: Seen::default(),
            held: BTreeMap::new(),
            held_since: None,
            in_flight: None,
            retry_at: None,
            receipt_due: false,
            rejoin_due: false,
            rejoin_at: None,
            ties: 0,
            tied_at: None,
            rejoins_taken_until: None,
            asked: None,
            safety_code: OnceCell::new(),
            contact_dirty: false,
            local_dirty: false,
            changed: BTreeMap::new(),
        }
    }

    /// A conversation that has just begun, or was found in the vault.
    pub fn new(cx: &mut Cx, id: ConversationId, contact: ContactRecord) -> Self {
        let local = ConversationRecord {
            active: 0,
            groups: vec![None; contact.routes.len()],
            rejoin: None,
            former: Vec::new(),
            in_stream: [0; 8],
            in_seq: 0,
            in_hash: [0; 32],
            missing: Vec::new(),
            out_stream: cx.random(),
            out_seq: 0,
            out_hash: [0; 32],
            receipted: 0,
            since_update: 0,
            updated_at: cx.now,
            next_order: 1,
            next_out: 1,
            next_seen: 0,
            unread: 0,
            active_at: contact.created_at,
            last: None,
            gone: false,
        };
        let mut conversation = Self::load(id, contact, local);
        conversation.contact_dirty = true;
        conversation.local_dirty = true;
        conversation
    }

    /// The machine starts with this conversation as it was stored.
    pub fn started(&mut self, now: Timestamp) {
        self.held_since = (!self.held.is_empty()).then_some(now);
        self.receipt_due = self.local.receipted < self.local.in_seq;
    }

    pub fn clock_set_back(&mut self, now: Timestamp) {
        if let Some(pending) = &mut self.local.rejoin {
            self.local_dirty |= pending.asked_at > now;
            pending.asked_at = pending.asked_at.min(now);
        }
        for at in [
            &mut self.retry_at,
            &mut self.held_since,
            &mut self.rejoin_at,
            &mut self.rejoins_taken_until,
        ] {
            *at = at.map(|at| at.min(now));
        }
    }

    pub fn route_of(&self, queue: &QueueId) -> Option<usize> {
        self.contact.routes.iter().position(|route| route.queue == *queue)
    }

    pub fn active_route(&self) -> Option<&Route> {
        self.contact.routes.get(usize::from(self.local.active))
    }

    pub fn group_of(&mut self, route: usize) -> Option<&mut rly_crypto::Conversation> {
        let tag = (*self.local.groups.get(route)?)?;
        self.groups.get_mut(&tag)
    }

    /// Whether messages can be encrypted now.
    pub fn is_ready(&self) -> bool {
        !self.contact.blocked
            && self
                .local
                .groups
                .get(usize::from(self.local.active))
                .is_some_and(|tag| tag.is_some())
    }

    /// Adds a way to the contact. Written to is the way whose group id is lowest, so that both
    /// sides choose the same one when each has opened a link of the other.
    pub fn add_route(&mut self, cx: &mut Cx, route: Route, group: rly_crypto::Conversation) {
        let index = self.contact.routes.len();
        self.contact.routes.push(route);
        self.local.groups.push(None);
        self.set_group(cx, index, group);
        let lowest = (0..self.contact.routes.len())
            .filter_map(|route| self.group_of(route).map(|group| (group.group_id(), route)))
            .min();
        self.local.active = lowest.map_or(0, |(_, route)| route) as u16;
        self.contact_dirty = true;
    }

    /// Takes over what another device, or this one in another state, has stored of the contact.
    pub fn merge_contact(&mut self, cx: &mut Cx, other: ContactRecord) {
        for route in 0..self.contact.routes.len() {
            self.drop_group(cx, route);
        }
        let own = &self.contact;
        let mut routes = other.routes;
        routes.extend(
            own.routes
                .iter()
                .filter(|route| routes.iter().all(|r| r.queue != route.queue))
                .cloned()
                .collect::<Vec<_>>(),
        );
        self.contact = ContactRecord {
            blocked: own.blocked || other.blocked,
            rejoin_seen: own.rejoin_seen.max(other.rejoin_seen),
            rejoin_sent: own.rejoin_sent.max(other.rejoin_sent),
            routes,
            ..other
        };
        self.local.groups = vec![None; self.contact.routes.len()];
        self.local.active = 0;
        self.contact_dirty = true;
        self.local_dirty = true;
    }

    /// Gives a route its group; the one it had is forgotten.
    pub fn set_group(&mut self, cx: &mut Cx, route: usize, group: rly_crypto::Conversation) {
        self.drop_group(cx, route);
        let tag = cx.random();
        self.groups.insert(tag, group);
        if let Some(place) = self.local.groups.get_mut(route) {
            *place = Some(tag);
        }
        self.local.since_update = 0;
        self.local.updated_at = cx.now;
        self.local_dirty = true;
    }

    pub fn drop_group(&mut self, cx: &mut Cx, route: usize) {
        let Some(tag) = self.local.groups.get_mut(route).and_then(Option::take) else {
            return;
        };
        if let Some(group) = self.groups.remove(&tag) {
            self.local.former.push(group_tag(&group.group_id()));
            let surplus = self.local.former.len().saturating_sub(FORMER);
            self.local.former.drain(..surplus);
        }
        cx.out.changes.delete_prefix(key(table::MLS, &[&self.id, &tag]));
        self.local_dirty = true;
    }

    /// Notes an id; false if it was noted before.
    pub fn note_seen(&mut self, cx: &mut Cx, id: [u8; 16]) -> bool {
        if self.seen.contains(&id) {
            return false;
        }
        let place = self.local.next_seen;
        self.seen.insert(place, id);
        put(
            &mut cx.out.changes,
            key(table::SEEN, &[&self.id, &place.to_be_bytes()]),
            &id,
        );
        self.local.next_seen = (place + 1) % SEEN;
        self.local_dirty = true;
        true
    }

    /// Adds a message or note at the end.
    pub fn add_message(
        &mut self,
        at: Timestamp,
        id: [u8; 16],
        own: bool,
        content: ContentRecord,
        state: Option<MessageState>,
    ) -> u64 {
        let order = self.local.next_order;
        self.local.next_order += 1;
        if let ContentRecord::Text { text } = &content {
            self.local.last = Some(LastRecord {
                text: start_of(text),
                own,
            });
        }
        if !own && matches!(content, ContentRecord::Text { .. } | ContentRecord::NeedsNewer) {
            self.local.unread = self.local.unread.saturating_add(1);
        }
        self.changed.insert(
            order,
            MessageRecord {
                id,
                own,
                at,
                content,
                state: state_byte(state),
            },
        );
        self.local_dirty = true;
        order
    }

    pub fn add_note(&mut self, cx: &mut Cx, content: ContentRecord) {
        let id = cx.random();
        self.add_message(cx.now, id, false, content, None);
    }

    /// Shows an own text in another state.
    pub fn show_state(&mut self, order: u64, id: [u8; 16], at: Timestamp, text: &str, state: MessageState) {
        let content = ContentRecord::Text {
            text: text.to_owned(),
        };
        self.changed.insert(
            order,
            MessageRecord {
                id,
                own: true,
                at,
                content,
                state: state_byte(Some(state)),
            },
        );
    }

    pub fn mark_read(&mut self) {
        if self.local.unread != 0 {
            self.local.unread = 0;
            self.local_dirty = true;
        }
    }

    pub fn set_verified(&mut self, verified: bool) {
        self.contact.verified = verified;
        self.contact_dirty = true;
    }

    /// Writes an outbox row.
    pub fn put_out(&mut self, cx: &mut Cx, n: u64, row: OutRecord) {
        put(&mut cx.out.changes, self.out_key(n), &row);
        self.outbox.insert(n, row);
    }

    pub fn delete_out(&mut self, cx: &mut Cx, n: u64) {
        if self.outbox.remove(&n).is_some() {
            cx.out.changes.delete(self.out_key(n));
        }
    }

    fn out_key(&self, n: u64) -> Vec<u8> {
        key(table::OUTBOX, &[&self.id, &n.to_be_bytes()])
    }

    /// Puts what changed into the batch. True if the state view changed.
    pub fn save(&mut self, cx: &mut Cx) -> bool {
        let dirty = self.contact_dirty || self.local_dirty || !self.changed.is_empty();
        if mem::take(&mut self.contact_dirty) {
            put(
                &mut cx.out.changes,
                key(table::CONTACTS, &[&self.id]),
                &self.contact,
            );
        }
        if mem::take(&mut self.local_dirty) {
            put(
                &mut cx.out.changes,
                key(table::CONVERSATIONS, &[&self.id]),
                &self.local,
            );
        }
        for (tag, group) in &mut self.groups {
            for (row, value) in group.take_changes() {
                let key = key(table::MLS, &[&self.id, tag, &row]);
                match value {
                    Some(value) => cx.out.changes.put(key, value),
                    None => cx.out.changes.delete(key),
                }
            }
        }
        let changed = mem::take(&mut self.changed);
        if !changed.is_empty() {
            let messages = changed
                .iter()
                .map(|(order, record)| record.to_view(*order))
                .collect();
            for (order, record) in &changed {
                put(&mut cx.out.changes, message_key(&self.id, *order), record);
            }
            let conversation = to_base64url(&self.id);
            cx.out.updates.push(FromWorker::Messages {
                conversation,
                messages,
            });
        }
        dirty
    }
}
