//! The vault: what a new device needs, kept on the server, sealed, slot by slot.
//!
//! Every write names the generation it expects and carries the head: which device writes, how
//! often it has, and a fresh token. A write that meets another generation means that somebody else
//! wrote: this SIM on another device (then nothing more is sent from here), this device itself (an
//! answer was lost), or this device in a later state than the one that runs (an old profile was
//! put back: the groups' states are in doubt, and every conversation re-joins).

use crate::{
    connection::{LinkState, Purpose},
    context::Cx,
    conversation::Conversation,
    io::{Effect, table},
    machine::Machine,
    record::{
        ContactRecord, ConversationId, DeletedRecord, Head, InviteRecord, Profile, SlotContent, SlotRecord,
        VaultItem, VaultLetter, key, put,
    },
};
use bytes::Bytes;
use core::mem;
use rly_crypto::{VaultKey, vault_id};
use rly_protocol::{
    Decode, Encode, QueueId, Timestamp,
    frame::{ClientFrame, VaultEntry},
    limits::{VAULT_BYTES, VAULT_ENTRIES, VAULT_SLOTS},
};
use rly_view::name;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// The head's slot.
const HEAD: u32 = 0;
/// Tokens of unanswered writes that are remembered.
const PENDING_MAX: usize = 16;
/// Bytes of one write at most.
const WRITE_BYTES: usize = 180 << 10;
/// Deleted things that are remembered; the ones deleted first are forgotten first.
const DELETED: usize = 2_000;

/// How long a full vault is left alone, in seconds; doubled each time,
const FULL_SECONDS: u64 = 60;
/// up to this.
const FULL_MAX_SECONDS: u64 = 3600;
/// What the head takes of the vault's bytes at most.
const HEAD_BYTES: u64 = 1024;
/// How many things a vault holds beside its head.
const SLOTS: usize = VAULT_SLOTS as usize - 1;

/// What a slot is to hold, and its plaintext.
type Content = (SlotRecord, Vec<u8>);

/// What is known of the vault.
#[derive(Default)]
pub(crate) struct VaultState {
    /// What each slot holds, as far as the server has confirmed.
    pub slots: BTreeMap<u32, SlotRecord>,
    /// Something may have to be written.
    pub dirty: bool,
    /// Pages read so far.
    reading: Vec<VaultEntry>,
    /// What the write under way puts into slots; `None` empties one.
    writing: Option<Vec<(u32, Option<SlotRecord>)>>,
    /// A write was refused for now; wait with the next one until then.
    pub retry_at: Option<Timestamp>,
    /// How often in a row the server said that the vault is full.
    full: u32,
    /// Something is not written because it does not fit.
    left_out: bool,
    /// What pages were told last of [`VaultState::current`] and [`VaultState::is_full`].
    told: (bool, bool),
}

impl VaultState {
    /// The server has confirmed all that belongs into the vault.
    pub fn current(&self) -> bool {
        !self.dirty && self.writing.is_none() && !self.left_out
    }

    /// Some of what belongs into the vault does not fit.
    pub fn is_full(&self) -> bool {
        self.left_out || self.full > 0
    }

    pub fn forget_requests(&mut self) {
        self.reading.clear();
        self.dirty |= self.writing.take().is_some();
    }

