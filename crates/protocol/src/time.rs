//! Moments, as milliseconds since 1970 in UTC, and as RFC 3339 text.
//!
//! Written here because the page needs no more of a date library than these two functions.

use crate::{Decode, DecodeError, Encode, Reader, Writer};
use core::{fmt, str::FromStr};
use serde::{Deserialize, Serialize};
use thiserror::Error;

const DAY: u64 = 86_400_000;

/// A moment: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Timestamp(pub u64);

/// Not a time in RFC 3339 form, in UTC.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not an RFC 3339 time in UTC")]
pub struct TimeError;

impl Timestamp {
    /// The last moment that RFC 3339 can write: the end of the year 9999. A later one that comes in
    /// bytes is refused, as nobody could read what is made of it in JSON.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// This moment, that many seconds later; at most [`Timestamp::MAX`].
    pub fn plus_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000))).min(Self::MAX)
    }

    /// Whole seconds since 1970.
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// Milliseconds since an earlier moment; 0 if it is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Days since 1970-01-01 as year, month, day of the proleptic Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": eras of 400 years from 0000-03-01.
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// The inverse of [`civil`], for years from 1970.
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0 / DAY);
        let ms = self.0 % DAY;
        let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}")?;
        match ms % 1000 {
            0 => f.write_str("Z"),
            rest => write!(f, ".{rest:03}Z"),
        }
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let text = text.strip_suffix('Z').ok_or(TimeError)?;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "000"));
        let b = whole.as_bytes();
        let separated = b.len() == 19
            && [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')]
                .iter()
                .all(|&(i, c)| b[i] == c);
        if !separated || fraction.len() != 3 {
            return Err(TimeError);
        }
        let number = |digits: &str| -> Result<u64, TimeError> {
            if digits.bytes().all(|c| c.is_ascii_digit()) {
                digits.parse().map_err(|_| TimeError)
            } else {
                Err(TimeError)
            }
        };
        let part = |from: usize, to: usize| whole.get(from..to).ok_or(TimeError).and_then(number);
        let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
        let (h, m, s) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
        if year < 1970 || !(1..=12).contains(&month) || day == 0 || h > 23 || m > 59 || s > 59 {
            return Err(TimeError);
        }
        let days = days_from_civil(year, month, day);
        if civil(days) != (year, month, day) {
            return Err(TimeError);
        }
        Ok(Self(
            days * DAY + ((h * 60 + m) * 60 + s) * 1000 + number(fraction)?,
        ))
    }
}

impl From<Timestamp> for String {
    fn from(at: Timestamp) -> String {
        at.to_string()
    }
}

impl TryFrom<String> for Timestamp {
    type Error = TimeError;
    fn try_from(text: String) -> Result<Self, TimeError> {
        text.parse()
    }
}

impl Encode for Timestamp {
    fn encode(&self, to: &mut Writer) {
        to.put(&self.0);
    }
}

impl Decode for Timestamp {
    fn decode(from: &mut Reader) -> Result<Self, DecodeError> {
        let at = Self(from.take()?);
        if at > Self::MAX {
            return Err(DecodeError::Invalid);
        }
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_moments() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp(951_827_696_789).to_string(), "2000-02-29T12:34:56.789Z");
        for bad in [
            "",
            "2001-02-29T00:00:00Z",
            "2001-02-28T00:00:00+01:00",
            "2001-13-01T00:00:00Z",
            "2001-02-28 00:00:00Z",
        ] {
            assert_eq!(bad.parse::<Timestamp>(), Err(TimeError), "{bad}");
        }
    }

    #[test]
    fn a_moment_that_cannot_be_written_is_refused() {
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(
            Timestamp::from_bytes(&Timestamp::MAX.to_bytes()),
            Ok(Timestamp::MAX)
        );
        let later = Timestamp(Timestamp::MAX.0 + 1);
        assert_eq!(
            Timestamp::from_bytes(&later.to_bytes()),
            Err(DecodeError::Invalid)
        );
        assert_eq!(Timestamp(0).plus_seconds(u64::MAX), Timestamp::MAX);
    }

    proptest! {
        #[test]
        fn text_leads_back(ms in 0..=Timestamp::MAX.0) {
            prop_assert_eq!(Timestamp(ms).to_string().parse(), Ok(Timestamp(ms)));
        }
    }
}
