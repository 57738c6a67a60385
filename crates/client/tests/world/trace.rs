//! All that could be seen from outside in a run, as one hash: what pages are told, what is asked of
//! storage and network, to the byte.

use rly_client::{Effect, Output, table};
use rly_protocol::Encode;
use rly_view::FromWorker;
use sha2::{Digest, Sha256};

/// Each kind of thing that is seen has its byte, so that one is never taken for another.
mod kind {
    pub const OUTPUT: u8 = 0;
    pub const UPDATE: u8 = 1;
    pub const ANSWER: u8 = 2;
    pub const ROW: u8 = 3;
    pub const NO_ROW: u8 = 4;
    pub const FRAME: u8 = 5;
    pub const TIMER: u8 = 6;
    pub const OPEN: u8 = 7;
    pub const CLOSE: u8 = 8;
    pub const ASKED: u8 = 9;
}

#[derive(Clone, Default)]
pub struct Trace(Sha256);

impl Trace {
    pub fn output(&mut self, device: usize, output: &Output) {
        self.number(kind::OUTPUT, device as u64);
        for update in &output.updates {
            match update {
                FromWorker::State(_) | FromWorker::Messages { .. } => {
                    self.note(kind::UPDATE, &update.to_bytes());
                }
                FromWorker::Answer { .. } | FromWorker::CatchUp => {}
            }
        }
        for (from, outcome) in &output.answers {
            let failure = outcome.as_ref().err().map(|failure| format!("{failure:?}"));
            self.number(kind::ANSWER, *from);
            self.note(kind::ANSWER, failure.unwrap_or_default().as_bytes());
        }
        for (key, value) in &output.changes.rows {
            self.note(kind::ROW, key);
            // OpenMLS keeps the system's time with its secrets: nothing but that differs.
            if key[0] != table::MLS {
                match value {
                    Some(value) => self.note(kind::ROW, value),
                    None => self.note(kind::NO_ROW, &[]),
                }
            }
        }
        for effect in &output.effects {
            match effect {
                Effect::SendFrame(frame) => self.note(kind::FRAME, frame),
                Effect::SetTimer(at) => self.number(kind::TIMER, at.0),
                Effect::OpenSocket => self.note(kind::OPEN, &[]),
                Effect::CloseSocket => self.note(kind::CLOSE, &[]),
                Effect::Http { id, .. } | Effect::ReadMessages { id, .. } => self.number(kind::ASKED, *id),
            }
        }
    }

    fn number(&mut self, kind: u8, number: u64) {
        self.note(kind, &number.to_be_bytes());
    }

    fn note(&mut self, kind: u8, bytes: &[u8]) {
        self.0.update([kind]);
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    pub fn hash(&self) -> String {
        let hash = self.0.clone().finalize();
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
