use super::{Alert, Icon, IconName};
use crate::{
    browser, lengths,
    state::{Job, messenger},
    text::text,
};
use leptos::{ev::KeyboardEvent, html, prelude::*, task::spawn_local};
use rly_view::Command;

/// Lines that the box grows to.
const LINES: usize = 8;

/// Where a message is written.
#[component]
pub fn Composer(
    /// Where it goes.
    #[prop(into)]
    conversation: String,
) -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let job = Job::new();
    let area = NodeRef::<html::Textarea>::new();
    let draft = messenger
        .drafts
        .with_value(|drafts| drafts.get(&conversation).cloned())
        .unwrap_or_default();
    let value = RwSignal::new(draft);
    let kept = conversation.clone();
    on_cleanup(move || {
        let text = value.get_untracked();
        messenger.drafts.update_value(|drafts| {
            if text.is_empty() {
                drafts.remove(&kept);
            } else {
                drafts.insert(kept.clone(), text);
            }
        });
    });
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
    let send = move || {
        let text = value.get_untracked();
        if text.trim().is_empty() || !messenger.hydrated.get_untracked() {
            return;
        }
        if !lengths::fits(&text) {
            job.error.set(lengths::hint(t, &text));
            return;
        }
        job.error.set(None);
        value.set(String::new());
        let command = Command::Send {
            conversation: conversation.clone(),
            id: messenger.random_id(),
            text: text.clone(),
        };
        // Not one at a time: who types fast does not wait for the store.
        spawn_local(async move {
            if let Err(failure) = messenger.run(command).await {
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
    let send_key = send.clone();
    let key = move |ev: KeyboardEvent| {
        // Enter also ends the composition of a letter in many scripts; that is not sending.
        if ev.key() == "Enter" && !ev.shift_key() && !ev.is_composing() {
            ev.prevent_default();
            send_key();
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
            <p class="hint">{move || value.with(|text| lengths::hint(t, text))}</p>
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
                    disabled=move || !messenger.hydrated.get() || value.with(|text| text.trim().is_empty())
                >
                    <Icon name=IconName::Send />
                </button>
            </div>
        </form>
    }
}
