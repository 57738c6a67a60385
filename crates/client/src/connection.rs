//! The connection: hello, the vault, the mailboxes; requests and their answers; backoff.
//!
//! On every connection the vault is written first, with the generation that is known here. Only
//! when that succeeds is this device the one that uses the SIM, and only then anything is sent.

use crate::{
    context::Cx,
    io::Effect,
    io::{CommandId, table},
    machine::Machine,
    record::{ConversationId, key},
};
use bytes::Bytes;
use core::time::Duration;
use rly_protocol::{
    ErrorCode, QueueId, Timestamp,
    frame::{ClientFrame, Proof, Req, ServerFrame, Ticket},
    limits::PROTOCOL_VERSIONS,
};
use rly_view::Connection;
use std::collections::{BTreeMap, BTreeSet};

/// The first wait before connecting again, in milliseconds; it doubles
const BACKOFF_MS: u64 = 500;
/// up to this one.
const BACKOFF_MAX_MS: u64 = 60_000;
/// Silence after which the server is asked whether it is there, in milliseconds,
const PING_MS: u64 = 25_000;
/// and how long it has for the answer;
const PONG_MS: u64 = 10_000;
/// less when the browser says that the network has changed.
const PONG_SOON_MS: u64 = 3_000;

/// How far the connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// Nothing to connect for, or another device uses the SIM.
    #[default]
    Idle,
    /// Waits for the time of the next try.
    Waiting,
    /// The socket was asked for.
    Opening,
    /// The socket is open, the hello has not come.
    Greeting,
    /// The vault is being opened, read or written.
    Claiming,
    /// Everything works.
    Online,
    /// The server speaks another protocol.
    NeedsNewer,
}

/// What a request is for.
#[derive(Clone)]
pub(crate) enum Purpose {
    OpenVault,
    VaultRead,
    VaultWrite,
    Subscribe { queue: QueueId, reader_salt: [u8; 16] },
    Send { conversation: ConversationId, n: u64 },
    Withdraw { id: [u8; 16], from: CommandId },
    SubscribeToDelete { queue: QueueId },
    Delete { queue: QueueId },
}

/// The connection.
#[derive(Default)]
pub(crate) struct Link {
    pub state: LinkState,
    attempt: u32,
    retry_at: Option<Timestamp>,
    nonce: [u8; 32],
    next_req: Req,
    pending: BTreeMap<Req, Purpose>,
    tickets: BTreeMap<QueueId, Ticket>,
    deleting: BTreeSet<QueueId>,
    /// Mailboxes of ours that the server does not let us read, and will not.
    lost: BTreeSet<QueueId>,
    heard_at: Timestamp,
    /// Until when the answer to a ping has to come.
    pong_due: Option<Timestamp>,
}

impl Link {
    pub fn view(&self) -> Connection {
        match self.state {
            LinkState::Idle => Connection::Idle,
            LinkState::Waiting => Connection::Waiting {
                until: self.retry_at.unwrap_or_default(),
            },
            LinkState::Opening | LinkState::Greeting | LinkState::Claiming => Connection::Connecting,
            LinkState::Online => Connection::Online,
            LinkState::NeedsNewer => Connection::NeedsNewer,
        }
    }

    /// Whether the server no longer lets us read this mailbox of ours.
    pub fn has_lost(&self, queue: &QueueId) -> bool {
        self.lost.contains(queue)
    }

    fn due(&self) -> Option<Timestamp> {
        match self.state {
            LinkState::Idle | LinkState::NeedsNewer => None,
            LinkState::Waiting => self.retry_at,
            _ => Some(self.pong_due.unwrap_or(Timestamp(self.heard_at.0 + PING_MS))),
        }
    }
}

impl Machine {
    /// Connects if there is a reason to and nothing is under way.
    pub(crate) fn connect_if_due(&mut self, cx: &mut Cx) {
        let Some(me) = &self.sim else { return };
        if me.record.replaced || !matches!(self.link.state, LinkState::Idle | LinkState::Waiting) {
            return;
        }
        self.link.state = LinkState::Opening;
        self.link.retry_at = None;
        self.link.heard_at = cx.now;
        self.link.pong_due = None;
        cx.out.effects.push(Effect::OpenSocket);
        self.state_dirty = true;
    }

