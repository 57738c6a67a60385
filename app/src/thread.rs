//! The messages of the one conversation that is shown, kept in order, each with a signal of its own
//! so that a new state redraws one line. Of many only a part is drawn, around what is seen: ten
//! thousand lines on a page would make every frame slow.

use crate::time::Local;
use leptos::prelude::*;
use rly_view::MessageView;
use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};

/// How many messages are read at once.
pub const PAGE: usize = 100;
/// How many are drawn at once: more would hold up a frame.
const STEP: usize = 25;
/// How many messages are drawn at most: enough that its other end is far from what is seen when it
/// moves.
const DRAWN: usize = 2 * PAGE;

/// A message on the screen.
#[derive(Clone)]
pub struct Entry {
    /// Of the message.
    pub id: String,
    /// The message as it is now.
    pub message: ArcRwSignal<MessageView>,
    day: Arc<OnceLock<u64>>,
}

impl Entry {
    fn new(message: MessageView) -> Self {
        Self {
            id: message.id.clone(),
            message: ArcRwSignal::new(message),
            day: Arc::default(),
        }
    }

    /// When it was sent, in this browser's zone.
    pub fn at(&self) -> Local {
        self.message.with_untracked(|message| Local::here(message.at))
    }

    /// The number of that day. It is asked for whenever others are drawn around, and the browser only once.
    pub fn day(&self) -> u64 {
        *self.day.get_or_init(|| self.at().day_number())
    }

    fn order(&self) -> u64 {
        self.message.with_untracked(|message| message.order)
    }
}

