use crate::{
    browser::{self, Setting},
    components::{
        Alert, Confirm, ContactAsk, ContactDialogs, DownloadSim, Frame, LackNotice, Open, PhaseBanner,
        Secret, SimTransfer, TextField,
    },
    lengths,
    state::{Job, messenger},
    text::{Language, text},
    time::days_between,
};
use leptos::prelude::*;
use rly_view::{Command, ConversationView, SimView};

/// For how many days a saved SIM counts as saved lately.
const LATELY: u64 = 90;

/// SIM, backup, look, language, contacts.
#[component]
pub fn Settings() -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let lack = messenger.check_and_listen();
    let has_sim = Memo::new(move |_| messenger.sim().is_some());
    view! {
        <Frame title=t.settings class="narrow">
            <h1>{t.settings}</h1>
            <LackNotice lack=lack />
            <PhaseBanner />
            {move || {
                has_sim
                    .get()
                    .then(|| {
                        view! {
                            <Identity />
                            <SafeKeeping />
                            <section class="card">
                                <h2>{t.other_device}</h2>
                                <SimTransfer />
                            </section>
                        }
                    })
            }}
            <Appearance />
            {move || {
                has_sim
                    .get()
                    .then(|| {
                        view! { <Contacts /> }
                    })
            }}
            <DeleteAll />
        </Frame>
    }
}

#[component]
fn Identity() -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let sealed = Memo::new(move |_| messenger.sim().is_some_and(|sim| sim.has_password));
    let name = RwSignal::new(messenger.state.with_untracked(|state| {
        state
            .as_ref()
            .and_then(|state| state.sim.as_ref())
            .map(|sim| sim.name.clone())
            .unwrap_or_default()
    }));
    let (naming, locking) = (Job::new(), Job::new());
    let said = RwSignal::new(false);
    let password = RwSignal::new(String::new());
    let save = move || {
        let name = match lengths::name(t, &name.get_untracked()) {
            Ok(name) => name,
            Err(words) => return naming.complain(words),
        };
        said.set(false);
        naming.run(Command::SetName { name }, move |_| {
            let _ = said.try_set(true);
        });
    };
    let asks: Open<()> = RwSignal::new(None);
    let lock = move |secret: Option<String>| {
        asks.set(None);
        locking.run(Command::SetPassword { password: secret }, move |_| {
            let _ = password.try_set(String::new());
        });
    };
    view! {
        <section class="card">
            <h2>{t.sim}</h2>
            <form
                class="stack"
                on:submit=move |ev| {
                    ev.prevent_default();
                    save();
                }
            >
                <TextField id="name" label=t.your_name value=name hint=t.name_hint />
                <Alert words=naming.error />
                <div class="actions">
                    <button type="submit" class="button" disabled=move || naming.blocked()>
                        {t.save_name}
                    </button>
                    <span class="said" role="status">
                        {move || said.get().then_some(t.saved)}
                    </span>
                </div>
            </form>
            <form
                class="stack"
                on:submit=move |ev| {
                    ev.prevent_default();
                    let secret = password.get_untracked();
                    if !secret.is_empty() {
                        lock(Some(secret));
                    }
                }
            >
                <p>{move || if sealed.get() { t.password_set } else { t.password_none }}</p>
                <Secret id="password" label=t.new_password value=password hint=t.password_hint />
                <Alert words=locking.error />
                <div class="actions">
                    <button
                        type="submit"
                        class="button"
                        disabled=move || locking.blocked() || password.with(String::is_empty)
                    >
                        {t.set_password}
                    </button>
                    {move || {
                        sealed
                            .get()
                            .then(|| {
                                view! {
                                    <button
                                        type="button"
                                        class="button quiet"
                                        disabled=move || locking.blocked()
                                        on:click=move |_| asks.set(Some(()))
                                    >
                                        {t.remove_password}
                                    </button>
                                }
                            })
                    }}
                </div>
            </form>
            {move || {
                asks.get()
                    .map(|()| {
                        view! {
                            <Confirm
                                id="unlock-title"
                                title=t.remove_password_title
                                body=t.remove_password_body
                                action=t.remove_password
                                on_confirm=move |()| lock(None)
                                on_cancel=move |()| asks.set(None)
                            />
                        }
                    })
            }}
        </section>
    }
}