    /// The network has changed, or the person looks: do not wait, or see whether it still works.
    pub(crate) fn wake(&mut self, cx: &mut Cx) {
        match self.link.state {
            LinkState::Waiting | LinkState::Idle => self.connect_if_due(cx),
            LinkState::Online => self.ping(cx, PONG_SOON_MS),
            _ => {}
        }
    }

    /// Closes the connection for good.
    pub(crate) fn disconnect(&mut self, cx: &mut Cx) {
        self.forget_connection(cx);
        self.link.state = LinkState::Idle;
        cx.out.effects.push(Effect::CloseSocket);
        self.state_dirty = true;
    }

    pub(crate) fn socket_opened(&mut self, cx: &mut Cx) {
        if self.link.state == LinkState::Opening {
            self.link.state = LinkState::Greeting;
            self.link.heard_at = cx.now;
        }
    }

    pub(crate) fn socket_closed(&mut self, cx: &mut Cx) {
        if matches!(
            self.link.state,
            LinkState::Idle | LinkState::Waiting | LinkState::NeedsNewer
        ) {
            return;
        }
        self.wait_and_retry(cx, None);
    }

    /// Gives the connection up and tries again later.
    pub(crate) fn wait_and_retry(&mut self, cx: &mut Cx, at_least: Option<Duration>) {
        self.forget_connection(cx);
        let backoff = BACKOFF_MS
            .saturating_mul(1 << self.link.attempt.min(10))
            .min(BACKOFF_MAX_MS);
        self.link.attempt += 1;
        // Half of it fixed, half by chance, so that clients do not come back all at once.
        let chance = u64::from(u16::from_be_bytes(cx.random()));
        let wait = backoff / 2 + backoff / 2 * chance / u64::from(u16::MAX);
        let at_least = at_least.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        let wait = wait.max(at_least);
        self.link.state = LinkState::Waiting;
        self.link.retry_at = Some(Timestamp(cx.now.0.saturating_add(wait)));
        self.state_dirty = true;
    }

    fn forget_connection(&mut self, cx: &mut Cx) {
        for purpose in std::mem::take(&mut self.link.pending).into_values() {
            if let Purpose::Withdraw { from, .. } = purpose {
                cx.answer(from, Err(rly_view::FailureCode::Offline));
            }
        }
        self.link.deleting.clear();
        self.vault.forget_requests();
        for conversation in self.conversations.values_mut() {
            conversation.in_flight = None;
        }
    }

    /// Sends a request; false if there is no connection.
    pub(crate) fn request(
        &mut self,
        cx: &mut Cx,
        purpose: Purpose,
        frame: impl FnOnce(Req) -> ClientFrame,
    ) -> bool {
        if !matches!(self.link.state, LinkState::Online | LinkState::Claiming) {
            return false;
        }
        self.link.next_req = self.link.next_req.wrapping_add(1);
        let req = self.link.next_req;
        self.link.pending.insert(req, purpose);
        cx.out.effects.push(Effect::SendFrame(frame(req).to_message()));
        true
    }

    fn ping(&mut self, cx: &mut Cx, answer_within: u64) {
        self.link.pong_due = Some(Timestamp(cx.now.0 + answer_within));
        cx.out.effects.push(Effect::SendFrame(
            ClientFrame::Ping { nonce: cx.now.0 }.to_message(),
        ));
    }

