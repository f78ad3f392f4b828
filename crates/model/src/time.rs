//! Instants as the wire formats write them.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time or a number of unix seconds")]
pub struct TimeError;

/// A point in time, in whole milliseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(i64);

impl Instant {
    #[must_use]
    pub fn from_unix_ms(unix_ms: i64) -> Self {
        Self(unix_ms)
    }

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

    /// # Errors
    /// `TimeError` where `text` is not a date and time with a zone as RFC 3339 has it.
    pub fn from_rfc3339(text: &str) -> Result<Self, TimeError> {
        DateTime::parse_from_rfc3339(text)
            .map(|t| Self(t.timestamp_millis()))
            .map_err(|_| TimeError)
    }

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

impl From<std::time::SystemTime> for Instant {
    fn from(time: std::time::SystemTime) -> Self {
        Self(DateTime::<Utc>::from(time).timestamp_millis())
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::<Utc>::from_timestamp_millis(self.0).unwrap_or_default();
        f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms() {
        assert_eq!(
            Instant::from_unix_s(1_763_787_600.25).unwrap().unix_ms(),
            1_763_787_600_250
        );
        assert_eq!(
            Instant::from_rfc3339("2025-11-22T06:00:00+01:00")
                .unwrap()
                .unix_ms(),
            1_763_787_600_000
        );
        assert_eq!(Instant::from_unix_s(f64::NAN), Err(TimeError));
        assert_eq!(Instant::from_unix_s(1e300), Err(TimeError));
        assert_eq!(Instant::from_rfc3339("2025-11-22 06:00"), Err(TimeError));
    }
}
