//! Fuzz targets: what is stored, what an envelope holds, and the whole machine against a server and
//! a contact that do what they like. See `rly_fuzzing`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod rows;
mod server;
mod side;

use rly_fuzzing::Target;

/// Every target of this crate.
pub static TARGETS: &[Target] = &[
    Target {
        name: "records",
        run: rows::records,
        seeds: rows::record_seeds,
        words: &[],
        rounds: 20_000,
    },
    Target {
        name: "typed",
        run: rows::typed,
        seeds: rows::typed_seeds,
        words: &[" ", "\n", "\u{202e}", "\u{0}", "=", "-_"],
        rounds: 5_000,
    },
    Target {
        name: "stored_rows",
        run: rows::stored,
        seeds: rows::stored_seeds,
        words: &[],
        rounds: 150,
    },
    Target {
        name: "hostile_server",
        run: server::script,
        seeds: server::script_seeds,
        words: &["{\"", "}", "null"],
        rounds: 150,
    },
];

#[test]
fn nothing_trips_the_machine() {
    rly_fuzzing::replay(TARGETS);
}
