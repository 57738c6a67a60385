use crate::{
    browser::{self, Setting},
    components::{Alert, CopyButton, Envelope, Frame, InApp, LackNotice, TextArea, TextField},
    lengths,
    platform::{Lack, OpenError, Opened as Outcome, OpenedView},
    state::{Job, Messenger, messenger},
    text::{Text, text},
    time::Local,
};
use leptos::{ev, html, prelude::*, task::spawn_local};
use leptos_router::{
    NavigateOptions,
    hooks::{use_location, use_navigate},
};
use rly_protocol::ErrorCode;
use rly_view::{Answer, Command, Link, LinkError, Phase};
use std::rc::Rc;

/// How far a link is.
#[derive(Clone)]
enum Stage {
    /// Not read yet: the server does not know it.
    Unread,
    /// It can be opened.
    Sealed(Link),
    /// It is being opened.
    Opening,
    /// It was.
    Opened(OpenedView),
    /// It is not whole.
    Mangled(LinkError),
    /// It did not open.
    Failed(OpenError),
}

/// One page's link. A second link in the same tab starts afresh, and answers for the first are dropped.
#[derive(Clone, Copy)]
struct Opener {
    messenger: Messenger,
    stage: RwSignal<Stage>,
    turn: RwSignal<u32>,
    go: StoredValue<Go, LocalStorage>,
}

/// Leads to another page.
type Go = Rc<dyn Fn(&str, NavigateOptions)>;

impl Opener {
    fn begin(self, fragment: &str) {
        self.turn.update(|turn| *turn += 1);
        if let Some(id) = fragment.strip_prefix('~') {
            let id = id.to_owned();
            self.finish(self.messenger.ask(move |platform| platform.reopen(id)));
        } else {
            self.stage.set(match Link::from_fragment(fragment) {
                Ok(link) => Stage::Sealed(link),
                Err(error) => Stage::Mangled(error),
            });
        }
    }

    fn open(self, link: Link) {
        self.finish(self.messenger.ask(move |platform| platform.open(link)));
    }

    fn retry(self) {
        let fragment = browser::fragment();
        self.begin(&fragment);
        if let Stage::Sealed(link) = self.stage.get_untracked() {
            self.open(link);
        }
    }

    fn finish(self, work: impl Future<Output = Option<Result<Outcome, OpenError>>> + 'static) {
        let turn = self.turn.get_untracked();
        self.stage.set(Stage::Opening);
        spawn_local(async move {
            let Some(outcome) = work.await else { return };
            let kept = match &outcome {
                Ok(Outcome::Letter(view)) => Some(view.id.clone()),
                _ => None,
            };
            if self.turn.try_get_untracked() == Some(turn) {
                self.show(outcome);
            }
            // A messenger that runs already, here or in another tab, does not see what this page wrote.
            if let Some(id) = kept {
                self.messenger.send(Command::KeepLetter { id });
            }
        });
    }

    fn show(self, outcome: Result<Outcome, OpenError>) {
        match outcome {
            Ok(Outcome::Answered(id)) => {
                self.messenger.listen();
                if let Some(navigate) = self.go.try_get_value() {
                    let replace = NavigateOptions {
                        replace: true,
                        ..NavigateOptions::default()
                    };
                    navigate(&format!("/chat#{id}"), replace);
                }
            }
            Ok(Outcome::Letter(view)) => {
                self.stage.set(Stage::Opened(view));
                // Only now: the letter is readable without the worker.
                self.messenger.listen();
            }
            Err(error) => self.stage.set(Stage::Failed(error)),
        }
    }
}

