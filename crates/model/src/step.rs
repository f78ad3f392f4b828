//! The steps of a series: the widths of the buckets into which minutes are downsampled, and where these buckets begin.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};

/// A text that names no step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step is not one of 1m 5m 15m 1h 6h 1d 1w 1mo")]
pub struct StepError;

/// The width of a series' downsampling buckets. All are aligned in UTC: weeks begin on Monday, months on the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// One minute, `1m`: the finest, as counts are kept.
    Minute,
    /// Five minutes, `5m`.
    FiveMinutes,
    /// 15 minutes, `15m`.
    QuarterHour,
    /// One hour, `1h`.
    Hour,
    /// Six hours, `6h`.
    SixHours,
    /// One day, `1d`.
    Day,
    /// Seven days from Monday on, `1w`.
    Week,
    /// One month of the calendar, `1mo`.
    Month,
}

/// 1970-01-05, the first Monday: a week begins a multiple of seven days from it.
const FIRST_MONDAY_UNIX_S: i64 = 4 * 86_400;

impl Step {
    /// All steps, the finest first.
    pub const ALL: [Self; 8] = [
        Self::Minute,
        Self::FiveMinutes,
        Self::QuarterHour,
        Self::Hour,
        Self::SixHours,
        Self::Day,
        Self::Week,
        Self::Month,
    ];

    /// The width in seconds; a month counts as 30 days here, though its buckets are calendar months.
    #[must_use]
    pub fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::FiveMinutes => 300,
            Self::QuarterHour => 900,
            Self::Hour => 3_600,
            Self::SixHours => 21_600,
            Self::Day => 86_400,
            Self::Week => 604_800,
            Self::Month => 2_592_000,
        }
    }

    /// The step as requests write it: `1m`, `5m`, `15m`, `1h`, `6h`, `1d`, `1w` or `1mo`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "1m",
            Self::FiveMinutes => "5m",
            Self::QuarterHour => "15m",
            Self::Hour => "1h",
            Self::SixHours => "6h",
            Self::Day => "1d",
            Self::Week => "1w",
            Self::Month => "1mo",
        }
    }

    /// The start of the bucket that contains `unix_s`, in unix seconds.
    #[must_use]
    pub fn floor(self, unix_s: i64) -> i64 {
        match self {
            Self::Month => month_start(unix_s),
            Self::Week => unix_s - (unix_s - FIRST_MONDAY_UNIX_S).rem_euclid(self.seconds()),
            _ => unix_s - unix_s.rem_euclid(self.seconds()),
        }
    }

    /// The start of the bucket after the one that contains `unix_s`, in unix seconds.
    #[must_use]
    pub fn next(self, unix_s: i64) -> i64 {
        match self {
            Self::Month => {
                let start = DateTime::<Utc>::from_timestamp(month_start(unix_s), 0).unwrap_or_default();
                start
                    .checked_add_months(Months::new(1))
                    .unwrap_or(start)
                    .timestamp()
            }
            _ => self.floor(unix_s) + self.seconds(),
        }
    }

    /// The first start of a bucket at or after `unix_s`, in unix seconds.
    #[must_use]
    pub fn ceil(self, unix_s: i64) -> i64 {
        let floor = self.floor(unix_s);
        if floor == unix_s {
            unix_s
        } else {
            self.next(unix_s)
        }
    }
}

fn month_start(unix_s: i64) -> i64 {
    let date = DateTime::<Utc>::from_timestamp(unix_s, 0)
        .unwrap_or_default()
        .date_naive();
    NaiveDate::from_ymd_opt(date.year(), date.month(), 1)
        .and_then(|d| d.and_hms_opt(0, 0, 0))
        .map_or(0, |t| t.and_utc().timestamp())
}

impl FromStr for Step {
    type Err = StepError;

    fn from_str(text: &str) -> Result<Self, StepError> {
        Self::ALL
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or(StepError)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unix_s(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp()
    }

    #[test]
    fn steps_are_read_as_they_are_written() {
        let written = ["1m", "5m", "15m", "1h", "6h", "1d", "1w", "1mo"];
        assert_eq!(Step::ALL.map(|step| step.to_string()), written);
        assert_eq!(written.map(|text| text.parse()), Step::ALL.map(Ok));
        assert!("2m".parse::<Step>().is_err());
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        let wednesday = unix_s("2026-02-18T13:45:10Z");
        assert_eq!(Step::Week.floor(wednesday), unix_s("2026-02-16T00:00:00Z"));
        assert_eq!(Step::Month.floor(wednesday), unix_s("2026-02-01T00:00:00Z"));
        assert_eq!(Step::Month.next(wednesday), unix_s("2026-03-01T00:00:00Z"));
        assert_eq!(
            Step::Month.next(unix_s("2027-12-31T23:59:59Z")),
            unix_s("2028-01-01T00:00:00Z")
        );
    }

    proptest! {
        #[test]
        fn every_instant_lies_in_one_bucket(t in 946_684_800i64..2_147_483_640, step in prop::sample::select(&Step::ALL)) {
            let (floor, next) = (step.floor(t), step.next(t));
            prop_assert!(floor <= t && t < next);
            prop_assert_eq!(step.floor(next), next);
            prop_assert_eq!(step.floor(floor), floor);
            prop_assert_eq!(step.floor(next - 1), floor);
            prop_assert_eq!(step.ceil(floor), floor);
        }
    }
}
