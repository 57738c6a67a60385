//! Inside a room: who is here, what is said, how long it lasts.

use super::{outside::Limits, say::Say, session::Session, thread::Entry};
use crate::{
    components::{Alert, Confirm, ConnectionSign, Dialog, GiveLink, Open},
    state::Job,
    text::{named, room_text, text},
    time::Local,
};
use leptos::{ev::KeyboardEvent, html, prelude::*};
use rly_view::{MessageState, RoomCommand, RoomContact, RoomContentView, RoomPersonView, RoomView};

/// How near to the end, in pixels, counts as being there.
const NEAR: i32 = 120;

/// A room from inside.
#[component]
pub fn Talk(session: Session) -> impl IntoView {
    view! {
        <section class="conversation room">
            <Head session=session />
            <People session=session />
            <Asks session=session />
            <Log session=session />
            <Say session=session />
        </section>
    }
}

#[component]
fn Head(session: Session) -> impl IntoView {
    let (t, r) = (text(), room_text());
    let job = Job::new();
    let shares: Open<()> = RwSignal::new(None);
    let ends: Open<()> = RwSignal::new(None);
    let creator = session.part(|view| view.creator);
    let run = move |command: RoomCommand| {
        job.start(async move {
            let done = session.run(command).await;
            done.map(|_| ())
                .map_err(|failure| (t.failure)(failure.code).to_owned())
        });
    };
    let end = Callback::new(move |()| {
        ends.set(None);
        run(RoomCommand::Close { room: session.room() });
    });
    let close = Callback::new(move |()| shares.set(None));
    view! {
        <div class="room-head">
            <Countdown session=session />
            <ConnectionSign connection=session.connection() />
            <div class="actions">
                <button
                    type="button"
                    class="button small quiet"
                    disabled=move || job.blocked()
                    on:click=move |_| shares.set(Some(()))
                >
                    {r.share}
                </button>
                <button
                    type="button"
                    class="button small quiet"
                    disabled=move || job.blocked()
                    on:click=move |_| run(RoomCommand::Leave { room: session.room() })
                >
                    {r.leave}
                </button>
                <Delete session=session />
                {move || {
                    (creator.get() == Some(true))
                        .then(|| {
                            view! {
                                <button
                                    type="button"
                                    class="button small quiet danger-text"
                                    disabled=move || job.blocked()
                                    on:click=move |_| ends.set(Some(()))
                                >
                                    {r.end}
                                </button>
                            }
                        })
                }}
            </div>
            <Alert words=job.error />
        </div>
        {move || {
            shares
                .get()
                .map(|()| {
                    view! {
                        <Dialog id="share-room-title" title=r.share on_close=close>
                            <p>{r.share_lead}</p>
                            <div class="link-panel">
                                <GiveLink id="room-link" label=r.link qr=r.qr link=session.link.get_untracked()>
                                    <Limits session=session />
                                </GiveLink>
                            </div>
                        </Dialog>
                    }
                })
        }}
        {move || {
            ends.get()
                .map(|()| {
                    view! {
                        <Confirm
                            id="end-title"
                            title=r.end_title
                            body=r.end_body
                            action=r.end
                            on_confirm=end
                            on_cancel=move |()| ends.set(None)
                        />
                    }
                })
        }}
    }
}

/// "Delete everything", which asks once.
#[component]
pub fn Delete(session: Session) -> impl IntoView {
    let (t, r) = (text(), room_text());
    let job = Job::new();
    let asks: Open<()> = RwSignal::new(None);
    let delete = Callback::new(move |()| {
        asks.set(None);
        let room = session.room();
        job.start(async move {
            let done = session.run(RoomCommand::DeleteEverything { room }).await;
            done.map(|_| ())
                .map_err(|failure| (t.failure)(failure.code).to_owned())
        });
    });
    view! {
        <button
            type="button"
            class="button small quiet danger-text"
            disabled=move || job.blocked()
            on:click=move |_| asks.set(Some(()))
        >
            {r.delete}
        </button>
        {move || job.busy.get().then(|| view! { <p class="hint" role="status">{r.deleting}</p> })}
        <Alert words=job.error />
        {move || {
            asks.get()
                .map(|()| {
                    view! {
                        <Confirm
                            id="delete-title"
                            title=r.delete_title
                            body=r.delete_body
                            action=r.delete
                            on_confirm=delete
                            on_cancel=move |()| asks.set(None)
                        />
                    }
                })
        }}
    }
}

/// How long the room lasts if nobody says anything.
#[component]
pub fn Countdown(session: Session) -> impl IntoView {
    let r = room_text();
    let closes_at = session.part(|view| view.closes_at);
    let left = Memo::new(move |_| {
        let left = closes_at.get()?.since(session.now.get());
        Some(left.div_ceil(1_000))
    });
    let clock = move || {
        left.get().map(|left| {
            let (hours, minutes, seconds) = (left / 3_600, left / 60 % 60, left % 60);
            match hours {
                0 => format!("{minutes}:{seconds:02}"),
                hours => format!("{hours}:{minutes:02}:{seconds:02}"),
            }
        })
    };
    view! {
        <p class="countdown">
            <span aria-hidden="true">{r.closes_in}</span>
            " "
            <span role="timer" aria-label=r.closes class="strong">
                {clock}
            </span>
        </p>
    }
}

