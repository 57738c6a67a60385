//! Sending: seal in order, send one at a time, keep the plaintext until the receipt.
//!
//! One envelope of a conversation is under way at a time. That keeps the sender's order whatever
//! the server refuses and whenever the connection breaks; other conversations are not held up.

use crate::{
    context::Cx,
    conversation::Conversation,
    envelope::Parcel,
    inner::{self, Inner, Receipt},
    machine::Machine,
    parse::{checked_text, parse_id},
    record::{Cargo, ContentRecord, Errand, OutRecord, SealedRecord},
};
use core::time::Duration;
use rly_crypto::MlsError;
use rly_protocol::{Encode, EnvelopeId, ErrorCode, Timestamp, frame::ClientFrame, limits::ENVELOPE_TTL};
use rly_view::{Answer, FailureCode, MessageState};

/// A self-update after this many messages of ours,
const UPDATE_MESSAGES: u32 = 50;
/// or after this many seconds.
const UPDATE_SECONDS: u64 = 86_400;
/// A message that no receipt has come for is given up this long after the server's confirmation,
/// in seconds: what nobody fetches expires there, and an hour for clocks that differ.
const GIVE_UP_SECONDS: u64 = ENVELOPE_TTL + 3600;
/// The shortest wait after the server refused for now, in milliseconds.
const RETRY_MS: u64 = 1000;

impl Conversation {
    /// Takes a text of the person's own.
    pub fn queue_text(&mut self, cx: &mut Cx, id: [u8; 16], text: String) {
        self.note_seen(cx, id);
        // It waits for keys. Should both have asked for them and both not been heard, nobody else asks.
        self.renew_rejoin(cx.now);
        let content = ContentRecord::Text { text: text.clone() };
        let order = self.add_message(cx.now, id, true, content, Some(MessageState::Sending));
        self.local.active_at = cx.now;
        let cargo = Cargo::Text {
            order,
            id,
            at: cx.now,
            text,
            failed: false,
        };
        self.push_out(
            cx,
            OutRecord {
                cargo,
                stream: [0; 8],
                seq: 0,
                hash: [0; 32],
                sealed: None,
                sent_at: None,
                join: false,
            },
        );
    }

    pub fn push_out(&mut self, cx: &mut Cx, row: OutRecord) -> u64 {
        let n = self.local.next_out;
        self.local.next_out += 1;
        self.local_dirty = true;
        self.put_out(cx, n, row);
        n
    }

    /// Seals something of the machine's own for a route and queues it.
    pub fn push_parcel(&mut self, cx: &mut Cx, route: usize, errand: Errand, parcel: &Parcel) {
        let Some(sealed) = self.seal(cx, route, parcel) else {
            return;
        };
        let row = OutRecord {
            cargo: Cargo::Control { errand },
            stream: [0; 8],
            seq: 0,
            hash: [0; 32],
            sealed: Some(sealed),
            sent_at: None,
            join: false,
        };
        self.push_out(cx, row);
    }

    pub fn seal(&mut self, cx: &mut Cx, route: usize, parcel: &Parcel) -> Option<SealedRecord> {
        let route = self.contact.routes.get(route)?;
        let body = route.peer_outer_key().seal(&parcel.to_bytes(), cx.rng).ok()?;
        Some(SealedRecord {
            id: EnvelopeId(cx.random()),
            address: route.peer_address,
            body: body.into(),
        })
    }

    /// The next numbered message of our stream.
    pub fn next_inner(&mut self, kind: u8, id: [u8; 16], at: Timestamp, body: Vec<u8>) -> Inner {
        self.local.out_seq += 1;
        let message = Inner {
            kind,
            id,
            stream: self.local.out_stream,
            seq: self.local.out_seq,
            previous: self.local.out_hash,
            at,
            body: body.into(),
        };
        self.local.out_hash = message.hash();
        self.local_dirty = true;
        message
    }

    /// Encrypts a plaintext in the active group.
    fn encrypt(&mut self, cx: &mut Cx, plain: &[u8]) -> Result<Parcel, MlsError> {
        let active = usize::from(self.local.active);
        let group = self.group_of(active).ok_or(MlsError::Refused)?;
        Ok(Parcel::Message {
            message: group.encrypt(plain, cx.rng)?.into(),
        })
    }

    /// A message that is not numbered and not shown.
    pub fn unnumbered(&self, cx: &mut Cx, kind: u8, body: Vec<u8>) -> Inner {
        Inner {
            kind,
            id: cx.random(),
            stream: [0; 8],
            seq: 0,
            previous: [0; 32],
            at: cx.now,
            body: body.into(),
        }
    }

