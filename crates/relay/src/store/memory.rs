//! A store in memory, for tests: what the others must be like.

mod rooms;

use super::{
    Batch, Change, Day, Deadlines, Envelope, Hash, Identity, Outcome, Place, QueueRecord, RoomRecord,
    RoomSnapshot, SharedEntry, Store, StoreFuture, Swept, VaultBounds, VaultPage, VaultRoom,
};
use bytes::Bytes;
use parking_lot::Mutex;
use rly_protocol::{InviteId, PublicKey, QueueId, RoomId, Timestamp, frame::VaultEntry};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

struct Mailbox {
    address: Hash,
    reader: PublicKey,
    used_day: Day,
}

struct Invite {
    queue: QueueId,
    card: Option<Bytes>,
    expires: Timestamp,
    claim: Option<(Timestamp, Hash)>,
    withdrawn: bool,
}

#[derive(Default)]
struct Vault {
    generation: u64,
    used_day: Day,
    slots: BTreeMap<u32, Bytes>,
}

#[derive(Default)]
struct Tables {
    identity: Option<Identity>,
    queues: HashMap<QueueId, Mailbox>,
    addresses: HashMap<Hash, QueueId>,
    envelopes: BTreeMap<(QueueId, u64), Envelope>,
    invites: HashMap<InviteId, Invite>,
    vaults: HashMap<QueueId, Vault>,
    rooms: HashMap<RoomId, rooms::Room>,
}

/// A store in memory. It forgets everything when it is dropped.
#[derive(Default)]
pub struct MemoryStore(Mutex<Tables>);

impl MemoryStore {
    fn now<T: Send + 'static>(&self, work: impl FnOnce(&mut Tables) -> T) -> StoreFuture<'_, T> {
        let result = work(&mut self.0.lock());
        Box::pin(async move { Ok(result) })
    }
}

impl Tables {
    fn apply(&mut self, batch: &Batch) -> Vec<Outcome> {
        for envelope in &batch.envelopes {
            self.store(envelope);
        }
        for place in &batch.removed {
            self.envelopes.remove(place);
        }
        if let (Some(identity), Some(end)) = (&mut self.identity, batch.reserve) {
            identity.next_seq = identity.next_seq.max(end);
        }
        if let (Some(identity), Some(keyring)) = (&mut self.identity, batch.keyring) {
            identity.keyring = keyring;
        }
        batch.changes.iter().map(|change| self.change(change)).collect()
    }

    fn store(&mut self, envelope: &Envelope) {
        self.envelopes
            .insert((envelope.queue, envelope.seq), envelope.clone());
    }

    fn change(&mut self, change: &Change) -> Outcome {
        match change {
            Change::Register {
                queue,
                address,
                reader,
                day,
            } => {
                self.addresses.insert(*address, *queue);
                let mailbox = Mailbox {
                    address: *address,
                    reader: *reader,
                    used_day: *day,
                };
                self.queues.insert(*queue, mailbox);
                Outcome::Done
            }
            Change::DeleteQueue { queue } => {
                self.delete(*queue);
                Outcome::Done
            }
            Change::Touch { queues, day } => {
                for queue in queues {
                    if let Some(mailbox) = self.queues.get_mut(queue) {
                        mailbox.used_day = *day;
                    }
                }
                Outcome::Done
            }
            Change::Share {
                invite,
                queue,
                card,
                expires,
            } => {
                if !self.queues.contains_key(queue) {
                    return Outcome::Missing;
                }
                let row = Invite {
                    queue: *queue,
                    card: Some(card.clone()),
                    expires: *expires,
                    claim: None,
                    withdrawn: false,
                };
                self.invites.insert(*invite, row);
                Outcome::Done
            }
            Change::Claim {
                invite,
                key,
                at,
                notice,
            } => self.claim(*invite, *key, *at, notice),
            Change::Withdraw { invite, queue } => self.withdraw(*invite, *queue),
            Change::OpenVault { vault, day } => {
                self.vaults.entry(*vault).or_insert_with(|| Vault {
                    used_day: *day,
                    ..Vault::default()
                });
                Outcome::Done
            }
            Change::WriteVault {
                vault,
                expected,
                entries,
                quota,
                day,
            } => self.write_vault((*vault, *expected), entries, *quota, *day),
            Change::MakeRoom { .. }
            | Change::JoinRoom { .. }
            | Change::PostRoom { .. }
            | Change::LeaveRoom { .. }
            | Change::DeletePerson { .. }
            | Change::EndRoom { .. }
            | Change::NobodyReads => rooms::change(&mut self.rooms, change),
        }
    }

