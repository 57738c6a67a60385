use super::{Confirm, ExportReminder, Open, Qr};
use crate::{
    browser,
    state::{Job, Messenger, messenger},
    text::{Text, text},
    time::Local,
};
use leptos::{html, prelude::*, task::spawn_local};
use rly_protocol::Timestamp;
use rly_view::{Command, InviteState, InviteView, Phase};

/// Copies a text, and says that it did.
#[component]
pub fn CopyButton(
    /// The word on it.
    label: &'static str,
    /// What is copied.
    #[prop(into)]
    value: Callback<(), String>,
) -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let said = RwSignal::new(None::<&'static str>);
    let copy = move |_| {
        let value = value.run(());
        spawn_local(async move {
            let copied = messenger
                .ask(move |platform| platform.copy(&value))
                .await
                .unwrap_or(false);
            let _ = said.try_set(Some(if copied { t.copied } else { t.copy_failed }));
        });
    };
    view! {
        <button type="button" class="button" disabled=move || !messenger.hydrated.get() on:click=copy>
            {label}
        </button>
        <span class="said" role="status">{move || said.get()}</span>
    }
}

/// A link as a code and as text, with what is to be said about it below.
#[component]
pub fn GiveLink(
    /// Names its box in the page.
    id: &'static str,
    /// The name of the box,
    label: &'static str,
    /// and of the code.
    qr: &'static str,
    /// The link itself.
    #[prop(into)]
    link: String,
    children: Children,
) -> impl IntoView {
    let t = text();
    let field = NodeRef::<html::Input>::new();
    // What to do next is to take the link: the focus goes there.
    Effect::new(move || {
        if let Some(field) = field.get() {
            let _ = field.focus();
        }
    });
    let (to_copy, to_share) = (link.clone(), link.clone());
    view! {
        <Qr value=link.clone() label=qr />
        <div class="link-words">
            {browser::is_loopback(&link)
                .then(|| {
                    view! {
                        <div class="notice">
                            <p class="strong">{t.only_here_title}</p>
                            <p>{t.only_here}</p>
                        </div>
                    }
                })}
            <div class="field">
                <label for=id>{label}</label>
                <input
                    id=id
                    type="text"
                    readonly
                    autocomplete="off"
                    value=link
                    node_ref=field
                    on:focus=move |_| {
                        if let Some(field) = field.get_untracked() {
                            field.select();
                        }
                    }
                />
            </div>
            <div class="actions">
                <CopyButton label=t.copy_link value=Callback::new(move |()| to_copy.clone()) />
                {browser::can_share()
                    .then(|| {
                        view! {
                            <button
                                type="button"
                                class="button quiet"
                                on:click=move |_| spawn_local(browser::share(to_share.clone()))
                            >
                                {t.share_link}
                            </button>
                        }
                    })}
            </div>
            {children()}
        </div>
    }
}

/// A link to give away: as text, as a code, with what one should know about it.
#[component]
pub fn LinkPanel(
    /// Of the invite.
    #[prop(into)]
    id: String,
    /// The link itself.
    #[prop(into)]
    link: String,
    /// When it ends.
    expires_at: Timestamp,
    /// It was taken back.
    #[prop(into)]
    on_withdrawn: Callback<()>,
) -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let asks: Open<()> = RwSignal::new(None);
    let job = Job::new();
    let withdraw = move |()| {
        asks.set(None);
        job.run(Command::WithdrawInvite { id: id.clone() }, move |_| {
            let _ = on_withdrawn.try_run(());
        });
    };
    let withdraw = Callback::new(withdraw);
    let until = Local::here(expires_at).moment(t, Local::here(messenger.now()));
    view! {
        <div class="link-panel">
            <GiveLink id="invite-link" label=t.invite_link qr=t.invite_qr link=link>
                <p class="strong">{t.for_one}</p>
                <p class="hint">{(t.works_until)(&until)}</p>
                <button
                    type="button"
                    class="button quiet danger-text"
                    disabled=move || job.blocked()
                    on:click=move |_| asks.set(Some(()))
                >
                    {t.withdraw_link}
                </button>
                <super::Alert words=job.error />
            </GiveLink>
            <ExportReminder />
        </div>
        {move || {
            asks.get()
                .map(|()| {
                    view! {
                        <Confirm
                            id="withdraw-title"
                            title=t.withdraw_title
                            body=t.withdraw_body
                            action=t.withdraw_link
                            on_confirm=withdraw
                            on_cancel=move |()| asks.set(None)
                        />
                    }
                })
        }}
    }
}

/// What became of a link.
pub fn link_words(t: &Text, invite: &InviteView, now: Local) -> String {
    let moment = |at| Local::here(at).moment(t, now);
    match invite.state {
        InviteState::Open => (t.works_until)(&moment(invite.expires_at)),
        InviteState::Opened { at } => (t.opened_at)(&moment(at)),
        InviteState::Expired => t.link_over.into(),
        InviteState::Unreadable { at } => (t.link_unreadable)(&moment(at)),
        InviteState::Gone => t.link_gone.into(),
    }
}

/// Why a link is of no use to anybody any more, and the id of the conversation that its answer began.
pub type Over = (String, Option<String>);

/// What became of a link of this browser; nothing as long as it waits for somebody to open it.
pub fn link_over(t: &Text, messenger: Messenger, id: &str) -> Option<Over> {
    messenger.state.with(|state| {
        let state = state.as_ref().filter(|state| state.phase == Phase::Ready)?;
        if let Some(invite) = state.invites.iter().find(|invite| invite.id == id) {
            let over = invite.state != InviteState::Open;
            return over.then(|| (link_words(t, invite, Local::here(messenger.now())), None));
        }
        let mut conversations = state.conversations.iter();
        match conversations.find(|conversation| conversation.began_with == id) {
            Some(with) => Some(((t.link_answered_by)(&with.name), Some(with.id.clone()))),
            None => Some((t.link_answered.into(), None)),
        }
    })
}