    /// Queues a message that is not numbered and not shown.
    pub fn push_unnumbered(&mut self, cx: &mut Cx, errand: Errand, kind: u8, body: Vec<u8>) {
        let message = self.unnumbered(cx, kind, body);
        let active = usize::from(self.local.active);
        if let Ok(parcel) = self.encrypt(cx, &message.to_bytes()) {
            self.push_parcel(cx, active, errand, &parcel);
        }
    }

    /// Outbox rows of texts that are still to be sealed, in order.
    fn waiting_texts(&self) -> Vec<u64> {
        let waiting = self.outbox.iter().filter(|(_, row)| row.must_be_sealed());
        waiting.map(|(n, _)| *n).collect()
    }

    /// Seals what waits, in order, adds a receipt and a self-update if they are due.
    pub fn seal_waiting(&mut self, cx: &mut Cx) {
        // Without keys there is no asking whether the contact is still gone.
        if self.local.gone && !self.is_ready() {
            for n in self.waiting_texts() {
                self.fail(cx, n);
            }
        }
        if !self.is_ready() {
            return;
        }
        for n in self.waiting_texts() {
            let Some(mut row) = self.outbox.get(&n).cloned() else {
                continue;
            };
            let Cargo::Text { id, at, text, .. } = &row.cargo else {
                continue;
            };
            let message = self.next_inner(inner::TEXT, *id, *at, text.clone().into_bytes());
            let Ok(parcel) = self.encrypt(cx, &message.to_bytes()) else {
                self.rejoin_due = true;
                return;
            };
            let active = usize::from(self.local.active);
            let Some(sealed) = self.seal(cx, active, &parcel) else {
                continue;
            };
            (row.stream, row.seq, row.hash) = (message.stream, message.seq, message.hash());
            row.sealed = Some(sealed);
            self.local.since_update += 1;
            self.put_out(cx, n, row);
        }
        if core::mem::take(&mut self.receipt_due) {
            let receipt = Receipt {
                stream: self.local.in_stream,
                seq: self.local.in_seq,
                hash: self.local.in_hash,
                missing: self.local.missing.clone(),
            };
            self.local.receipted = self.local.in_seq;
            self.push_unnumbered(cx, Errand::Receipt, inner::RECEIPT, receipt.to_bytes());
        }
        self.update_if_due(cx);
    }

    fn update_if_due(&mut self, cx: &mut Cx) {
        let due = self.local.since_update >= UPDATE_MESSAGES
            || cx.now >= self.local.updated_at.plus_seconds(UPDATE_SECONDS) && self.local.since_update > 0;
        let active = usize::from(self.local.active);
        let Some(group) = self.group_of(active).filter(|group| due && group.may_commit()) else {
            return;
        };
        match group.update(cx.rng) {
            Ok(commit) => {
                self.local.since_update = 0;
                self.local.updated_at = cx.now;
                self.local_dirty = true;
                self.push_parcel(
                    cx,
                    active,
                    Errand::Keys,
                    &Parcel::Message {
                        message: commit.into(),
                    },
                );
            }
            Err(_) => self.rejoin_due = true,
        }
    }

    /// The next frame to send, if one may be sent now.
    pub fn next_send(&mut self, now: Timestamp, req: u32) -> Option<ClientFrame> {
        if self.in_flight.is_some() || self.retry_at.is_some_and(|at| at > now) {
            return None;
        }
        self.retry_at = None;
        let (n, sealed) = self
            .outbox
            .iter()
            .filter(|(_, row)| row.sent_at.is_none() && !row.has_failed())
            .find_map(|(n, row)| Some((*n, row.sealed.as_ref()?)))?;
        self.in_flight = Some((n, req));
        Some(ClientFrame::Send {
            req,
            address: sealed.address,
            id: sealed.id,
            body: sealed.body.clone(),
        })
    }

    /// The server has answered for an outbox row.
    fn answered(&mut self, n: u64) {
        self.in_flight = self.in_flight.filter(|(waiting, _)| *waiting != n);
    }

    /// The server has an outbox row.
    pub fn sent(&mut self, cx: &mut Cx, n: u64) {
        self.answered(n);
        let Some(mut row) = self.outbox.get(&n).cloned() else {
            return;
        };
        if matches!(row.cargo, Cargo::Control { .. }) && !row.join {
            return self.delete_out(cx, n);
        }
        self.show_row(&row, MessageState::Sent);
        row.sent_at = Some(cx.now);
        if !row.join {
            row.sealed = None;
        }
        self.put_out(cx, n, row);
    }

    /// The server will never take something of the machine's own.
    fn refused_errand(&mut self, errand: Errand) {
        match errand {
            // Due again with the next message, or at the next start.
            Errand::Receipt => {
                self.local.receipted = 0;
                self.local_dirty = true;
            }
            Errand::Name => {}
            Errand::Keys => self.rejoin_due = true,
            Errand::Join => {
                self.local.gone = true;
                self.local_dirty = true;
            }
        }
    }