/// An opened link: a letter to read and answer, or a contact to add.
#[component]
pub fn Open() -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let opener = Opener {
        messenger,
        stage: RwSignal::new(Stage::Unread),
        turn: RwSignal::new(0),
        go: StoredValue::new_local(Rc::new(use_navigate())),
    };
    let lack = RwSignal::new(None::<Lack>);
    let checked = RwSignal::new(false);
    let hash = use_location().hash;
    Effect::new(move || {
        spawn_local(async move {
            let found = messenger.ask(|platform| platform.check()).await.flatten();
            let _ = lack.try_set(found);
            let _ = checked.try_set(true);
        });
    });
    Effect::new(move || {
        let hash = hash.get();
        opener.begin(hash.strip_prefix('#').unwrap_or(&hash));
    });
    // The router does not see that the address was cleaned: the same link put in again is no change
    // to it, but it is one to the person.
    Effect::new(move || {
        let changed = window_event_listener(ev::hashchange, move |_| opener.begin(&browser::fragment()));
        on_cleanup(move || changed.remove());
    });

    let stage = opener.stage;
    view! {
        <Frame title=t.open_title class="paper">
            {move || match stage.get() {
                Stage::Unread => sealed(t, opener, lack, checked, None).into_any(),
                Stage::Sealed(link) => sealed(t, opener, lack, checked, Some(link)).into_any(),
                Stage::Opening => {
                    view! {
                        <section class="sheet">
                            <h1>{t.open_title}</h1>
                            <p role="status">{t.opening}</p>
                        </section>
                    }
                        .into_any()
                }
                Stage::Opened(view) => view! { <Opened view=view /> }.into_any(),
                Stage::Mangled(error) => {
                    let words = match error {
                        LinkError::Empty => t.link_empty,
                        LinkError::Mangled => t.link_mangled,
                    };
                    view! {
                        <section class="sheet">
                            <h1>{t.open_title}</h1>
                            <p class="alert" role="alert">
                                {words}
                            </p>
                        </section>
                    }
                        .into_any()
                }
                Stage::Failed(error) => failed(t, opener, &error).into_any(),
            }}
        </Frame>
    }
}

fn sealed(
    t: &'static Text,
    opener: Opener,
    lack: RwSignal<Option<Lack>>,
    checked: RwSignal<bool>,
    link: Option<Link>,
) -> impl IntoView {
    let waits = {
        let known = link.is_some();
        move || !known || !opener.messenger.hydrated.get() || !checked.get()
    };
    let link = StoredValue::new(link);
    let open = move |_| {
        if let Some(link) = link.get_value() {
            opener.open(link);
        }
    };
    view! {
        <section class="sheet envelope">
            <Envelope />
            <h1>{t.open_title}</h1>
            <p class="lead">{t.open_lead}</p>
            <InApp />
            <LackNotice lack=lack />
            {move || {
                lack.get()
                    .is_none()
                    .then(|| {
                        view! {
                            <div class="actions">
                                <button type="button" class="button big" disabled=waits on:click=open>
                                    {t.open}
                                </button>
                            </div>
                            <p class="hint">{t.open_once}</p>
                        }
                    })
            }}
        </section>
    }
}

fn failed(t: &'static Text, opener: Opener, error: &OpenError) -> impl IntoView {
    let mut used = false;
    let mut again = false;
    let words = match error {
        OpenError::Api(error) => {
            let code = error.code();
            used = code == Some(ErrorCode::InviteUsed);
            again = matches!(
                code,
                None | Some(
                    ErrorCode::RateLimited
                        | ErrorCode::Unavailable
                        | ErrorCode::Stopping
                        | ErrorCode::Internal
                )
            );
            if used {
                let at = match error {
                    crate::api::ApiError::Refused { opened_at, .. } => *opened_at,
                    crate::api::ApiError::Network => None,
                };
                let now = Local::here(opener.messenger.now());
                let when = at.map(|at| Local::here(at).moment(t, now));
                (t.link_used)(when.as_deref())
            } else {
                (t.api)(error)
            }
        }
        OpenError::Forged => t.link_forged.into(),
        OpenError::Storage => {
            again = true;
            t.link_storage.into()
        }
        OpenError::NotKept => t.link_not_kept.into(),
    };
    view! {
        <section class="sheet">
            <h1>{t.open_title}</h1>
            <p class="alert" role="alert">
                {words}
            </p>
            {used
                .then(|| {
                    view! {
                        <h2>{t.ask_title}</h2>
                        <blockquote class="quote">{t.ask_text}</blockquote>
                        <div class="actions">
                            <CopyButton
                                label=t.copy_text
                                value=Callback::new(move |()| t.ask_text.to_owned())
                            />
                        </div>
                    }
                })}
            {again
                .then(|| {
                    view! {
                        <div class="actions">
                            <button type="button" class="button" on:click=move |_| opener.retry()>
                                {t.try_again}
                            </button>
                        </div>
                    }
                })}
        </section>
    }
}

