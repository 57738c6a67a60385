//! Random runs: connections cut, browsers killed, servers restarted, at any moment. One seed is
//! one run. `RLY_SIM_SEEDS` sets how many.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod world;

use rand_core::RngCore;
use world::World;

fn run(seed: u64) {
    let people = 2 + (seed % 2) as usize;
    let mut world = World::new(seed, people);
    for other in 1..people {
        world.meet(0, other);
    }
    let mut sent = 0;
    for _ in 0..120 {
        let dice = world.rng.next_u32() % 100;
        let d = world.rng.next_u32() as usize % people;
        match dice {
            0..45 => {
                let to = if d == 0 {
                    1 + world.rng.next_u32() as usize % (people - 1)
                } else {
                    0
                };
                sent += 1;
                world.say(d, &format!("Person {to}"), &format!("message {sent}"));
            }
            45..52 => world.cut(d),
            52..55 => world.reload(d),
            // Not together with a message: a page that gets no answer says so and tries again.
            55..58 => {
                let stored = world.rng.next_u32().is_multiple_of(2);
                world.devices[d].dies = Some(stored);
                world.cut(d);
                world.input(d, rly_client::Input::Timer);
                for _ in 0..4 {
                    world.step();
                }
                world.devices[d].dies = None;
            }
            58..61 => world.restart_relay(),
            61..65 => world.set_offline(d, true),
            65..72 => world.set_offline(d, false),
            // The clock is set, forward or back.
            72 => {
                let by = [3_600, 90 * 86_400][world.rng.next_u32() as usize % 2];
                let back = world.rng.next_u32().is_multiple_of(2);
                world.set_clock(if back { -by } else { by });
            }
            73..78 => {
                let seconds = u64::from(world.rng.next_u32() % 90);
                world.pass(seconds);
            }
            _ => {
                for _ in 0..world.rng.next_u32() % 12 {
                    world.step();
                }
            }
        }
    }
    for d in 0..people {
        world.set_offline(d, false);
    }
    world.settle();
    for other in 1..people {
        world.assert_agreement(0, other);
        assert!(world.notes(0, &format!("Person {other}")).is_empty());
    }
    assert_eq!(world.relay.waiting(), 0);
}

#[test]
fn nothing_is_lost_doubled_or_out_of_order() {
    let seeds = std::env::var("RLY_SIM_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(60);
    for seed in 0..seeds {
        let outcome = std::panic::catch_unwind(|| run(seed));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}
