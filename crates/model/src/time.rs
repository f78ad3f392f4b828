//! Timestamps, and the forms in which the wire formats write them.

use std::fmt;

use chrono::{DateTime, Datelike, FixedOffset, SecondsFormat, Timelike, Utc};

use crate::decimal;

/// Most seconds from 1970 that an instant may lie.
const SECONDS_MAX: i64 = 1_000_000_000_000_000;

/// A time that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time or a number of unix seconds")]
pub struct TimeError;

/// A point in time, in whole milliseconds since 1970 UTC. It is a time of day that a clock has shown, unlike `std::time::Instant`, which
/// only measures durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant that is `unix_ms` milliseconds after 1970.
    #[must_use]
    pub fn from_unix_ms(unix_ms: i64) -> Self {
        Self(unix_ms)
    }

    /// The instant that is `unix_s` seconds after 1970, rounded down to the millisecond.
    ///
    /// # Errors
    /// `TimeError` for NaN, infinities and numbers further than 10¹⁵ seconds from 1970.
    pub fn from_unix_s(unix_s: f64) -> Result<Self, TimeError> {
        if unix_s.abs() > 1e15 || unix_s.is_nan() {
            return Err(TimeError);
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "bounded above, and the fraction of a ms is dropped"
        )]
        Ok(Self((unix_s * 1000.0).floor() as i64))
    }

    /// The instant that is so many seconds after 1970 as `text` writes. It is read exactly, however many digits it has, and rounded down
    /// to the millisecond.
    ///
    /// # Errors
    /// `TimeError` where `text` is no number, or one further than 10¹⁵ from 0.
    pub fn from_unix_text(text: &str) -> Result<Self, TimeError> {
        // Nearly all are whole seconds.
        let whole = || text.parse::<i64>().ok()?.checked_mul(1000);
        let ms = whole().or_else(|| decimal::thousandths(text));
        ms.filter(|ms| ms.abs() <= 1000 * SECONDS_MAX)
            .map(Self)
            .ok_or(TimeError)
    }

    /// The instant that `text` writes as a date and a time with an offset, as RFC 3339 has it.
    ///
    /// # Errors
    /// `TimeError` where `text` is written otherwise; for leap seconds, see [`Timestamp::from_calendar`].
    pub fn from_rfc3339(text: &str) -> Result<Self, TimeError> {
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| TimeError)?;
        Self::from_calendar(time)
    }

    /// The instant of a time on the calendar.
    ///
    /// A leap second, 23:59:60 at the end of a month of UTC (ITU-R TF.460), is the last millisecond of its minute: unix time has no
    /// number of its own for it, and that of the second after lies in another minute, month and perhaps year.
    ///
    /// # Errors
    /// `TimeError` for a second of 60 anywhere else.
    pub fn from_calendar(time: DateTime<FixedOffset>) -> Result<Self, TimeError> {
        // chrono writes the 60th second as more than a second's worth of nanoseconds.
        if time.nanosecond() < 1_000_000_000 {
            return Ok(Self(time.timestamp_millis()));
        }
        let minute = time.to_utc();
        let is_last_day = minute.date_naive().succ_opt().is_some_and(|next| next.day() == 1);
        if is_last_day && (minute.hour(), minute.minute()) == (23, 59) {
            Ok(Self(minute.timestamp() * 1000 + 999))
        } else {
            Err(TimeError)
        }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn unix_ms(self) -> i64 {
        self.0
    }

    /// Seconds since 1970, with milliseconds as the fraction.
    #[must_use]
    pub fn unix_s(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "ms of this millennium are below 2^53")]
        let ms = self.0 as f64;
        ms / 1000.0
    }

    /// The instant that is `ms` milliseconds later, or earlier where `ms` is negative.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to here; negative where `earlier` is later.
    #[must_use]
    pub fn ms_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl From<std::time::SystemTime> for Timestamp {
    fn from(time: std::time::SystemTime) -> Self {
        Self(DateTime::<Utc>::from(time).timestamp_millis())
    }
}

/// The instant in UTC as RFC 3339 has it, with milliseconds: `2025-11-22T05:00:00.125Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::<Utc>::from_timestamp_millis(self.0).unwrap_or_default();
        f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_farthest_instants_are_read() {
        for (text, unix_s) in [
            ("1000000000000000", 1e15),
            ("-1000000000000000", -1e15),
            ("1.25", 1.25),
        ] {
            let time = Timestamp::from_unix_text(text).unwrap();
            assert_eq!(Timestamp::from_unix_s(unix_s), Ok(time), "{text}");
            assert!((time.unix_s() - unix_s).abs() < 1e-9, "{text}");
        }
        assert!(Timestamp::from_unix_text("1000000000000001").is_err());
    }

    #[test]
    fn reads_both_forms() {
        assert_eq!(
            Timestamp::from_unix_s(1_763_787_600.25).unwrap().unix_ms(),
            1_763_787_600_250
        );
        assert_eq!(
            Timestamp::from_rfc3339("2025-11-22T06:00:00+01:00")
                .unwrap()
                .unix_ms(),
            1_763_787_600_000
        );
        assert_eq!(Timestamp::from_unix_s(f64::NAN), Err(TimeError));
        assert_eq!(Timestamp::from_unix_s(1e300), Err(TimeError));
        assert_eq!(Timestamp::from_rfc3339("2025-11-22 06:00"), Err(TimeError));
        let of_text = |text| Timestamp::from_unix_text(text).map(Timestamp::unix_ms);
        assert_eq!(of_text("1763787659.99999999999999"), Ok(1_763_787_659_999));
        assert_eq!(of_text("-0.0004"), Ok(-1));
        assert_eq!(of_text("1e16"), Err(TimeError));
        assert_eq!(of_text("NaN"), Err(TimeError));
    }

    #[test]
    fn a_leap_second_belongs_to_the_minute_that_it_ends() {
        for text in [
            "2016-12-31T23:59:60Z",
            "2016-12-31T23:59:60.5Z",
            "2017-01-01T08:59:60+09:00",
            "2016-12-31T18:29:60-05:30",
        ] {
            let at = Timestamp::from_rfc3339(text).unwrap();
            assert_eq!(at.to_string(), "2016-12-31T23:59:59.999Z", "{text}");
        }
        for text in [
            "2016-12-31T11:31:60Z",
            "2016-12-30T23:59:60Z",
            "2017-01-01T23:59:60+01:00",
            "2016-12-31T23:58:60Z",
            "2016-12-31T23:59:61Z",
        ] {
            assert_eq!(Timestamp::from_rfc3339(text), Err(TimeError), "{text}");
        }
    }
}
