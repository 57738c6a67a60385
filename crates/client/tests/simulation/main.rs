//! Random runs: two to eight people with several devices each, and a relay that restarts, forgets,
//! drops, doubles, reorders and delays, while clocks jump and browsers die. One seed is one run.
//!
//! `RLY_SIM_SEEDS` says how many (`20000`) or which (`500..1000`); `RLY_SIM_SEED` runs one again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod cast;
mod check;
mod run;
#[path = "../world/mod.rs"]
mod world;

use std::{
    panic,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Run in `./test`.
const SEEDS: u64 = 500;
/// So do these, which once found a mistake.
const FOUND: [u64; 13] = [
    543, 1287, 2973, 4602, 5295, 11_109, 11_351, 12_081, 12_267, 12_867, 34_648, 42_729, 62_811,
];

fn seeds() -> Vec<u64> {
    let wanted = |name: &str| std::env::var(name).ok();
    let number = |text: &str| text.parse::<u64>().expect("a number");
    if let Some(seed) = wanted("RLY_SIM_SEED") {
        return vec![number(&seed)];
    }
    match wanted("RLY_SIM_SEEDS") {
        Some(range) => match range.split_once("..") {
            Some((first, end)) => (number(first)..number(end)).collect(),
            None => (0..number(&range)).collect(),
        },
        None => (0..SEEDS).chain(FOUND).collect(),
    }
}

#[test]
fn nothing_confirmed_is_lost_nothing_is_shown_twice_and_what_is_missing_is_shown() {
    let seeds = seeds();
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)).copied() else {
                return;
            };
            if panic::catch_unwind(|| run::run(seed)).is_err() {
                eprintln!("again: RLY_SIM_SEED={seed} cargo test -p rly-client --test simulation nothing");
                failed.lock().unwrap().push(seed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().unwrap();
    eprintln!("{} of {} runs held", seeds.len() - failed.len(), seeds.len());
    assert!(failed.is_empty(), "seeds {failed:?}");
}

#[test]
fn one_seed_is_one_run() {
    // One of each kind.
    for seed in 0..run::KINDS {
        assert_eq!(run::run(seed), run::run(seed), "seed {seed}");
    }
    assert_ne!(run::run(0), run::run(run::KINDS));
}