/// How the list last changed: decides where the reader's eye stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Growth {
    /// It was opened, or its end is to be seen.
    #[default]
    Opened,
    /// Others are drawn around what is seen.
    Around,
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
    entries: RwSignal<Vec<Entry>>,
    /// The places of the first entry that is drawn, and of the one after the last.
    part: RwSignal<(usize, usize)>,
    ids: StoredValue<BTreeSet<String>>,
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
            part: RwSignal::new((0, 0)),
            ids: StoredValue::new(BTreeSet::new()),
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
        self.part.set((0, 0));
        self.ids.set_value(BTreeSet::new());
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

    /// The messages that are drawn.
    pub fn drawn(self) -> Vec<Entry> {
        let (from, to) = self.part.get();
        self.entries.with(|entries| {
            entries
                .get(from..to.min(entries.len()))
                .unwrap_or_default()
                .to_vec()
        })
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.entries.with(Vec::is_empty)
    }

    /// Whether the newest message is among those that are drawn.
    pub fn draws_newest(self) -> bool {
        let (_, to) = self.part.get();
        to >= self.entries.with(Vec::len)
    }

    /// The order of the oldest message here.
    pub fn oldest(self) -> Option<u64> {
        self.entries
            .with_untracked(|entries| entries.first().map(Entry::order))
    }

    /// Draws older messages than now; whether there were some here.
    pub fn draw_older(self) -> bool {
        let (from, to) = self.part.get_untracked();
        if from == 0 {
            return false;
        }
        let from = from.saturating_sub(STEP);
        self.draw(from, to.min(from + DRAWN), Growth::Around);
        true
    }

    /// Draws newer messages than now; whether there were some here.
    pub fn draw_newer(self) -> bool {
        let (from, to) = self.part.get_untracked();
        let all = self.entries.with_untracked(Vec::len);
        if to >= all {
            return false;
        }
        let to = all.min(to + STEP);
        self.draw(from.max(to.saturating_sub(DRAWN)), to, Growth::Around);
        true
    }

    /// After the newest messages: draws older ones until as many are drawn as are read at once; whether
    /// there were some.
    pub fn fill(self) -> bool {
        let (from, to) = self.part.get_untracked();
        to - from < PAGE && self.draw_older()
    }

    /// Draws the newest messages, and not too many; whether that changes what is drawn.
    pub fn draw_newest(self) -> bool {
        let all = self.entries.with_untracked(Vec::len);
        let (from, to) = self.part.get_untracked();
        let start = if to < all {
            all.saturating_sub(STEP)
        } else if to - from > DRAWN + PAGE {
            all - DRAWN
        } else {
            return false;
        };
        self.draw(start, all, Growth::Opened);
        true
    }

    /// A page of messages was read; whether others are drawn around those that were.
    pub fn loaded(self, conversation: &str, messages: Vec<MessageView>, more: bool) -> bool {
        if !self.shows(conversation) {
            return false;
        }
        let first = !self.ready.get_untracked();
        self.more.set(more);
        let added = self.merge(messages);
        self.loading.set(false);
        self.ready.set(true);
        if first {
            if !self.draw_newest() {
                self.growth.set(Growth::Opened);
            }
            return false;
        }
        // Before all others: they are drawn, and as many of those that were as there is room for.
        let (from, to) = self.part.get_untracked();
        self.part.set((from + added, to + added));
        self.draw_older()
    }

    /// The newest messages were read again, as some of the news may have been missed.
    pub fn caught_up(self, conversation: &str, messages: Vec<MessageView>, more: bool) {
        let known = |message: &MessageView| self.ids.with_value(|ids| ids.contains(&message.id));
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
        let known = |id: &str| self.ids.with_value(|ids| ids.contains(id));
        let fresh: Vec<bool> = messages.iter().filter(|m| !known(&m.id)).map(|m| m.own).collect();
        let (from, to) = self.part.get_untracked();
        let at_end = to >= self.entries.with_untracked(Vec::len);
        self.merge(messages);
        if at_end {
            // Those before stay, as somebody may be reading them.
            self.part.set((from, self.entries.with_untracked(Vec::len)));
        }
        if self.ready.get_untracked() {
            self.growth.set(match fresh.as_slice() {
                [] => Growth::Changed,
                fresh => Growth::Newer {
                    own: fresh.contains(&true),
                },
            });
        }
    }

    fn draw(self, from: usize, to: usize, growth: Growth) {
        self.part.set((from, to));
        self.growth.set(growth);
    }

    /// Takes messages in; how many of them are new.
    fn merge(self, messages: Vec<MessageView>) -> usize {
        let mut fresh: Vec<Entry> = Vec::new();
        let mut moved = false;
        for message in messages {
            let is_new = self
                .ids
                .try_update_value(|ids| ids.insert(message.id.clone()))
                .unwrap_or_default();
            if is_new {
                fresh.push(Entry::new(message));
                continue;
            }
            // What changes is mostly among the newest; and it may come twice in one batch.
            let known = self.entries.with_untracked(|entries| {
                let mut newest_first = fresh.iter().chain(entries).rev();
                newest_first.find(|entry| entry.id == message.id).cloned()
            });
            if let Some(entry) = known {
                moved |= entry.order() != message.order;
                entry.message.set(message);
            }
        }
        let added = fresh.len();
        if moved || added > 0 {
            self.entries.update(|entries| {
                fresh.sort_by_key(Entry::order);
                let before = entries.first().map(Entry::order);
                let older = !moved
                    && fresh
                        .last()
                        .zip(before)
                        .is_some_and(|(last, first)| last.order() < first);
                if older {
                    drop(entries.splice(0..0, fresh));
                } else {
                    entries.append(&mut fresh);
                    entries.sort_by_key(Entry::order);
                }
            });
        }
        added
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
                ("abcd", Growth::Around)
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
    fn of_many_messages_a_part_is_drawn_that_follows_the_reader() {
        Owner::new().with(|| {
            let thread = Thread::new();
            let read = |orders: core::ops::Range<u64>| {
                orders
                    .map(|n| message(&n.to_string(), n, MessageState::Sent))
                    .collect::<Vec<_>>()
            };
            let drawn = || {
                let drawn = thread.drawn();
                (drawn[0].order(), drawn[drawn.len() - 1].order())
            };
            thread.show(Some("c".into()));
            thread.loaded("c", read(1_100..1_200), true);
            assert_eq!(drawn(), (1_175, 1_199));
            while thread.fill() {}
            assert_eq!((drawn(), thread.draws_newest()), ((1_100, 1_199), true));
            assert!(!thread.draw_older() && !thread.draw_newer() && !thread.draw_newest());
            // What was read is drawn step by step.
            thread.loaded("c", read(1_000..1_100), true);
            assert_eq!(drawn(), (1_075, 1_199));
            while thread.draw_older() {}
            assert_eq!((drawn(), thread.draws_newest()), ((1_000, 1_199), true));
            // The newest ones make room.
            thread.loaded("c", read(900..1_000), false);
            assert_eq!((drawn(), thread.draws_newest()), ((975, 1_174), false));
            // What comes meanwhile is not drawn.
            thread.news("c", read(1_200..1_201));
            assert_eq!(drawn(), (975, 1_174));
            assert!(thread.draw_newer());
            assert_eq!(drawn(), (1_000, 1_199));
            assert!(thread.draw_newer());
            assert_eq!((drawn(), thread.draws_newest()), ((1_001, 1_200), true));
            assert!(!thread.draw_newer() && !thread.fill());
            assert!(thread.draw_older());
            assert_eq!(drawn(), (976, 1_175));
            assert!(thread.draw_newest());
            assert_eq!(
                (drawn(), thread.growth.get_untracked()),
                ((1_176, 1_200), Growth::Opened)
            );
            assert!(!thread.draw_newest());
            // At the end what comes is drawn too; when it gets too much, the oldest ones go.
            thread.news("c", read(1_201..1_450));
            assert_eq!(drawn(), (1_176, 1_449));
            assert!(!thread.draw_newest());
            thread.news("c", read(1_450..1_500));
            assert!(thread.draw_newest());
            assert_eq!((drawn(), thread.drawn().len()), ((1_300, 1_499), DRAWN));
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
