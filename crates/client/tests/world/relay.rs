//! A relay in memory that keeps to docs/protocol.md, for machines in tests; and, where a test says
//! so, one that does not.

use super::faults::Faults;
use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use rly_client::{HttpError, HttpOk, HttpRequest, HttpResult};
use rly_crypto::{vault_id, verify};
use rly_protocol::{
    Address, Encode, EnvelopeId, ErrorCode, Incarnation, InviteId, PublicKey, QueueId, Timestamp,
    api::*,
    frame::*,
    limits::{ENVELOPE_SIZES, VAULT_BYTES},
};
use std::collections::BTreeMap;

/// One connection's frames to the client, in order.
pub type Replies = Vec<ServerFrame>;
/// A device.
pub type DeviceIndex = usize;

#[derive(Clone)]
struct Mailbox {
    reader: PublicKey,
    waiting: BTreeMap<u64, (Kind, EnvelopeId, Bytes)>,
    ids: Vec<EnvelopeId>,
}

#[derive(Clone, Default)]
struct Vault {
    generation: u64,
    slots: BTreeMap<u32, Bytes>,
}

#[derive(Clone)]
struct Invite {
    address: Address,
    card: Vec<u8>,
    expires: Timestamp,
    claimed: Option<(PublicKey, Timestamp)>,
    withdrawn: bool,
}

/// What a backup of the server would hold.
#[derive(Clone)]
pub struct Stored {
    mailboxes: BTreeMap<QueueId, Mailbox>,
    addresses: BTreeMap<Address, QueueId>,
    vaults: BTreeMap<QueueId, Vault>,
    invites: BTreeMap<InviteId, Invite>,
    next_seq: u64,
    incarnation: Incarnation,
}

/// An envelope that is kept back.
struct Parked {
    until: Timestamp,
    queue: QueueId,
    id: EnvelopeId,
    body: Bytes,
}

/// The relay.
pub struct SimRelay {
    pub origin: String,
    stored: Stored,
    readers: BTreeMap<QueueId, DeviceIndex>,
    nonces: BTreeMap<DeviceIndex, [u8; 32]>,
    next_id: u64,
    /// Frames for each device.
    pub out: BTreeMap<DeviceIndex, Replies>,
    pub now: Timestamp,
    /// Envelopes that were taken in, by their ids: a retry has the same bytes.
    pub sent: BTreeMap<EnvelopeId, (Address, Bytes)>,
    /// Writes to vaults so far, taken or refused.
    pub vault_writes: u32,
    /// What it does that it should not.
    pub faults: Faults,
    rng: ChaCha20Rng,
    parked: Vec<Parked>,
}

impl SimRelay {
    pub fn new(origin: &str, seed: u64) -> Self {
        Self {
            origin: origin.into(),
            stored: Stored {
                mailboxes: BTreeMap::new(),
                addresses: BTreeMap::new(),
                vaults: BTreeMap::new(),
                invites: BTreeMap::new(),
                next_seq: 1,
                incarnation: Incarnation([1; 16]),
            },
            readers: BTreeMap::new(),
            nonces: BTreeMap::new(),
            next_id: 1,
            out: BTreeMap::new(),
            now: Timestamp(0),
            sent: BTreeMap::new(),
            vault_writes: 0,
            faults: Faults::default(),
            rng: ChaCha20Rng::seed_from_u64(seed ^ 0x7265_6c61_7921),
            parked: Vec::new(),
        }
    }

    fn new_id(&mut self) -> [u8; 16] {
        self.next_id += 1;
        let mut id = [0xab; 16];
        id[..8].copy_from_slice(&self.next_id.to_be_bytes());
        id
    }

    pub fn connect(&mut self, device: DeviceIndex) {
        self.disconnect(device);
        let mut nonce = [0; 32];
        nonce[..16].copy_from_slice(&self.new_id());
        self.nonces.insert(device, nonce);
        let hello = ServerFrame::Hello {
            min: 1,
            max: 1,
            nonce,
            incarnation: self.stored.incarnation,
            now: self.faults.time.unwrap_or(self.now),
        };
        self.say(device, hello);
    }

    pub fn disconnect(&mut self, device: DeviceIndex) {
        self.readers.retain(|_, reader| *reader != device);
        self.nonces.remove(&device);
        self.out.remove(&device);
    }

