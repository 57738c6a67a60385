//! What a relay does that it should not.

use rand_core::RngCore;
use rly_protocol::{ErrorCode, Timestamp};

/// What a relay does that it should not. Chances are of a thousand envelopes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Confirmed and thrown away.
    pub drop: u32,
    /// Delivered again, under the same or another id.
    pub double: u32,
    /// Delivered later than those that came after.
    pub delay: u32,
    /// What waited comes in any order.
    pub shuffle: bool,
    /// Every envelope is refused so: code, time to wait.
    pub refuse: Option<(ErrorCode, u32)>,
    /// The time it tells.
    pub time: Option<Timestamp>,
    /// Vault writes are taken whatever generation they expect.
    pub any_generation: bool,
    /// A vault holds so many bytes, and no more.
    pub vault_bytes: Option<u64>,
}

impl Faults {
    fn happens(rng: &mut impl RngCore, chance: u32) -> bool {
        chance > 0 && rng.next_u32() % 1000 < chance
    }

    pub fn drops(&self, rng: &mut impl RngCore) -> bool {
        Self::happens(rng, self.drop)
    }

    pub fn doubles(&self, rng: &mut impl RngCore) -> bool {
        Self::happens(rng, self.double)
    }

    pub fn delays(&self, rng: &mut impl RngCore) -> bool {
        Self::happens(rng, self.delay)
    }

    /// How long, in seconds: overtaken by a few, held up for minutes, or for days.
    pub fn delay(&self, rng: &mut impl RngCore) -> u64 {
        let most = [3, 3, 60, 600, 200_000][rng.next_u32() as usize % 5];
        u64::from(rng.next_u32()) % most
    }

    pub fn shuffle<T>(&self, rng: &mut impl RngCore, list: &mut [T]) {
        if self.shuffle {
            for at in (1..list.len()).rev() {
                list.swap(at, rng.next_u32() as usize % (at + 1));
            }
        }
    }
}
