use super::session::Session;
use crate::{
    browser,
    components::{Alert, Icon, IconName},
    state::{Job, messenger},
    text::{room_text, text},
};
use leptos::{ev::KeyboardEvent, html, prelude::*, task::spawn_local};
use rly_protocol::limits::{ROOM_TEXT_CHARACTERS, TEXT_MAX};
use rly_view::RoomCommand;

/// Lines that the box grows to.
const LINES: usize = 8;

/// Where something is said.
#[component]
pub fn Say(session: Session) -> impl IntoView {
    let (t, r) = (text(), room_text());
    let messenger = messenger();
    let job = Job::new();
    let area = NodeRef::<html::Textarea>::new();
    let value = RwSignal::new(String::new());
    let counted = Memo::new(move |_| value.with(|text| session.count(text)));
    let fits = move || counted.get() <= ROOM_TEXT_CHARACTERS && value.with(String::len) <= TEXT_MAX;
    Effect::new(move |focused: Option<bool>| {
        let Some(area) = area.get() else { return false };
        if area.value() != value.get() {
            area.set_value(&value.get());
        }
        // On a screen without a pointer the focus would open the keyboard over the messages.
        if focused.is_none() && browser::has_pointer() {
            browser::focus(&area);
        }
        true
    });
    let too_long = move || {
        let over = counted.get().saturating_sub(ROOM_TEXT_CHARACTERS);
        // A text of characters that take many bytes each may be too long before that.
        (!fits()).then(|| (r.over)(over.max(1)))
    };
    let send = move || {
        let text = value.get_untracked();
        if text.trim().is_empty() || !messenger.hydrated.get_untracked() {
            return;
        }
        if !untrack(fits) {
            return;
        }
        job.error.set(None);
        value.set(String::new());
        let command = RoomCommand::Send {
            room: session.room(),
            id: session.random_id(),
            text: text.clone(),
        };
        // Not one at a time: who types fast does not wait for the store.
        spawn_local(async move {
            if let Err(failure) = session.run(command).await {
                let _ = job.error.try_set(Some((t.failure)(failure.code).to_owned()));
                // What was not taken is given back, unless something else is being written.
                let _ = value.try_update(|now| {
                    if now.is_empty() {
                        *now = text;
                    }
                });
            }
        });
        if let Some(area) = area.get_untracked() {
            browser::focus(&area);
        }
    };
    let key = move |ev: KeyboardEvent| {
        // Enter also ends the composition of a letter in many scripts; that is not sending.
        if ev.key() == "Enter" && !ev.shift_key() && !ev.is_composing() {
            ev.prevent_default();
            send();
        }
    };
    let rows = move || value.with(|text| text.split('\n').count().clamp(1, LINES).to_string());
    view! {
        <form
            class="composer"
            on:submit=move |ev| {
                ev.prevent_default();
                send();
            }
        >
            <Alert words=job.error />
            <Alert words=Signal::derive(too_long) />
            <p class="hint counted">{move || (r.counted)(counted.get(), ROOM_TEXT_CHARACTERS)}</p>
            <div class="composer-row">
                <textarea
                    aria-label=t.message
                    placeholder=t.message
                    rows=rows
                    dir="auto"
                    autocomplete="off"
                    node_ref=area
                    on:input=move |ev| value.set(event_target_value(&ev))
                    on:keydown=key
                ></textarea>
                <button
                    type="submit"
                    class="button send"
                    aria-label=t.send
                    disabled=move || {
                        !messenger.hydrated.get() || value.with(|text| text.trim().is_empty()) || !fits()
                    }
                >
                    <Icon name=IconName::Send />
                </button>
            </div>
        </form>
    }
}
