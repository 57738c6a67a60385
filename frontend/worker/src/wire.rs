//! What the workers of one browser say to each other, in JSON over a BroadcastChannel.

use rly_view::{Command, FromWorker, Outcome};
use serde::{Deserialize, Serialize};

/// The channel's name.
pub(crate) const CHANNEL: &str = "rly";

/// Names a worker among the tabs of one browser.
pub(crate) type TabId = String;

/// A message between workers.
#[derive(Serialize, Deserialize)]
pub(crate) enum Wire {
    /// To the leader, from a worker that has just started: say the state.
    Hello,
    /// To the leader: a page's command.
    Ask { tab: TabId, n: u32, command: Command },
    /// From the leader: the answer to one.
    Answer { tab: TabId, n: u32, outcome: Outcome },
    /// From the leader, to all pages.
    Update(FromWorker),
    /// From a new leader: say again what was not answered.
    Leading,
}
