//! Targets as normal tests.

use crate::{Random, Target, corpus::corpus, corpus::hex, mutate::mutated};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Gives every target its seeds, its corpus and mutations of them. `RLY_FUZZ_SEED` (a number) chooses
/// other mutations, `RLY_FUZZ_TIMES` more of them.
///
/// # Panics
/// When a target does; the input is printed before.
pub fn replay(targets: &[Target]) {
    let number = |name: &str, usual: u64| -> u64 {
        std::env::var(name).map_or(usual, |text| text.parse().unwrap_or(usual))
    };
    let (seed, times) = (number("RLY_FUZZ_SEED", 1), number("RLY_FUZZ_TIMES", 1));
    for target in targets {
        let mut inputs = (target.seeds)();
        inputs.extend(corpus(target.name));
        inputs.push(Vec::new());
        for input in &inputs {
            run(target, input);
        }
        let mut random = Random::new(seed);
        for _ in 0..u64::from(target.rounds) * times {
            let input = &inputs[random.below(inputs.len())];
            let other = &inputs[random.below(inputs.len())];
            run(target, &mutated(input, other, target.words, &mut random));
        }
    }
}

fn run(target: &Target, input: &[u8]) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.run)(input))) else {
        return;
    };
    println!(
        "{} fails with this input; as a line in fuzz/corpus/{0}.txt it stays a test:\n{}",
        target.name,
        hex(input)
    );
    resume_unwind(panic)
}

/// A genuine value with changes that an input describes: three bytes each, place and what to flip
/// there. For what is signed or sealed, where free invention never gets past the first check.
pub fn edited(genuine: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut bytes = genuine.to_vec();
    for edit in edits.chunks_exact(3) {
        let place = usize::from(u16::from_be_bytes([edit[0], edit[1]])) % bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(place) {
            *byte ^= edit[2];
        }
    }
    bytes
}
