//! All that could be seen from outside in a run, as one hash: what pages are told, what is asked of
//! storage and network. HPKE draws its keys from the system, so bytes of ciphertext differ from run
//! to run, but nothing else may.

use rly_client::{Effect, Output, table};
use sha2::{Digest, Sha256};

/// Bytes of a frame that hold no ciphertext: of Send the request, address and id.
const HEAD: usize = 38;

#[derive(Clone, Default)]
pub struct Trace(Sha256);

impl Trace {
    pub fn output(&mut self, device: usize, output: &Output) {
        let mut words = format!("{device} {:?}", output.updates.len());
        for update in &output.updates {
            match update {
                rly_view::FromWorker::State(state) => words += &format!("{state:?}"),
                rly_view::FromWorker::Messages { messages, .. } => words += &format!("{messages:?}"),
                rly_view::FromWorker::Answer { .. } => {}
            }
        }
        for (from, outcome) in &output.answers {
            words += &format!("{from} {:?}", outcome.as_ref().err());
        }
        for (key, value) in &output.changes.rows {
            // OpenMLS stores numbers as text: how long it is hangs on the bytes of a secret.
            let size = value.as_ref().filter(|_| key[0] != table::MLS).map(Vec::len);
            words += &format!("{} {} {size:?}", key[0], value.is_some());
        }
        self.0.update(&words);
        for effect in &output.effects {
            match effect {
                Effect::SendFrame(frame) => {
                    self.0.update((frame.len() as u64).to_be_bytes());
                    self.0.update(&frame[..frame.len().min(HEAD)]);
                }
                Effect::SetTimer(at) => self.0.update(at.0.to_be_bytes()),
                Effect::OpenSocket => self.0.update(b"open"),
                Effect::CloseSocket => self.0.update(b"close"),
                Effect::Http { id, .. } | Effect::ReadMessages { id, .. } => self.0.update(id.to_be_bytes()),
            }
        }
    }

    pub fn hash(&self) -> String {
        let hash = self.0.clone().finalize();
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
