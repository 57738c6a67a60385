//! What the workers of one browser say to each other over a BroadcastChannel.

use rly_protocol::{choice, record};
use rly_view::{Command, FromWorker, Outcome};

/// The channel's name.
pub(crate) const CHANNEL: &str = "rly";

/// Names a worker among the tabs of one browser.
pub(crate) type TabId = String;

record! {
    /// A message, with the version of its form: tabs may run different versions of the app. It rises when
    /// anything changes that commands, states or messages hold.
    pub(crate) struct Cast = 1 {
        pub(crate) wire: Wire,
    }
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