    /// Everybody is disconnected; what was taken in stays.
    pub fn restart(&mut self) {
        self.readers.clear();
        self.nonces.clear();
        self.out.clear();
    }

    fn say(&mut self, device: DeviceIndex, frame: ServerFrame) {
        self.out.entry(device).or_default().push(frame);
    }

    fn become_reader(&mut self, device: DeviceIndex, queue: QueueId) {
        if let Some(before) = self.readers.insert(queue, device)
            && before != device
        {
            self.say(before, ServerFrame::Replaced { queue });
        }
    }

    /// Another connection begins to read a mailbox, and ends.
    pub fn take_reader_away(&mut self, queue: QueueId) {
        if let Some(reader) = self.readers.remove(&queue) {
            self.say(reader, ServerFrame::Replaced { queue });
        }
    }

    fn proved(&self, device: DeviceIndex, queue: &QueueId, key: &PublicKey, proof: &Proof) -> bool {
        match proof {
            Proof::Signed { signature } => self.nonces.get(&device).is_some_and(|nonce| {
                verify(key, &proof_message(&self.origin, nonce, queue), signature).is_ok()
            }),
            Proof::Ticket { ticket } => ticket.mac[..16] == queue.0 && ticket.expires > self.now,
        }
    }

    fn subscribed(&self, req: Req, queue: QueueId) -> ServerFrame {
        let mut mac = [0; 32];
        mac[..16].copy_from_slice(&queue.0);
        ServerFrame::Subscribed {
            req,
            queue,
            ticket: Ticket {
                expires: self.now.plus_seconds(86_400),
                mac,
            },
        }
    }

    /// Takes an envelope in, as honestly as the faults allow.
    fn take_in(&mut self, queue: QueueId, id: EnvelopeId, body: Bytes) {
        let faults = self.faults;
        if faults.drops(&mut self.rng) {
            return;
        }
        if faults.doubles(&mut self.rng) {
            let other = if self.rng.next_u32().is_multiple_of(2) {
                EnvelopeId(self.new_id())
            } else {
                id
            };
            let delay = faults.delay(&mut self.rng);
            self.park(queue, other, body.clone(), delay);
        }
        if faults.delays(&mut self.rng) {
            let delay = faults.delay(&mut self.rng);
            self.park(queue, id, body, delay);
        } else {
            self.put(queue, Kind::Envelope, id, body);
        }
    }

    fn park(&mut self, queue: QueueId, id: EnvelopeId, body: Bytes, seconds: u64) {
        let until = self.now.plus_seconds(seconds);
        self.parked.push(Parked {
            until,
            queue,
            id,
            body,
        });
    }

    /// Delivers what was kept back long enough.
    pub fn release(&mut self) {
        let now = self.now;
        for parked in self
            .parked
            .extract_if(.., |parked| parked.until <= now)
            .collect::<Vec<_>>()
        {
            self.deliver(parked.queue, Kind::Envelope, parked.id, parked.body);
        }
    }

    /// Delivers everything that was kept back.
    pub fn release_all(&mut self) {
        for parked in std::mem::take(&mut self.parked) {
            self.deliver(parked.queue, Kind::Envelope, parked.id, parked.body);
        }
    }

    fn put(&mut self, queue: QueueId, kind: Kind, id: EnvelopeId, body: Bytes) {
        let known = self
            .stored
            .mailboxes
            .get(&queue)
            .is_none_or(|mailbox| mailbox.ids.contains(&id));
        if !known {
            self.deliver(queue, kind, id, body);
        }
    }

    /// Puts something into a mailbox, even for the second time.
    pub fn deliver(&mut self, queue: QueueId, kind: Kind, id: EnvelopeId, body: Bytes) {
        let Some(mailbox) = self.stored.mailboxes.get_mut(&queue) else {
            return;
        };
        mailbox.ids.push(id);
        let seq = self.stored.next_seq;
        self.stored.next_seq += 1;
        mailbox.waiting.insert(seq, (kind, id, body.clone()));
        if let Some(reader) = self.readers.get(&queue).copied() {
            self.say(
                reader,
                ServerFrame::Deliver {
                    queue,
                    seq,
                    kind,
                    id,
                    body,
                },
            );
        }
    }

