use super::{Confirm, ConnectionSign, ExportReminder, Icon, IconName, Open, Share, ShareDialog, link_words};
use crate::{
    state::{Job, messenger},
    text::text,
    time::Local,
};
use leptos::prelude::*;
use rly_protocol::Encode;
use rly_view::{Command, Connection, ConversationView, InviteState, InviteView, LetterView};

/// The list of conversations, of letters to answer and of links, with the ways to new ones.
#[component]
pub fn Sidebar(
    /// The conversation that is shown.
    current: Signal<Option<String>>,
) -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let share: Open<Share> = RwSignal::new(None);
    let close = Callback::new(move |()| share.set(None));
    let conversations = Memo::new(move |_| {
        messenger.state.with(|state| {
            state
                .as_ref()
                .map(|state| state.conversations.clone())
                .unwrap_or_default()
        })
    });
    let invites = Memo::new(move |_| {
        messenger.state.with(|state| {
            state
                .as_ref()
                .map(|state| state.invites.clone())
                .unwrap_or_default()
        })
    });
    // A line is made anew only when it changes: a question in it stays while others do.
    let has_invites = Memo::new(move |_| !invites.with(Vec::is_empty));
    let name = move || messenger.sim().map(|sim| sim.name);
    let connection = Memo::new(move |_| {
        messenger
            .state
            .with(|state| state.as_ref().map_or(Connection::Idle, |state| state.connection))
    });
    view! {
        <aside class="sidebar">
            <div class="sidebar-head">
                <p class="me" dir="auto">{name}</p>
                <ConnectionSign connection=connection />
            </div>
            <div class="actions sidebar-actions">
                <button
                    type="button"
                    class="button"
                    disabled=move || !messenger.hydrated.get()
                    on:click=move |_| share.set(Some(Share::New))
                >
                    {t.share_contact}
                </button>
                <a class="button quiet" href="/letter">
                    {t.new_letter}
                </a>
            </div>
            <ExportReminder />
            <nav class="conversations" aria-label=t.conversations>
                {move || {
                    conversations
                        .with(Vec::is_empty)
                        .then(|| view! { <p class="hint">{t.no_conversations}</p> })
                }}
                <ul>
                    <For
                        each=move || conversations.get()
                        key=|conversation| conversation.id.clone()
                        children=move |conversation| {
                            let id = conversation.id;
                            let view = Memo::new(move |_| {
                                conversations.with(|list| list.iter().find(|c| c.id == id).cloned())
                            });
                            view! { <ConversationLine view=view current=current /> }
                        }
                    />
                </ul>
            </nav>
            <Letters />
            {move || {
                has_invites
                    .get()
                    .then(|| {
                        view! {
                            <section class="side-section">
                                <h2>{t.links}</h2>
                                <ul>
                                    <For
                                        each=move || invites.get()
                                        key=|invite| invite.to_bytes()
                                        children=move |invite| {
                                            view! { <InviteLine invite=invite share=share /> }
                                        }
                                    />
                                </ul>
                            </section>
                        }
                    })
            }}
        </aside>
        {move || share.get().map(|what| view! { <ShareDialog share=what on_close=close /> })}
    }
}

#[component]
fn ConversationLine(view: Memo<Option<ConversationView>>, current: Signal<Option<String>>) -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let id = view.with_untracked(|view| view.as_ref().map(|c| c.id.clone()).unwrap_or_default());
    let href = format!("/chat#{id}");
    // The name names the link; the rest describes it.
    let (name_id, rest_id) = (format!("name-{id}"), format!("rest-{id}"));
    let is_current = move || {
        current
            .with(|current| current.as_deref() == Some(&id))
            .then_some("page")
    };
    let name = move || view.with(|view| view.as_ref().map(|c| c.name.clone()).unwrap_or_default());
    let initial = move || name().chars().next().map(|c| c.to_uppercase().to_string());
    let verified = Memo::new(move |_| view.with(|view| view.as_ref().is_some_and(|c| c.verified)));
    let unread = Memo::new(move |_| view.with(|view| view.as_ref().map_or(0, |c| c.unread)));
    let when = move || {
        view.with(|view| {
            let at = Local::here(view.as_ref()?.active_at);
            Some(at.short(t, Local::here(messenger.now())))
        })
    };
    let last = move || {
        view.with(|view| {
            let last = view.as_ref()?.last.as_ref()?;
            Some(format!(
                "{}{}",
                if last.own { t.you_prefix } else { "" },
                last.text
            ))
        })
    };
    view! {
        <li>
            <a
                class="line"
                href=href
                aria-current=is_current
                aria-labelledby=name_id.clone()
                aria-describedby=rest_id.clone()
                data-noscroll
            >
                <span class="avatar" aria-hidden="true">
                    {initial}
                </span>
                <span class="line-name" dir="auto" id=name_id.clone()>
                    {name}
                </span>
                <span class="line-rest" id=rest_id.clone()>
                    {move || verified.get().then(|| view! { <Icon name=IconName::Verified /> })}
                    {move || {
                        let unread = unread.get();
                        (unread > 0)
                            .then(|| {
                                view! {
                                    <span class="unread">
                                        <span aria-hidden="true">{unread}</span>
                                        <span class="visually-hidden">{(t.unread)(unread)}</span>
                                    </span>
                                }
                            })
                    }}
                    <span class="line-when">{when}</span>
                    <span class="line-last" dir="auto">
                        {last}
                    </span>
                </span>
            </a>
        </li>
    }
}

