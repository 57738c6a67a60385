//! A queue with many readers: what is in it is stored once, and each reader has a place up to which it
//! was given everything. Rooms are such queues, and channels of groups will be. Pure: no I/O, no clock.
//!
//! A reader that keeps up is live: it is given what is new as it is read from the store, once for all.
//! One that falls behind, or is new, is given pages by a task of its own until it is live again.

use std::collections::BTreeMap;

struct Reader<S> {
    sink: S,
    /// Everything up to here was given.
    cursor: u64,
    live: bool,
}

/// Who reads a queue, and how far.
pub(crate) struct Readers<S> {
    /// The newest place that live readers were given.
    head: u64,
    readers: BTreeMap<u64, Reader<S>>,
}

/// What a reader that is behind needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// What comes after this place.
    Page { after: u64 },
    /// Nothing: it is live.
    Live,
    /// Nothing: it reads no more.
    Gone,
}

impl<S> Readers<S> {
    /// A queue of which everything up to `head` is old.
    pub fn new(head: u64) -> Self {
        Self {
            head,
            readers: BTreeMap::new(),
        }
    }

    /// The newest place that live readers were given.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Nobody reads.
    pub fn is_empty(&self) -> bool {
        self.readers.is_empty()
    }

    /// A reader that has everything up to `cursor`. True: it is behind.
    pub fn read(&mut self, number: u64, sink: S, cursor: u64) -> bool {
        let live = cursor >= self.head;
        self.readers.insert(number, Reader { sink, cursor, live });
        !live
    }

    /// A reader reads no more.
    pub fn leave(&mut self, number: u64) -> Option<S> {
        self.readers.remove(&number).map(|reader| reader.sink)
    }

    /// Gives what is at the next place to everybody who is live and does not have it. Those that cannot
    /// take it, as `give` says, are behind from now on: their numbers are returned.
    pub fn give(&mut self, place: u64, mut give: impl FnMut(&S) -> bool) -> Vec<u64> {
        self.head = self.head.max(place);
        let mut behind = Vec::new();
        for (number, reader) in &mut self.readers {
            if !reader.live || reader.cursor >= place {
                continue;
            }
            if give(&reader.sink) {
                reader.cursor = place;
            } else {
                reader.live = false;
                behind.push(*number);
            }
        }
        behind
    }

    /// What a reader needs. One that has everything is live from this moment on.
    pub fn behind(&mut self, number: u64) -> Behind {
        let Some(reader) = self.readers.get_mut(&number) else {
            return Behind::Gone;
        };
        if reader.cursor >= self.head {
            reader.live = true;
            return Behind::Live;
        }
        Behind::Page { after: reader.cursor }
    }

    /// Gives a reader that is behind what is at a place. False: it cannot take it now, or is gone.
    pub fn give_one(&mut self, number: u64, place: u64, give: impl FnOnce(&S) -> bool) -> bool {
        match self.readers.get_mut(&number) {
            Some(reader) if place <= reader.cursor => true,
            Some(reader) if give(&reader.sink) => {
                reader.cursor = place;
                true
            }
            _ => false,
        }
    }

    /// Nothing more is at or below this place than a reader that is behind was given.
    pub fn skip(&mut self, number: u64, place: u64) {
        if let Some(reader) = self.readers.get_mut(&number) {
            reader.cursor = reader.cursor.max(place);
        }
    }

    /// A reader's sink.
    pub fn sink(&self, number: u64) -> Option<&S> {
        self.readers.get(&number).map(|reader| &reader.sink)
    }

    /// Everybody, who read no more.
    pub fn take_all(&mut self) -> Vec<S> {
        let readers = std::mem::take(&mut self.readers);
        readers.into_values().map(|reader| reader.sink).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    type Got = RefCell<Vec<u64>>;

    fn readers() -> Readers<Got> {
        Readers::new(5)
    }

    fn push(place: u64) -> impl FnMut(&Got) -> bool {
        move |got| {
            got.borrow_mut().push(place);
            true
        }
    }

    #[test]
    fn who_is_live_is_given_everything_once() {
        let mut readers = readers();
        assert!(!readers.read(1, Got::default(), 5));
        // Knows more than live readers were given: it was let in meanwhile.
        assert!(!readers.read(2, Got::default(), 7));
        for place in 6..=8 {
            assert!(readers.give(place, push(place)).is_empty());
        }
        assert_eq!(readers.head(), 8);
        assert_eq!(readers.leave(1).map(RefCell::into_inner), Some(vec![6, 7, 8]));
        assert_eq!(readers.leave(2).map(RefCell::into_inner), Some(vec![8]));
        assert!(readers.is_empty() && readers.leave(2).is_none());
    }

    #[test]
    fn who_falls_behind_catches_up_and_is_live_again() {
        let mut readers = readers();
        assert!(!readers.read(1, Got::default(), 5));
        assert_eq!(readers.give(6, |_| false), [1]);
        assert!(readers.give(7, push(7)).is_empty(), "no gap is made");
        assert_eq!(readers.behind(1), Behind::Page { after: 5 });
        assert!(readers.give_one(1, 6, |got| push(6)(got)));
        assert!(!readers.give_one(1, 7, |_| false));
        assert_eq!(readers.behind(1), Behind::Page { after: 6 });
        assert!(readers.give_one(1, 7, |got| push(7)(got)));
        assert!(readers.give_one(1, 7, |_| false), "it has that");
        assert_eq!(readers.behind(1), Behind::Live);
        readers.give(8, push(8));
        assert_eq!(readers.leave(1).map(RefCell::into_inner), Some(vec![6, 7, 8]));
        assert_eq!(readers.behind(1), Behind::Gone);
    }

    #[test]
    fn what_was_deleted_is_passed_over() {
        let mut readers = readers();
        assert!(readers.read(1, Got::default(), 2));
        assert_eq!(readers.behind(1), Behind::Page { after: 2 });
        readers.skip(1, 5);
        assert_eq!(readers.behind(1), Behind::Live);
        assert_eq!(readers.take_all().len(), 1);
        assert!(readers.is_empty());
    }
}