    fn claim(&mut self, id: InviteId, key: Hash, at: Timestamp, notice: &Envelope) -> Outcome {
        let Some(invite) = self.invites.get_mut(&id) else {
            return Outcome::Missing;
        };
        if invite.withdrawn {
            return Outcome::Withdrawn;
        }
        if let Some((at, key)) = invite.claim {
            return Outcome::Taken {
                at,
                key,
                card: invite.card.clone(),
            };
        }
        match &invite.card {
            Some(card) if invite.expires > at => {
                invite.claim = Some((at, key));
                let card = card.clone();
                self.store(notice);
                Outcome::Claimed(card)
            }
            _ => Outcome::Missing,
        }
    }

    fn withdraw(&mut self, id: InviteId, queue: QueueId) -> Outcome {
        match self.invites.get_mut(&id) {
            Some(invite) if invite.queue == queue => match invite.claim {
                Some((at, key)) => Outcome::Taken { at, key, card: None },
                None => {
                    invite.withdrawn = true;
                    invite.card = None;
                    Outcome::Done
                }
            },
            _ => Outcome::Missing,
        }
    }

    fn write_vault(
        &mut self,
        (id, expected): (QueueId, u64),
        entries: &[VaultEntry],
        quota: u64,
        day: Day,
    ) -> Outcome {
        let Some(vault) = self.vaults.get_mut(&id) else {
            return Outcome::Missing;
        };
        if vault.generation != expected {
            return Outcome::Conflict;
        }
        let mut slots = vault.slots.clone();
        for entry in entries {
            if entry.blob.is_empty() {
                slots.remove(&entry.slot);
            } else {
                slots.insert(entry.slot, entry.blob.clone());
            }
        }
        let size = |slots: &BTreeMap<u32, Bytes>| slots.values().map(|blob| blob.len() as u64).sum::<u64>();
        if size(&slots) > quota.max(size(&vault.slots)) {
            return Outcome::Full;
        }
        vault.slots = slots;
        vault.used_day = day;
        vault.generation += 1;
        Outcome::Written(vault.generation)
    }

    fn delete(&mut self, queue: QueueId) {
        if let Some(mailbox) = self.queues.remove(&queue) {
            self.addresses.remove(&mailbox.address);
        }
        self.envelopes.retain(|(of, _), _| *of != queue);
        self.invites.retain(|_, invite| invite.queue != queue);
    }

    fn sweep(&mut self, by: &Deadlines) -> Swept {
        let old = |at: &Timestamp| *at < by.envelopes;
        let envelopes: Vec<_> = (self.envelopes.values().filter(|envelope| old(&envelope.at)))
            .map(|envelope| (envelope.queue, envelope.seq))
            .take(by.limit as usize)
            .collect();
        for place in &envelopes {
            self.envelopes.remove(place);
        }
        let queues: Vec<_> = (self
            .queues
            .iter()
            .filter(|(_, mailbox)| mailbox.used_day < by.queues))
        .map(|(queue, _)| *queue)
        .take(by.limit as usize)
        .collect();
        for queue in &queues {
            self.delete(*queue);
        }
        let mut invites = 0;
        for invite in self.invites.values_mut() {
            let over = match invite.claim {
                Some((at, _)) => at < by.claims,
                None => invite.expires <= by.now,
            };
            if over && invite.card.take().is_some() {
                invites += 1;
            }
        }
        let before = self.invites.len();
        self.invites.retain(|_, invite| invite.expires >= by.claims);
        invites += (before - self.invites.len()) as u64;
        let before = self.vaults.len();
        self.vaults
            .retain(|_, vault| vault.used_day >= by.vaults || vault.slots.keys().any(|slot| *slot != 0));
        let (rooms, entries) = rooms::sweep(&mut self.rooms, by);
        Swept {
            envelopes,
            queues,
            invites,
            vaults: (before - self.vaults.len()) as u64,
            rooms,
            entries,
        }
    }
}

