use super::{Icon, IconName};
use crate::{
    browser,
    state::{Job, messenger},
    text::text,
};
use core::future::Future;
use leptos::{ev::KeyboardEvent, html, prelude::*, task::spawn_local};
use rly_view::Failure;

/// Lines that the box grows to.
const LINES: usize = 8;

/// The box that a message is written in, and the button that sends it.
#[component]
pub fn MessageBox(
    /// What is written.
    value: RwSignal<String>,
    /// Something keeps it from being sent as it is.
    #[prop(into)]
    held: Signal<bool>,
    /// Sends it: see [`hand_over`].
    #[prop(into)]
    on_send: Callback<String>,
    /// What there is to say about it.
    children: Children,
) -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let area = NodeRef::<html::Textarea>::new();
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
    let waits = move || !messenger.hydrated.get() || held.get() || value.with(|text| text.trim().is_empty());
    let send = move || {
        if untrack(waits) {
            return;
        }
        on_send.run(value.get_untracked());
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
            {children()}
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
                <button type="submit" class="button send" aria-label=t.send disabled=waits>
                    <Icon name=IconName::Send />
                </button>
            </div>
        </form>
    }
}

/// Takes a text out of its box and has it sent. Not one at a time: who types fast does not wait for the
/// store. What was not taken is given back, unless something else is being written by then.
pub fn hand_over<T>(
    value: RwSignal<String>,
    job: Job,
    text: String,
    sent: impl Future<Output = Result<T, Failure>> + 'static,
) {
    let t = crate::text::text();
    job.error.set(None);
    value.set(String::new());
    spawn_local(async move {
        if let Err(failure) = sent.await {
            let _ = job.error.try_set(Some((t.failure)(failure.code).to_owned()));
            let _ = value.try_update(|now| {
                if now.is_empty() {
                    *now = text;
                }
            });
        }
    });
}
