use super::{Message, place::Place};
use crate::{
    browser,
    state::messenger,
    text::text,
    thread::{Entry, Growth, PAGE, Thread},
    time::Local,
};
use leptos::{ev::KeyboardEvent, html, prelude::*, task::spawn_local};
use rly_view::{Answer, Command};
use web_sys::Element;

/// How near to the end, in pixels, counts as being there.
const NEAR: i32 = 120;
/// How near to an end of what is drawn, in pixels, more is drawn: who scrolls does not get there first.
const AHEAD: i32 = 1_500;

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

    // What must stay where it is when others are drawn around it: from then on until it is there again.
    let place = StoredValue::new_local(None::<Place>);
    // Meanwhile nothing is read aloud: it is not new.
    let moving = RwSignal::new(false);
    // The lines come after whoever calls this is done: what is seen is still where it was.
    let hold = move || {
        place.set_value(list.get_untracked().and_then(|list| Place::of(&list)));
        moving.set(true);
    };
    let draw = move |others: fn(Thread) -> bool| {
        let drawn = others(thread);
        if drawn {
            hold();
        }
        drawn
    };
    let of = StoredValue::new(conversation);
    let load = move |before: Option<u64>| {
        let conversation = of.get_value();
        thread.loading.set(true);
        spawn_local(async move {
            let command = Command::LoadMessages {
                conversation: conversation.clone(),
                before,
                limit: PAGE as u32,
            };
            match messenger.run(command).await {
                Ok(Answer::Messages { messages, more }) if thread.shows(&conversation) => {
                    let around = thread.loaded(&conversation, messages, more);
                    if around {
                        hold();
                    }
                }
                // The conversation is gone, and the page says so; or it is tried again on scrolling.
                _ if thread.shows(&conversation) => {
                    let _ = thread.loading.try_set(false);
                }
                _ => {}
            }
        });
    };
    thread.show(Some(of.get_value()));
    Effect::new(move || load(None));
    on_cleanup(move || thread.show(None));
    Effect::new(move || {
        thread.catch_up.track();
        if !thread.ready.get_untracked() {
            // What is being read is up to date.
            return;
        }
        let conversation = of.get_value();
        spawn_local(async move {
            let newest = Command::LoadMessages {
                conversation: conversation.clone(),
                before: None,
                limit: PAGE as u32,
            };
            if let Ok(Answer::Messages { messages, more }) = messenger.run(newest).await {
                thread.caught_up(&conversation, messages, more);
            }
        });
    });

    let to_end = move || {
        if thread.draw_newest() {
            // Then it is scrolled to.
            return;
        }
        if let Some(list) = list.get_untracked() {
            list.set_scroll_top(list.scroll_height());
        }
        at_end.set(true);
        unseen.set(false);
    };
    // Draws more where little is left to scroll; whether lines are on their way, these or others.
    let follow = move || {
        let Some(list) = list.try_get_untracked().flatten() else {
            return false;
        };
        if place.with_value(Option::is_some) {
            // Where the list stands now says nothing.
            return true;
        }
        if thread.loading.get_untracked() || !thread.ready.get_untracked() {
            return false;
        }
        if draw(Thread::fill) {
            return true;
        }
        if list.scroll_top() < AHEAD {
            let drawn = draw(Thread::draw_older);
            if !drawn && thread.more.get_untracked() {
                load(thread.oldest());
            }
            return drawn;
        }
        below(&list) < AHEAD && draw(Thread::draw_newer)
    };
    // With the next frame: what was drawn with this one is painted then. Not only on scrolling, since who
    // is at the very beginning cannot scroll there once more.
    let follow_later = move || {
        request_animation_frame(move || {
            let _ = moving.try_set(follow());
        });
    };
    Effect::new(move || {
        let growth = thread.growth.get();
        // When the lines are there, and before they are painted.
        request_animation_frame(move || {
            let Some(Some(list)) = list.try_get_untracked() else {
                return;
            };
            // Of two changes in one go only the later is told.
            let held = place.try_update_value(Option::take).flatten();
            if let Some(place) = &held {
                place.restore(&list);
            }
            if held.is_some() || growth == Growth::Opened {
                follow_later();
            }
            match growth {
                Growth::Opened => to_end(),
                Growth::Around => {}
                Growth::Newer { own } if own || at_end.get_untracked() => to_end(),
                Growth::Newer { .. } => unseen.set(untrack(|| !thread.is_empty())),
                Growth::Changed if at_end.get_untracked() => to_end(),
                Growth::Changed => {}
            }
        });
    });

    // What is on the screen of a page that can be seen was seen.
    let unread = Memo::new(move |_| {
        messenger.state.with(|state| {
            state
                .as_ref()
                .and_then(|state| {
                    state
                        .conversations
                        .iter()
                        .find(|c| of.with_value(|of| c.id == *of))
                })
                .map_or(0, |c| c.unread)
        })
    });
    let mark_read = move || {
        if unread.get_untracked() > 0 && at_end.get_untracked() && browser::is_visible() {
            messenger.send(Command::MarkRead {
                conversation: of.get_value(),
            });
        }
    };
    Effect::new(move || {
        unread.track();
        at_end.track();
        thread.ready.track();
        mark_read();
    });
    let came_back = window_event_listener_focus(mark_read);
    on_cleanup(move || came_back.remove());

    let scrolled = move |_| {
        let Some(list) = list.get_untracked() else { return };
        at_end.set(below(&list) < NEAR && untrack(|| thread.draws_newest()));
        if at_end.get_untracked() {
            unseen.set(false);
        }
        follow();
    };
    let key = move |ev: KeyboardEvent| {
        // The end of the conversation, not of what is drawn of it.
        if ev.key() == "End" {
            ev.prevent_default();
            to_end();
        }
    };

    let rows = move || {
        let now = Local::here(messenger.now());
        let mut rows = Vec::new();
        let mut last = None;
        for entry in thread.drawn() {
            let day = entry.day();
            if last.replace(day) != Some(day) {
                rows.push(Row::Day {
                    before: entry.id.clone(),
                    words: entry.at().day(t, now),
                });
            }
            rows.push(Row::Entry(entry));
        }
        rows
    };
    let empty = move || thread.ready.get() && thread.is_empty();
    view! {
        <div class="messages-frame">
            <div
                class="messages"
                role="log"
                aria-label=t.messages
                aria-busy=move || (thread.loading.get() || moving.get()).to_string()
                tabindex="0"
                node_ref=list
                on:scroll=scrolled
                on:keydown=key
            >
                {move || (thread.loading.get() && !thread.ready.get()).then(|| view! { <p class="note"><span>{t.loading}</span></p> })}
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

/// How much of the list is below what is seen, in pixels.
fn below(list: &Element) -> i32 {
    list.scroll_height() - list.scroll_top() - list.client_height()
}

/// The page came to the front.
fn window_event_listener_focus(then: impl Fn() + 'static) -> WindowListenerHandle {
    window_event_listener(leptos::ev::focus, move |_| then())
}
