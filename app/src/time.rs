//! Moments in the words of a person, in the person's own time zone.

use crate::text::Text;
use rly_protocol::Timestamp;

const DAY: u64 = 86_400_000;

/// A moment as a clock and a calendar on the wall show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    day_number: u64,
    year: u32,
    month: usize,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
}

impl Local {
    /// In a zone that is `offset` minutes behind UTC (as JavaScript counts: negative in the east).
    pub fn new(at: Timestamp, offset: i32) -> Self {
        let shifted =
            at.0.saturating_add_signed(-i64::from(offset).saturating_mul(60_000));
        let text = Timestamp(shifted).to_string();
        let part =
            |from: usize, to: usize| -> u32 { text.get(from..to).and_then(|n| n.parse().ok()).unwrap_or(0) };
        Self {
            day_number: shifted / DAY,
            year: part(0, 4),
            month: part(5, 7) as usize,
            day: part(8, 10),
            hour: part(11, 13),
            minute: part(14, 16),
            second: part(17, 19),
        }
    }

    /// In this browser's zone.
    pub fn here(at: Timestamp) -> Self {
        let offset = js_sys::Date::new(&(at.0 as f64).into()).get_timezone_offset();
        Self::new(at, offset as i32)
    }

    /// `14:02`.
    pub fn clock(self) -> String {
        format!("{:02}:{:02}", self.hour, self.minute)
    }

    /// `14:02:05`.
    pub fn clock_seconds(self) -> String {
        format!("{}:{:02}", self.clock(), self.second)
    }

    /// The same for all moments of a day.
    pub fn day_number(self) -> u64 {
        self.day_number
    }

    /// `12 March`, with the year if it is another one than now's.
    pub fn date(self, t: &Text, now: Self) -> String {
        let month = t
            .months
            .get(self.month.wrapping_sub(1))
            .copied()
            .unwrap_or_default();
        (t.date)(self.day, month, (self.year != now.year).then_some(self.year))
    }

    /// `Today`, `Yesterday` or the date.
    pub fn day(self, t: &Text, now: Self) -> String {
        if self.day_number == now.day_number {
            t.today.into()
        } else if self.day_number + 1 == now.day_number {
            t.yesterday.into()
        } else {
            self.date(t, now)
        }
    }

    /// Short, for a list: the clock today, the day otherwise.
    pub fn short(self, t: &Text, now: Self) -> String {
        if self.day_number == now.day_number {
            self.clock()
        } else {
            self.day(t, now)
        }
    }

    /// `14:02` today, `14:02 on 12 March` otherwise.
    pub fn moment(self, t: &Text, now: Self) -> String {
        if self.day_number == now.day_number {
            self.clock()
        } else {
            (t.clock_on_date)(&self.clock(), &self.date(t, now))
        }
    }
}

/// How many whole days lie between two moments.
pub fn days_between(earlier: Timestamp, later: Timestamp) -> u64 {
    later.since(earlier) / DAY
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::text::ENGLISH as T;

    fn at(text: &str, offset: i32) -> Local {
        Local::new(text.parse().unwrap(), offset)
    }

    #[test]
    fn the_zone_moves_the_clock_and_the_day() {
        let utc = at("2026-11-21T23:30:00Z", 0);
        let berlin = at("2026-11-21T23:30:00Z", -60);
        let new_york = at("2026-11-21T03:30:00Z", 300);
        assert_eq!((utc.clock(), berlin.clock()), ("23:30".into(), "00:30".into()));
        assert_eq!(at("2026-11-21T23:30:05.250Z", 0).clock_seconds(), "23:30:05");
        assert_eq!(berlin.day_number(), utc.day_number() + 1);
        assert_eq!(
            (new_york.clock(), new_york.date(&T, utc)),
            ("22:30".into(), "20 November".into())
        );
    }

    #[test]
    fn near_days_have_names() {
        let now = at("2026-03-01T10:00:00Z", 0);
        let words = |text: &str| (at(text, 0).short(&T, now), at(text, 0).moment(&T, now));
        assert_eq!(words("2026-03-01T09:05:00Z"), ("09:05".into(), "09:05".into()));
        assert_eq!(
            words("2026-02-28T09:05:00Z"),
            ("Yesterday".into(), "09:05 on 28 February".into())
        );
        assert_eq!(
            words("2025-12-31T00:00:00Z"),
            ("31 December 2025".into(), "00:00 on 31 December 2025".into())
        );
        assert_eq!(at("2026-03-01T23:59:00Z", 0).day(&T, now), "Today");
    }

    #[test]
    fn days_are_whole() {
        let day = |n| Timestamp(n * DAY);
        assert_eq!(days_between(day(1), Timestamp(2 * DAY - 1)), 0);
        assert_eq!(days_between(day(1), day(3)), 2);
        assert_eq!(days_between(day(3), day(1)), 0);
    }
}
