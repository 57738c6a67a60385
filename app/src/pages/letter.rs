use super::use_fragment;
use crate::{
    components::{Alert, Frame, LackNotice, LinkPanel, Over, TextArea, TextField, link_over},
    lengths,
    state::{Job, messenger},
    text::text,
};
use leptos::{html, prelude::*};
use leptos_router::{NavigateOptions, hooks::use_navigate};
use rly_protocol::limits::INVITE_TTL;
use rly_view::{Answer, Command, InviteState};

/// A link that was made: id, link, end.
type Made = (String, String, rly_protocol::Timestamp);

/// Write the first message, and get its link.
#[component]
pub fn Letter() -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let lack = messenger.check_and_listen();
    let letter = RwSignal::new(String::new());
    let name = RwSignal::new(String::new());
    // Read when it is needed: it may have been chosen before hydration.
    let lives = NodeRef::<html::Select>::new();
    let made = RwSignal::new(None::<Made>);
    let withdrawn = RwSignal::new(false);
    let job = Job::new();
    let navigate = use_navigate();
    let go = StoredValue::new_local(navigate);
    let show = move |fragment: &str| {
        if let Some(navigate) = go.try_get_value() {
            let replace = NavigateOptions {
                replace: true,
                ..NavigateOptions::default()
            };
            navigate(&format!("/letter#{fragment}"), replace);
        }
    };

    // The name of the SIM, unless something was typed already.
    let sim_name = Memo::new(move |_| messenger.sim().map(|sim| sim.name));
    Effect::new(move || {
        if let Some(known) = sim_name.get()
            && name.with_untracked(String::is_empty)
        {
            name.set(known);
        }
    });
    // The address names the link that is shown, so that a reload shows it again.
    let fragment = use_fragment();
    let shown = Memo::new(move |_| -> Option<Result<Made, Over>> {
        let id = fragment.get().filter(|id| !id.is_empty())?;
        if let Some(over) = link_over(t, messenger, &id) {
            return Some(Err(over));
        }
        if let Some(made) = made.get().filter(|made| made.0 == id) {
            return Some(Ok(made));
        }
        messenger.state.with(|state| {
            let invite = state.as_ref()?.invites.iter().find(|invite| invite.id == id)?;
            let link = (invite.state == InviteState::Open).then(|| invite.link.clone())??;
            Some(Ok((id, link, invite.expires_at)))
        })
    });

    let create = move || {
        let text = letter.get_untracked();
        if text.trim().is_empty() {
            return job.complain(t.needs_letter);
        }
        if !lengths::fits(&text) {
            return job.error.set(lengths::hint(t, &text));
        }
        let chosen = match lengths::name(t, &name.get_untracked()) {
            Ok(name) => name,
            Err(words) => return job.complain(words),
        };
        let known = sim_name.get_untracked();
        let id = messenger.random_id();
        let ttl_seconds = lives
            .get_untracked()
            .and_then(|select| select.value().parse().ok())
            .unwrap_or(INVITE_TTL);
        withdrawn.set(false);
        job.start(async move {
            let words = |failure: rly_view::Failure| (t.failure)(failure.code).to_owned();
            if known.is_some_and(|known| known != chosen) {
                let command = Command::SetName { name: chosen.clone() };
                messenger.run(command).await.map_err(words)?;
            }
            let command = Command::CreateInvite {
                id,
                letter: Some(text),
                name: Some(chosen),
                ttl_seconds,
            };
            if let Answer::Invite { id, link, expires_at } = messenger.run(command).await.map_err(words)? {
                let _ = letter.try_set(String::new());
                let _ = made.try_set(Some((id.clone(), link, expires_at)));
                show(&id);
            }
            Ok(())
        });
    };
    let end = Callback::new(move |()| {
        made.set(None);
        withdrawn.set(true);
        show("");
    });
    let another = move |_| {
        withdrawn.set(false);
        show("");
    };
    view! {
        <Frame title=t.letter_title class="paper">
            {move || {
                if let Some(shown) = shown.get() {
                    let over = shown.is_err();
                    let chat = shown.as_ref().err().and_then(|(_, chat)| chat.as_ref());
                    let words = if chat.is_some() { t.open_chat } else { t.to_chats };
                    let href = chat.map_or_else(|| "/chat".into(), |id| format!("/chat#{id}"));
                    view! {
                        <section class="sheet">
                            <h1>{if over { t.link_over_title } else { t.link_ready_title }}</h1>
                            {match shown {
                                Ok((id, link, expires_at)) => {
                                    view! {
                                        <p class="lead">{t.link_ready_lead}</p>
                                        <LinkPanel id=id link=link expires_at=expires_at on_withdrawn=end />
                                    }
                                        .into_any()
                                }
                                Err((words, _)) => {
                                    view! {
                                        <p class="lead" role="status">
                                            {words}
                                        </p>
                                    }
                                        .into_any()
                                }
                            }}
                            <div class="actions no-print">
                                <a class="button quiet" href=href>
                                    {words}
                                </a>
                                <button type="button" class="button quiet" on:click=another>
                                    {t.another_letter}
                                </button>
                            </div>
                        </section>
                    }
                        .into_any()
                } else {
                    view! {
                        <form
                            class="sheet stack"
                            on:submit=move |ev| {
                                ev.prevent_default();
                                create();
                            }
                        >
                            <h1>{t.letter_title}</h1>
                            <p class="lead">{t.letter_lead}</p>
                            {move || {
                                withdrawn
                                    .get()
                                    .then(|| view! { <p class="notice" role="status">{t.link_withdrawn}</p> })
                            }}
                            <LackNotice lack=lack />
                            <TextArea
                                id="letter"
                                label=t.letter
                                value=letter
                                placeholder=t.letter_placeholder
                                rows=9
                                note=Signal::derive(move || letter.with(|letter| lengths::hint(t, letter)))
                            />
                            <div class="pair">
                                <TextField id="name" label=t.your_name value=name hint=t.name_hint />
                                <div class="field">
                                    <label for="lives">{t.link_lives}</label>
                                    <select id="lives" node_ref=lives>
                                        {t
                                            .lives
                                            .iter()
                                            .map(|(words, seconds)| {
                                                view! {
                                                    <option
                                                        value=seconds.to_string()
                                                        selected=*seconds == INVITE_TTL
                                                    >
                                                        {*words}
                                                    </option>
                                                }
                                            })
                                            .collect_view()}
                                    </select>
                                </div>
                            </div>
                            <Alert words=job.error />
                            <div class="actions">
                                <button
                                    type="submit"
                                    class="button big"
                                    disabled=move || job.blocked() || lack.with(Option::is_some)
                                >
                                    {move || if job.busy.get() { t.creating_link } else { t.create_link }}
                                </button>
                            </div>
                        </form>
                    }
                        .into_any()
                }
            }}
        </Frame>
    }
}
