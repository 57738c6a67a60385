//! All that could be seen from outside in a run, as one hash: what pages are told, what is asked of
//! storage and network, to the byte.

use rly_client::{Effect, Output, table};
use rly_view::FromWorker;
use sha2::{Digest, Sha256};

#[derive(Clone, Default)]
pub struct Trace(Sha256);

impl Trace {
    pub fn output(&mut self, device: usize, output: &Output) {
        self.note(&device.to_string());
        for update in &output.updates {
            match update {
                FromWorker::State(state) => self.note(&format!("{state:?}")),
                FromWorker::Messages { messages, .. } => self.note(&format!("{messages:?}")),
                FromWorker::Answer { .. } | FromWorker::CatchUp => {}
            }
        }
        for (from, outcome) in &output.answers {
            self.note(&format!("{from} {:?}", outcome.as_ref().err()));
        }
        for (key, value) in &output.changes.rows {
            // OpenMLS keeps the system's time with its secrets: nothing but that differs.
            let value = (key[0] != table::MLS).then_some(value);
            self.note(&format!("{key:?} {value:?}"));
        }
        for effect in &output.effects {
            match effect {
                Effect::SendFrame(frame) => self.note(&format!("{frame:?}")),
                Effect::SetTimer(at) => self.note(&format!("{at:?}")),
                Effect::OpenSocket => self.note("open"),
                Effect::CloseSocket => self.note("close"),
                Effect::Http { id, .. } | Effect::ReadMessages { id, .. } => self.note(&id.to_string()),
            }
        }
    }

    fn note(&mut self, words: &str) {
        self.0.update(words);
        self.0.update("\n");
    }

    pub fn hash(&self) -> String {
        let hash = self.0.clone().finalize();
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
