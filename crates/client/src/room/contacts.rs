//! Keeping somebody in a room as a contact: both ask, then the one with the lower number makes an
//! ordinary link and sends it, sealed for the other.

use super::{
    Cx, Room, RoomEffect,
    record::{Ask, ContactState, ContactStep, LinkFor, Said, kind},
};
use rly_crypto::{ContactKey, ContactSeal, seal_contact};
use rly_protocol::{Decode, Encode, PublicKey};
use rly_view::{FailureCode, RoomAnswer, RoomPhase, RoomUpdate};
use sha2::{Digest, Sha256};

impl Room {
    pub(super) fn keep_contact(&mut self, cx: &mut Cx, person: u32) -> Result<RoomAnswer, FailureCode> {
        if self.phase != RoomPhase::Inside {
            return Err(FailureCode::RoomNotJoined);
        }
        let key = self.other(person)?;
        let state = self.contact_state(key);
        match state.step {
            ContactStep::Asked | ContactStep::Agreed | ContactStep::Kept => return Ok(RoomAnswer::Done),
            ContactStep::None | ContactStep::Refused | ContactStep::AsksUs => {}
        }
        let secret = ContactKey::generate(cx.rng);
        state.secret = Some(*secret.as_bytes());
        state.step = match state.seal_to {
            Some(_) => ContactStep::Agreed,
            None => ContactStep::Asked,
        };
        let ask = Ask {
            to: key,
            seal_to: secret.public_key(),
        };
        self.tell_hidden(cx, kind::ASK, ask.to_bytes());
        self.agreed(cx, key);
        Ok(RoomAnswer::Done)
    }

    pub(super) fn refuse_contact(&mut self, cx: &mut Cx, person: u32) -> Result<RoomAnswer, FailureCode> {
        let key = self.other(person)?;
        let state = self.contact_state(key);
        if state.step == ContactStep::AsksUs {
            state.step = ContactStep::Refused;
            self.store(cx);
        }
        Ok(RoomAnswer::Done)
    }

    /// Somebody asks somebody to stay in contact.
    pub(super) fn asked_for_contact(&mut self, cx: &mut Cx, from: PublicKey, said: &Said) {
        let Ok(ask) = Ask::from_bytes(&said.content) else {
            return;
        };
        if ask.to != self.record.key || from == self.record.key {
            return;
        }
        let state = self.contact_state(from);
        state.seal_to = Some(ask.seal_to);
        match state.step {
            ContactStep::None => state.step = ContactStep::AsksUs,
            ContactStep::Asked => state.step = ContactStep::Agreed,
            ContactStep::AsksUs | ContactStep::Refused | ContactStep::Agreed | ContactStep::Kept => return,
        }
        self.store(cx);
        self.agreed(cx, from);
    }

    /// Both want it: the one with the lower number makes a link.
    fn agreed(&mut self, cx: &mut Cx, key: PublicKey) {
        let state = self.contact_state(key);
        if state.step != ContactStep::Agreed || state.seal_to.is_none() {
            return;
        }
        if let (Some(you), Some(person)) = (self.people.you, self.people.number_of(&key))
            && you < person
        {
            let (id, name) = (self.invite_id(&key), self.record.name.clone());
            cx.effect(RoomEffect::MakeInvite { person, id, name });
        }
    }

    /// After a restart: what was agreed is taken up again once everybody is known.
    pub(super) fn resume_contacts(&mut self, cx: &mut Cx) {
        let agreed: Vec<_> = (self.record.contacts.iter())
            .filter(|contact| contact.step == ContactStep::Agreed)
            .map(|contact| contact.person)
            .collect();
        for key in agreed {
            self.agreed(cx, key);
        }
    }

    pub(super) fn invite_made(&mut self, cx: &mut Cx, person: u32, link: Option<String>) {
        let Ok(to) = self.other(person) else {
            return;
        };
        let (room, from) = (self.id(), self.record.key);
        let state = self.contact_state(to);
        let (ContactStep::Agreed, Some(seal_to)) = (state.step, state.seal_to) else {
            return;
        };
        let Some(link) = link else {
            // No link, no contact; it may be asked for again.
            state.step = ContactStep::AsksUs;
            self.trouble = Some(FailureCode::Offline);
            return self.store(cx);
        };
        let Ok(sealed) = seal_contact(&seal_to, &room, &from, &to, link.as_bytes(), cx.rng) else {
            return;
        };
        state.step = ContactStep::Kept;
        let link = LinkFor {
            to,
            enc: sealed.enc,
            ciphertext: sealed.ciphertext,
        };
        self.tell_hidden(cx, kind::LINK, link.to_bytes());
    }

    /// A link for somebody.
    pub(super) fn link_came(&mut self, cx: &mut Cx, from: PublicKey, said: &Said) {
        let Ok(link) = LinkFor::from_bytes(&said.content) else {
            return;
        };
        let (room, to) = (self.id(), self.record.key);
        let (Some(person), true) = (self.people.number_of(&from), link.to == to) else {
            return;
        };
        let state = self.contact_state(from);
        let Some(secret) = state.secret.and_then(ContactKey::from_bytes) else {
            return;
        };
        if state.step != ContactStep::Agreed {
            return;
        }
        let sealed = ContactSeal {
            enc: link.enc,
            ciphertext: link.ciphertext,
        };
        let Ok(link) = secret.open(&room, &from, &to, &sealed) else {
            return;
        };
        let Ok(link) = core::str::from_utf8(&link) else {
            return;
        };
        let (name, link) = (self.record.name.clone(), link.to_owned());
        cx.effect(RoomEffect::OpenInvite { person, name, link });
    }

    pub(super) fn contact_made(&mut self, cx: &mut Cx, person: u32, conversation: Option<String>) {
        let Ok(key) = self.other(person) else {
            return;
        };
        let state = self.contact_state(key);
        match conversation {
            Some(conversation) => {
                state.step = ContactStep::Kept;
                state.secret = None;
                let room = self.id().into();
                cx.out.updates.push(RoomUpdate::ContactKept {
                    room,
                    person,
                    conversation,
                });
            }
            None => self.trouble = Some(FailureCode::InviteUsed),
        }
        self.store(cx);
    }

    fn tell_hidden(&mut self, cx: &mut Cx, kind: u8, content: Vec<u8>) {
        let mut id = [0; 16];
        cx.rng.fill_bytes(&mut id);
        self.queue(
            cx,
            Said {
                kind,
                id,
                content: content.into(),
            },
        );
    }

    /// Somebody else in the room.
    fn other(&self, number: u32) -> Result<PublicKey, FailureCode> {
        let person = self
            .people
            .by_number
            .get(&number)
            .filter(|_| !self.people.is_you(number));
        person.map(|person| person.key).ok_or(FailureCode::NotFound)
    }

    fn contact_state(&mut self, key: PublicKey) -> &mut ContactState {
        let contacts = &mut self.record.contacts;
        let at = contacts.iter().position(|contact| contact.person == key);
        let at = at.unwrap_or_else(|| {
            contacts.push(ContactState {
                person: key,
                step: ContactStep::None,
                secret: None,
                seal_to: None,
            });
            contacts.len() - 1
        });
        &mut contacts[at]
    }

    /// The same each time, so that what was made before a crash is not made twice.
    fn invite_id(&self, key: &PublicKey) -> [u8; 16] {
        let hash = Sha256::new()
            .chain_update(b"rly room invite id v1\0")
            .chain_update(self.keys.token())
            .chain_update(key.as_bytes())
            .finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        id
    }
}
