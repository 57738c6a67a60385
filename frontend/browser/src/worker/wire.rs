//! What the workers of one browser say to each other over a BroadcastChannel.

use crate::talk::Talk;
use core::cmp::Ordering;
use rly_protocol::{Decode, DecodeError, Encode, Reader, Writer};

/// Names a worker among the tabs of one browser.
pub(super) type TabId = String;

/// A message, with the version of its form: tabs may run different versions of the app.
pub(super) struct Cast<T: Talk> {
    pub(super) wire: Wire<T>,
}

/// What a worker says of its version, in a form that stays: the others of [`Cast`] are for those of the
/// same version only.
const VERSION_WORD: &str = "rly version ";

/// "I am of version n."
pub(super) fn version_said(version: u8) -> String {
    format!("{VERSION_WORD}{version}")
}

/// How the version of who said this compares with this one. `None` if it is something else.
pub(super) fn version_heard(word: &str, version: u8) -> Option<Ordering> {
    let theirs: u8 = word.strip_prefix(VERSION_WORD)?.parse().ok()?;
    Some(theirs.cmp(&version))
}

/// A message between workers.
pub(super) enum Wire<T: Talk> {
    /// To the leader, from a worker that has just started: say the state.
    Hello,
    /// To the leader: a page's command.
    Ask { tab: TabId, n: u32, command: T::Command },
    /// From the leader: the answer to one.
    Answer { tab: TabId, n: u32, outcome: T::Outcome },
    /// From the leader, to all pages.
    Update(T::News),
    /// From a new leader: say again what was not answered.
    Leading,
}

impl<T: Talk> Encode for Cast<T> {
    fn encode(&self, to: &mut Writer) {
        to.put(&T::VERSION);
        match &self.wire {
            Wire::Hello => to.put::<u8>(&1),
            Wire::Ask { tab, n, command } => {
                to.put::<u8>(&2);
                to.put(tab);
                to.put(n);
                to.put(command);
            }
            Wire::Answer { tab, n, outcome } => {
                to.put::<u8>(&3);
                to.put(tab);
                to.put(n);
                to.put(outcome);
            }
            Wire::Update(news) => {
                to.put::<u8>(&4);
                to.put(news);
            }
            Wire::Leading => to.put::<u8>(&5),
        }
    }
}

impl<T: Talk> Decode for Cast<T> {
    fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        match from.take::<u8>()? {
            version if version == T::VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let wire = match from.take::<u8>()? {
            1 => Wire::Hello,
            2 => Wire::Ask {
                tab: from.take()?,
                n: from.take()?,
                command: from.take()?,
            },
            3 => Wire::Answer {
                tab: from.take()?,
                n: from.take()?,
                outcome: from.take()?,
            },
            4 => Wire::Update(from.take()?),
            5 => Wire::Leading,
            _ => return Err(DecodeError::Invalid),
        };
        Ok(Self { wire })
    }
}