/// How safe a SIM is from being lost, from 0 to 3.
fn safety(sim: &SimView, now: rly_protocol::Timestamp) -> usize {
    let saved = sim.exported_at.is_some() && !sim.export_due;
    let lately = saved && sim.exported_at.is_some_and(|at| days_between(at, now) < LATELY);
    let kept = sim.persisted == Some(true);
    usize::from(saved) + usize::from(lately) + usize::from(kept)
}

#[component]
fn SafeKeeping() -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let job = Job::new();
    let sim = Memo::new(move |_| messenger.sim());
    let level = move || sim.with(|sim| sim.as_ref().map_or(0, |sim| safety(sim, messenger.now())));
    let export = move || {
        sim.with(|sim| match sim.as_ref().and_then(|sim| sim.exported_at) {
            Some(at) => (t.export_age)(days_between(at, messenger.now())),
            None => t.export_never.into(),
        })
    };
    let copied = Memo::new(move |_| sim.with(|sim| sim.as_ref().is_some_and(|sim| sim.vault_current)));
    let full = Memo::new(move |_| sim.with(|sim| sim.as_ref().is_some_and(|sim| sim.vault_full)));
    let persisted = Memo::new(move |_| sim.with(|sim| sim.as_ref().and_then(|sim| sim.persisted)));
    let ask = move |_| {
        job.start(async move {
            let answer = messenger.ask(|platform| platform.persist()).await.flatten();
            let command = Command::SetPersisted {
                persisted: answer == Some(true),
            };
            messenger
                .run(command)
                .await
                .map(|_| ())
                .map_err(|failure| (t.failure)(failure.code).to_owned())
        });
    };
    view! {
        <section class="card stack">
            <h2>{t.backup}</h2>
            <meter
                class="meter"
                aria-label=t.meter
                min="0"
                max="3"
                value=move || level().to_string()
                data-level=move || level().to_string()
            ></meter>
            <p class="strong">{move || t.meter_words.get(level()).copied()}</p>
            <p>{export}</p>
            <p>
                {move || match (full.get(), copied.get()) {
                    (true, _) => t.vault_full,
                    (false, true) => t.vault_current,
                    (false, false) => t.vault_behind,
                }}
            </p>
            <div class="actions">
                <DownloadSim />
            </div>
            <p>
                {move || match persisted.get() {
                    Some(true) => t.persisted_yes,
                    Some(false) => t.persisted_no,
                    None => t.persisted_unknown,
                }}
            </p>
            {move || {
                (persisted.get() != Some(true))
                    .then(|| {
                        view! {
                            <div class="actions">
                                <button
                                    type="button"
                                    class="button quiet"
                                    disabled=move || job.blocked()
                                    on:click=ask
                                >
                                    {t.ask_persist}
                                </button>
                            </div>
                        }
                    })
            }}
            <Alert words=job.error />
        </section>
    }
}

#[component]
fn Appearance() -> impl IntoView {
    let t = text();
    let look = RwSignal::new(String::new());
    let language = use_context::<RwSignal<Language>>();
    let messenger = messenger();
    Effect::new(move || {
        // It goes with the SIM, when everything is deleted.
        messenger.state.track();
        look.set(Setting::Look.read().unwrap_or_default());
    });
    let choose_look = move |ev| {
        let value = event_target_value(&ev);
        Setting::Look.write((!value.is_empty()).then_some(&value));
        browser::apply_look();
        look.set(value);
    };
    let choose_language = move |ev| {
        let tag = event_target_value(&ev);
        if let (Some(chosen), Some(language)) = (Language::from_tag(&tag), language) {
            Setting::Language.write(Some(chosen.tag()));
            language.set(chosen);
        }
    };
    let looks = [
        ("", t.look_system),
        ("light", t.look_light),
        ("dark", t.look_dark),
    ];
    view! {
        <section class="card pair">
            <div class="field">
                <label for="look">
                    <h2>{t.look}</h2>
                </label>
                <select id="look" on:change=choose_look>
                    {looks
                        .map(|(value, words)| {
                            view! {
                                <option value=value selected=move || look.with(|look| look == value)>
                                    {words}
                                </option>
                            }
                        })
                        .collect_view()}
                </select>
            </div>
            <div class="field">
                <label for="language">
                    <h2>{t.language}</h2>
                </label>
                <select id="language" on:change=choose_language>
                    {Language::ALL
                        .iter()
                        .map(|language| {
                            view! { <option value=language.tag()>{language.name()}</option> }
                        })
                        .collect_view()}
                </select>
            </div>
        </section>
    }
}