    /// A backup of all that is stored.
    pub fn backup(&self) -> Stored {
        self.stored.clone()
    }

    /// An old state is put back; everybody is disconnected. `told`: it says that it is another store.
    pub fn roll_back(&mut self, then: Stored, told: bool) {
        self.restart();
        self.stored = then;
        if told {
            self.stored.incarnation = Incarnation(self.new_id());
        }
    }

    /// The mailboxes that this device reads now.
    pub fn mailboxes_of(&self, device: DeviceIndex) -> Vec<QueueId> {
        let mine = self.readers.iter().filter(|(_, reader)| **reader == device);
        let queues = mine.map(|(queue, _)| *queue);
        queues
            .filter(|queue| self.stored.mailboxes.contains_key(queue))
            .collect()
    }

    /// How many mailboxes there are.
    pub fn mailboxes(&self) -> usize {
        self.stored.mailboxes.len()
    }

    /// What waits in a mailbox.
    pub fn waiting_in(&self, queue: &QueueId) -> Vec<(EnvelopeId, Bytes)> {
        let waiting = self.stored.mailboxes[queue].waiting.values();
        waiting.map(|(_, id, body)| (*id, body.clone())).collect()
    }

    /// The mailbox behind an address.
    pub fn mailbox_at(&self, address: &Address) -> QueueId {
        self.stored.addresses[address]
    }

    /// All envelopes are gone, as if they had never come.
    pub fn forget_envelopes(&mut self) {
        for mailbox in self.stored.mailboxes.values_mut() {
            mailbox.waiting.clear();
            mailbox.ids.clear();
        }
    }

    /// A mailbox is gone.
    pub fn forget_mailbox(&mut self, queue: &QueueId) {
        self.stored.mailboxes.remove(queue);
        self.readers.remove(queue);
    }