#[component]
fn People(session: Session) -> impl IntoView {
    let r = room_text();
    let people = session.part(|view| (view.people.clone(), view.you));
    let shown: Open<u32> = RwSignal::new(None);
    let close = Callback::new(move |()| shown.set(None));
    let list = move |here: bool, label: &'static str| {
        let (people, you) = people.get().unwrap_or_default();
        let some: Vec<_> = people.into_iter().filter(|person| person.here == here).collect();
        (!some.is_empty()).then(|| {
            view! {
                <p class="people-label" aria-hidden="true">{label}</p>
                <ul class="people" aria-label=label>
                    {some
                        .into_iter()
                        .map(|person| {
                            let number = person.number;
                            if you == Some(number) {
                                view! {
                                    <li data-own="true">
                                        <Name person=person />
                                        " "
                                        <span class="hint">"(" {r.you} ")"</span>
                                    </li>
                                }
                                    .into_any()
                            } else {
                                let kept = person.contact == RoomContact::Kept;
                                view! {
                                    <li>
                                        <button type="button" on:click=move |_| shown.set(Some(number))>
                                            <Name person=person />
                                        </button>
                                        {kept.then(|| view! { " " <span class="nth">{r.contact}</span> })}
                                    </li>
                                }
                                    .into_any()
                            }
                        })
                        .collect_view()}
                </ul>
            }
        })
    };
    view! {
        <div class="people-row" tabindex="0" role="group" aria-label=r.people_group>
            {move || list(true, r.people_here)}
            {move || list(false, r.people_away)}
        </div>
        {move || shown.get().map(|number| view! { <Contact session=session number=number on_close=close /> })}
    }
}

/// Somebody else in the room, to be kept as a contact.
#[component]
fn Contact(session: Session, number: u32, on_close: Callback<()>) -> impl IntoView {
    let r = room_text();
    let of = move |view: &RoomView| view.people.iter().find(|person| person.number == number).cloned();
    let title = session
        .view
        .with_untracked(|view| view.as_ref().and_then(of))
        .map(|person| named(&person.name, person.name_number))
        .unwrap_or_default();
    let contact = session.part(move |view| of(view).map_or(RoomContact::None, |person| person.contact));
    let said = move || match contact.get() {
        Some(RoomContact::Asked) => Some(r.keep_asked),
        Some(RoomContact::Agreed) => Some(r.keep_agreed),
        Some(RoomContact::Kept) => Some(r.kept),
        _ => None,
    };
    let open = Memo::new(move |_| matches!(contact.get(), Some(RoomContact::None | RoomContact::AsksYou)));
    view! {
        <Dialog id="contact-title" title=title on_close=on_close>
            <p>{r.keep_lead}</p>
            <p role="status" class="strong">
                {said}
            </p>
            {move || open.get().then(|| view! { <Keep session=session number=number /> })}
            {move || (contact.get() == Some(RoomContact::Kept)).then(|| view! { <ToChats /> })}
        </Dialog>
    }
}

#[component]
fn ToChats() -> impl IntoView {
    view! {
        <div class="actions">
            <a class="button quiet" href="/chat">
                {text().to_chats}
            </a>
        </div>
    }
}

/// Asks, or agrees.
#[component]
fn Keep(session: Session, number: u32) -> impl IntoView {
    let (t, r) = (text(), room_text());
    let job = Job::new();
    let keep = move |_| {
        let command = RoomCommand::KeepContact {
            room: session.room(),
            person: number,
            name: None,
        };
        job.start(async move {
            let done = session.run(command).await;
            done.map(|_| ())
                .map_err(|failure| (t.failure)(failure.code).to_owned())
        });
    };
    view! {
        <button type="button" class="button" disabled=move || job.blocked() on:click=keep>
            {r.keep}
        </button>
        <Alert words=job.error />
    }
}

/// Who would like to stay in contact.
#[component]
fn Asks(session: Session) -> impl IntoView {
    let r = room_text();
    let asking = session.part(|view| {
        let asks = |person: &&RoomPersonView| person.contact == RoomContact::AsksYou;
        let who = |person: &RoomPersonView| (person.number, person.name.clone(), person.name_number);
        view.people.iter().filter(asks).map(who).collect::<Vec<_>>()
    });
    let refuse = move |person: u32| {
        let room = session.room();
        leptos::task::spawn_local(async move {
            let _ = session.run(RoomCommand::RefuseContact { room, person }).await;
        });
    };
    move || {
        let asking = asking.get().unwrap_or_default().into_iter();
        asking
            .map(|(number, name, nth)| {
                view! {
                    <div class="notice thin">
                        <p role="status">{(r.asks)(&name, nth)}</p>
                        <div class="actions">
                            <Keep session=session number=number />
                            <button type="button" class="button quiet" on:click=move |_| refuse(number)>
                                {r.refuse}
                            </button>
                        </div>
                    </div>
                }
            })
            .collect_view()
    }
}

