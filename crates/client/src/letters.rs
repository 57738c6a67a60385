//! Opened letters: kept until they are answered, and the answer, which makes the conversation.

use crate::{
    context::Cx,
    envelope::Parcel,
    inner,
    invites::failure_of,
    io::{CommandId, HttpOk, HttpRequest, HttpResult, table},
    machine::{HttpPurpose, Machine},
    parse::{checked_name, checked_text, parse_id, start_of},
    record::{Cargo, ContentRecord, Errand, OutRecord, Route, VaultLetter, key, put},
};
use bytes::Bytes;
use rly_crypto::OuterKey;
use rly_protocol::{Decode, Encode, api::RegisterSim, to_base64url};
use rly_view::{
    Answer, AnsweredLetter, FailureCode, LetterView, MessageState, OpenedLetter,
    card::{Card, SignedCard},
    name,
};

/// A reply that waits for its mailbox.
pub(crate) struct NewReply {
    from: CommandId,
    letter: [u8; 16],
    reader_salt: [u8; 16],
    name: String,
    text: String,
    card: Card,
}

/// An opened letter, and what a page shows of it.
pub(crate) struct KeptLetter {
    pub letter: OpenedLetter,
    pub view: Option<LetterView>,
}

/// The card of a claimed letter, checked.
pub(crate) fn card_of(letter: &OpenedLetter) -> Result<Card, FailureCode> {
    let (address, sealed) = letter.claimed.as_ref().ok_or(FailureCode::NotFound)?;
    let signed = rly_crypto::open_card(&letter.secret, sealed).map_err(|_| FailureCode::CardInvalid)?;
    let card = rly_crypto::verify_card(&signed).map_err(|_| FailureCode::CardInvalid)?;
    if card.address != *address {
        return Err(FailureCode::CardInvalid);
    }
    Ok(Card {
        name: name::cleaned(&card.name),
        ..card
    })
}

impl KeptLetter {
    /// As it is kept in the vault; `None` before it is claimed.
    pub(crate) fn for_vault(&self) -> Option<VaultLetter> {
        let OpenedLetter {
            id,
            invite,
            secret,
            claim_key,
            opened_at,
            claimed,
        } = &self.letter;
        let (address, sealed) = claimed.as_ref()?;
        let signed = rly_crypto::open_card(secret, sealed).ok()?;
        Some(VaultLetter {
            id: *id,
            invite: invite.clone(),
            secret: *secret,
            claim_key: *claim_key,
            opened_at: *opened_at,
            address: *address,
            card: signed.to_bytes().into(),
        })
    }
}

impl VaultLetter {
    /// As pages keep it.
    pub(crate) fn open(self, cx: &mut Cx) -> Option<OpenedLetter> {
        let Self {
            id,
            invite,
            secret,
            claim_key,
            opened_at,
            address,
            card,
        } = self;
        let sealed = rly_crypto::seal_card(&secret, &SignedCard::from_bytes(&card).ok()?, cx.rng).ok()?;
        Some(OpenedLetter {
            id,
            invite,
            secret,
            claim_key,
            opened_at,
            claimed: Some((address, sealed.into())),
        })
    }
}

impl Machine {
    pub(crate) fn keep(&mut self, id: [u8; 16], letter: OpenedLetter) {
        let view = card_of(&letter).ok().map(|card| LetterView {
            id: to_base64url(&id),
            name: card.name,
            preview: card.letter.as_deref().map(start_of),
            opened_at: letter.opened_at,
        });
        self.letters.insert(id, KeptLetter { letter, view });
    }

    pub(crate) fn keep_letter(&mut self, id: &str) -> Result<Answer, FailureCode> {
        let id = parse_id(id)?;
        if !self.letters.contains_key(&id) {
            return Err(FailureCode::NotFound);
        }
        self.vault.dirty = true;
        Ok(Answer::Done)
    }

    pub(crate) fn drop_letter(&mut self, cx: &mut Cx, id: &str) -> Result<Answer, FailureCode> {
        let id = parse_id(id)?;
        self.letters.remove(&id).ok_or(FailureCode::NotFound)?;
        cx.out.changes.delete(key(table::LETTERS, &[&id]));
        self.note_deleted(cx, id);
        Ok(Answer::Done)
    }

    pub(crate) fn reply(
        &mut self,
        cx: &mut Cx,
        from: CommandId,
        letter: &str,
        name: Option<String>,
        text: String,
    ) {
        match self.begin_reply(cx, from, letter, name, text) {
            Ok(None) => {}
            Ok(Some(answer)) => cx.answer(from, Ok(answer)),
            Err(code) => cx.answer(from, Err(code)),
        }
        self.state_dirty = true;
    }

    fn begin_reply(
        &mut self,
        cx: &mut Cx,
        from: CommandId,
        letter: &str,
        name: Option<String>,
        text: String,
    ) -> Result<Option<Answer>, FailureCode> {
        let id = parse_id(letter)?;
        if let Some(done) = self
            .conversations
            .values()
            .find(|c| c.contact.began_with == Some(id))
        {
            return Ok(Some(Answer::Conversation {
                id: to_base64url(&done.id),
            }));
        }
        let card = card_of(&self.letters.get(&id).ok_or(FailureCode::NotFound)?.letter)?;
        if card.origin != self.origin {
            return Err(FailureCode::CardInvalid);
        }
        if !text.is_empty() {
            checked_text(&text)?;
        }
        let name = name.map(|name| checked_name(&name)).transpose()?;
        self.sim_for_use(cx, name.as_deref())?;
        let me = self.sim.as_ref().ok_or(FailureCode::NoSim)?;
        if card.sim_key == me.sim.public_key() {
            return Err(FailureCode::OwnLink);
        }
        let new = NewReply {
            from,
            letter: id,
            reader_salt: cx.random(),
            name: name.unwrap_or_else(|| me.record.name.clone()),
            text,
            card,
        };
        let reader_key = me.sim.reader_key(&new.reader_salt).public_key();
        self.start_http(
            cx,
            HttpPurpose::ReplyMailbox(new),
            HttpRequest::Register(RegisterSim { reader_key }),
        );
        Ok(None)
    }