    pub fn frame(&mut self, device: DeviceIndex, message: Bytes) {
        let frame = ClientFrame::from_message(message).expect("machines send good frames");
        match frame {
            ClientFrame::Subscribe { req, queue, proof } => {
                let Some(mailbox) = self.stored.mailboxes.get(&queue).cloned() else {
                    return self.say(device, ServerFrame::error(req, ErrorCode::NoQueue, 0));
                };
                if !self.proved(device, &queue, &mailbox.reader, &proof) {
                    return self.say(device, ServerFrame::error(req, ErrorCode::ProofInvalid, 0));
                }
                self.become_reader(device, queue);
                let answer = self.subscribed(req, queue);
                self.say(device, answer);
                let mut waiting: Vec<_> = mailbox.waiting.into_iter().collect();
                self.faults.shuffle(&mut self.rng, &mut waiting);
                for (seq, (kind, id, body)) in waiting {
                    self.say(
                        device,
                        ServerFrame::Deliver {
                            queue,
                            seq,
                            kind,
                            id,
                            body,
                        },
                    );
                }
            }
            ClientFrame::Unsubscribe { req, queue } => {
                self.readers.remove(&queue);
                self.say(device, ServerFrame::Done { req });
            }
            ClientFrame::Ack { queue, seq } => {
                if self.readers.get(&queue) == Some(&device)
                    && let Some(mailbox) = self.stored.mailboxes.get_mut(&queue)
                {
                    mailbox.waiting.retain(|waiting, _| *waiting > seq);
                }
            }
            ClientFrame::Send {
                req,
                address,
                id,
                body,
            } => {
                assert!(
                    ENVELOPE_SIZES.contains(&body.len()),
                    "an envelope of {} bytes",
                    body.len()
                );
                let Some(queue) = self
                    .stored
                    .addresses
                    .get(&address)
                    .copied()
                    .filter(|q| self.stored.mailboxes.contains_key(q))
                else {
                    return self.say(device, ServerFrame::error(req, ErrorCode::NoQueue, 0));
                };
                if let Some((_, first)) = self.sent.insert(id, (address, body.clone())) {
                    assert_eq!(first, body, "a retry has identical bytes");
                }
                if let Some((code, wait)) = self.faults.refuse {
                    return self.say(device, ServerFrame::error(req, code, wait));
                }
                self.take_in(queue, id, body);
                self.say(device, ServerFrame::Done { req });
            }
            ClientFrame::DeleteQueue { req, queue } => {
                if self.readers.get(&queue) != Some(&device) {
                    return self.say(device, ServerFrame::error(req, ErrorCode::ProofInvalid, 0));
                }
                self.readers.remove(&queue);
                self.stored.mailboxes.remove(&queue);
                self.say(device, ServerFrame::Done { req });
            }
            ClientFrame::WithdrawInvite { req, invite, .. } => {
                let Some(invite) = self.stored.invites.get_mut(&invite) else {
                    return self.say(device, ServerFrame::error(req, ErrorCode::InviteExpired, 0));
                };
                let used = invite.claimed.is_some();
                invite.withdrawn |= !used;
                let answer = if used {
                    ServerFrame::error(req, ErrorCode::InviteUsed, 0)
                } else {
                    ServerFrame::Done { req }
                };
                self.say(device, answer);
            }
            ClientFrame::OpenVault { req, key, signature } => {
                let queue = vault_id(&key);
                if !self.proved(device, &queue, &key, &Proof::Signed { signature }) {
                    return self.say(device, ServerFrame::error(req, ErrorCode::ProofInvalid, 0));
                }
                self.stored.vaults.entry(queue).or_default();
                self.become_reader(device, queue);
                let answer = self.subscribed(req, queue);
                self.say(device, answer);
            }
            ClientFrame::VaultRead { req, queue, from } => {
                // Another device of the SIM has opened it since.
                if self.readers.get(&queue) != Some(&device) {
                    return self.say(device, ServerFrame::error(req, ErrorCode::ProofInvalid, 0));
                }
                let vault = &self.stored.vaults[&queue];
                // Small pages, so that paging is used.
                let mut entries: Vec<_> = vault
                    .slots
                    .range(from..)
                    .take(4)
                    .map(|(slot, blob)| VaultEntry {
                        slot: *slot,
                        blob: blob.clone(),
                    })
                    .collect();
                let more = entries.len() == 4;
                entries.truncate(3);
                let answer = ServerFrame::VaultPage {
                    req,
                    generation: vault.generation,
                    entries,
                    more,
                };
                self.say(device, answer);
            }
            ClientFrame::VaultWrite {
                req,
                queue,
                expected,
                entries,
            } => {
                if self.readers.get(&queue) != Some(&device) {
                    return self.say(device, ServerFrame::error(req, ErrorCode::ProofInvalid, 0));
                }
                let vault = self.stored.vaults.get_mut(&queue).expect("an open vault");
                if vault.generation != expected && !self.faults.any_generation {
                    return self.say(device, ServerFrame::error(req, ErrorCode::VaultConflict, 0));
                }
                self.vault_writes += 1;
                let mut slots = vault.slots.clone();
                for VaultEntry { slot, blob } in entries {
                    if blob.is_empty() {
                        slots.remove(&slot)
                    } else {
                        slots.insert(slot, blob)
                    };
                }
                let bytes: u64 = slots.values().map(|blob| blob.len() as u64).sum();
                if bytes > self.faults.vault_bytes.unwrap_or(VAULT_BYTES) {
                    return self.say(device, ServerFrame::error(req, ErrorCode::VaultFull, 0));
                }
                vault.generation += 1;
                vault.slots = slots;
                let generation = vault.generation;
                self.say(device, ServerFrame::VaultWritten { req, generation });
            }
            ClientFrame::Ping { nonce } => self.say(device, ServerFrame::Pong { nonce }),
            ClientFrame::RoomJoin { req, .. }
            | ClientFrame::RoomPost { req, .. }
            | ClientFrame::RoomLeave { req, .. }
            | ClientFrame::RoomDelete { req, .. }
            | ClientFrame::RoomClose { req, .. } => {
                self.say(device, ServerFrame::error(req, ErrorCode::RoomsOff, 0));
            }
        }
    }

