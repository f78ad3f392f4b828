//! UTC days, and the packed form of one name's counts in a day.

use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc};

use crate::Minute;

/// Minutes of a UTC day, which has no leap seconds here.
pub const MINUTES_PER_DAY: usize = 1_440;

const SECONDS_PER_DAY: i64 = 86_400;

/// Most minutes with events of a day that is packed as pairs. Compressed, both forms then take about the same (eight minutes: 58 bytes
/// as pairs, 48 as an array; three: 26 and 37), and SQL reads eight pairs a hundred times faster than 1,440 numbers.
pub const SPARSE_MINUTES_MAX: usize = 8;

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
    minute: i64,
}

/// Why a text holds no counts as [`DayCounts::pack`] and [`crate::Block`] write them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackedDayError {
    /// The text is written otherwise.
    #[error("not packed counts: expected {expected} at byte {at} of {length}")]
    Text {
        /// The number or punctuation that should stand there.
        expected: &'static str,
        /// The place, in bytes from the beginning.
        at: usize,
        /// The length of the text in bytes.
        length: usize,
    },
    /// A count lies in a minute that the day does not have.
    #[error("not packed counts")]
    Minute(#[from] OutsideDay),
    /// A count lies in a minute outside the years that are counted.
    #[error("counts of a minute that is none of those which are counted")]
    Time(#[from] crate::MinuteError),
}

/// The counts of one name in one day: 1,440 numbers, one for each minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayCounts(Vec<u64>);

impl Default for DayCounts {
    fn default() -> Self {
        Self(vec![0; MINUTES_PER_DAY])
    }
}

impl DayCounts {
    /// Adds to the count of a minute, which saturates. `minute` counts from the day's first.
    ///
    /// # Errors
    /// `OutsideDay` for a minute that the day does not have: its count is not added, so whoever took it from elsewhere
    /// must not go on.
    pub fn add(&mut self, minute: u16, count: u64) -> Result<(), OutsideDay> {
        let sum = self.0.get_mut(usize::from(minute)).ok_or(OutsideDay {
            minute: minute.into(),
        })?;
        *sum = sum.saturating_add(count);
        Ok(())
    }

    /// The sum of all counts, which saturates.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().copied().fold(0, u64::saturating_add)
    }

    /// The counts as JSON: `[n0,n1,…,n1439]`, or `[[minute,count],…]` where at most [`SPARSE_MINUTES_MAX`] minutes have events.
    #[must_use]
    pub fn pack(&self) -> String {
        let minutes = self.0.iter().enumerate().filter(|&(_, &count)| count > 0);
        let parts: Vec<String> = if minutes.clone().count() <= SPARSE_MINUTES_MAX {
            minutes
                .map(|(minute, count)| format!("[{minute},{count}]"))
                .collect()
        } else {
            self.0.iter().map(u64::to_string).collect()
        };
        format!("[{}]", parts.join(","))
    }

    /// Adds the counts of a day that [`Self::pack`] has written.
    ///
    /// # Errors
    /// The text is no packed day; some of its counts may have been added.
    pub fn add_packed(&mut self, text: &[u8]) -> Result<(), PackedDayError> {
        let mut added = Ok(());
        for_each_packed(text, |minute, count| {
            if added.is_ok() {
                added = self.add(minute, count);
            }
        })?;
        Ok(added?)
    }
}

/// Hands every minute with events of a packed day to `each`, in the order of time: the number of the minute, from 0, and its count.
///
/// # Errors
/// The text is no packed day; `each` may have been given some of it.
pub fn for_each_packed(text: &[u8], mut each: impl FnMut(u16, u64)) -> Result<(), PackedDayError> {
    let mut reader = Reader::new(text);
    reader.expect(b'[', "'['")?;
    if text.get(1) == Some(&b'[') {
        let mut next = 0;
        loop {
            reader.expect(b'[', "'['")?;
            let minute = u16::try_from(reader.number()?)
                .ok()
                .filter(|&minute| (next..MINUTES_PER_DAY).contains(&usize::from(minute)))
                .ok_or_else(|| reader.error("a later minute of the day"))?;
            next = usize::from(minute) + 1;
            reader.expect(b',', "','")?;
            each(minute, reader.number()?);
            reader.expect(b']', "']'")?;
            if !reader.take(b',') {
                break;
            }
        }
    } else if text != b"[]" {
        for minute in (0..).take(MINUTES_PER_DAY) {
            if minute > 0 {
                reader.expect(b',', "','")?;
            }
            match reader.number()? {
                0 => {}
                count => each(minute, count),
            }
        }
    }
    reader.expect(b']', "']'")?;
    reader.end()
}