    pub(crate) fn socket_frame(&mut self, cx: &mut Cx, message: Bytes) {
        // What was still under way when the connection was given up. It comes again on the next one.
        if matches!(
            self.link.state,
            LinkState::Idle | LinkState::Waiting | LinkState::NeedsNewer
        ) {
            return;
        }
        self.link.heard_at = cx.now;
        self.link.pong_due = None;
        let Ok(frame) = ServerFrame::from_message(message) else {
            // Not our protocol. Another try may meet another server.
            cx.out.effects.push(Effect::CloseSocket);
            return self.wait_and_retry(cx, None);
        };
        match frame {
            ServerFrame::Hello {
                min,
                max,
                nonce,
                incarnation,
                now,
            } => {
                if max < PROTOCOL_VERSIONS.0 || min > PROTOCOL_VERSIONS.1 {
                    self.disconnect(cx);
                    self.link.state = LinkState::NeedsNewer;
                    return;
                }
                self.link.nonce = nonce;
                self.sweep_invites(cx, now);
                self.greeted(cx, incarnation);
            }
            ServerFrame::Deliver {
                queue,
                seq,
                kind,
                body,
                ..
            } => {
                self.delivered(cx, queue, kind, &body);
                // Effects wait for the batch to be stored: what is acknowledged is safe here.
                cx.out
                    .effects
                    .push(Effect::SendFrame(ClientFrame::Ack { queue, seq }.to_message()));
            }
            ServerFrame::Replaced { .. } => {
                // Another device of this SIM, or what an earlier connection of ours still said when it
                // ended. The vault's next write tells which.
                cx.out.effects.push(Effect::CloseSocket);
                self.wait_and_retry(cx, None);
            }
            ServerFrame::Goodbye { retry_after, .. } => {
                cx.out.effects.push(Effect::CloseSocket);
                self.wait_and_retry(cx, Some(Duration::from_millis(retry_after.into())));
            }
            // Rooms have connections of their own.
            ServerFrame::Pong { .. }
            | ServerFrame::RoomJoined { .. }
            | ServerFrame::RoomHappened { .. }
            | ServerFrame::RoomEnded { .. } => {}
            ServerFrame::Subscribed { req, queue, ticket } => {
                let purpose = self.link.pending.remove(&req);
                match purpose {
                    Some(Purpose::OpenVault) => self.vault_opened(cx),
                    Some(Purpose::SubscribeToDelete { .. }) => {
                        self.request(cx, Purpose::Delete { queue }, |req| ClientFrame::DeleteQueue {
                            req,
                            queue,
                        });
                    }
                    Some(Purpose::Subscribe { .. }) => {
                        self.link.tickets.insert(queue, ticket);
                        self.state_dirty |= self.link.lost.remove(&queue);
                    }
                    _ => {}
                }
            }
            ServerFrame::Done { req } => {
                if let Some(purpose) = self.link.pending.remove(&req) {
                    self.request_done(cx, purpose);
                }
            }
            ServerFrame::Error {
                req,
                code,
                retry_after,
            } => {
                if let Some(purpose) = self.link.pending.remove(&req) {
                    let wait = Duration::from_millis(retry_after.into());
                    self.request_refused(cx, purpose, ErrorCode::from_number(code), wait);
                }
            }
            ServerFrame::VaultPage {
                req,
                generation,
                entries,
                more,
            } => {
                if self.link.pending.remove(&req).is_some() {
                    self.vault_page(cx, generation, entries, more);
                }
            }
            ServerFrame::VaultWritten { req, generation } => {
                if self.link.pending.remove(&req).is_some() {
                    self.vault_written(cx, generation);
                    if self.link.state == LinkState::Claiming {
                        self.come_online(cx);
                    }
                }
            }
        }
    }

    fn greeted(&mut self, cx: &mut Cx, incarnation: rly_protocol::Incarnation) {
        let Some(me) = &mut self.sim else { return };
        let other_store = me.record.incarnation.is_some_and(|known| known != incarnation);
        if me.record.incarnation != Some(incarnation) {
            me.record.incarnation = Some(incarnation);
            self.save_sim(cx);
        }
        if other_store {
            self.link.tickets.clear();
            for conversation in self.conversations.values_mut() {
                conversation.send_again(cx);
            }
        }
        self.link.state = LinkState::Claiming;
        let Some(me) = &self.sim else { return };
        let reader = me.sim.vault_reader_key();
        let key = reader.public_key();
        let signature = reader.prove(&self.origin, &self.link.nonce, &rly_crypto::vault_id(&key));
        self.request(cx, Purpose::OpenVault, |req| ClientFrame::OpenVault {
            req,
            key,
            signature,
        });
    }

    fn vault_opened(&mut self, cx: &mut Cx) {
        if self.sim.as_ref().is_some_and(|me| me.record.restoring) {
            self.read_vault(cx, 0);
        } else {
            self.write_vault(cx, true);
        }
    }

    /// This device uses the SIM: read the mailboxes, send what waits.
    fn come_online(&mut self, cx: &mut Cx) {
        self.link.state = LinkState::Online;
        self.link.attempt = 0;
        self.state_dirty = true;
        let mut mailboxes: Vec<(QueueId, [u8; 16])> = self
            .invites
            .values()
            .map(|invite| (invite.queue, invite.reader_salt))
            .collect();
        for conversation in self.conversations.values_mut().filter(|c| !c.contact.blocked) {
            conversation.renew_old_rejoin(cx.now);
            mailboxes.extend(
                conversation
                    .contact
                    .routes
                    .iter()
                    .map(|route| (route.queue, route.reader_salt)),
            );
        }
        for (queue, reader_salt) in mailboxes {
            self.subscribe_mailbox(cx, queue, reader_salt);
        }
    }

