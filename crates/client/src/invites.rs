//! Links made here: a fresh mailbox, a card, a link; and what becomes of them.

use crate::{
    context::Cx,
    conversation::Conversation,
    envelope::Parcel,
    io::{CommandId, HttpError, HttpOk, HttpRequest, HttpResult, table},
    machine::{HttpPurpose, Machine},
    parse::{checked_name, checked_text, parse_id},
    record::{ContactRecord, ContentRecord, InviteRecord, Route, key, put},
};
use rly_crypto::{KeyPackageSecrets, OuterKey};
use rly_protocol::{
    Decode, ErrorCode, InviteId, QueueId, Timestamp,
    api::{Blob, RegisterSim, ShareContact},
    frame::ClientFrame,
    limits::{INVITE_TTL_MAX, INVITE_TTL_MIN},
};
use rly_view::{
    Answer, FailureCode, Link, MessageState,
    card::{Card, SignedCard},
    name,
};

/// How long an expired link stays in the list, in seconds.
const KEEP_EXPIRED: u64 = 7 * 86_400;

/// By how much the server's clock may be ahead of this one, in seconds.
const CLOCK_DIFFERENCE: u64 = 86_400;

/// A link that is being made.
pub(crate) struct NewInvite {
    from: CommandId,
    id: [u8; 16],
    reader_salt: [u8; 16],
    name: String,
    letter: Option<String>,
    ttl_seconds: u64,
    /// Known once there is a mailbox: the row, still without its link, and the link's secret.
    made: Option<(InviteRecord, [u8; 16])>,
}

/// What a failed request means to a person.
pub(crate) fn failure_of(error: &HttpError) -> FailureCode {
    match error {
        HttpError::Network => FailureCode::Offline,
        HttpError::Code(ErrorCode::RateLimited | ErrorCode::Unavailable | ErrorCode::Stopping, _) => {
            FailureCode::Busy
        }
        HttpError::Code(..) => FailureCode::Refused,
    }
}

impl Machine {
    pub(crate) fn create_invite(
        &mut self,
        cx: &mut Cx,
        from: CommandId,
        id: &str,
        letter: Option<String>,
        name: Option<String>,
        ttl_seconds: u64,
    ) {
        match self.begin_invite(cx, from, id, letter, name, ttl_seconds) {
            Ok(None) => {}
            Ok(Some(answer)) => cx.answer(from, Ok(answer)),
            Err(code) => cx.answer(from, Err(code)),
        }
        self.state_dirty = true;
    }

    fn begin_invite(
        &mut self,
        cx: &mut Cx,
        from: CommandId,
        id: &str,
        letter: Option<String>,
        name: Option<String>,
        ttl_seconds: u64,
    ) -> Result<Option<Answer>, FailureCode> {
        let id = parse_id(id)?;
        if let Some(made) = self.invites.get(&id) {
            return Ok(Some(made.answer(&id)));
        }
        if let Some(letter) = &letter {
            checked_text(letter)?;
        }
        let name = name.map(|name| checked_name(&name)).transpose()?;
        self.sim_for_use(cx, name.as_deref())?;
        let sim = self.sim.as_ref().ok_or(FailureCode::NoSim)?;
        let new = NewInvite {
            from,
            id,
            reader_salt: cx.random(),
            name: name.unwrap_or_else(|| sim.record.name.clone()),
            letter,
            ttl_seconds: ttl_seconds.clamp(INVITE_TTL_MIN, INVITE_TTL_MAX),
            made: None,
        };
        let reader_key = sim.sim.reader_key(&new.reader_salt).public_key();
        self.start_http(
            cx,
            HttpPurpose::InviteMailbox(new),
            HttpRequest::Register(RegisterSim { reader_key }),
        );
        Ok(None)
    }