/// Opened letters that wait for an answer.
#[component]
pub fn Letters() -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let letters = Memo::new(move |_| {
        messenger.state.with(|state| {
            state
                .as_ref()
                .map(|state| state.letters.clone())
                .unwrap_or_default()
        })
    });
    let has_letters = Memo::new(move |_| !letters.with(Vec::is_empty));
    move || {
        has_letters.get().then(|| {
            view! {
                <section class="side-section">
                    <h2>{t.letters_waiting}</h2>
                    <ul>
                        <For
                            each=move || letters.get()
                            key=|letter| letter.to_bytes()
                            children=move |letter| view! { <LetterLine letter=letter /> }
                        />
                    </ul>
                </section>
            }
        })
    }
}

#[component]
fn LetterLine(letter: LetterView) -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let job = Job::new();
    let asks: Open<()> = RwSignal::new(None);
    let cancel = Callback::new(move |()| asks.set(None));
    let when = Local::here(letter.opened_at).short(t, Local::here(messenger.now()));
    let href = format!("/i#~{}", letter.id);
    let id = letter.id;
    let preview = letter.preview.unwrap_or_else(|| t.contact_waits.into());
    let drop_it = Callback::new(move |()| {
        asks.set(None);
        job.run(Command::DropLetter { id: id.clone() }, |_| {});
    });
    view! {
        <li class="side-line">
            <a class="line" href=href>
                <span class="line-name" dir="auto">
                    {letter.name}
                </span>
                <span class="line-when">{when}</span>
                <span class="line-last" dir="auto">
                    {preview}
                </span>
            </a>
            <button
                type="button"
                class="button small quiet"
                disabled=move || job.blocked()
                on:click=move |_| asks.set(Some(()))
            >
                {t.drop_letter}
            </button>
            <super::Alert words=job.error />
            {move || {
                asks.get()
                    .map(|()| {
                        view! {
                            <Confirm
                                id="drop-title"
                                title=t.drop_title
                                body=t.drop_body
                                action=t.drop_letter
                                on_confirm=drop_it
                                on_cancel=cancel
                            />
                        }
                    })
            }}
        </li>
    }
}

#[component]
fn InviteLine(invite: InviteView, share: Open<Share>) -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let job = Job::new();
    let asks: Open<()> = RwSignal::new(None);
    let cancel = Callback::new(move |()| asks.set(None));
    let words = link_words(t, &invite, Local::here(messenger.now()));
    let is_open = invite.state == InviteState::Open;
    // Over these an answer may still come; the others are only told of.
    let waits = matches!(
        invite.state,
        InviteState::Opened { .. } | InviteState::Unreadable { .. }
    );
    let title = invite
        .letter
        .clone()
        .unwrap_or_else(|| t.link_without_letter.into());
    let id = invite.id.clone();
    let end = Callback::new(move |()| {
        asks.set(None);
        let id = id.clone();
        let command = if is_open {
            Command::WithdrawInvite { id }
        } else {
            Command::ForgetInvite { id }
        };
        job.run(command, |_| {});
    });
    let ask = move |_| {
        if is_open || waits {
            asks.set(Some(()));
        } else {
            end.run(());
        }
    };
    let (question, body, action) = if is_open {
        (t.withdraw_title, t.withdraw_body, t.withdraw_link)
    } else {
        (t.remove_title, t.remove_body, t.remove)
    };
    let can_show = is_open && invite.link.is_some();
    let shown = StoredValue::new(invite);
    view! {
        <li class="side-line">
            <p class="line-name" dir="auto">
                {title}
            </p>
            <p class="hint">{words}</p>
            <div class="actions">
                {can_show
                    .then(|| {
                        view! {
                            <button
                                type="button"
                                class="button small quiet"
                                on:click=move |_| share.set(Some(Share::Shown(shown.get_value())))
                            >
                                {t.show_link}
                            </button>
                        }
                    })}
                <button
                    type="button"
                    class="button small quiet"
                    class:danger-text=is_open
                    disabled=move || job.blocked()
                    on:click=ask
                >
                    {action}
                </button>
            </div>
            <super::Alert words=job.error />
            {move || {
                asks.get()
                    .map(|()| {
                        view! {
                            <Confirm
                                id="withdraw-title"
                                title=question
                                body=body
                                action=action
                                on_confirm=end
                                on_cancel=cancel
                            />
                        }
                    })
            }}
        </li>
    }
}
