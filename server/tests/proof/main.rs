//! The promises, held against the real server: a process, real sockets, a real SQLite file.
//!
//! | module | what it does to the server | longer |
//! |---|---|---|
//! | `crash` | kills it under load | `RLY_TEST_CRASHES=100` |
//! | `rooms` | the same, while people talk in rooms | `RLY_TEST_CRASHES=100` |
//! | `disk` | lets the disk be full, read-only, fail | |
//! | `corrupt` | damages its files | |
//! | `hostile` | sends it what nobody should | `RLY_TEST_HOSTILE=100000` |
//! | `tokens` | forges tokens, changes its keys | |
//! | `secrets` | looks for what it must not know | |
//! | `load` | floods it, reads slowly | `--ignored`, see there |
//!
//! What is random comes from a seed that is printed; `RLY_TEST_SEED` repeats a run.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/hosts.rs"]
mod hosts;
#[path = "../common/room.rs"]
mod room;
#[path = "../common/talk.rs"]
mod talk;

mod corrupt;
mod crash;
mod device;
#[cfg(target_os = "linux")]
mod disk;
mod hostile;
mod load;
mod rooms;
mod secrets;
mod tokens;

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rand_core::RngCore;

/// A number from the environment of the tests.
fn setting(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number")),
        Err(_) => otherwise,
    }
}

/// Everything random of one test.
fn rng(test: &str) -> ChaCha20Rng {
    let seed = setting("RLY_TEST_SEED", rand_core::OsRng.next_u64());
    eprintln!("{test}: RLY_TEST_SEED={seed}");
    ChaCha20Rng::seed_from_u64(seed)
}

fn below(rng: &mut impl RngCore, bound: usize) -> usize {
    (rng.next_u64() % bound as u64) as usize
}