    pub(crate) fn invite_mailbox_made(&mut self, cx: &mut Cx, mut new: NewInvite, result: HttpResult) {
        let from = new.from;
        let registered = match result {
            Ok(HttpOk::Registered(registered)) => registered,
            Ok(HttpOk::Shared(_)) => return cx.answer(from, Err(FailureCode::Internal)),
            Err(error) => return cx.answer(from, Err(failure_of(&error))),
        };
        let Some(me) = &self.sim else {
            return cx.answer(from, Err(FailureCode::NoSim));
        };
        let Ok((key_package, secrets)) = rly_crypto::make_key_package(&me.sim, &me.record.device, cx.rng)
        else {
            return cx.answer(from, Err(FailureCode::Internal));
        };
        let outer = OuterKey::generate(cx.rng);
        let card = Card {
            origin: self.origin.clone(),
            address: registered.address,
            outer_key: *outer.as_bytes(),
            key_package: key_package.into(),
            sim_key: me.sim.public_key(),
            name: new.name.clone(),
            letter: new.letter.clone(),
        };
        let secret: [u8; 16] = cx.random();
        let Ok(sealed) = rly_crypto::seal_card(&secret, &rly_crypto::sign_card(&me.sim, &card), cx.rng)
        else {
            return cx.answer(from, Err(FailureCode::TextInvalid));
        };
        let record = InviteRecord {
            invite: InviteId([0; 16]),
            link: String::new(),
            queue: registered.queue,
            reader_salt: new.reader_salt,
            own_address: registered.address,
            own_outer: *outer.as_bytes(),
            secrets: secrets.to_bytes().to_vec().into(),
            name: new.name.clone(),
            letter: new.letter.clone(),
            created_at: cx.now,
            expires_at: cx.now.plus_seconds(new.ttl_seconds),
            opened_at: None,
            unreadable_at: None,
        };
        let request = ShareContact {
            address_token: registered.address_token,
            card: Blob(sealed),
            ttl_seconds: new.ttl_seconds,
        };
        new.made = Some((record, secret));
        self.start_http(cx, HttpPurpose::Invite(new), HttpRequest::Share(request));
    }

    pub(crate) fn invite_made(&mut self, cx: &mut Cx, new: NewInvite, result: HttpResult) {
        let shared = match result {
            Ok(HttpOk::Shared(shared)) => shared,
            Ok(HttpOk::Registered(_)) => return cx.answer(new.from, Err(FailureCode::Internal)),
            Err(error) => return cx.answer(new.from, Err(failure_of(&error))),
        };
        let Some((mut made, secret)) = new.made else {
            return cx.answer(new.from, Err(FailureCode::Internal));
        };
        made.invite = shared.invite_id;
        made.expires_at = shared.expires_at;
        made.link = Link {
            invite: shared.invite,
            secret,
        }
        .to_url(&self.origin);
        put(&mut cx.out.changes, key(table::INVITES, &[&new.id]), &made);
        cx.answer(new.from, Ok(made.answer(&new.id)));
        self.subscribe_mailbox(cx, made.queue, made.reader_salt);
        self.invites.insert(new.id, made);
        self.vault.dirty = true;
        self.state_dirty = true;
    }

    /// Somebody opened a link of ours.
    pub(crate) fn invite_opened(&mut self, cx: &mut Cx, invite: InviteId, at: Timestamp) {
        let Some((id, record)) = self
            .invites
            .iter_mut()
            .find(|(_, record)| record.invite == invite)
        else {
            return;
        };
        if record.opened_at.is_none() {
            // The time is the server's word. What cannot be true is not shown.
            let possible = at >= record.created_at && at <= cx.now.plus_seconds(CLOCK_DIFFERENCE);
            record.opened_at = Some(if possible { at } else { cx.now });
            put(&mut cx.out.changes, key(table::INVITES, &[id]), record);
            self.vault.dirty = true;
        }
    }

    pub(crate) fn withdraw_invite(&mut self, cx: &mut Cx, from: CommandId, id: &str) {
        let found = parse_id(id)
            .ok()
            .and_then(|id| Some((id, self.invites.get(&id)?)));
        let Some((id, record)) = found else {
            return cx.answer(from, Err(FailureCode::NotFound));
        };
        let (queue, invite) = (record.queue, record.invite);
        if !self.request(cx, crate::connection::Purpose::Withdraw { id, from }, |req| {
            ClientFrame::WithdrawInvite { req, queue, invite }
        }) {
            cx.answer(from, Err(FailureCode::Offline));
        }
    }

    /// The server's answer to a withdrawal.
    pub(crate) fn withdrawn(&mut self, cx: &mut Cx, id: [u8; 16], from: CommandId, error: Option<ErrorCode>) {
        match error {
            None | Some(ErrorCode::InviteExpired | ErrorCode::InviteWithdrawn | ErrorCode::NoQueue) => {
                self.delete_invite(cx, id);
                cx.answer(from, Ok(Answer::Done));
            }
            Some(ErrorCode::InviteUsed) => cx.answer(from, Err(FailureCode::InviteUsed)),
            Some(_) => cx.answer(from, Err(FailureCode::Busy)),
        }
        self.state_dirty = true;
    }

    pub(crate) fn forget_invite(&mut self, cx: &mut Cx, id: &str) -> Result<Answer, FailureCode> {
        let id = parse_id(id)?;
        if !self.invites.contains_key(&id) {
            return Err(FailureCode::NotFound);
        }
        self.delete_invite(cx, id);
        Ok(Answer::Done)
    }

    /// Forgets a link and its mailbox.
    fn delete_invite(&mut self, cx: &mut Cx, id: [u8; 16]) {
        if let Some(record) = self.invites.remove(&id) {
            cx.out.changes.delete(key(table::INVITES, &[&id]));
            self.delete_mailbox(cx, record.queue, record.reader_salt);
            self.note_deleted(cx, id);
        }
    }

