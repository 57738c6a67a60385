//! The messenger as a machine without I/O.
//!
//! Commands and events go in, one atomic batch of [`Changes`] and a list of [`Effect`]s come out.
//! There is no clock, network, storage or spawn inside: browser, terminal and tests run the same
//! machine. The adapter's law: store the changes of an [`Output`] in one durable transaction, and
//! only then carry out its effects, answers and updates. If storing fails, drop the machine and
//! load a new one: what is stored is the truth.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod connection;
mod context;
mod conversation;
mod envelope;
#[cfg(any(test, rly_fuzz))]
pub mod fuzz;
mod inbox;
mod inner;
mod invites;
mod io;
mod letters;
mod machine;
mod outbox;
mod parse;
mod record;
mod rejoin;
pub mod room;

mod sim;
mod vault;
mod view;

pub use io::{
    Changes, CommandId, Effect, HttpError, HttpOk, HttpRequest, HttpResult, Input, Key, Output, table,
};
pub use machine::{LoadError, Machine};