/// A reader of packed counts: numbers and punctuation, one after the other.
pub(crate) struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Whether the next byte is `byte`; moves on only then.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let is_there = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(is_there);
        is_there
    }

    /// Moves past `byte`, which an error calls `expected`.
    pub(crate) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), PackedDayError> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(self.error(expected))
        }
    }

    /// Reads a number below 2^64.
    pub(crate) fn number(&mut self) -> Result<u64, PackedDayError> {
        const EXPECTED: &str = "a number below 2^64";
        let start = self.at;
        let mut value = 0u64;
        while let Some(digit) = self.text.get(self.at).map(|byte| byte.wrapping_sub(b'0'))
            && digit < 10
        {
            value = value
                .checked_mul(10)
                .and_then(|value| value.checked_add(digit.into()))
                .ok_or_else(|| self.error(EXPECTED))?;
            self.at += 1;
        }
        if self.at > start {
            Ok(value)
        } else {
            Err(self.error(EXPECTED))
        }
    }

    /// Makes sure that nothing is left to read.
    pub(crate) fn end(&self) -> Result<(), PackedDayError> {
        if self.at == self.text.len() {
            Ok(())
        } else {
            Err(self.error("the end"))
        }
    }

    pub(crate) fn error(&self, expected: &'static str) -> PackedDayError {
        PackedDayError::Text {
            expected,
            at: self.at,
            length: self.text.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts(minutes: &[(u16, u64)]) -> DayCounts {
        let mut day = DayCounts::default();
        for &(minute, count) in minutes {
            day.add(minute, count).unwrap();
        }
        day
    }

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
        let mut counts = DayCounts::default();
        let outside = counts.add(1_440, 5).unwrap_err();
        assert_eq!(outside.to_string(), "minute 1440 is none of the 1440 of a day");
        assert_eq!(counts.total(), 0);
    }

    #[test]
    fn few_minutes_are_pairs_and_many_an_array() {
        assert_eq!(DayCounts::default().pack(), "[]");
        assert_eq!(counts(&[(700, 1), (615, 3)]).pack(), "[[615,3],[700,1]]");
        let eight: Vec<(u16, u64)> = (0..8).map(|minute| (minute * 7, 5)).collect();
        assert!(counts(&eight).pack().starts_with("[[0,5],[7,5],"));
        let nine: Vec<(u16, u64)> = (0..9).map(|minute| (minute, 5)).collect();
        let packed = counts(&nine).pack();
        assert!(packed.starts_with("[5,5,5,5,5,5,5,5,5,0,0,"));
        assert_eq!(packed.matches(',').count(), MINUTES_PER_DAY - 1);
    }

    #[test]
    fn counts_saturate() {
        let day = counts(&[(0, u64::MAX), (0, 1), (1, 2)]);
        assert_eq!((day.0[0], day.total()), (u64::MAX, u64::MAX));
        assert_eq!(day.pack(), "[[0,18446744073709551615],[1,2]]");
    }

    #[test]
    fn what_is_no_packed_day_is_refused() {
        let dense = "0,".repeat(MINUTES_PER_DAY - 1);
        for (text, sentence) in [
            ("", "expected '[' at byte 0 of 0"),
            ("[1,2]", "expected ',' at byte 4 of 5"),
            (&format!("[{dense}0,0]"), "expected ']' at byte 2880 of 2883"),
            (&format!("[{dense}0]]"), "expected the end at byte 2881 of 2882"),
            (
                "[[0,1],[0,1]]",
                "expected a later minute of the day at byte 9 of 13",
            ),
            ("[[1440,1]]", "expected a later minute of the day at byte 6 of 10"),
            (
                "[[3,18446744073709551616]]",
                "expected a number below 2^64 at byte 23 of 26",
            ),
            ("[-1,", "expected a number below 2^64 at byte 1 of 4"),
            ("[[3]]", "expected ',' at byte 3 of 5"),
        ] {
            let error = for_each_packed(text.as_bytes(), |_, _| {}).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("not packed counts: {sentence}"),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_is_read_again(
            minutes in prop::collection::vec((0u16..1_440, 1u64..), 0..30),
            all in prop::option::of(0u64..100),
        ) {
            let mut day = counts(&minutes);
            if let Some(count) = all {
                (0..1_440).for_each(|minute| day.add(minute, count).unwrap());
            }
            let mut again = DayCounts::default();
            again.add_packed(day.pack().as_bytes()).unwrap();
            prop_assert_eq!(&again, &day);
            let mut total = 0u64;
            for_each_packed(day.pack().as_bytes(), |_, count| total = total.saturating_add(count)).unwrap();
            prop_assert_eq!(total, day.total());
        }
    }
}