    /// Forgets links that are over for long by both clocks: each may be wrong.
    pub(crate) fn sweep_invites(&mut self, cx: &mut Cx, server_now: Timestamp) {
        let now = server_now.min(cx.now);
        let over: Vec<[u8; 16]> = self
            .invites
            .iter()
            .filter(|(_, r)| r.opened_at.is_none() && r.unreadable_at.is_none())
            .filter(|(_, r)| r.expires_at.plus_seconds(KEEP_EXPIRED) <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            self.delete_invite(cx, id);
        }
    }

    /// An envelope in the mailbox of a link: the answer to it. What is none, or cannot be used, is
    /// shown with the link, which goes on waiting for a good one.
    pub(crate) fn receive_join(&mut self, cx: &mut Cx, queue: &QueueId, body: &[u8]) {
        let Some(id) = self
            .invites
            .iter()
            .find_map(|(id, record)| (record.queue == *queue).then_some(*id))
        else {
            return;
        };
        if self.join(cx, id, body).is_some() {
            self.invites.remove(&id);
            cx.out.changes.delete(key(table::INVITES, &[&id]));
        } else if let Some(record) = self.invites.get_mut(&id) {
            record.unreadable_at.get_or_insert(cx.now);
            put(&mut cx.out.changes, key(table::INVITES, &[&id]), record);
        }
        self.vault.dirty = true;
    }

    /// Begins the conversation that an answer makes; `None` if it makes none.
    fn join(&mut self, cx: &mut Cx, id: [u8; 16], body: &[u8]) -> Option<()> {
        let record = self.invites.get(&id)?.clone();
        let me = self.sim.as_ref()?;
        let plain = OuterKey::from_bytes(record.own_outer).open(body).ok()?;
        let Ok(Parcel::Join {
            card,
            welcome,
            message,
        }) = Parcel::from_bytes(&plain)
        else {
            return None;
        };
        let card = rly_crypto::verify_card(&SignedCard::from_bytes(&card).ok()?).ok()?;
        let secrets = KeyPackageSecrets::from_bytes(&record.secrets).ok()?;
        let mut group =
            rly_crypto::Conversation::join(&me.sim, &me.record.device, &secrets, &welcome, cx.rng).ok()?;
        // Whoever answers must be who the card says, both in the card and in the group.
        if group.peer_sim() != card.sim_key || card.sim_key == me.sim.public_key() {
            return None;
        }
        let card = Card {
            name: name::cleaned(&card.name),
            ..card
        };
        let first = group.process(&message).ok()?;
        let route = Route {
            queue: record.queue,
            reader_salt: record.reader_salt,
            own_address: record.own_address,
            own_outer: record.own_outer,
            peer_address: card.address,
            peer_outer: card.outer_key,
        };
        let conversation = self.conversation_with(cx, &card, &record.name);
        let contact = &mut conversation.contact;
        contact.began_with = contact.began_with.or(Some(id));
        conversation.add_route(cx, route, group);
        if let Some(letter) = record.letter {
            // It was read: the answer proves it.
            let content = ContentRecord::Text { text: letter };
            let message = cx.random();
            conversation.add_message(
                record.created_at,
                message,
                true,
                content,
                Some(MessageState::Delivered),
            );
        }
        if let rly_crypto::Received::Message(plain) = first {
            conversation.receive_plain(cx, &plain);
        }
        conversation.local.active_at = cx.now;
        Some(())
    }

    /// The conversation with who sent a card; a new one if there is none that goes on.
    pub(crate) fn conversation_with(
        &mut self,
        cx: &mut Cx,
        card: &Card,
        own_name: &str,
    ) -> &mut Conversation {
        let known = self
            .conversations
            .iter()
            .find(|(_, c)| c.contact.sim_key == card.sim_key && !c.contact.blocked)
            .map(|(id, _)| *id);
        let id = known.unwrap_or_else(|| cx.random());
        self.conversations.entry(id).or_insert_with(|| {
            let contact = ContactRecord {
                sim_key: card.sim_key,
                name: card.name.clone(),
                own_name: own_name.to_owned(),
                routes: Vec::new(),
                created_at: cx.now,
                verified: false,
                blocked: false,
                rejoin_seen: 0,
                rejoin_sent: 0,
                began_with: None,
            };
            Conversation::new(cx, id, contact)
        })
    }
}

impl InviteRecord {
    pub(crate) fn answer(&self, id: &[u8; 16]) -> Answer {
        Answer::Invite {
            id: rly_protocol::to_base64url(id),
            link: self.link.clone(),
            expires_at: self.expires_at,
        }
    }
}