#[component]
fn Contacts() -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let contacts = Memo::new(move |_| {
        messenger.state.with(|state| {
            state
                .as_ref()
                .map(|state| state.conversations.clone())
                .unwrap_or_default()
        })
    });
    view! {
        <section class="card">
            <h2>{t.contacts}</h2>
            {move || contacts.with(Vec::is_empty).then(|| view! { <p class="hint">{t.no_contacts}</p> })}
            <ul class="contacts">
                <For
                    each=move || contacts.get()
                    key=|contact| (contact.id.clone(), contact.name.clone(), contact.blocked)
                    children=move |contact| view! { <Contact contact=contact /> }
                />
            </ul>
        </section>
    }
}

#[component]
fn Contact(contact: ConversationView) -> impl IntoView {
    let t = text();
    let job = Job::new();
    let ask: Open<ContactAsk> = RwSignal::new(None);
    let ConversationView {
        id, name, blocked, ..
    } = contact;
    let button = move |what, class, words: String| {
        view! {
            <button
                type="button"
                class=format!("button small quiet {class}")
                disabled=move || job.blocked()
                on:click=move |_| ask.set(Some(what))
            >
                {words}
            </button>
        }
    };
    view! {
        <li>
            <span class="strong" dir="auto">
                {name.clone()}
            </span>
            {blocked.then(|| view! { <p class="hint">{t.blocked_note}</p> })}
            <div class="actions">
                {button(ContactAsk::Code, "", (t.safety_code_named)(&name))}
                {(!blocked).then(|| button(ContactAsk::Block, "", (t.block_named)(&name)))}
                {button(ContactAsk::Delete, "danger-text", (t.delete_named)(&name))}
            </div>
            <ContactDialogs ask=ask id=id job=job on_deleted=|()| () />
        </li>
    }
}

#[component]
fn DeleteAll() -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let job = Job::new();
    let asks: Open<()> = RwSignal::new(None);
    let gone = RwSignal::new(false);
    let delete = Callback::new(move |()| {
        asks.set(None);
        for setting in [Setting::Look, Setting::Language] {
            setting.write(None);
        }
        browser::apply_look();
        job.run(Command::DeleteSim, move |_| {
            Setting::HasSim.write(None);
            messenger.drafts.update_value(|drafts| drafts.clear());
            let _ = gone.try_set(true);
        });
    });
    view! {
        <section class="card">
            <h2>{t.danger}</h2>
            <p>{t.delete_all_body}</p>
            <div class="actions">
                <button
                    type="button"
                    class="button danger"
                    disabled=move || job.blocked()
                    on:click=move |_| asks.set(Some(()))
                >
                    {t.delete_all}
                </button>
            </div>
            <p class="said" role="status">
                {move || gone.get().then_some(t.deleted)}
            </p>
            <Alert words=job.error />
            {move || {
                asks.get()
                    .map(|()| {
                        view! {
                            <Confirm
                                id="delete-all-title"
                                title=t.delete_all_title
                                body=t.delete_all_body
                                action=t.delete_all
                                on_confirm=delete
                                on_cancel=move |()| asks.set(None)
                            />
                        }
                    })
            }}
        </section>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rly_protocol::Timestamp;

    #[test]
    fn the_meter_rises_with_what_was_done() {
        let now = Timestamp(200 * 86_400_000);
        let mut sim = SimView {
            name: "Ada".into(),
            created_at: Timestamp(0),
            exported_at: None,
            has_password: false,
            export_due: true,
            vault_current: true,
            vault_full: false,
            persisted: None,
        };
        assert_eq!(safety(&sim, now), 0);
        sim.persisted = Some(true);
        assert_eq!(safety(&sim, now), 1);
        (sim.exported_at, sim.export_due) = (Some(Timestamp(0)), false);
        assert_eq!(safety(&sim, now), 2);
        sim.exported_at = Some(now);
        assert_eq!(safety(&sim, now), 3);
    }
}
