//! Fuzz targets: SIM files, sealed boxes, cards, signatures and MLS. See `rly_fuzzing`.
//!
//! What is sealed or signed is given to the decoders in three ways: free bytes, which seldom get past
//! the first check; a genuine value with changes; and free bytes that are sealed or signed with the
//! right key, as somebody could who means harm and has it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod mls;
mod plain;

use rly_fuzzing::{Random, Target};

/// Every target of this crate.
pub static TARGETS: &[Target] = &[
    Target {
        name: "sim_file",
        run: plain::sim_file,
        seeds: plain::sim_file_seeds,
        words: &["rly-sim-1.", "rly-sim-2.", " ", "\n"],
        rounds: 3_000,
    },
    Target {
        name: "sealed",
        run: plain::sealed,
        seeds: plain::sealed_seeds,
        words: &[],
        rounds: 3_000,
    },
    Target {
        name: "signed_card",
        run: plain::signed_card,
        seeds: plain::signed_card_seeds,
        words: &[],
        rounds: 200,
    },
    Target {
        name: "signature",
        run: plain::signature,
        seeds: plain::signature_seeds,
        words: &[],
        rounds: 300,
    },
    Target {
        name: "key_package",
        run: mls::key_package,
        seeds: mls::key_package_seeds,
        words: &[],
        rounds: 100,
    },
    Target {
        name: "welcome",
        run: mls::welcome,
        seeds: mls::welcome_seeds,
        words: &[],
        rounds: 100,
    },
    Target {
        name: "mls_message",
        run: mls::message,
        seeds: mls::message_seeds,
        words: &[],
        rounds: 400,
    },
    Target {
        name: "secrets",
        run: mls::secrets,
        seeds: mls::secrets_seeds,
        words: &[],
        rounds: 200,
    },
];

fn random() -> Random {
    Random::new(1)
}

#[test]
fn nothing_trips_the_decoders() {
    rly_fuzzing::replay(TARGETS);
}
