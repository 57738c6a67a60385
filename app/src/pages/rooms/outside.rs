//! Before one is in a room, and after its end.

use super::{
    session::Session,
    talk::{Countdown, Delete},
};
use crate::{
    components::{Alert, TextField},
    lengths,
    state::{Job, messenger},
    text::{room_text, text},
    time::Local,
};
use leptos::prelude::*;
use rly_view::{FailureCode, RoomCode, RoomCommand, RoomView};

/// How long after its time a room has ended on the server for certain, in seconds.
const GRACE: u64 = 3;

/// Asks for a room's code; with the reason why the one in the address did not do.
#[component]
pub fn CodeForm(why: Option<FailureCode>, on_code: Callback<String>, session: Session) -> impl IntoView {
    let (t, r) = (text(), room_text());
    let job = Job::new();
    let code = RwSignal::new(String::new());
    job.error.set(why.map(|code| (t.failure)(code).to_owned()));
    let open = move || match code.with_untracked(|code| code.parse::<RoomCode>()) {
        Ok(code) => on_code.run(code.to_text()),
        Err(_) => job.complain((t.failure)(FailureCode::RoomCodeInvalid)),
    };
    // Another try makes sense where the server was not reached.
    let again = matches!(
        why,
        Some(
            FailureCode::Offline | FailureCode::Busy | FailureCode::StorageRefused | FailureCode::StorageFull
        )
    );
    view! {
        <form
            class="room-card stack"
            novalidate
            on:submit=move |ev| {
                ev.prevent_default();
                open();
            }
        >
            <Alert words=job.error />
            {again
                .then(|| {
                    view! {
                        <div class="actions">
                            <button type="button" class="button" on:click=move |_| session.again()>
                                {t.try_again}
                            </button>
                        </div>
                    }
                })}
            <p class="lead">{r.code_lead}</p>
            <TextField id="room-code" label=r.code value=code hint=r.code_hint />
            <div class="actions">
                <button type="submit" class="button" disabled=move || job.blocked()>
                    {r.open}
                </button>
                <a class="button quiet" href="/rooms">
                    {r.make_new}
                </a>
            </div>
        </form>
    }
}

/// Asks for a name, and tells what room it is.
#[component]
pub fn JoinForm(session: Session) -> impl IntoView {
    let (t, r) = (text(), room_text());
    let job = Job::new();
    let name = RwSignal::new(String::new());
    // Who was here comes back as the same person.
    let known = session.view.with_untracked(|view| view.as_ref()?.name.clone());
    let back = known.clone();
    let join = move || {
        let chosen = match &back {
            Some(name) => name.clone(),
            None => match lengths::name(t, &name.get_untracked()) {
                Ok(name) => name,
                Err(words) => return job.complain(words),
            },
        };
        let room = session.room();
        job.start(async move {
            let joined = session.run(RoomCommand::Join { room, name: chosen }).await;
            joined
                .map(|_| ())
                .map_err(|failure| (t.failure)(failure.code).to_owned())
        });
    };
    let deletable = known.is_some();
    // From outside one does not hear that somebody has said something meanwhile: the server is asked again.
    let over = session.part(|view| view.closes_at);
    let over = Memo::new(move |_| {
        over.get()
            .is_some_and(|at| session.now.get() > at.plus_seconds(GRACE))
    });
    Effect::new(move || {
        if over.get() {
            session.again();
        }
    });
    view! {
        <form
            class="room-card stack"
            novalidate
            on:submit=move |ev| {
                ev.prevent_default();
                join();
            }
        >
            <h2>{r.join_title}</h2>
            <Countdown session=session />
            <p class="lead">{r.join_lead}</p>
            {match known {
                Some(known) => view! { <p class="strong">{(r.name_again)(&known)}</p> }.into_any(),
                None => view! { <TextField id="room-name" label=r.name value=name hint=r.name_hint /> }.into_any(),
            }}
            <Alert words=job.error />
            <div class="actions">
                <button type="submit" class="button big" disabled=move || job.blocked()>
                    {move || if job.busy.get() { r.joining } else { r.join }}
                </button>
                {deletable.then(|| view! { <Delete session=session /> })}
            </div>
            <Limits session=session />
            <p class="hint">{r.sealed}</p>
        </form>
    }
}

/// The bounds of a room.
#[component]
pub fn Limits(session: Session) -> impl IntoView {
    let (t, r) = (text(), room_text());
    let messenger = messenger();
    let limits = session.part(|view: &RoomView| (view.limits, view.ends_at));
    move || {
        let (limits, ends_at) = limits.get()?;
        let ends = Local::here(ends_at).moment(t, Local::here(messenger.now()));
        Some(view! {
            <ul class="limits hint">
                <li>{(r.idle_limit)(limits.idle_seconds)}</li>
                <li>{(r.life_limit)(&ends)}</li>
                <li>{(r.people_limit)(limits.people)}</li>
                <li>{(r.history_limit)(limits.history)}</li>
            </ul>
        })
    }
}

/// The room is no more, or nothing of it is here.
#[component]
pub fn Over(title: &'static str, why: &'static str, body: &'static str) -> impl IntoView {
    let r = room_text();
    view! {
        <section class="room-card stack" role="status">
            <h2>{title}</h2>
            <p class="lead">{why}</p>
            <p>{body}</p>
            <div class="actions">
                <a class="button" href="/rooms">
                    {r.make_new}
                </a>
                <a class="button quiet" href="/r">
                    {r.other_code}
                </a>
            </div>
        </section>
    }
}