    pub fn http(&mut self, request: HttpRequest) -> HttpResult {
        match request {
            HttpRequest::Register(RegisterSim { reader_key }) => {
                let queue = QueueId(self.new_id());
                let address = Address(self.new_id());
                self.stored.addresses.insert(address, queue);
                let mailbox = Mailbox {
                    reader: reader_key,
                    waiting: BTreeMap::new(),
                    ids: Vec::new(),
                };
                self.stored.mailboxes.insert(queue, mailbox);
                let address_token = String::from(address);
                Ok(HttpOk::Registered(Registered {
                    queue,
                    address,
                    address_token,
                }))
            }
            HttpRequest::Share(ShareContact {
                address_token,
                card,
                ttl_seconds,
            }) => {
                let address = address_token
                    .parse()
                    .map_err(|_| HttpError::Code(ErrorCode::TokenInvalid, None))?;
                let invite_id = InviteId(self.new_id());
                let expires_at = self.now.plus_seconds(ttl_seconds);
                let invite = Invite {
                    address,
                    card: card.0,
                    expires: expires_at,
                    claimed: None,
                    withdrawn: false,
                };
                self.stored.invites.insert(invite_id, invite);
                Ok(HttpOk::Shared(Shared {
                    invite: format!("jwt.{}", String::from(invite_id)),
                    invite_id,
                    expires_at,
                }))
            }
        }
    }

    pub fn claim(&mut self, request: &ImportContact) -> Result<Imported, ErrorCode> {
        let id: InviteId = request
            .invite
            .strip_prefix("jwt.")
            .and_then(|id| id.parse().ok())
            .ok_or(ErrorCode::InviteInvalid)?;
        let now = self.now;
        let invite = self.stored.invites.get_mut(&id).ok_or(ErrorCode::InviteInvalid)?;
        if invite.withdrawn {
            return Err(ErrorCode::InviteWithdrawn);
        }
        match &invite.claimed {
            Some((key, at)) if *key == request.claim_key && at.plus_seconds(600) > now => {}
            Some(_) => return Err(ErrorCode::InviteUsed),
            None if invite.expires <= now => return Err(ErrorCode::InviteExpired),
            None => invite.claimed = Some((request.claim_key, now)),
        }
        let imported = Imported {
            address: invite.address,
            card: Blob(invite.card.clone()),
        };
        let queue = self.stored.addresses[&imported.address];
        let notice = Notice::InviteOpened { invite: id, at: now };
        self.put(queue, Kind::Notice, EnvelopeId(id.0), notice.to_bytes().into());
        Ok(imported)
    }

    /// What all vaults hold.
    pub fn vault_bytes(&self) -> u64 {
        let blobs = self.stored.vaults.values().flat_map(|vault| vault.slots.values());
        blobs.map(|blob| blob.len() as u64).sum()
    }

    /// What waits in all mailboxes.
    pub fn waiting(&self) -> usize {
        self.stored
            .mailboxes
            .values()
            .map(|mailbox| mailbox.waiting.len())
            .sum()
    }

    /// A lying relay: shows the vaults as they were.
    pub fn roll_back_vaults(&mut self, then: &Stored) {
        self.stored.vaults.extend(then.vaults.clone());
    }

    /// A lying relay: says that the vaults are of other generations.
    pub fn set_generations(&mut self, to: impl Fn(u64) -> u64) {
        for vault in self.stored.vaults.values_mut() {
            vault.generation = to(vault.generation);
        }
    }

    /// A lying relay: every blob in the vaults is changed by this.
    pub fn tamper_vaults(&mut self, mut change: impl FnMut(u32, &mut Vec<u8>)) {
        for vault in self.stored.vaults.values_mut() {
            for (slot, blob) in &mut vault.slots {
                let mut bytes = blob.to_vec();
                change(*slot, &mut bytes);
                *blob = bytes.into();
            }
        }
    }

    /// A lying relay: the vaults are empty.
    pub fn empty_vaults(&mut self) {
        for vault in self.stored.vaults.values_mut() {
            vault.slots.clear();
            vault.generation += 1;
        }
    }

    /// A lying relay: every envelope that waits is changed by this.
    pub fn tamper(&mut self, mut change: impl FnMut(&mut Vec<u8>)) {
        for mailbox in self.stored.mailboxes.values_mut() {
            for (_, _, body) in mailbox.waiting.values_mut() {
                let mut bytes = body.to_vec();
                change(&mut bytes);
                *body = bytes.into();
            }
        }
    }

    /// A lying relay: the newest `n` envelopes that wait are thrown away.
    pub fn drop_waiting(&mut self, n: usize) {
        for mailbox in self.stored.mailboxes.values_mut() {
            for _ in 0..n {
                mailbox.waiting.pop_last();
            }
        }
    }
}
