//! The messages of the one conversation that is shown, kept in order, each with a signal of its own
//! so that a new state redraws one line.

use leptos::prelude::*;
use rly_view::MessageView;

/// A message on the screen.
#[derive(Clone)]
pub struct Entry {
    /// Of the message.
    pub id: String,
    /// The message as it is now.
    pub message: ArcRwSignal<MessageView>,
}

/// How the list last grew: decides where the reader's eye stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Growth {
    /// It was opened.
    #[default]
    Opened,
    /// Older messages came before.
    Older,
    /// New ones came after; whether one's own is among them.
    Newer { own: bool },
    /// Only states changed.
    Changed,
}

/// The messages of the conversation that is shown.
#[derive(Clone, Copy)]
pub struct Thread {
    /// Which one it is.
    pub conversation: RwSignal<Option<String>>,
    /// By rising order.
    pub entries: RwSignal<Vec<Entry>>,
    /// There are older ones that are not here.
    pub more: RwSignal<bool>,
    /// The newest ones were read.
    pub ready: RwSignal<bool>,
    /// The newest or older ones are being read.
    pub loading: RwSignal<bool>,
    /// How often some of the news may have been missed.
    pub catch_up: RwSignal<u32>,
    /// What last happened.
    pub growth: RwSignal<Growth>,
}

impl Thread {
    /// Nothing shown.
    pub fn new() -> Self {
        Self {
            conversation: RwSignal::new(None),
            entries: RwSignal::new(Vec::new()),
            more: RwSignal::new(false),
            ready: RwSignal::new(false),
            loading: RwSignal::new(false),
            catch_up: RwSignal::new(0),
            growth: RwSignal::new(Growth::Opened),
        }
    }

    /// Shows another conversation, empty until its messages are read.
    pub fn show(self, conversation: Option<String>) {
        self.entries.set(Vec::new());
        self.more.set(false);
        self.ready.set(false);
        self.loading.set(conversation.is_some());
        self.growth.set(Growth::Opened);
        self.conversation.set(conversation);
    }

    /// Whether this conversation is the one shown.
    pub fn shows(self, conversation: &str) -> bool {
        self.conversation
            .with_untracked(|shown| shown.as_deref() == Some(conversation))
    }

    /// The order of the oldest message here.
    pub fn oldest(self) -> Option<u64> {
        self.entries.with_untracked(|entries| {
            entries
                .first()
                .map(|entry| entry.message.with_untracked(|m| m.order))
        })
    }

    /// A page of messages was read.
    pub fn loaded(self, conversation: &str, messages: Vec<MessageView>, more: bool) {
        if !self.shows(conversation) {
            return;
        }
        let first = !self.ready.get_untracked();
        self.more.set(more);
        self.merge(messages);
        self.loading.set(false);
        self.ready.set(true);
        self.growth
            .set(if first { Growth::Opened } else { Growth::Older });
    }

    /// The newest messages were read again, as some of the news may have been missed.
    pub fn caught_up(self, conversation: &str, messages: Vec<MessageView>, more: bool) {
        let known = |message: &MessageView| {
            self.entries
                .with_untracked(|entries| entries.iter().any(|entry| entry.id == message.id))
        };
        if !self.shows(conversation) {
            return;
        }
        if more && !messages.iter().any(known) {
            // There may be others between those that are here and these.
            self.show(Some(conversation.to_owned()));
            self.loaded(conversation, messages, more);
        } else {
            self.news(conversation, messages);
        }
    }

    /// Messages are new or changed.
    pub fn news(self, conversation: &str, messages: Vec<MessageView>) {
        if !self.shows(conversation) {
            return;
        }
        let known = |id: &str| {
            self.entries
                .with_untracked(|entries| entries.iter().any(|entry| entry.id == id))
        };
        let fresh: Vec<bool> = messages.iter().filter(|m| !known(&m.id)).map(|m| m.own).collect();
        self.merge(messages);
        if self.ready.get_untracked() {
            self.growth.set(match fresh.as_slice() {
                [] => Growth::Changed,
                fresh => Growth::Newer {
                    own: fresh.contains(&true),
                },
            });
        }
    }