impl Store for MemoryStore {
    fn identity(&self, fresh: Identity) -> StoreFuture<'_, Identity> {
        self.now(|tables| *tables.identity.get_or_insert(fresh))
    }

    fn apply(&self, batch: Arc<Batch>) -> StoreFuture<'_, Vec<Outcome>> {
        self.now(|tables| tables.apply(&batch))
    }

    fn find_address(&self, address: Hash) -> StoreFuture<'_, Option<QueueId>> {
        self.now(|tables| tables.addresses.get(&address).copied())
    }

    fn queue(&self, queue: QueueId) -> StoreFuture<'_, Option<QueueRecord>> {
        self.now(|tables| {
            let mailbox = tables.queues.get(&queue)?;
            let waiting = tables.envelopes.range((queue, 0)..=(queue, u64::MAX));
            Some(QueueRecord {
                address: mailbox.address,
                reader: mailbox.reader,
                used_day: mailbox.used_day,
                waiting: waiting
                    .map(|(_, envelope)| Place {
                        seq: envelope.seq,
                        id: envelope.id,
                        kind: envelope.kind,
                        size: envelope.body.len() as u32,
                    })
                    .collect(),
            })
        })
    }

    fn page(&self, queue: QueueId, after: u64, limit: u32) -> StoreFuture<'_, Vec<Envelope>> {
        self.now(|tables| {
            let rest = tables.envelopes.range((queue, after + 1)..=(queue, u64::MAX));
            rest.take(limit as usize)
                .map(|(_, envelope)| envelope.clone())
                .collect()
        })
    }

    fn vault_page(
        &self,
        vault: QueueId,
        from: u32,
        bounds: VaultBounds,
    ) -> StoreFuture<'_, Option<VaultPage>> {
        self.now(|tables| {
            let vault = tables.vaults.get(&vault)?;
            let mut page = VaultPage {
                generation: vault.generation,
                entries: Vec::new(),
                more: false,
            };
            let mut room = VaultRoom::new(bounds);
            for (slot, blob) in vault.slots.range(from..) {
                page.more = !room.take(blob.len());
                if page.more {
                    break;
                }
                page.entries.push(VaultEntry {
                    slot: *slot,
                    blob: blob.clone(),
                });
            }
            Some(page)
        })
    }

    fn room(&self, room: RoomId) -> StoreFuture<'_, Option<RoomRecord>> {
        self.now(|tables| tables.rooms.get(&room).map(rooms::Room::record))
    }

    fn room_snapshot(&self, room: RoomId) -> StoreFuture<'_, Option<RoomSnapshot>> {
        self.now(|tables| tables.rooms.get(&room).map(rooms::Room::snapshot))
    }

    fn shared_page(&self, queue: QueueId, after: u64, limit: u32) -> StoreFuture<'_, Vec<SharedEntry>> {
        self.now(|tables| {
            let room = tables.rooms.get(&RoomId(queue.0));
            room.map_or(Vec::new(), |room| room.page(after, limit))
        })
    }

    fn sweep(&self, deadlines: Deadlines) -> StoreFuture<'_, Swept> {
        self.now(|tables| tables.sweep(&deadlines))
    }

    fn scrub(&self) -> StoreFuture<'_, ()> {
        self.now(|_| ())
    }

    fn check(&self) -> StoreFuture<'_, ()> {
        self.now(|_| ())
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        self.now(|_| ())
    }
}
