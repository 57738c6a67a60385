//! Published test vectors, run through the functions that Rly Chat computes with: those of
//! `rly-crypto`, the provider that OpenMLS gets from it, OpenMLS itself, and the calls of WebCrypto in
//! `rly-browser`. Natively by `cargo test -p rly-vectors`; in wasm and on WebCrypto by
//! `end2end/tests/vectors.spec.ts`. README.md says where the vectors come from.
//!
//! Each set says beforehand how many checks it has: a set that runs fewer fails.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod chat;
mod data;
mod hpke;
mod mls;
mod tally;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod web;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod web_sets;
mod wycheproof;

pub use tally::{Report, Set};

/// Runs everything that needs no browser. `now`, in seconds since 1970, is what OpenMLS will see on the
/// clock: where a commit adds a member it looks, and the KeyPackages in the vectors expired in 2024.
pub fn run(now: u64) -> Vec<Report> {
    let mut reports = wycheproof::run();
    reports.extend(hpke::run());
    reports.extend(mls::run(now));
    reports
}
