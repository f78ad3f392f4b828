//! UTC days.

use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc};

use crate::Minute;

/// Minutes of a UTC day, which has no leap seconds here.
pub const MINUTES_PER_DAY: usize = 1_440;

const SECONDS_PER_DAY: i64 = 86_400;

/// A UTC day, as the number of days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

impl Day {
    /// The day that contains `unix_s` seconds since 1970.
    #[must_use]
    pub fn containing(unix_s: i64) -> Self {
        Self(unix_s.div_euclid(SECONDS_PER_DAY))
    }

    /// The following day.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Seconds since 1970 of the day's first instant.
    #[must_use]
    pub fn unix_s(self) -> i64 {
        self.0.saturating_mul(SECONDS_PER_DAY)
    }

    /// The first day of the month with this number, as [`Self::month`] counts them.
    #[must_use]
    pub fn first_of_month(month: i32) -> Self {
        let number = u32::try_from(month.rem_euclid(12) + 1).unwrap_or(1);
        let date = NaiveDate::from_ymd_opt(month.div_euclid(12), number, 1).unwrap_or_default();
        Self::containing(date.and_time(NaiveTime::MIN).and_utc().timestamp())
    }

    /// The number of the day's month, counted from January of the year 0.
    #[must_use]
    pub fn month(self) -> i32 {
        let time = DateTime::<Utc>::from_timestamp(self.unix_s(), 0).unwrap_or_default();
        time.year() * 12 + i32::try_from(time.month0()).unwrap_or(0)
    }

    /// Seconds since 1970 of the next day's first instant.
    #[must_use]
    pub fn end_unix_s(self) -> i64 {
        self.unix_s().saturating_add(SECONDS_PER_DAY)
    }

    /// The day that is `days` earlier.
    #[must_use]
    pub fn earlier(self, days: u16) -> Self {
        Self(self.0.saturating_sub(days.into()))
    }

    /// The number of the minute that contains `unix_s`, from 0 for the day's first to 1,439.
    ///
    /// # Errors
    /// `OutsideDay` for an instant of another day.
    pub fn minute_of(self, unix_s: i64) -> Result<u16, OutsideDay> {
        let minute = unix_s.saturating_sub(self.unix_s()).div_euclid(60);
        u16::try_from(minute)
            .ok()
            .filter(|&number| usize::from(number) < MINUTES_PER_DAY)
            .ok_or(OutsideDay { minute })
    }
}

impl From<Minute> for Day {
    fn from(minute: Minute) -> Self {
        Self::containing(minute.unix_s())
    }
}

/// The day as SQL writes a DATE: `YYYY-MM-DD`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::<Utc>::from_timestamp(self.unix_s(), 0).unwrap_or_default();
        write!(f, "{}", time.format("%Y-%m-%d"))
    }
}

/// A minute that a day does not have, counted from the day's first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("minute {minute} is none of the {MINUTES_PER_DAY} of a day")]
pub struct OutsideDay {
    pub(crate) minute: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_with_its_first_second() {
        let day = Day::containing(1_763_787_600);
        assert_eq!(day.to_string(), "2025-11-22");
        assert_eq!(Day::containing(day.end_unix_s() - 1), day);
        assert_ne!(Day::containing(day.end_unix_s()), day);
        assert_eq!(Day::from(Minute::LAST).to_string(), "2038-01-19");
        assert_eq!(Day::containing(-1).to_string(), "1969-12-31");
        assert_eq!(Day::first_of_month(day.month()).to_string(), "2025-11-01");
        assert_eq!(Day::first_of_month(day.month() + 14).to_string(), "2027-01-01");
        assert_eq!(day.earlier(22).to_string(), "2025-10-31");
    }

    #[test]
    fn a_minute_outside_the_day_is_an_error_and_no_silence() {
        let day = Day::containing(1_763_787_600);
        let start = day.unix_s();
        assert_eq!(day.minute_of(start), Ok(0));
        assert_eq!(day.minute_of(day.end_unix_s() - 1), Ok(1_439));
        for (unix_s, minute) in [(start - 1, -1), (day.end_unix_s(), 1_440)] {
            assert_eq!(day.minute_of(unix_s), Err(OutsideDay { minute }));
        }
    }
}
