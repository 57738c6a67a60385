//! Token buckets, as pure arithmetic over given moments.

use crate::Rate;
use rly_protocol::Timestamp;
use std::time::Duration;

/// A bucket of tokens. It starts full.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    /// Tokens taken and not refilled yet; counting this way round makes the default a full bucket.
    used: f64,
    at: Timestamp,
}

impl Bucket {
    /// Takes a token.
    ///
    /// # Errors
    /// How long until there is one.
    pub fn take(&mut self, now: Timestamp, rate: Rate) -> Result<(), Duration> {
        self.take_many(now, rate, 1.0)
    }

    /// Takes so many tokens. More than the bucket holds are taken from a full one, which is the longer
    /// empty for it.
    ///
    /// # Errors
    /// How long until there are as many.
    pub fn take_many(&mut self, now: Timestamp, rate: Rate, tokens: f64) -> Result<(), Duration> {
        let refill = now.since(self.at) as f64 / 1000.0 * rate.per_second;
        self.used = (self.used - refill).max(0.0);
        // Never backwards: a clock that steps back must not refill twice.
        self.at = self.at.max(now);
        let missing = self.used + tokens.min(rate.burst) - rate.burst;
        if missing <= 0.0 {
            self.used += tokens;
            return Ok(());
        }
        Err(Duration::from_secs_f64(
            (missing / rate.per_second).clamp(0.001, 3600.0),
        ))
    }

    /// Whether it has refilled, so that forgetting it changes nothing.
    pub fn is_full(&self, now: Timestamp, rate: Rate) -> bool {
        now.since(self.at) as f64 / 1000.0 * rate.per_second >= self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate::new(2.0, 3.0);

    #[test]
    fn a_burst_then_the_rate() {
        let mut bucket = Bucket::default();
        let now = Timestamp(1_000_000);
        for _ in 0..3 {
            assert_eq!(bucket.take(now, RATE), Ok(()));
        }
        assert_eq!(bucket.take(now, RATE), Err(Duration::from_millis(500)));
        assert_eq!(bucket.take(Timestamp(now.0 + 500), RATE), Ok(()));
        assert!(bucket.take(Timestamp(now.0 + 500), RATE).is_err());
    }

    #[test]
    fn many_at_once_empty_it_for_longer() {
        let mut bucket = Bucket::default();
        let now = Timestamp(1_000_000);
        assert_eq!(bucket.take_many(now, RATE, 2.0), Ok(()));
        assert_eq!(bucket.take_many(now, RATE, 2.0), Err(Duration::from_millis(500)));
        // Ten are more than it ever holds.
        assert_eq!(bucket.take_many(now, RATE, 10.0), Err(Duration::from_secs(1)));
        let full = Timestamp(now.0 + 1000);
        assert_eq!(bucket.take_many(full, RATE, 10.0), Ok(()));
        assert_eq!(bucket.take(full, RATE), Err(Duration::from_secs(4)));
    }

    #[test]
    fn a_clock_that_steps_back_gives_nothing() {
        let mut bucket = Bucket::default();
        for _ in 0..3 {
            assert_eq!(bucket.take(Timestamp(10_000), RATE), Ok(()));
        }
        assert!(bucket.take(Timestamp(0), RATE).is_err());
        assert!(bucket.take(Timestamp(10_000), RATE).is_err());
        assert!(!bucket.is_full(Timestamp(10_000), RATE));
        assert!(bucket.is_full(Timestamp(11_500), RATE));
    }
}
