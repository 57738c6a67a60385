use super::Message;
use crate::{
    browser,
    state::messenger,
    text::text,
    thread::{Entry, Growth},
    time::Local,
};
use leptos::{html, prelude::*, task::spawn_local};
use rly_view::{Answer, Command};

/// How many messages are read at once.
const PAGE: u32 = 200;
/// How near to an end, in pixels, counts as being there.
const NEAR: i32 = 120;

/// A line of the list.
#[derive(Clone)]
enum Row {
    /// A new day begins.
    Day { before: String, words: String },
    /// A message.
    Entry(Entry),
}

impl Row {
    fn key(&self) -> String {
        match self {
            // By clocks that go wrong a day may come twice.
            Self::Day { before, .. } => format!("day {before}"),
            Self::Entry(entry) => entry.id.clone(),
        }
    }
}

/// The messages of the conversation that is shown.
#[component]
pub fn MessageList(
    /// Which one it is.
    #[prop(into)]
    conversation: String,
) -> impl IntoView {
    let t = text();
    let messenger = messenger();
    let thread = messenger.thread;
    let list = NodeRef::<html::Div>::new();
    let at_end = RwSignal::new(true);
    let unseen = RwSignal::new(false);

    let load = {
        let conversation = conversation.clone();
        move |before: Option<u64>| {
            let conversation = conversation.clone();
            thread.loading.set(true);
            spawn_local(async move {
                let command = Command::LoadMessages {
                    conversation: conversation.clone(),
                    before,
                    limit: PAGE,
                };
                match messenger.run(command).await {
                    Ok(Answer::Messages { messages, more }) => thread.loaded(&conversation, messages, more),
                    // The conversation is gone, and the page says so; or it is tried again on scrolling.
                    _ if thread.shows(&conversation) => {
                        let _ = thread.loading.try_set(false);
                    }
                    _ => {}
                }
            });
        }
    };
    thread.show(Some(conversation.clone()));
    let load_first = load.clone();
    Effect::new(move || load_first(None));
    on_cleanup(move || thread.show(None));
    let shown = conversation.clone();
    Effect::new(move || {
        thread.catch_up.track();
        if !thread.ready.get_untracked() {
            // What is being read is up to date.
            return;
        }
        let conversation = shown.clone();
        spawn_local(async move {
            let newest = Command::LoadMessages {
                conversation: conversation.clone(),
                before: None,
                limit: PAGE,
            };
            if let Ok(Answer::Messages { messages, more }) = messenger.run(newest).await {
                thread.caught_up(&conversation, messages, more);
            }
        });
    });

    let to_end = move || {
        if let Some(list) = list.get_untracked() {
            list.set_scroll_top(list.scroll_height());
        }
        at_end.set(true);
        unseen.set(false);
    };
    // How far the end is from the top of what is seen: what must stay when older messages come before.
    let depth = StoredValue::new(0);
    Effect::new(move || {
        let growth = thread.growth.get();
        let entries = thread.entries.with(Vec::len);
        // After the lines are drawn.
        set_timeout(
            move || {
                let Some(Some(list)) = list.try_get_untracked() else {
                    return;
                };
                match growth {
                    Growth::Opened => to_end(),
                    Growth::Older => list.set_scroll_top(list.scroll_height() - depth.get_value()),
                    Growth::Newer { own } if own || at_end.get_untracked() => to_end(),
                    Growth::Newer { .. } => unseen.set(entries > 0),
                    Growth::Changed if at_end.get_untracked() => to_end(),
                    Growth::Changed => {}
                }
            },
            core::time::Duration::ZERO,
        );
    });

    // What is on the screen of a page that can be seen was seen.
    let read = conversation.clone();
    let unread = Memo::new(move |_| {
        messenger.state.with(|state| {
            state
                .as_ref()
                .and_then(|state| state.conversations.iter().find(|c| c.id == read))
                .map_or(0, |c| c.unread)
        })
    });
    let shown = conversation.clone();
    let mark_read = move || {
        if unread.get_untracked() > 0 && at_end.get_untracked() && browser::is_visible() {
            messenger.send(Command::MarkRead {
                conversation: shown.clone(),
            });
        }
    };
    let mark_later = mark_read.clone();
    Effect::new(move || {
        unread.track();
        at_end.track();
        thread.ready.track();
        mark_read();
    });
    let came_back = window_event_listener_focus(mark_later);
    on_cleanup(move || came_back.remove());

    let scrolled = move |_| {
        let Some(list) = list.get_untracked() else { return };
        let below = list.scroll_height() - list.scroll_top() - list.client_height();
        at_end.set(below < NEAR);
        if below < NEAR {
            unseen.set(false);
        }
        depth.set_value(list.scroll_height() - list.scroll_top());
        if list.scroll_top() < NEAR
            && thread.ready.get_untracked()
            && thread.more.get_untracked()
            && !thread.loading.get_untracked()
        {
            load(thread.oldest());
        }
    };

    let rows = move || {
        let now = Local::here(messenger.now());
        let mut rows = Vec::new();
        let mut last = None;
        thread.entries.with(|entries| {
            for entry in entries {
                let at = entry.message.with_untracked(|message| Local::here(message.at));
                if last != Some(at.day_number()) {
                    last = Some(at.day_number());
                    rows.push(Row::Day {
                        before: entry.id.clone(),
                        words: at.day(t, now),
                    });
                }
                rows.push(Row::Entry(entry.clone()));
            }
        });
        rows
    };
    let empty = move || thread.ready.get() && thread.entries.with(Vec::is_empty);
    let of = StoredValue::new(conversation);
    view! {
        <div class="messages-frame">
            <div
                class="messages"
                role="log"
                aria-label=t.messages
                aria-busy=move || thread.loading.get().to_string()
                tabindex="0"
                node_ref=list
                on:scroll=scrolled
            >
                {move || thread.loading.get().then(|| view! { <p class="note"><span>{t.loading}</span></p> })}
                {move || empty().then(|| view! { <p class="note"><span>{t.no_messages}</span></p> })}
                <For
                    each=rows
                    key=Row::key
                    children=move |row| match row {
                        Row::Day { words, .. } => {
                            view! {
                                <p class="day">
                                    <span>{words}</span>
                                </p>
                            }
                                .into_any()
                        }
                        Row::Entry(entry) => {
                            view! { <Message entry=entry conversation=of.get_value() /> }.into_any()
                        }
                    }
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

/// The page came to the front.
fn window_event_listener_focus(then: impl Fn() + 'static) -> WindowListenerHandle {
    window_event_listener(leptos::ev::focus, move |_| then())
}
