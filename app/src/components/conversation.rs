use super::{Composer, ConversationMenu, Icon, IconName, MessageList};
use crate::{state::messenger, text::text};
use leptos::prelude::*;
use rly_view::{ConversationView, Phase};

/// A conversation: who it is with, what was said, where to answer.
#[component]
pub fn Conversation(
    /// Which one.
    #[prop(into)]
    id: String,
) -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let of = id.clone();
    let view = Memo::new(move |_| {
        messenger
            .state
            .with(|state| state.as_ref()?.conversations.iter().find(|c| c.id == of).cloned())
    });
    let known = Memo::new(move |_| view.with(Option::is_some));
    let settled = Memo::new(move |_| !matches!(messenger.phase(), Phase::Starting | Phase::Restoring));
    let id = StoredValue::new(id);
    move || {
        if known.get() {
            view! { <Shown id=id.get_value() view=view /> }.into_any()
        } else {
            let words = if settled.get() {
                t.gone_conversation
            } else {
                t.loading
            };
            view! {
                <div class="conversation-head">
                    <BackLink />
                </div>
                <p class="empty">{words}</p>
            }
            .into_any()
        }
    }
}

#[component]
fn BackLink() -> impl IntoView {
    view! {
        <a class="icon-button back" href="/chat" aria-label=text().back data-noscroll>
            <Icon name=IconName::Back />
        </a>
    }
}

#[component]
fn Shown(id: String, view: Memo<Option<ConversationView>>) -> impl IntoView {
    let t = text();
    let is = move |test: fn(&ConversationView) -> bool| view.with(|view| view.as_ref().is_some_and(test));
    let verified = Memo::new(move |_| is(|c| c.verified));
    let blocked = Memo::new(move |_| is(|c| c.blocked));
    let note = Memo::new(move |_| {
        if is(|c| c.unreachable) {
            Some(t.unreachable_note)
        } else {
            is(|c| c.rejoining).then_some(t.rejoining_note)
        }
    });
    let name = move || view.with(|view| view.as_ref().map(|c| c.name.clone()));
    let list_of = id.clone();
    let id = StoredValue::new(id);
    view! {
        <div class="conversation-head">
            <BackLink />
            <h2 dir="auto">{name}</h2>
            {move || {
                verified
                    .get()
                    .then(|| {
                        view! {
                            <span class="badge">
                                <Icon name=IconName::Verified />
                                {t.verified}
                            </span>
                        }
                    })
            }}
            <ConversationMenu id=id.get_value() view=view />
        </div>
        {move || {
            note.get().map(|words| view! { <p class="notice thin" role="status">{words}</p> })
        }}
        <MessageList conversation=list_of />
        {move || {
            if blocked.get() {
                view! { <p class="notice thin">{t.blocked_note}</p> }.into_any()
            } else {
                view! { <Composer conversation=id.get_value() /> }.into_any()
            }
        }}
    }
}
