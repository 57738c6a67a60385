//! What fuzz targets share.
//!
//! A target lives in the crate whose decoder it drives, in a module `fuzz` that is built for tests
//! and under `--cfg rly_fuzz`. There it is run in two ways: `cargo test` gives it its seeds, its
//! corpus (`fuzz/corpus/NAME.txt`) and some mutations of them, always the same ([`replay`]); `fuzz/run`
//! gives it to libFuzzer, guided by coverage.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod corpus;
mod memory;
mod mutate;
mod random;
mod replay;
mod script;

pub use corpus::{corpus, from_lines, to_lines};
pub use memory::within;
pub use random::Random;
pub use replay::{edited, replay};
pub use script::{Script, ScriptWriter};

/// One decoder, or a few that belong together.
pub struct Target {
    /// Names the corpus file, and the target in `fuzz/run`.
    pub name: &'static str,
    /// Takes one input; panics when something is wrong.
    pub run: fn(&[u8]),
    /// Real values as bytes, from which deep paths are reached.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words that a text decoder knows.
    pub words: &'static [&'static str],
    /// How many mutations `cargo test` tries; slow targets try fewer.
    pub rounds: u32,
}
