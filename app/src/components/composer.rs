use super::{Alert, MessageBox, hand_over};
use crate::{
    lengths,
    state::{Job, messenger},
    text::text,
};
use leptos::prelude::*;
use rly_view::Command;

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
    let send = move |text: String| {
        if !lengths::fits(&text) {
            job.error.set(lengths::hint(t, &text));
            return;
        }
        let command = Command::Send {
            conversation: conversation.clone(),
            id: messenger.random_id(),
            text: text.clone(),
        };
        hand_over(value, job, text, messenger.run(command));
    };
    view! {
        <MessageBox value=value held=false on_send=send>
            <Alert words=job.error />
            <p class="hint">{move || value.with(|text| lengths::hint(t, text))}</p>
        </MessageBox>
    }
}