    pub(crate) fn reply_mailbox_made(&mut self, cx: &mut Cx, new: NewReply, result: HttpResult) {
        let from = new.from;
        let outcome = match result {
            Ok(HttpOk::Registered(registered)) => self.finish_reply(cx, new, registered),
            Ok(HttpOk::Shared(_)) => Err(FailureCode::Internal),
            Err(error) => Err(failure_of(&error)),
        };
        cx.answer(from, outcome);
    }

    fn finish_reply(
        &mut self,
        cx: &mut Cx,
        new: NewReply,
        registered: rly_protocol::api::Registered,
    ) -> Result<Answer, FailureCode> {
        let kept = self.letters.get(&new.letter).ok_or(FailureCode::NotFound)?;
        let opened_at = kept.letter.opened_at;
        let me = self.sim.as_ref().ok_or(FailureCode::NoSim)?;
        let (group, welcome) = rly_crypto::Conversation::create(
            &me.sim,
            &me.record.device,
            &new.card.key_package,
            &new.card.sim_key,
            cx.rng,
        )
        .map_err(|_| FailureCode::CardInvalid)?;
        let outer = OuterKey::generate(cx.rng);
        let own_card = Card {
            origin: self.origin.clone(),
            address: registered.address,
            outer_key: *outer.as_bytes(),
            key_package: Bytes::new(),
            sim_key: me.sim.public_key(),
            name: new.name.clone(),
            letter: None,
        };
        let signed = rly_crypto::sign_card(&me.sim, &own_card);
        let route = Route {
            queue: registered.queue,
            reader_salt: new.reader_salt,
            own_address: registered.address,
            own_outer: *outer.as_bytes(),
            peer_address: new.card.address,
            peer_outer: new.card.outer_key,
        };
        let conversation = self.conversation_with(cx, &new.card, &new.name);
        conversation.contact.began_with = Some(new.letter);
        let index = conversation.contact.routes.len();
        conversation.add_route(cx, route.clone(), group);
        if let Some(letter) = &new.card.letter {
            let content = ContentRecord::Text { text: letter.clone() };
            let id = cx.random();
            conversation.add_message(opened_at, id, false, content, None);
            conversation.mark_read();
        }
        // The first message travels with the Welcome, in one envelope. Without a text it only says
        // the name, so that the group's first message proves who wrote it all the same.
        let text = (!new.text.is_empty()).then_some(new.text);
        let first = match &text {
            Some(text) => {
                let id = cx.random();
                conversation.note_seen(cx, id);
                Some((
                    conversation.next_inner(inner::TEXT, id, cx.now, text.clone().into_bytes()),
                    text.clone(),
                ))
            }
            None => None,
        };
        let plain = match &first {
            Some((message, _)) => message.to_bytes(),
            None => conversation
                .unnumbered(cx, inner::NAME, new.name.clone().into_bytes())
                .to_bytes(),
        };
        let group = conversation.group_of(index).ok_or(FailureCode::Internal)?;
        let message = group.encrypt(&plain, cx.rng).map_err(|_| FailureCode::Internal)?;
        let join = Parcel::Join {
            card: signed.to_bytes().into(),
            welcome: welcome.into(),
            message: message.into(),
        };
        let sealed = conversation
            .seal(cx, index, &join)
            .ok_or(FailureCode::TextInvalid)?;
        let (cargo, stream, seq, hash) = match first {
            Some((message, text)) => {
                let content = ContentRecord::Text { text: text.clone() };
                let order =
                    conversation.add_message(cx.now, message.id, true, content, Some(MessageState::Sending));
                (
                    Cargo::Text {
                        order,
                        id: message.id,
                        at: cx.now,
                        text,
                        failed: false,
                    },
                    message.stream,
                    message.seq,
                    message.hash(),
                )
            }
            None => (Cargo::Control { errand: Errand::Join }, [0; 8], 0, [0; 32]),
        };
        conversation.push_out(
            cx,
            OutRecord {
                cargo,
                stream,
                seq,
                hash,
                sealed: Some(sealed),
                sent_at: None,
                join: true,
            },
        );
        conversation.local.active_at = cx.now;
        let id = conversation.id;
        if let Some(kept) = self.letters.remove(&new.letter) {
            let answered = AnsweredLetter {
                id: new.letter,
                secret: kept.letter.secret,
                conversation: id,
            };
            put(
                &mut cx.out.changes,
                key(table::ANSWERED, &[&id, &new.letter]),
                &answered,
            );
        }
        cx.out.changes.delete(key(table::LETTERS, &[&new.letter]));
        self.subscribe_mailbox(cx, route.queue, route.reader_salt);
        self.vault.dirty = true;
        Ok(Answer::Conversation {
            id: to_base64url(&id),
        })
    }
}