#[component]
fn Opened(view: OpenedView) -> impl IntoView {
    let t = text();
    let OpenedView { id, name, letter } = view;
    let has_letter = letter.is_some();
    let article = NodeRef::<html::Article>::new();
    Effect::new(move || {
        if let Some(article) = article.get() {
            browser::focus(&article);
        }
    });
    view! {
        {match letter {
            Some(letter) => {
                view! {
                    <article class="sheet letter" aria-label=t.letter tabindex="-1" node_ref=article>
                        <h1 class="from" dir="auto">
                            {(t.letter_from)(&name)}
                        </h1>
                        <p class="text" dir="auto">
                            {letter}
                        </p>
                    </article>
                }
                    .into_any()
            }
            None => {
                view! {
                    <section class="sheet">
                        <h1 dir="auto">{(t.invites_you)(&name)}</h1>
                        <p class="lead">{t.invites_lead}</p>
                    </section>
                }
                    .into_any()
            }
        }}
        <ReplyForm id=id has_letter=has_letter />
    }
}

#[component]
fn ReplyForm(id: String, has_letter: bool) -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let job = Job::new();
    let reply = RwSignal::new(String::new());
    let name = RwSignal::new(String::new());
    // The name box comes with the letter, before the worker has said whether there is a SIM.
    let remembered = Setting::HasSim.read().is_some();
    let needs_name = Memo::new(move |_| match messenger.phase() {
        Phase::Starting => !remembered,
        _ => messenger.sim().is_none(),
    });
    let go = StoredValue::new_local(use_navigate());
    let send = move || {
        let text = reply.get_untracked();
        if has_letter && text.trim().is_empty() {
            return job.complain(t.needs_reply);
        }
        if !lengths::fits(&text) {
            return job.error.set(lengths::hint(t, &text));
        }
        let name = if needs_name.get_untracked() {
            let name = match lengths::name(t, &name.get_untracked()) {
                Ok(name) => name,
                Err(words) => return job.complain(words),
            };
            Some(name)
        } else {
            None
        };
        let command = Command::Reply {
            letter: id.clone(),
            name,
            text,
        };
        job.run(command, move |answer| {
            if let (Answer::Conversation { id }, Some(navigate)) = (answer, go.try_get_value()) {
                navigate(&format!("/chat#{id}"), Default::default());
            }
        });
    };
    view! {
        <form
            class="sheet stack reply"
            on:submit=move |ev| {
                ev.prevent_default();
                send();
            }
        >
            {has_letter
                .then(|| {
                    view! {
                        <TextArea
                            id="reply"
                            label=t.reply
                            value=reply
                            placeholder=t.reply_placeholder
                            rows=4
                            note=Signal::derive(move || reply.with(|reply| lengths::hint(t, reply)))
                        />
                    }
                })}
            {move || {
                needs_name
                    .get()
                    .then(|| {
                        view! {
                            <TextField id="name" label=t.your_name value=name hint=t.name_hint />
                            <p class="hint">{t.reply_note}</p>
                        }
                    })
            }}
            <Alert words=job.error />
            <div class="actions">
                <button type="submit" class="button big" disabled=move || job.blocked()>
                    {if has_letter { t.send_reply } else { t.add_contact }}
                </button>
            </div>
            <p class="hint">{t.unverified}</p>
        </form>
    }
}