    fn proof(&self, now: Timestamp, queue: &QueueId, reader_salt: &[u8; 16]) -> Option<Proof> {
        if let Some(ticket) = self.link.tickets.get(queue).filter(|ticket| ticket.expires > now) {
            return Some(Proof::Ticket {
                ticket: ticket.clone(),
            });
        }
        let reader = self.sim.as_ref()?.sim.reader_key(reader_salt);
        Some(Proof::Signed {
            signature: reader.prove(&self.origin, &self.link.nonce, queue),
        })
    }

    /// Begins to read a mailbox, if connected; [`Machine::come_online`] does it otherwise.
    pub(crate) fn subscribe_mailbox(&mut self, cx: &mut Cx, queue: QueueId, reader_salt: [u8; 16]) {
        if self.link.state != LinkState::Online {
            return;
        }
        let Some(proof) = self.proof(cx.now, &queue, &reader_salt) else {
            return;
        };
        self.request(cx, Purpose::Subscribe { queue, reader_salt }, |req| {
            ClientFrame::Subscribe { req, queue, proof }
        });
    }

    fn request_done(&mut self, cx: &mut Cx, purpose: Purpose) {
        self.state_dirty = true;
        match purpose {
            Purpose::Send { conversation, n } => {
                if let Some(conversation) = self.conversations.get_mut(&conversation) {
                    conversation.sent(cx, n);
                }
            }
            Purpose::Withdraw { id, from } => self.withdrawn(cx, id, from, None),
            Purpose::Delete { queue } => self.deleted(cx, queue),
            _ => {}
        }
    }

    fn request_refused(&mut self, cx: &mut Cx, purpose: Purpose, code: Option<ErrorCode>, wait: Duration) {
        self.state_dirty = true;
        match purpose {
            Purpose::Send { conversation, n } => {
                if let Some(conversation) = self.conversations.get_mut(&conversation) {
                    conversation.refused(cx, n, code, wait);
                }
            }
            Purpose::Withdraw { id, from } => self.withdrawn(cx, id, from, code),
            Purpose::VaultWrite if code == Some(ErrorCode::VaultConflict) => {
                self.vault_refused();
                self.link.state = LinkState::Claiming;
                self.read_vault(cx, 0);
            }
            Purpose::VaultWrite if code == Some(ErrorCode::VaultFull) => {
                if !self.vault_full(cx) {
                    cx.out.effects.push(Effect::CloseSocket);
                    self.wait_and_retry(cx, Some(wait));
                }
            }
            Purpose::VaultWrite if self.link.state == LinkState::Online => {
                self.vault_refused();
                self.vault.retry_at = Some(Timestamp(cx.now.0 + (wait.as_millis() as u64).max(5_000)));
            }
            Purpose::OpenVault | Purpose::VaultRead | Purpose::VaultWrite => {
                cx.out.effects.push(Effect::CloseSocket);
                self.wait_and_retry(cx, Some(wait));
            }
            Purpose::Subscribe { queue, reader_salt } => {
                let had_ticket = self.link.tickets.remove(&queue).is_some();
                if had_ticket && matches!(code, Some(ErrorCode::TicketExpired | ErrorCode::ProofInvalid)) {
                    self.subscribe_mailbox(cx, queue, reader_salt);
                } else if wait.is_zero() {
                    self.link.lost.insert(queue);
                } else {
                    cx.out.effects.push(Effect::CloseSocket);
                    self.wait_and_retry(cx, Some(wait));
                }
            }
            // It is gone already; anything else is tried on the next connection.
            Purpose::SubscribeToDelete { queue } | Purpose::Delete { queue } => {
                if code == Some(ErrorCode::NoQueue) {
                    self.deleted(cx, queue);
                }
            }
        }
    }

    fn deleted(&mut self, cx: &mut Cx, queue: QueueId) {
        self.link.deleting.remove(&queue);
        self.link.tickets.remove(&queue);
        if self.deletions.remove(&queue).is_some() {
            cx.out.changes.delete(key(table::DELETIONS, &[&queue.0]));
        }
    }