    fn merge(self, messages: Vec<MessageView>) {
        let mut fresh = Vec::new();
        let mut moved = false;
        self.entries.with_untracked(|entries| {
            for message in messages {
                match entries.iter().rev().find(|entry| entry.id == message.id) {
                    Some(entry) => {
                        moved |= entry.message.with_untracked(|old| old.order) != message.order;
                        entry.message.set(message);
                    }
                    None => fresh.push(Entry {
                        id: message.id.clone(),
                        message: ArcRwSignal::new(message),
                    }),
                }
            }
        });
        if moved || !fresh.is_empty() {
            self.entries.update(|entries| {
                for entry in fresh {
                    // The same message twice in one batch: the later one is the newer.
                    match entries.iter().find(|known| known.id == entry.id) {
                        Some(known) => known.message.set(entry.message.get_untracked()),
                        None => entries.push(entry),
                    }
                }
                entries.sort_by_key(|entry| entry.message.with_untracked(|message| message.order));
            });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rly_protocol::Timestamp;
    use rly_view::{Content, MessageState};

    fn message(id: &str, order: u64, state: MessageState) -> MessageView {
        MessageView {
            id: id.into(),
            order,
            own: true,
            at: Timestamp(0),
            content: Content::Text(id.into()),
            state: Some(state),
        }
    }

    fn ids(thread: Thread) -> String {
        thread
            .entries
            .with_untracked(|entries| entries.iter().map(|entry| entry.id.as_str()).collect())
    }

    #[test]
    fn messages_are_merged_by_id_and_shown_by_order() {
        Owner::new().with(|| {
            let thread = Thread::new();
            thread.show(Some("c".into()));
            // News may come before what was there is read.
            thread.news("c", vec![message("d", 4, MessageState::Sending)]);
            thread.loaded(
                "c",
                vec![
                    message("b", 2, MessageState::Sent),
                    message("c", 3, MessageState::Sent),
                    message("d", 4, MessageState::Sent),
                ],
                true,
            );
            assert_eq!(
                (ids(thread).as_str(), thread.growth.get_untracked()),
                ("bcd", Growth::Opened)
            );
            assert_eq!(thread.oldest(), Some(2));
            thread.loaded("c", vec![message("a", 1, MessageState::Failed)], false);
            assert_eq!(
                (ids(thread).as_str(), thread.growth.get_untracked()),
                ("abcd", Growth::Older)
            );
            thread.news("c", vec![message("d", 4, MessageState::Delivered)]);
            assert_eq!(thread.growth.get_untracked(), Growth::Changed);
            let last = thread
                .entries
                .with_untracked(|entries| entries.last().unwrap().message.get_untracked());
            assert_eq!(last.state, Some(MessageState::Delivered));
            thread.news(
                "c",
                vec![
                    message("e", 5, MessageState::Sending),
                    message("e", 5, MessageState::Sent),
                ],
            );
            assert_eq!(ids(thread), "abcde");
            assert_eq!(thread.growth.get_untracked(), Growth::Newer { own: true });
        });
    }

    #[test]
    fn what_was_missed_is_caught_up_on() {
        Owner::new().with(|| {
            let thread = Thread::new();
            let sent = |id| message(id, u64::from(id.as_bytes()[0]), MessageState::Sent);
            thread.show(Some("c".into()));
            thread.loaded("c", vec![sent("a"), sent("b")], false);
            thread.caught_up("c", vec![sent("b"), sent("c")], true);
            assert_eq!(
                (ids(thread).as_str(), thread.growth.get_untracked()),
                ("abc", Growth::Newer { own: true })
            );
            thread.caught_up("c", vec![sent("b"), sent("c")], true);
            assert_eq!(thread.growth.get_untracked(), Growth::Changed);
            assert!(!thread.more.get_untracked());
            // So many were missed that some are not among those that were read.
            thread.caught_up("c", vec![sent("x"), sent("y")], true);
            assert_eq!(
                (ids(thread).as_str(), thread.growth.get_untracked()),
                ("xy", Growth::Opened)
            );
            assert!(thread.more.get_untracked());
            thread.caught_up("elsewhere", vec![sent("z")], false);
            assert_eq!(ids(thread), "xy");
        });
    }

    #[test]
    fn what_belongs_elsewhere_is_not_shown() {
        Owner::new().with(|| {
            let thread = Thread::new();
            thread.news("c", vec![message("a", 1, MessageState::Sent)]);
            thread.show(Some("d".into()));
            thread.loaded("c", vec![message("a", 1, MessageState::Sent)], false);
            assert_eq!(ids(thread), "");
            assert!(thread.loading.get_untracked());
        });
    }
}
