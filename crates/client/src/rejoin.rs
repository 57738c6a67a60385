//! Re-joining: a new MLS group for a conversation whose old one is lost or in doubt.
//!
//! Whoever lost it sends a fresh KeyPackage, signed by the SIM key that the contact knows, with a
//! number that rises. The contact makes a new group, answers with its Welcome, and sends what had
//! no receipt again. If both ask at once, the one whose SIM key has the lower SHA-256 makes it.

use crate::{
    context::{Cx, SimState},
    conversation::Conversation,
    envelope::{Parcel, rejoin_message},
    io::table,
    record::{AskedRejoin, ContentRecord, PendingRejoin, key, put},
};
use bytes::Bytes;
use rly_crypto::{KeyPackageSecrets, MlsError};
use rly_protocol::{PublicKey, Signature, Timestamp};
use sha2::{Digest, Sha256};

fn digest(key: &PublicKey) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// The shortest time between two re-joins that are asked for here, and in the long run between two that
/// are taken from the contact, in seconds.
const PAUSE: u64 = 30;
/// As many of the contact's are taken without a pause: who goes from one device to another does not wait.
const AT_ONCE: u64 = 3;
/// Where both ask and the contact should answer, its own are passed over until it has asked so often, each time
/// after [`RENEW_HEARD`] and so as one that has ours and does not take it.
const TIES: u8 = 3;
/// A re-join that was not answered for so long is asked for again, in seconds: envelopes expire.
const RENEW: u64 = 20 * 86_400;
/// One that was not answered while either side goes on writing is asked for again after this time.
const RENEW_HEARD: u64 = 3600;

impl Conversation {
    pub fn rejoin_allowed(&self, now: Timestamp) -> bool {
        self.rejoin_at.is_none_or(|at| at.plus_seconds(PAUSE) <= now)
    }

    /// When a re-join that is due may be asked for.
    pub fn rejoin_due_at(&self) -> Option<Timestamp> {
        self.rejoin_at
            .filter(|_| self.rejoin_due)
            .map(|at| at.plus_seconds(PAUSE))
    }

    fn rejoin_is_older(&self, seconds: u64, now: Timestamp) -> bool {
        let pending = self.local.rejoin.as_ref();
        pending.is_some_and(|pending| pending.asked_at.plus_seconds(seconds) <= now)
    }

    /// On a new connection.
    pub fn renew_old_rejoin(&mut self, now: Timestamp) {
        self.rejoin_due |= self.rejoin_is_older(RENEW, now);
    }

    /// The contact writes, but not in a group that we have; or we write, and there is none.
    pub fn renew_rejoin(&mut self, now: Timestamp) {
        self.rejoin_due |= self.rejoin_is_older(RENEW_HEARD, now);
    }

    /// Asks the contact for a new group. Messages wait until its Welcome comes.
    pub fn start_rejoin(&mut self, cx: &mut Cx, me: &SimState) {
        self.rejoin_due = false;
        self.rejoin_at = Some(cx.now);
        let route = usize::from(self.local.active);
        let Some(peer_address) = self.active_route().map(|route| route.peer_address) else {
            return;
        };
        let Ok((key_package, secrets)) = rly_crypto::make_key_package(&me.sim, &me.record.device, cx.rng)
        else {
            return;
        };
        // The time makes it higher than any number that an earlier device has used and not told.
        let number = cx.now.0.max(self.contact.rejoin_sent + 1);
        self.contact.rejoin_sent = number;
        self.contact_dirty = true;
        let signature = me.sim.sign(&rejoin_message(number, &peer_address, &key_package));
        for route in 0..self.contact.routes.len() {
            self.drop_group(cx, route);
        }
        self.local.rejoin = Some(PendingRejoin {
            number,
            asked_at: cx.now,
            secrets: secrets.to_bytes().to_vec().into(),
        });
        self.local_dirty = true;
        let sim_key = me.sim.public_key();
        let parcel = Parcel::Rejoin {
            number,
            sim_key,
            key_package: key_package.into(),
            signature,
        };
        self.restart_outbox(cx, Some((route, parcel)));
    }

    #[allow(clippy::too_many_arguments, reason = "the parcel's fields, one by one")]
    pub fn receive_rejoin(
        &mut self,
        cx: &mut Cx,
        me: &SimState,
        route: usize,
        number: u64,
        sim_key: &PublicKey,
        key_package: &[u8],
        signature: &Signature,
    ) {
        let Some(own_address) = self.contact.routes.get(route).map(|route| route.own_address) else {
            return;
        };
        let signed = rejoin_message(number, &own_address, key_package);
        if *sim_key != self.contact.sim_key || rly_crypto::verify(sim_key, &signed, signature).is_err() {
            return self.add_note(cx, ContentRecord::Unreadable);
        }
        if number <= self.contact.rejoin_seen {
            return;
        }
        let asked = AskedRejoin {
            route: route as u16,
            number,
            key_package: Bytes::copy_from_slice(key_package),
        };
        if self.takes_rejoins_at() > cx.now {
            return self.keep_asked(cx, asked);
        }
        self.take_rejoin(cx, me, &asked);
    }

    /// Each re-join makes keys and sends much again, as often as the contact wants: the newest waits.
    fn keep_asked(&mut self, cx: &mut Cx, asked: AskedRejoin) {
        if self
            .asked
            .as_ref()
            .is_none_or(|known| known.number < asked.number)
        {
            put(&mut cx.out.changes, key(table::REJOINS, &[&self.id]), &asked);
            self.asked = Some(asked);
        }
    }

