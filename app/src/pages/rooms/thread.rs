//! What is said in a room, in order, each message with a signal of its own so that a new state redraws
//! one line.

use leptos::prelude::*;
use rly_view::RoomMessageView;

/// A message on the screen.
#[derive(Clone)]
pub struct Entry {
    /// Of the message.
    pub id: String,
    /// The message as it is now.
    pub message: ArcRwSignal<RoomMessageView>,
}

impl Entry {
    fn new(message: RoomMessageView) -> Self {
        Self {
            id: message.id.clone(),
            message: ArcRwSignal::new(message),
        }
    }

    fn order(&self) -> u64 {
        self.message.with_untracked(|message| message.order)
    }
}

/// All that is shown of a room.
#[derive(Clone, Copy)]
pub struct RoomThread {
    /// By rising order.
    pub entries: RwSignal<Vec<Entry>>,
    /// How often something came that was not there; whether one's own was among it the last time.
    pub grown: RwSignal<(u32, bool)>,
    /// It was read.
    pub ready: RwSignal<bool>,
}

impl RoomThread {
    /// Nothing.
    pub fn new() -> Self {
        Self {
            entries: RwSignal::new(Vec::new()),
            grown: RwSignal::new((0, false)),
            ready: RwSignal::new(false),
        }
    }

    /// Shows these and no others.
    pub fn reset(self, messages: Vec<RoomMessageView>) {
        let gone: Vec<String> = self.entries.with_untracked(|entries| {
            let kept = |id: &str| messages.iter().any(|message| message.id == id);
            (entries.iter().map(|entry| entry.id.clone()))
                .filter(|id| !kept(id))
                .collect()
        });
        self.remove(&gone);
        self.merge(messages);
        self.ready.set(true);
    }

    /// New or changed ones.
    pub fn merge(self, messages: Vec<RoomMessageView>) {
        let mut own = false;
        let mut moved = false;
        let mut new = Vec::new();
        self.entries.with_untracked(|entries| {
            for message in messages {
                // The newest are the likeliest to change.
                match entries.iter().rev().find(|entry| entry.id == message.id) {
                    Some(entry) => {
                        moved |= entry.order() != message.order;
                        if entry.message.with_untracked(|known| *known != message) {
                            entry.message.set(message);
                        }
                    }
                    None => {
                        own |= message.own;
                        new.push(Entry::new(message));
                    }
                }
            }
        });
        let grown = !new.is_empty();
        if grown || moved {
            self.entries.update(|entries| {
                entries.extend(new);
                entries.sort_by_key(Entry::order);
                // Twice among the new ones.
                entries.dedup_by(|a, b| a.id == b.id);
            });
        }
        if grown {
            self.grown.update(|(times, by_us)| {
                *times += 1;
                *by_us = own;
            });
        }
    }

    /// These are not there any more.
    pub fn remove(self, ids: &[String]) {
        if !ids.is_empty() {
            self.entries
                .update(|entries| entries.retain(|entry| !ids.contains(&entry.id)));
        }
    }

    /// Nothing is.
    pub fn clear(self) {
        self.entries.set(Vec::new());
        self.ready.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rly_protocol::Timestamp;
    use rly_view::{MessageState, RoomContentView};

    fn message(id: &str, order: u64, state: MessageState) -> RoomMessageView {
        RoomMessageView {
            id: id.into(),
            order,
            from: 1,
            name: "Ada".into(),
            name_number: 1,
            own: true,
            at: Timestamp(0),
            content: RoomContentView::Text { text: id.into() },
            state: Some(state),
        }
    }

    fn shown(thread: RoomThread) -> Vec<(String, MessageState)> {
        thread.entries.with_untracked(|entries| {
            let state = |entry: &Entry| entry.message.with_untracked(|message| message.state).unwrap();
            entries
                .iter()
                .map(|entry| (entry.id.clone(), state(entry)))
                .collect()
        })
    }

    #[test]
    fn what_waits_gets_its_place_and_stays_one_line() {
        Owner::new().with(|| {
            use MessageState::{Sending, Sent};
            let thread = RoomThread::new();
            thread.reset(vec![message("a", 2, Sent)]);
            thread.merge(vec![message("c", 1 << 52, Sending)]);
            thread.merge(vec![message("b", 4, Sent)]);
            assert_eq!(thread.grown.get_untracked(), (3, true));
            thread.merge(vec![message("c", 6, Sent), message("d", 8, Sent)]);
            let ids = |of: &[&str]| of.iter().map(|id| ((*id).to_owned(), Sent)).collect::<Vec<_>>();
            assert_eq!(shown(thread), ids(&["a", "b", "c", "d"]));
            thread.remove(&["b".into()]);
            thread.reset(vec![message("a", 2, Sent), message("e", 3, Sent)]);
            assert_eq!(shown(thread), ids(&["a", "e"]));
            thread.clear();
            assert!(shown(thread).is_empty());
        });
    }
}
