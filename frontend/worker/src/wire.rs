//! What the workers of one browser say to each other over a BroadcastChannel.

use core::cmp::Ordering;
use rly_protocol::{Encode, choice, record};
use rly_view::{Command, FromWorker, Outcome};

/// The channel's name.
pub(crate) const CHANNEL: &str = "rly";

/// Names a worker among the tabs of one browser.
pub(crate) type TabId = String;

record! {
    /// A message, with the version of its form: tabs may run different versions of the app. It rises when
    /// anything changes that commands, states or messages hold.
    pub(crate) struct Cast = 2 {
        pub(crate) wire: Wire,
    }
}

/// What a worker says of its version, in a form that stays: the others of [`Cast`] are for those of the
/// same version only.
const VERSION_WORD: &str = "rly version ";

/// The version of [`Cast`].
fn version() -> u8 {
    Cast { wire: Wire::Hello }
        .to_bytes()
        .first()
        .copied()
        .unwrap_or_default()
}

/// "I am of version n."
pub(crate) fn version_said() -> String {
    format!("{VERSION_WORD}{}", version())
}

/// How the version of who said this compares with this one. `None` if it is something else.
pub(crate) fn version_heard(word: &str) -> Option<Ordering> {
    let theirs: u8 = word.strip_prefix(VERSION_WORD)?.parse().ok()?;
    Some(theirs.cmp(&version()))
}

choice! {
    /// A message between workers.
    pub(crate) enum Wire {
        /// To the leader, from a worker that has just started: say the state.
        1 => Hello,
        /// To the leader: a page's command.
        2 => Ask { tab: TabId, n: u32, command: Command },
        /// From the leader: the answer to one.
        3 => Answer { tab: TabId, n: u32, outcome: Outcome },
        /// From the leader, to all pages.
        4 => Update(update: FromWorker),
        /// From a new leader: say again what was not answered.
        5 => Leading,
    }
}
