//! The promises, held against a cluster: server processes, a real Kafka, a real PostgreSQL, each of which
//! is killed, stopped and restarted under load. `./test cluster` runs it; RLY_TEST_FAULT_ROUNDS=50 longer.
//!
//! What is random comes from a seed that is printed; `RLY_TEST_SEED` repeats a run, as far as several
//! processes can be made to repeat anything.
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

mod brokers;
mod door;
mod faults;
mod ground;
mod leaderless;
mod load;
mod secure;
mod start;
