//! The relay: queues of ciphertext, and nothing about people.
//!
//! Pure decisions are apart from what carries them out: [`queue`] (what waits, who reads, how far),
//! [`bucket`] (rates), [`sequence`] (numbers) know no I/O. [`connection`] turns frames into decisions,
//! [`writer`] commits in groups, [`deliver`] gives to readers, [`store`] is the port behind which
//! queues last.
//!
//! No log line holds an id, an address, a key or an IP address.

#![allow(rustdoc::private_intra_doc_links)] // This page is for those who work on the crate.

mod bucket;
mod cells;
mod clock;
mod cluster;
mod config;
mod connection;
mod deliver;
mod disk;
mod engine;
#[cfg(any(test, rly_fuzz))]
pub mod fuzz;
mod invites;
mod keys;
mod message;
mod metrics;
mod outbox;
mod peers;
mod queue;
mod refusal;
mod reply;
mod rooms;
mod seats;
mod sequence;
mod shared;
pub mod store;
mod sweeper;
mod vaults;
mod writer;

#[cfg(test)]
mod tests;

pub use clock::{Clock, SystemClock};
pub use cluster::{KafkaConfig, KafkaError};
pub use config::{Limits, LimitsError, Rate, RelayConfig, RoomMakers};
pub use connection::{Connection, Incoming, Outgoing};
pub use engine::{Relay, StartError};
pub use keys::{Keyring, KeyringError};
pub use metrics::Metrics;
pub use refusal::Refusal;
pub use seats::{Seat, Seats};
pub use store::{MemoryStore, PostgresStore, SqliteStore, Store, StoreError};