/// A name, and its number beside it.
#[component]
fn Name(person: RoomPersonView) -> impl IntoView {
    view! {
        <bdi class="who">{person.name}</bdi>
        <Nth number=person.name_number />
    }
}

#[component]
fn Nth(number: u16) -> impl IntoView {
    (number > 1).then(|| view! { " " <span class="nth">{number.to_string()}</span> })
}

#[component]
fn Log(session: Session) -> impl IntoView {
    let (t, r) = (text(), room_text());
    let thread = session.thread;
    let list = NodeRef::<html::Div>::new();
    let at_end = RwSignal::new(true);
    let unseen = RwSignal::new(false);
    let to_end = move || {
        if let Some(list) = list.get_untracked() {
            list.set_scroll_top(list.scroll_height());
        }
        at_end.set(true);
        unseen.set(false);
    };
    Effect::new(move || {
        let (_, own) = thread.grown.get();
        // When the lines are there, and before they are painted.
        request_animation_frame(move || {
            if list.try_get_untracked().flatten().is_none() {
                return;
            }
            if own || at_end.get_untracked() {
                to_end();
            } else {
                unseen.set(true);
            }
        });
    });
    let scrolled = move |_| {
        let Some(list) = list.get_untracked() else { return };
        at_end.set(list.scroll_height() - list.scroll_top() - list.client_height() < NEAR);
        if at_end.get_untracked() {
            unseen.set(false);
        }
    };
    let key = move |ev: KeyboardEvent| {
        if ev.key() == "End" {
            ev.prevent_default();
            to_end();
        }
    };
    let nothing = move || thread.ready.get() && thread.entries.with(Vec::is_empty);
    view! {
        <div class="messages-frame">
            <div
                class="messages"
                role="log"
                aria-label=t.messages
                aria-busy=move || (!thread.ready.get()).to_string()
                tabindex="0"
                node_ref=list
                on:scroll=scrolled
                on:keydown=key
            >
                {move || nothing().then(|| view! { <p class="note"><span>{r.empty}</span></p> })}
                <For
                    each=move || thread.entries.get()
                    key=|entry| entry.id.clone()
                    children=|entry| view! { <Line entry=entry /> }
                />
            </div>
            {move || {
                unseen
                    .get()
                    .then(|| {
                        view! {
                            <button type="button" class="button small to-end" on:click=move |_| to_end()>
                                {t.new_messages}
                            </button>
                        }
                    })
            }}
        </div>
    }
}

/// A message, or a note between messages.
#[component]
fn Line(entry: Entry) -> impl IntoView {
    let (t, r) = (text(), room_text());
    let Entry { id, message } = entry;
    let shown = message.get_untracked();
    let note = |words: String| {
        view! {
            <p class="note">
                <span>{words}</span>
            </p>
        }
        .into_any()
    };
    let (name, number) = (shown.name.clone(), shown.name_number);
    let (words, cut) = match shown.content {
        RoomContentView::Text { text } => (text, false),
        RoomContentView::TooLong { text } => (text, true),
        RoomContentView::NeedsNewer => (t.needs_newer_message.to_owned(), false),
        RoomContentView::Joined => return note((r.joined)(&name, number)),
        RoomContentView::Forged => return note((r.forged)(&name, number)),
        RoomContentView::Missing { count } => return note((r.missing)(&name, number, count)),
    };
    let own = shown.own;
    let state_of = message.clone();
    let state = Memo::new(move |_| state_of.with(|message| message.state));
    let at = Memo::new(move |_| message.with(|message| message.at));
    let state_words = move || {
        state.get().map(|state| match state {
            MessageState::Sending => t.state_sending,
            MessageState::Sent | MessageState::Delivered => t.state_sent,
            MessageState::Failed => t.state_failed,
        })
    };
    let meta = format!("meta-{id}");
    view! {
        <div class="message" class:own=own>
            <article
                data-own=own.then_some("true")
                data-state=move || state.get().map(MessageState::as_str)
                aria-describedby=meta.clone()
            >
                <p class="text" dir="auto">
                    {words}
                </p>
            </article>
            <p class="meta" id=meta>
                {(!own)
                    .then(|| {
                        view! {
                            <span>
                                <bdi class="who">{name}</bdi>
                                <Nth number=number />
                            </span>
                        }
                    })}
                <span>{move || Local::here(at.get()).clock()}</span>
                {cut.then(|| view! { <span>{r.too_long}</span> })}
                <span class="state" data-state=move || state.get().map(MessageState::as_str)>
                    {state_words}
                </span>
            </p>
        </div>
    }
    .into_any()
}