    /// The server refused an outbox row.
    pub fn refused(&mut self, cx: &mut Cx, n: u64, code: Option<ErrorCode>, retry_after: Duration) {
        self.answered(n);
        if code == Some(ErrorCode::NoQueue) {
            self.local.gone = true;
            self.local_dirty = true;
        }
        if retry_after.is_zero() && !matches!(code, Some(ErrorCode::Unavailable | ErrorCode::Stopping)) {
            return self.fail(cx, n);
        }
        let wait = (retry_after.as_millis() as u64).max(RETRY_MS);
        self.retry_at = Some(Timestamp(cx.now.0 + wait + u64::from(cx.random::<1>()[0])));
    }

    /// Gives an outbox row up; a text can be tried again by hand.
    pub fn fail(&mut self, cx: &mut Cx, n: u64) {
        let Some(mut row) = self.outbox.get(&n).cloned() else {
            return;
        };
        match &mut row.cargo {
            Cargo::Control { errand } => {
                self.refused_errand(*errand);
                self.delete_out(cx, n);
            }
            Cargo::Text { failed, .. } => {
                *failed = true;
                self.show_row(&row, MessageState::Failed);
                row.sent_at = None;
                if !row.join {
                    row.sealed = None;
                }
                self.put_out(cx, n, row);
            }
        }
    }

    pub fn retry_failed(&mut self, cx: &mut Cx, id: [u8; 16]) -> Result<Answer, FailureCode> {
        let found = self.outbox.iter().find_map(|(n, row)| match &row.cargo {
            Cargo::Text {
                id: own,
                failed: true,
                ..
            } if *own == id => Some(*n),
            _ => None,
        });
        let mut row = found
            .and_then(|n| self.outbox.get(&n).cloned())
            .ok_or(FailureCode::NotFound)?;
        if let Cargo::Text { failed, .. } = &mut row.cargo {
            *failed = false;
        }
        self.show_row(&row, MessageState::Sending);
        // The person thinks that the contact is there: ask anew.
        if core::mem::take(&mut self.local.gone) && !self.is_ready() {
            self.rejoin_due = true;
        }
        // At the end of the outbox: what was sent since has its place in the stream already.
        if let Some(n) = found {
            self.delete_out(cx, n);
        }
        self.push_out(cx, row);
        Ok(Answer::Done)
    }

    /// The other side has everything of a stream up to a place, but for what it misses: that goes
    /// out again at the end.
    pub fn receipt(&mut self, cx: &mut Cx, receipt: &Receipt) {
        if !self.is_for_ours(receipt) {
            self.rejoin_due = true;
            return;
        }
        let done: Vec<u64> = self
            .outbox
            .iter()
            .filter(|(_, row)| row.stream == receipt.stream && (1..=receipt.seq).contains(&row.seq))
            .map(|(n, _)| *n)
            .collect();
        for n in done {
            let Some(mut row) = self.outbox.get(&n).cloned() else {
                continue;
            };
            self.delete_out(cx, n);
            let missing = receipt.missing.iter().any(|missing| missing.contains(row.seq));
            if let Cargo::Text { failed, .. } = &mut row.cargo {
                // Given up too early: the contact is there, and asks for it.
                *failed = false;
            }
            if missing {
                self.show_row(&row, MessageState::Sending);
                self.push_out(cx, row.anew());
            } else {
                self.show_row(&row, MessageState::Delivered);
            }
        }
        if receipt.stream == self.local.out_stream {
            self.number_anew(cx);
        }
    }

    /// What answered a link keeps its place in the stream that was then, as its bytes do. Receipts are for
    /// the stream of now: for one, it needs a place in this. The other side knows it by its id.
    fn number_anew(&mut self, cx: &mut Cx) {
        let of_before = |row: &OutRecord| {
            row.stream != self.local.out_stream && row.sent_at.is_some() && !row.join && !row.has_failed()
        };
        let rows = self.outbox.iter().filter(|(_, row)| of_before(row));
        let rows: Vec<(u64, OutRecord)> = rows.map(|(n, row)| (*n, row.clone())).collect();
        for (n, row) in rows {
            self.delete_out(cx, n);
            self.push_out(cx, row.anew());
        }
    }

    /// Whether a receipt is for what we sent. In an old profile that was put back it may be for what
    /// was sent in its place before.
    fn is_for_ours(&self, receipt: &Receipt) -> bool {
        let mut rows = self.outbox.values();
        match rows.find(|row| row.stream == receipt.stream && row.seq == receipt.seq) {
            Some(row) => row.hash == receipt.hash,
            // It had its receipt already.
            None => receipt.stream != self.local.out_stream || receipt.seq <= self.local.out_seq,
        }
    }

