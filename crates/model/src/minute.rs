//! UTC minutes, within the years that are counted.

use std::fmt;

use chrono::{DateTime, Datelike, Timelike, Utc};

use crate::Timestamp;

const SECONDS: i64 = 60;

/// The first second that is counted, 2000-01-01T00:00:00Z: an older event is the mistake of a clock, and MariaDB's TIMESTAMP has no
/// zero to spare.
const FIRST_UNIX_S: i64 = 946_684_800;

/// The beginning of the last minute that MariaDB 10.11's TIMESTAMP holds, 2038-01-19T03:14:00Z.
const LAST_UNIX_S: i64 = 2_147_483_640;

/// Why a time is no minute that can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MinuteError {
    /// The time is before [`Minute::FIRST`].
    #[error("time is before 2000-01-01T00:00:00Z")]
    TooEarly,
    /// The time is after [`Minute::LAST`].
    #[error("time is after 2038-01-19T03:14:00Z")]
    TooLate,
    /// The time, in unix seconds, is not the beginning of a minute.
    #[error("time is not a whole minute: {0}")]
    NotWhole(i64),
}

/// A UTC minute between 2000-01-01 and 2038-01-19, as the number of minutes since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minute(u32);

impl Minute {
    /// The first minute that is counted, 2000-01-01T00:00Z.
    pub const FIRST: Self = Self(15_778_080);
    /// The last minute that the tables can hold, 2038-01-19T03:14Z.
    pub const LAST: Self = Self(35_791_394);

    /// The minute that contains `instant`; a minute's first instant belongs to it, its end to the next.
    ///
    /// # Errors
    /// `TooEarly` or `TooLate` outside the years that are counted.
    pub fn containing(instant: Timestamp) -> Result<Self, MinuteError> {
        Self::from_number(instant.unix_ms().div_euclid(1000 * SECONDS))
    }

    /// The minute that begins at `unix_s` seconds since 1970.
    ///
    /// # Errors
    /// `NotWhole` where no minute begins; `TooEarly` or `TooLate` outside the years that are counted.
    pub fn from_unix_s(unix_s: i64) -> Result<Self, MinuteError> {
        if unix_s.rem_euclid(SECONDS) != 0 {
            return Err(MinuteError::NotWhole(unix_s));
        }
        Self::from_number(unix_s / SECONDS)
    }

    fn from_number(number: i64) -> Result<Self, MinuteError> {
        if number < FIRST_UNIX_S / SECONDS {
            return Err(MinuteError::TooEarly);
        }
        if number > LAST_UNIX_S / SECONDS {
            return Err(MinuteError::TooLate);
        }
        u32::try_from(number).map(Self).map_err(|_| MinuteError::TooLate)
    }

    /// Seconds since 1970 of the minute's first instant.
    #[must_use]
    pub fn unix_s(self) -> i64 {
        i64::from(self.0) * SECONDS
    }

    /// The number of the minute in its day, from 0 to 1,439.
    #[must_use]
    pub fn of_day(self) -> u16 {
        u16::try_from(self.0 % 1_440).unwrap_or(0)
    }

    /// The minute's digits in UTC, `YYYYMMDDhhmmss`.
    #[must_use]
    pub fn digits(self) -> u64 {
        let time = DateTime::<Utc>::from_timestamp(self.unix_s(), 0).unwrap_or_default();
        let date =
            u64::from(time.year().unsigned_abs()) * 10_000 + u64::from(time.month() * 100 + time.day());
        date * 1_000_000 + u64::from(time.hour() * 10_000 + time.minute() * 100)
    }
}

/// The minute in UTC: `2025-11-22T05:00Z`.
impl fmt::Display for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::<Utc>::from_timestamp(self.unix_s(), 0).unwrap_or_default();
        write!(f, "{}", time.format("%Y-%m-%dT%H:%MZ"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_minute_of_a_day() {
        let minute = Minute::from_unix_s(1_763_787_660).unwrap();
        assert_eq!(
            (minute.of_day(), minute.to_string().as_str()),
            (301, "2025-11-22T05:01Z")
        );
    }

    #[test]
    fn the_years_that_are_counted() {
        assert_eq!(Minute::FIRST.unix_s(), FIRST_UNIX_S);
        assert_eq!(Minute::LAST.unix_s(), LAST_UNIX_S);
        assert_eq!(Minute::from_unix_s(FIRST_UNIX_S - 60), Err(MinuteError::TooEarly));
        assert_eq!(Minute::from_unix_s(LAST_UNIX_S + 60), Err(MinuteError::TooLate));
        assert_eq!(
            Minute::from_unix_s(i64::MIN),
            Err(MinuteError::NotWhole(i64::MIN))
        );
        assert_eq!(
            Minute::from_unix_s(FIRST_UNIX_S + 1),
            Err(MinuteError::NotWhole(FIRST_UNIX_S + 1))
        );
    }

    #[test]
    fn digits_are_those_of_the_date() {
        assert_eq!(
            Minute::from_unix_s(1_431_857_100).unwrap().digits(),
            20_150_517_100_500
        );
    }

    proptest! {
        #[test]
        fn an_instant_belongs_to_one_minute(ms in FIRST_UNIX_S * 1000..LAST_UNIX_S * 1000) {
            let minute = Minute::containing(Timestamp::from_unix_ms(ms)).unwrap();
            prop_assert!(minute.unix_s() * 1000 <= ms && ms < (minute.unix_s() + 60) * 1000);
            prop_assert_eq!(Minute::from_unix_s(minute.unix_s()).unwrap(), minute);
        }
    }
}
