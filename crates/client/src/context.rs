//! What every step needs: the time, randomness, the batch, and who we are.

use crate::{
    io::{CommandId, Output},
    record::SimRecord,
};
use rand_core::CryptoRngCore;
use rly_crypto::Sim;
use rly_protocol::Timestamp;
use rly_view::{Answer, Failure, FailureCode, Outcome};

/// The SIM in use.
pub(crate) struct SimState {
    pub sim: Sim,
    pub record: SimRecord,
}

/// Passed along while an input is handled.
pub(crate) struct Cx<'a> {
    pub now: Timestamp,
    pub rng: &'a mut dyn CryptoRngCore,
    pub out: &'a mut Output,
}

impl Cx<'_> {
    pub fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    pub fn answer(&mut self, from: CommandId, outcome: Result<Answer, FailureCode>) {
        self.answer_with(from, outcome.map_err(Failure::from));
    }

    /// With a failure that says more than its code.
    pub fn answer_with(&mut self, from: CommandId, outcome: Outcome) {
        self.out.answers.push((from, outcome));
    }
}
