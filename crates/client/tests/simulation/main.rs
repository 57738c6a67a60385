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
    ops::Range,
    panic,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// Runs in `./test`.
const SEEDS: u64 = 500;

fn seeds() -> Range<u64> {
    let wanted = |name: &str| std::env::var(name).ok();
    let number = |text: &str| text.parse::<u64>().expect("a number");
    if let Some(seed) = wanted("RLY_SIM_SEED") {
        let seed = number(&seed);
        return seed..seed + 1;
    }
    match wanted("RLY_SIM_SEEDS") {
        Some(range) => match range.split_once("..") {
            Some((first, end)) => number(first)..number(end),
            None => 0..number(&range),
        },
        None => 0..SEEDS,
    }
}

#[test]
fn nothing_confirmed_is_lost_nothing_is_shown_twice_and_what_is_missing_is_shown() {
    let seeds = seeds();
    let next = AtomicU64::new(seeds.start);
    let failed = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
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
    let held = seeds.end - seeds.start - failed.len() as u64;
    eprintln!("{held} of {} runs held", seeds.end - seeds.start);
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
