//! From what the machine knows to what a page shows.

use crate::{io::table, machine::Machine, parse::start_of, record::MessageRecord};
use rly_protocol::{Decode, DecodeError, Timestamp, to_base64url};
use rly_view::{
    Content, ConversationView, InviteState, InviteView, LetterView, MessageView, Note, Phase, Preview,
    SimView, StateView,
};

/// A row of table MESSAGES as a page shows it. One that cannot be read has a place, and no more: the
/// conversation goes on around it. `before` is the time of the one before.
pub(crate) fn message_from_row(key: &[u8], value: &[u8], before: Timestamp) -> Option<MessageView> {
    let (conversation, order) = key.strip_prefix(&[table::MESSAGES])?.split_at_checked(16)?;
    let order = u64::from_bytes(order).ok()?;
    let content = match MessageRecord::from_bytes(value) {
        Ok(record) => return Some(record.to_view(order)),
        Err(DecodeError::Version(_)) => Content::NeedsNewer,
        Err(_) => Content::Note(Note::Damaged),
    };
    Some(MessageView {
        id: to_base64url(&[conversation, &order.to_be_bytes()].concat()),
        order,
        own: false,
        at: before,
        content,
        state: None,
    })
}

impl Machine {
    pub(crate) fn state_view(&self, now: Timestamp) -> StateView {
        let phase = match &self.sim {
            None => Phase::NoSim,
            Some(sim) if sim.record.replaced => Phase::Replaced,
            Some(sim) if sim.record.restoring => Phase::Restoring,
            Some(_) => Phase::Ready,
        };
        StateView {
            phase,
            sim: self.sim_view(),
            connection: self.link.view(),
            conversations: self.conversation_views(),
            invites: self.invite_views(now),
            letters: self.letter_views(),
        }
    }

    fn sim_view(&self) -> Option<SimView> {
        let record = &self.sim.as_ref()?.record;
        let in_use = !self.invites.is_empty() || !self.conversations.is_empty();
        Some(SimView {
            name: record.name.clone(),
            created_at: record.created_at,
            exported_at: record.exported_at,
            has_password: record.file_key.is_some(),
            export_due: in_use && record.exported_at.is_none(),
            vault_current: self.vault.current(),
            vault_full: self.vault.is_full(),
            persisted: record.persisted,
        })
    }

    fn conversation_views(&self) -> Vec<ConversationView> {
        let Some(me) = &self.sim else { return Vec::new() };
        let own = me.sim.public_key();
        let mut views: Vec<_> = self
            .conversations
            .values()
            .map(|c| ConversationView {
                id: to_base64url(&c.id),
                name: c.contact.name.clone(),
                began_with: c
                    .contact
                    .began_with
                    .map(|id| to_base64url(&id))
                    .unwrap_or_default(),
                last: c.local.last.as_ref().map(|last| Preview {
                    text: last.text.clone(),
                    own: last.own,
                }),
                active_at: c.local.active_at,
                unread: c.local.unread,
                safety_code: c
                    .safety_code
                    .get_or_init(|| rly_crypto::safety_code(&own, &c.contact.sim_key))
                    .clone(),
                verified: c.contact.verified,
                blocked: c.contact.blocked,
                rejoining: !c.contact.blocked && !c.is_ready(),
                unreachable: !c.contact.blocked
                    && (c.local.gone || c.contact.routes.iter().any(|r| self.link.has_lost(&r.queue))),
            })
            .collect();
        views.sort_by(|a, b| b.active_at.cmp(&a.active_at).then_with(|| a.id.cmp(&b.id)));
        views
    }

    fn invite_views(&self, now: Timestamp) -> Vec<InviteView> {
        let mut views: Vec<_> = self
            .invites
            .iter()
            .map(|(id, invite)| {
                let state = match (invite.unreadable_at, invite.opened_at) {
                    (Some(at), _) => InviteState::Unreadable { at },
                    _ if self.link.has_lost(&invite.queue) => InviteState::Gone,
                    (None, Some(at)) => InviteState::Opened { at },
                    (None, None) if invite.expires_at <= now => InviteState::Expired,
                    (None, None) => InviteState::Open,
                };
                InviteView {
                    id: to_base64url(id),
                    link: (state == InviteState::Open).then(|| invite.link.clone()),
                    letter: invite.letter.as_deref().map(start_of),
                    created_at: invite.created_at,
                    expires_at: invite.expires_at,
                    state,
                }
            })
            .collect();
        views.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.id.cmp(&b.id)));
        views
    }

    fn letter_views(&self) -> Vec<LetterView> {
        let mut views: Vec<_> = self
            .letters
            .values()
            .filter_map(|kept| kept.view.clone())
            .collect();
        views.sort_by_key(|view| std::cmp::Reverse(view.opened_at));
        views
    }
}