    /// Has queues deleted that are to be.
    pub(crate) fn flush_deletions(&mut self, cx: &mut Cx) {
        if self.link.state != LinkState::Online {
            return;
        }
        let waiting: Vec<(QueueId, [u8; 16])> = self
            .deletions
            .iter()
            .filter(|(queue, _)| !self.link.deleting.contains(queue))
            .map(|(queue, record)| (*queue, record.reader_salt))
            .collect();
        for (queue, reader_salt) in waiting {
            let Some(proof) = self.proof(cx.now, &queue, &reader_salt) else {
                continue;
            };
            self.link.deleting.insert(queue);
            self.request(cx, Purpose::SubscribeToDelete { queue }, |req| {
                ClientFrame::Subscribe { req, queue, proof }
            });
        }
    }

    /// Seals, sends and saves what the conversations have.
    pub(crate) fn flush_conversations(&mut self, cx: &mut Cx) {
        let online = self.link.state == LinkState::Online;
        let held = self
            .sim
            .as_ref()
            .is_none_or(|me| me.record.replaced || me.record.restoring);
        let mut sends = Vec::new();
        let mut next_req = self.link.next_req;
        for conversation in self.conversations.values_mut() {
            if let (Some(me), false) = (&self.sim, held) {
                conversation.take_asked(cx, me);
                if conversation.rejoin_due
                    && !conversation.contact.blocked
                    && conversation.rejoin_allowed(cx.now)
                {
                    conversation.start_rejoin(cx, me);
                }
                conversation.seal_waiting(cx);
            }
            if online {
                let req = next_req.wrapping_add(1);
                if let Some(frame) = conversation.next_send(cx.now, req) {
                    next_req = req;
                    let n = conversation.in_flight.map_or(0, |(n, _)| n);
                    sends.push((
                        req,
                        Purpose::Send {
                            conversation: conversation.id,
                            n,
                        },
                        frame,
                    ));
                }
            }
            self.vault.dirty |= conversation.contact_dirty;
            self.state_dirty |= conversation.save(cx);
        }
        self.link.next_req = next_req;
        for (req, purpose, frame) in sends {
            self.link.pending.insert(req, purpose);
            cx.out.effects.push(Effect::SendFrame(frame.to_message()));
        }
    }

    pub(crate) fn timer_fired(&mut self, cx: &mut Cx) {
        for conversation in self.conversations.values_mut() {
            conversation.give_up_old(cx);
            if conversation.held_due().is_some_and(|due| due <= cx.now) {
                conversation.release_held(cx);
            }
        }
        match self.link.state {
            LinkState::Waiting if self.link.retry_at.is_some_and(|at| at <= cx.now) => {
                self.connect_if_due(cx)
            }
            LinkState::Idle | LinkState::Waiting | LinkState::NeedsNewer => {}
            _ if self.link.due().is_some_and(|due| due <= cx.now) => {
                if self.link.pong_due.is_some() || self.link.state != LinkState::Online {
                    cx.out.effects.push(Effect::CloseSocket);
                    self.wait_and_retry(cx, None);
                } else {
                    self.ping(cx, PONG_MS);
                }
            }
            _ => {}
        }
    }

    /// Somebody set the clock back: nothing may wait for a time that is far away now.
    pub(crate) fn clock_set_back(&mut self, now: Timestamp) {
        self.link.heard_at = self.link.heard_at.min(now);
        for at in [
            &mut self.link.retry_at,
            &mut self.link.pong_due,
            &mut self.vault.retry_at,
        ] {
            *at = at.map(|at| at.min(now));
        }
        for conversation in self.conversations.values_mut() {
            conversation.clock_set_back(now);
        }
    }

    /// When the machine next needs the time.
    pub(crate) fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        // What a passing moment only allows, once it has passed, waits for something else.
        let allowed = self
            .conversations
            .values()
            .flat_map(|c| [c.retry_at, c.rejoin_due_at(), c.asked_due()])
            .flatten();
        let expiry = self
            .invites
            .values()
            .filter(|i| i.opened_at.is_none())
            .map(|i| i.expires_at);
        let allowed = allowed
            .chain(self.vault.retry_at)
            .chain(self.ending.as_ref().map(|(_, until)| *until))
            .chain(expiry)
            .filter(|at| *at > now);
        let due = self
            .conversations
            .values()
            .flat_map(|c| [c.give_up_due(), c.held_due()])
            .flatten();
        due.chain(self.link.due()).chain(allowed).min()
    }
}
