//! One run: what happens, chosen by the seed.

use crate::{
    cast::Cast,
    check,
    world::{faults::Faults, relay::Stored},
};
use rly_client::Input;

/// How many kinds of runs there are.
pub const KINDS: u64 = 6;

/// What may happen in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The relay drops, doubles, reorders and delays.
    pub lies: bool,
    /// The relay goes back to what it was.
    pub rolls_back: bool,
    /// SIMs are restored, devices take over, old profiles are put back.
    pub devices: bool,
}

impl Kind {
    fn of(seed: u64) -> Self {
        let (lies, rolls_back) = [(false, false), (true, false), (true, true)][(seed % 3) as usize];
        Self {
            lies,
            rolls_back,
            devices: seed / 3 % 2 == 1,
        }
    }

    /// Nothing that is told is untrue, and nobody forgets.
    pub fn is_honest(self) -> bool {
        !self.lies && !self.rolls_back
    }
}

/// Runs a seed; the hash of all that could be seen.
pub fn run(seed: u64) -> String {
    let kind = Kind::of(seed);
    let people = [2, 2, 2, 3, 3, 4, 5, 8][(seed / KINDS % 8) as usize];
    let mut cast = Cast::new(seed, people);
    for other in 1..people {
        cast.meet(0, other);
    }
    cast.world.settle();
    if kind.lies {
        cast.world.relay.faults = faults(&mut cast);
    }
    let mut backups = Backups::default();
    for _ in 0..110 {
        happen(&mut cast, kind, &mut backups);
    }
    heal(&mut cast);
    check::check(&mut cast, kind);
    cast.world.trace.hash()
}

fn faults(cast: &mut Cast) -> Faults {
    let mut chance = |most: usize| cast.any(most) as u32;
    Faults {
        drop: chance(150),
        double: chance(200),
        delay: chance(300),
        shuffle: chance(2) == 0,
        ..Faults::default()
    }
}

/// What can be put back.
#[derive(Default)]
struct Backups {
    relay: Option<Stored>,
    /// Person, device, and what it had stored.
    profile: Option<(usize, usize, crate::world::Store)>,
}

fn happen(cast: &mut Cast, kind: Kind, backups: &mut Backups) {
    let people = cast.people.len();
    let open = cast.devices();
    let at = cast.any(open.len());
    let d = open[at];
    let p = cast.any(people);
    match cast.any(100) {
        0..42 => talk(cast),
        42..48 => cast.world.cut(d),
        48..51 => cast.world.reload(d),
        // Its next batch is its last one: stored, or not.
        51..56 => cast.world.devices[d].dies = Some(cast.any(2) == 0),
        56..58 => cast.world.restart_relay(),
        58..61 => cast.world.set_offline(d, true),
        61..67 => cast.world.set_offline(d, false),
        67 => {
            let by = jump(cast);
            cast.world.set_clock(d, by);
        }
        68 => {
            let by = jump(cast);
            cast.world.set_relay_clock(by);
        }
        69..74 => {
            let seconds = cast.any(90) as u64;
            cast.world.pass(seconds);
        }
        74 => {
            let seconds = cast.any(200_000) as u64;
            cast.world.pass(seconds);
        }
        75 => {
            let other = cast.any(people);
            cast.meet(p, other);
        }
        76 if kind.devices => restore(cast, p),
        77 if kind.devices => change_device(cast, p),
        78 if kind.devices => {
            let device = cast.people[p].active;
            backups.profile = Some((p, device, cast.world.devices[device].store.clone()));
        }
        79 if kind.devices => put_back(cast, backups),
        80 if kind.rolls_back => backups.relay = Some(cast.world.relay.backup()),
        81 if kind.rolls_back => {
            if let Some(then) = backups.relay.take() {
                let told = cast.any(2) == 0;
                cast.world.relay.roll_back(then, told);
                for d in 0..cast.world.devices.len() {
                    cast.world.cut(d);
                }
            }
        }
        _ => {
            for _ in 0..cast.any(12) {
                cast.world.step();
            }
        }
    }
}

fn jump(cast: &mut Cast) -> i64 {
    [3_600, -3_600, 90 * 86_400, -90 * 86_400][cast.any(4)]
}

fn talk(cast: &mut Cast) {
    if cast.pairs.is_empty() {
        return;
    }
    let at = cast.any(cast.pairs.len());
    let pair = *cast.pairs.iter().nth(at).expect("a pair");
    let (from, to) = if cast.any(2) == 0 { pair } else { (pair.1, pair.0) };
    cast.say(from, to, "message");
}

/// The SIM is brought to a new device. The old one is lost, or lies in a drawer.
fn restore(cast: &mut Cast, p: usize) {
    if cast.people[p].devices.len() == 3 {
        return;
    }
    let old = cast.people[p].active;
    if cast.any(2) == 0 {
        cast.world.close(old);
    }
    let file = cast.people[p].file.clone();
    let new = cast.world.restore(&file);
    cast.people[p].devices.push(new);
    cast.go_to(p, new);
}

/// A person takes up another one of their devices.
fn change_device(cast: &mut Cast, p: usize) {
    let devices = cast.people[p].devices.clone();
    let d = devices[cast.any(devices.len())];
    if !cast.world.devices[d].closed {
        cast.go_to(p, d);
        cast.take_back(p);
    }
}

/// An old profile of a browser is put back.
fn put_back(cast: &mut Cast, backups: &mut Backups) {
    let Some((p, d, store)) = backups.profile.take() else {
        return;
    };
    if cast.world.devices[d].closed {
        return;
    }
    cast.remember(p);
    cast.world.devices[d].store = store;
    cast.world.reload(d);
}

/// From here on everything works, and people do what is for people to do.
fn heal(cast: &mut Cast) {
    cast.world.relay.faults = Faults::default();
    cast.world.relay.release_all();
    for d in cast.devices() {
        cast.world.devices[d].dies = None;
    }
    for p in 0..cast.people.len() {
        let d = cast.people[p].active;
        cast.world.set_offline(d, false);
    }
    for _ in 0..3 {
        cast.world.settle();
        for p in 0..cast.people.len() {
            cast.take_back(p);
            cast.retry_failed(p);
        }
        for (a, b) in cast.pairs.clone() {
            cast.say(a, b, "last");
            cast.say(b, a, "last");
        }
        cast.world.settle();
        // What was lost unnoticed is noticed by who still writes, in a while.
        cast.world.pass(4_000);
    }
    for d in cast.devices() {
        cast.world.input(d, Input::Timer);
    }
    cast.world.settle();
}