    /// Keeps a page that was read. False if it does not go on where the last one ended, or if all
    /// of it is more than a vault can hold: a server could go on for ever.
    fn keep_page(&mut self, entries: Vec<VaultEntry>) -> bool {
        self.reading.extend(entries);
        let bytes: usize = self.reading.iter().map(|entry| entry.blob.len()).sum();
        self.reading.is_sorted_by(|a, b| a.slot < b.slot)
            && self.reading.last().is_none_or(|last| last.slot <= VAULT_SLOTS)
            && bytes as u64 <= VAULT_BYTES
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

impl Machine {
    pub(crate) fn vault_queue(&self) -> Option<QueueId> {
        self.sim
            .as_ref()
            .map(|me| vault_id(&me.sim.vault_reader_key().public_key()))
    }

    /// All that belongs into the vault, what matters most first: of links and letters the newest.
    fn vault_items(&self) -> Vec<(VaultItem, Vec<u8>)> {
        let mut items = Vec::new();
        if let Some(me) = &self.sim {
            let name = me.record.name.clone();
            items.push((VaultItem::Profile, Profile { name }.to_bytes()));
        }
        for (id, conversation) in &self.conversations {
            items.push((VaultItem::Contact { id: *id }, conversation.contact.to_bytes()));
        }
        for (id, deleted) in &self.deleted {
            items.push((VaultItem::Deleted { id: *id }, deleted.to_bytes()));
        }
        let mut dated = Vec::new();
        for (id, invite) in &self.invites {
            dated.push((
                invite.created_at,
                VaultItem::Invite { id: *id },
                invite.to_bytes(),
            ));
        }
        for (id, kept) in &self.letters {
            if let Some(letter) = kept.for_vault() {
                let at = kept.letter.opened_at;
                dated.push((at, VaultItem::Letter { id: *id }, letter.to_bytes()));
            }
        }
        dated.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        items.extend(dated.into_iter().map(|(_, item, bytes)| (item, bytes)));
        items
    }

    /// What fits into the vault, with the bytes of each slot, and whether that is all.
    fn vault_contents(&self) -> (BTreeMap<VaultItem, Vec<u8>>, bool) {
        let mut contents = BTreeMap::new();
        let mut room = VAULT_BYTES.saturating_sub(HEAD_BYTES);
        let mut all = true;
        for (item, bytes) in self.vault_items() {
            let bytes = bytes.into();
            let content = SlotContent { item, bytes }.to_bytes();
            let size = VaultKey::sealed_len(content.len()).map(|size| size as u64);
            match size.and_then(|size| room.checked_sub(size)) {
                Some(left) if contents.len() < SLOTS => {
                    room = left;
                    contents.insert(item, content);
                }
                _ => all = false,
            }
        }
        (contents, all)
    }

    /// Remembers that something was deleted, so that it does not come back from another device of
    /// this SIM, nor from an old state of the vault.
    pub(crate) fn note_deleted(&mut self, cx: &mut Cx, id: [u8; 16]) {
        let record = DeletedRecord { at: cx.now };
        self.put_deleted(cx, id, record);
        self.vault.dirty = true;
        if self.vault.full > 0 {
            // There may be room again.
            self.vault.retry_at = None;
        }
    }

    fn put_deleted(&mut self, cx: &mut Cx, id: [u8; 16], record: DeletedRecord) {
        put(&mut cx.out.changes, key(table::DELETED, &[&id]), &record);
        self.deleted.insert(id, record);
        if self.deleted.len() > DELETED {
            let oldest = self.deleted.iter().min_by_key(|(_, record)| record.at);
            if let Some(id) = oldest.map(|(id, _)| *id) {
                self.deleted.remove(&id);
                cx.out.changes.delete(key(table::DELETED, &[&id]));
            }
        }
    }

    /// Writes what differs, if the vault is open and no write is under way, and tells pages how it
    /// stands.
    pub(crate) fn flush_vault(&mut self, cx: &mut Cx) {
        self.vault.retry_at = self.vault.retry_at.filter(|at| *at > cx.now);
        let waiting = self.vault.retry_at.is_some();
        if self.link.state == LinkState::Online
            && self.vault.dirty
            && self.vault.writing.is_none()
            && !waiting
        {
            self.write_vault(cx, false);
        }
        let state = (self.vault.current(), self.vault.is_full());
        self.state_dirty |= mem::replace(&mut self.vault.told, state) != state;
    }

    /// The slots that are to hold something else than the server has confirmed, and what: first those
    /// that become empty.
    fn vault_changes(&mut self) -> Vec<(u32, Option<Content>)> {
        let (items, all) = self.vault_contents();
        self.vault.left_out = !all;
        let mut places: BTreeMap<VaultItem, u32> = BTreeMap::new();
        let mut changes = Vec::new();
        for (slot, record) in &self.vault.slots {
            places.insert(record.item, *slot);
            if !items.contains_key(&record.item) {
                changes.push((*slot, None));
            }
        }
        let mut free = (HEAD + 1..VAULT_SLOTS).filter(|slot| !self.vault.slots.contains_key(slot));
        for (item, content) in items {
            let hash = hash(&content);
            let slot = match places.get(&item) {
                Some(slot) if self.vault.slots.get(slot).is_some_and(|known| known.hash == hash) => continue,
                Some(slot) => *slot,
                None => match free.next() {
                    Some(slot) => slot,
                    // Until the server has confirmed those that become empty.
                    None => break,
                },
            };
            changes.push((slot, Some((SlotRecord { item, hash }, content))));
        }
        changes
    }

    /// After loading: whether something was not written the last time.
    pub(crate) fn check_vault(&mut self) {
        self.vault.dirty = !self.vault_changes().is_empty();
    }

    /// Starts a write: the head and as much of what differs as fits. With `always` the head is
    /// written even if nothing differs; alone, where the server said that the vault is full: who
    /// uses the SIM does not depend on room.
    pub(crate) fn write_vault(&mut self, cx: &mut Cx, always: bool) {
        let Some(queue) = self.vault_queue() else { return };
        let mut changes = self.vault_changes();
        self.vault.dirty = false;
        if changes.is_empty() {
            self.vault.full = 0;
        }
        if always && self.vault.full > 0 {
            self.vault.dirty = !changes.is_empty();
            changes.clear();
        }
        if changes.is_empty() && !always {
            return;
        }
        let Some(me) = &mut self.sim else { return };
        let vault_key = me.sim.vault_key();
        let token = cx.random();
        me.record.counter += 1;
        me.record.pending.push(token);
        let surplus = me.record.pending.len().saturating_sub(PENDING_MAX);
        me.record.pending.drain(..surplus);
        let head = Head {
            device: me.record.device,
            counter: me.record.counter,
            token,
        };
        let expected = me.record.generation;
        let mut writing = Vec::new();
        let mut entries = Vec::new();
        let mut size = 0;
        if let Ok(blob) = vault_key.seal(HEAD, &head.to_bytes(), cx.rng) {
            entries.push(VaultEntry {
                slot: HEAD,
                blob: blob.into(),
            });
        }
        for (slot, content) in changes {
            if entries.len() == VAULT_ENTRIES || size > WRITE_BYTES {
                self.vault.dirty = true;
                break;
            }
            let (record, blob) = match content {
                None => (None, Bytes::new()),
                Some((record, content)) => match vault_key.seal(slot, &content, cx.rng) {
                    Ok(blob) => (Some(record), blob.into()),
                    Err(_) => continue,
                },
            };
            size += blob.len();
            entries.push(VaultEntry { slot, blob });
            writing.push((slot, record));
        }
        self.vault.writing = Some(writing);
        self.save_sim(cx);
        self.request(cx, Purpose::VaultWrite, |req| ClientFrame::VaultWrite {
            req,
            queue,
            expected,
            entries,
        });
    }

    /// A write was confirmed.
    pub(crate) fn vault_written(&mut self, cx: &mut Cx, generation: u64) {
        let written = self.vault.writing.take().unwrap_or_default();
        if !written.is_empty() || !self.vault.dirty {
            self.vault.full = 0;
        }
        for (slot, record) in written {
            self.set_slot(cx, slot, record);
        }
        if let Some(me) = &mut self.sim {
            me.record.generation = generation;
            me.record.pending.clear();
            // Not before: the device that this one takes over from may write meanwhile, and the vault is
            // then read once more, as it was the first time.
            self.state_dirty |= mem::take(&mut me.record.restoring);
        }
        self.save_sim(cx);
    }

    fn set_slot(&mut self, cx: &mut Cx, slot: u32, record: Option<SlotRecord>) {
        let row = key(table::VAULT, &[&slot.to_be_bytes()]);
        match record {
            Some(record) => {
                put(&mut cx.out.changes, row, &record);
                self.vault.slots.insert(slot, record);
            }
            None => {
                cx.out.changes.delete(row);
                self.vault.slots.remove(&slot);
            }
        }
    }

    /// A write was refused.
    pub(crate) fn vault_refused(&mut self) {
        self.vault.writing = None;
        self.vault.dirty = true;
    }

    /// The server says that the vault is full. False if not even the head was taken: then there is
    /// nothing more to leave out.
    pub(crate) fn vault_full(&mut self, cx: &mut Cx) -> bool {
        let head_alone = self.vault.writing.as_ref().is_none_or(Vec::is_empty);
        self.vault_refused();
        let wait = FULL_SECONDS << self.vault.full.min(6);
        self.vault.full = self.vault.full.saturating_add(1);
        self.vault.retry_at = Some(cx.now.plus_seconds(wait.min(FULL_MAX_SECONDS)));
        if self.link.state == LinkState::Claiming && !head_alone {
            self.write_vault(cx, true);
        }
        !head_alone || self.link.state == LinkState::Online
    }

    /// Begins to read the whole vault.
    pub(crate) fn read_vault(&mut self, cx: &mut Cx, from: u32) {
        if from == 0 {
            self.vault.reading.clear();
        }
        let Some(queue) = self.vault_queue() else { return };
        self.request(cx, Purpose::VaultRead, |req| ClientFrame::VaultRead {
            req,
            queue,
            from,
        });
    }

    /// A page was read. After the last one it is decided who uses the SIM.
    pub(crate) fn vault_page(&mut self, cx: &mut Cx, generation: u64, entries: Vec<VaultEntry>, more: bool) {
        let next = entries.last().and_then(|entry| entry.slot.checked_add(1));
        if !self.vault.keep_page(entries) {
            // Not our protocol. Another try may meet another server.
            cx.out.effects.push(Effect::CloseSocket);
            return self.wait_and_retry(cx, None);
        }
        if let (true, Some(next)) = (more, next) {
            return self.read_vault(cx, next);
        }
        let read = mem::take(&mut self.vault.reading);
        let Some(me) = &mut self.sim else { return };
        let vault_key = me.sim.vault_key();
        let open = |entry: &VaultEntry| vault_key.open(entry.slot, &entry.blob).ok();
        let head = read
            .iter()
            .find(|entry| entry.slot == HEAD)
            .and_then(open)
            .and_then(|b| Head::from_bytes(&b).ok());
        let ours = head.as_ref().is_some_and(|head| head.device == me.record.device);
        let lost_answer = ours
            && head
                .as_ref()
                .is_some_and(|head| me.record.pending.contains(&head.token));
        if head.is_some() && !ours && !me.record.restoring {
            me.record.replaced = true;
            self.save_sim(cx);
            self.state_dirty = true;
            return self.disconnect(cx);
        }
        let slots: Vec<(u32, SlotContent)> = read
            .iter()
            .filter(|entry| entry.slot != HEAD)
            .filter_map(|entry| Some((entry.slot, SlotContent::from_bytes(&open(entry)?).ok()?)))
            .collect();
        me.record.generation = generation;
        me.record.pending.clear();
        // Without a head the vault is older than our first write.
        let restored = me.record.restoring || !lost_answer;
        self.adopt(cx, slots, restored && !lost_answer);
        if restored {
            for conversation in self.conversations.values_mut().filter(|c| !c.contact.blocked) {
                conversation.rejoin_due = true;
            }
        }
        self.save_sim(cx);
        self.state_dirty = true;
        self.write_vault(cx, true);
    }

    /// Takes over what the vault holds, if `merge`. Nothing that is here goes away because it is not
    /// there: the server could show an old state of the vault.
    fn adopt(&mut self, cx: &mut Cx, slots: Vec<(u32, SlotContent)>, merge: bool) {
        let present: BTreeSet<u32> = slots.iter().map(|(slot, _)| *slot).collect();
        let lost: Vec<u32> = self
            .vault
            .slots
            .keys()
            .filter(|slot| !present.contains(slot))
            .copied()
            .collect();
        for slot in lost {
            self.set_slot(cx, slot, None);
        }
        // First what must not come back.
        if merge {
            for (_, content) in &slots {
                if let VaultItem::Deleted { id } = content.item {
                    self.adopt_deleted(cx, id, &content.bytes);
                }
            }
        }
        for (slot, content) in slots {
            let record = SlotRecord {
                item: content.item,
                hash: hash(&content.to_bytes()),
            };
            if merge && !content.item.id().is_some_and(|id| self.deleted.contains_key(&id)) {
                self.adopt_item(cx, content);
            }
            self.set_slot(cx, slot, Some(record));
        }
        self.forget_answered(cx);
    }

    /// Links and letters that have become conversations, as another device may have told.
    fn forget_answered(&mut self, cx: &mut Cx) {
        for conversation in self.conversations.values() {
            let answered = self
                .invites
                .extract_if(.., |_, invite| conversation.route_of(&invite.queue).is_some());
            for (id, _) in answered {
                cx.out.changes.delete(key(table::INVITES, &[&id]));
            }
            if let Some(id) = conversation
                .contact
                .began_with
                .filter(|id| self.letters.remove(id).is_some())
            {
                cx.out.changes.delete(key(table::LETTERS, &[&id]));
            }
        }
    }

    fn adopt_item(&mut self, cx: &mut Cx, content: SlotContent) {
        match content.item {
            VaultItem::Deleted { .. } => {}
            VaultItem::Profile => {
                if let (Ok(profile), Some(me)) = (Profile::from_bytes(&content.bytes), &mut self.sim) {
                    me.record.name = name::cleaned(&profile.name);
                }
            }
            VaultItem::Contact { id } => {
                if let Ok(contact) = ContactRecord::from_bytes(&content.bytes) {
                    self.adopt_contact(cx, id, contact);
                }
            }
            VaultItem::Invite { id } => {
                if let Ok(invite) = InviteRecord::from_bytes(&content.bytes) {
                    put(&mut cx.out.changes, key(table::INVITES, &[&id]), &invite);
                    self.invites.insert(id, invite);
                }
            }
            VaultItem::Letter { id } => {
                let letter = VaultLetter::from_bytes(&content.bytes).ok();
                if let Some(letter) = letter.and_then(|letter| letter.open(cx)) {
                    put(&mut cx.out.changes, key(table::LETTERS, &[&id]), &letter);
                    self.keep(id, letter);
                }
            }
        }
    }

    /// Another device of this SIM deleted something. What was there on the server went with it.
    fn adopt_deleted(&mut self, cx: &mut Cx, id: [u8; 16], record: &[u8]) {
        let Ok(record) = DeletedRecord::from_bytes(record) else {
            return;
        };
        if let Some(conversation) = self.conversations.remove(&id) {
            conversation.delete_rows(cx);
        }
        if self.invites.remove(&id).is_some() {
            cx.out.changes.delete(key(table::INVITES, &[&id]));
        }
        if self.letters.remove(&id).is_some() {
            cx.out.changes.delete(key(table::LETTERS, &[&id]));
        }
        self.put_deleted(cx, id, record);
    }

    fn adopt_contact(&mut self, cx: &mut Cx, id: ConversationId, contact: ContactRecord) {
        match self.conversations.get_mut(&id) {
            Some(conversation) => conversation.merge_contact(cx, contact),
            None => {
                let conversation = Conversation::new(cx, id, contact);
                self.conversations.insert(id, conversation);
            }
        }
    }
}