    /// Begins a new stream: what answered a link and was not heard of goes out, then `first` (if
    /// any), then everything without a receipt once more. What else the machine itself had to send
    /// belongs to what was before, and is dropped.
    pub fn restart_outbox(&mut self, cx: &mut Cx, first: Option<(usize, Parcel)>) {
        (self.local.out_stream, self.local.out_seq, self.local.out_hash) = (cx.random(), 0, [0; 32]);
        self.local_dirty = true;
        self.in_flight = None;
        let rows: Vec<(u64, OutRecord)> = self.outbox.iter().map(|(n, row)| (*n, row.clone())).collect();
        for (n, _) in &rows {
            self.delete_out(cx, *n);
        }
        let (joins, rows): (Vec<_>, Vec<_>) = rows.into_iter().map(|(_, row)| row).partition(|row| row.join);
        for mut row in joins {
            self.show_sending(&row);
            row.sent_at = None;
            self.push_out(cx, row);
        }
        if let Some((route, parcel)) = first {
            self.push_parcel(cx, route, Errand::Keys, &parcel);
        }
        for row in rows {
            if let Cargo::Text { .. } = &row.cargo {
                self.show_sending(&row);
                self.push_out(cx, row.anew());
            }
        }
    }

    fn show_sending(&mut self, row: &OutRecord) {
        if !row.has_failed() {
            self.show_row(row, MessageState::Sending);
        }
    }

    /// Shows in which state a text is; what is none is not shown.
    fn show_row(&mut self, row: &OutRecord, state: MessageState) {
        if let Cargo::Text {
            order, id, at, text, ..
        } = &row.cargo
        {
            self.show_state(*order, *id, *at, text, state);
        }
    }

    /// The server's store is not the one that confirmed: what has no receipt is sent once more.
    pub fn send_again(&mut self, cx: &mut Cx) {
        if core::mem::take(&mut self.local.gone) {
            self.local_dirty = true;
        }
        if !self.is_ready() {
            self.rejoin_due = true;
            return;
        }
        let again: Vec<u64> = self
            .outbox
            .iter()
            .filter(|(_, row)| row.sent_at.is_some())
            .map(|(n, _)| *n)
            .collect();
        if !again.is_empty() {
            self.restart_outbox(cx, None);
        }
    }

    /// Gives up what nobody has fetched in time.
    pub fn give_up_old(&mut self, cx: &mut Cx) {
        let old: Vec<u64> = self
            .outbox
            .iter()
            .filter(|(_, row)| {
                row.sent_at
                    .is_some_and(|at| at.plus_seconds(GIVE_UP_SECONDS) <= cx.now)
            })
            .map(|(n, _)| *n)
            .collect();
        for n in old {
            self.fail(cx, n);
        }
    }

    /// When the oldest message without a receipt is given up.
    pub fn give_up_due(&self) -> Option<Timestamp> {
        let oldest = self.outbox.values().filter_map(|row| row.sent_at).min();
        oldest.map(|at| at.plus_seconds(GIVE_UP_SECONDS))
    }
}

impl OutRecord {
    fn must_be_sealed(&self) -> bool {
        self.sealed.is_none()
            && self.sent_at.is_none()
            && matches!(self.cargo, Cargo::Text { failed: false, .. })
    }

    fn has_failed(&self) -> bool {
        matches!(self.cargo, Cargo::Text { failed: true, .. })
    }

    /// To be sealed again, for a new place in the stream.
    fn anew(self) -> Self {
        Self {
            stream: [0; 8],
            seq: 0,
            hash: [0; 32],
            sealed: None,
            sent_at: None,
            ..self
        }
    }
}

impl Machine {
    pub(crate) fn send(
        &mut self,
        cx: &mut Cx,
        name: &str,
        id: &str,
        text: String,
    ) -> Result<Answer, FailureCode> {
        let conversation = self.named(name)?;
        let id = parse_id(id)?;
        let conversation = self
            .conversations
            .get_mut(&conversation)
            .ok_or(FailureCode::NotFound)?;
        if conversation.seen.contains(&id) {
            return Ok(Answer::Done);
        }
        checked_text(&text)?;
        if conversation.contact.blocked {
            return Err(FailureCode::Blocked);
        }
        if self.sim.as_ref().is_some_and(|sim| sim.record.replaced) {
            return Err(FailureCode::Replaced);
        }
        conversation.queue_text(cx, id, text);
        Ok(Answer::Done)
    }

    pub(crate) fn retry(&mut self, cx: &mut Cx, name: &str, id: &str) -> Result<Answer, FailureCode> {
        let conversation = self.named(name)?;
        let id = parse_id(id)?;
        let conversation = self
            .conversations
            .get_mut(&conversation)
            .ok_or(FailureCode::NotFound)?;
        conversation.retry_failed(cx, id)
    }
}
