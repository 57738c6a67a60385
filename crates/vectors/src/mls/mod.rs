//! RFC 9420, suite 2 (MLS_128_DHKEMP256_AES128GCM_SHA256_P256).
//!
//! What OpenMLS does not show from outside (key schedule, secret tree, framing) is written out here by
//! the RFC's formulas over the provider that OpenMLS gets from us; the same runs inside OpenMLS itself
//! in `passive`, whose epochs agree only if all of it is right.

mod basics;
mod formulas;
mod framing;
mod passive;
mod schedule;
mod tls;
mod tree;
mod treekem;
mod welcome;

use crate::Report;

pub(crate) fn run(now: u64) -> Vec<Report> {
    let mut reports = vec![
        basics::run(),
        schedule::key_schedule(),
        schedule::psk_secret(),
        schedule::secret_tree(),
        schedule::transcript_hashes(),
        framing::run(),
        welcome::run(),
        tree::run(),
        treekem::run(),
    ];
    reports.extend(passive::run(now));
    reports
}
