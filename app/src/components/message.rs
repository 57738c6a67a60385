use crate::{
    state::{Job, messenger},
    text::text,
    thread::Entry,
};
use leptos::prelude::*;
use rly_view::{Command, Content, MessageState};

/// One message, or a note between messages.
#[component]
pub fn Message(
    /// The message.
    entry: Entry,
    /// Where it belongs.
    #[prop(into)]
    conversation: String,
) -> impl IntoView {
    let t = text();
    let at = entry.at();
    let Entry { id, message, .. } = entry;
    let (content, own) = message.with_untracked(|message| (message.content.clone(), message.own));
    let body = match content {
        Content::Note(note) => {
            return view! {
                <p class="note">
                    <span>{(t.note)(note)}</span>
                </p>
            }
            .into_any();
        }
        Content::Text(text) => view! {
            <p class="text" dir="auto">
                {text}
            </p>
        }
        .into_any(),
        Content::NeedsNewer => view! { <p class="text unknown">{t.needs_newer_message}</p> }.into_any(),
    };
    let state = Memo::new(move |_| message.with(|message| message.state));
    let words = move || {
        state.get().map(|state| match state {
            MessageState::Sending => t.state_sending,
            MessageState::Sent => t.state_sent,
            MessageState::Delivered => t.state_delivered,
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
                {body}
            </article>
            <p class="meta" id=meta>
                <span>{at.clock()}</span>
                <span class="state" data-state=move || state.get().map(MessageState::as_str)>
                    {words}
                </span>
            </p>
            {move || {
                (state.get() == Some(MessageState::Failed))
                    .then(|| view! { <TryAgain id=id.clone() conversation=conversation.clone() /> })
            }}
        </div>
    }
    .into_any()
}

#[component]
fn TryAgain(id: String, conversation: String) -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let job = Job::new();
    let again = move |_| {
        let command = Command::Retry {
            conversation: conversation.clone(),
            id: id.clone(),
        };
        job.run(command, |_| {});
    };
    view! {
        <button
            type="button"
            class="button small quiet"
            disabled=move || job.blocked() || !messenger.hydrated.get()
            on:click=again
        >
            {t.try_again}
        </button>
        <super::Alert words=job.error />
    }
}