    /// When the re-join that waits may be taken.
    pub fn asked_due(&self) -> Option<Timestamp> {
        self.asked.as_ref().map(|_| self.takes_rejoins_at())
    }

    /// When one more may be taken.
    fn takes_rejoins_at(&self) -> Timestamp {
        let ahead = (AT_ONCE - 1) * PAUSE * 1000;
        self.rejoins_taken_until
            .map_or(Timestamp(0), |until| Timestamp(until.0.saturating_sub(ahead)))
    }

    /// Takes the re-join that waited, if its time has come.
    pub fn take_asked(&mut self, cx: &mut Cx, me: &SimState) {
        if self.asked_due().is_some_and(|due| due <= cx.now)
            && let Some(asked) = self.forget_asked(cx)
            && asked.number > self.contact.rejoin_seen
            && !self.contact.blocked
        {
            self.take_rejoin(cx, me, &asked);
        }
    }

    fn forget_asked(&mut self, cx: &mut Cx) -> Option<AskedRejoin> {
        let asked = self.asked.take()?;
        cx.out.changes.delete(key(table::REJOINS, &[&self.id]));
        Some(asked)
    }

    /// Notes that the contact asks as well. Whether it does not take our re-joins at all: an earlier device of ours
    /// has used higher numbers, and this one's clock is behind.
    fn note_tie(&mut self, now: Timestamp) -> bool {
        let since = |at: Timestamp| at.plus_seconds(RENEW_HEARD);
        if self.tied_at.is_none_or(|at| since(at) <= now) {
            self.tied_at = Some(now);
            self.ties = self.ties.saturating_add(1);
        }
        self.ties >= TIES
    }

    fn take_rejoin(&mut self, cx: &mut Cx, me: &SimState, asked: &AskedRejoin) {
        let AskedRejoin {
            route,
            number,
            ref key_package,
        } = *asked;
        let route = usize::from(route);
        let sim_key = self.contact.sim_key;
        let until = self.rejoins_taken_until.unwrap_or(cx.now).max(cx.now);
        self.rejoins_taken_until = Some(until.plus_seconds(PAUSE));
        let ours = digest(&me.sim.public_key());
        self.heard(cx);
        if self.local.rejoin.is_some() && ours > digest(&sim_key) && !self.note_tie(cx.now) {
            // It is for the other side to answer ours. Should it have lost that: once more, later.
            self.rejoin_due = true;
            return;
        }
        let made =
            rly_crypto::Conversation::create(&me.sim, &me.record.device, key_package, &sim_key, cx.rng);
        let Ok((group, welcome)) = made else {
            return self.add_note(cx, ContentRecord::Unreadable);
        };
        self.contact.rejoin_seen = number;
        self.contact_dirty = true;
        let welcome = Parcel::Welcome {
            number,
            welcome: welcome.into(),
        };
        self.begin_group(cx, route, group, Some((route, welcome)));
        self.add_note(cx, ContentRecord::Rejoined);
    }

    pub fn receive_welcome(&mut self, cx: &mut Cx, me: &SimState, route: usize, number: u64, welcome: &[u8]) {
        let Some(pending) = self
            .local
            .rejoin
            .as_ref()
            .filter(|pending| pending.number == number)
        else {
            return;
        };
        let joined = KeyPackageSecrets::from_bytes(&pending.secrets)
            .map_err(|_| MlsError::Storage)
            .and_then(|secrets| {
                rly_crypto::Conversation::join(&me.sim, &me.record.device, &secrets, welcome, cx.rng)
            });
        match joined {
            Ok(group) if group.peer_sim() == self.contact.sim_key => {
                self.heard(cx);
                // Who made this group asked for none that came before it any more.
                self.forget_asked(cx);
                self.begin_group(cx, route, group, None);
                self.add_note(cx, ContentRecord::RejoinedHere);
            }
            // Another device of ours, which had not told the vault, has asked under the same number and was
            // answered: nothing is unreadable, and ours needs a higher one.
            Err(MlsError::OtherKeyPackage) => self.rejoin_due = true,
            _ => {
                self.add_note(cx, ContentRecord::Unreadable);
                self.rejoin_due = true;
            }
        }
    }

    /// A new group takes the place of all that were; `first` goes out before anything in it.
    fn begin_group(
        &mut self,
        cx: &mut Cx,
        route: usize,
        group: rly_crypto::Conversation,
        first: Option<(usize, Parcel)>,
    ) {
        for other in 0..self.contact.routes.len() {
            self.drop_group(cx, other);
        }
        self.local.rejoin = None;
        (self.rejoin_due, self.ties, self.tied_at) = (false, 0, None);
        self.local.active = route as u16;
        self.set_group(cx, route, group);
        self.restart_outbox(cx, first);
    }

    /// Forgets everything stored of this conversation.
    pub fn delete_rows(&self, cx: &mut Cx) {
        let changes = &mut cx.out.changes;
        for table in [
            table::OUTBOX,
            table::MLS,
            table::MESSAGES,
            table::SEEN,
            table::HELD,
            table::ANSWERED,
            table::REJOINS,
        ] {
            changes.delete_prefix(key(table, &[&self.id]));
        }
        changes.delete(key(table::CONTACTS, &[&self.id]));
        changes.delete(key(table::CONVERSATIONS, &[&self.id]));
    }
}
