//! A row of history: a name, a minute, a count.

use std::fmt;

use chrono::{NaiveDate, NaiveTime};
use model::{EVENT_COUNT_MAX, EventName, Minute, MinuteError, NameError, Timestamp, decimal};

use super::lines::LINE_BYTES_MAX;

/// Largest count of a row: it goes out as events of 10⁹ at most, and so many of them still fit into one request.
const ROW_COUNT_MAX: u64 = 1_000_000_000_000;

/// Bytes that a refusal repeats of what cannot be read.
const SHOWN_BYTES_MAX: usize = 40;

/// Digits of the largest u64.
const DIGITS_MAX: usize = 20;

/// A row, whatever format it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row<'a> {
    pub(super) name: EventName<'a>,
    pub(super) minute: Minute,
    /// The count, 0 where nothing is counted: exports write down every minute, also those without events or not yet known.
    pub(super) count: u64,
}

/// Reasons for which a row is not counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    Cut,
    Columns(usize),
    Quotes,
    Shape(String),
    Missing(&'static str),
    TwoTimes,
    NameNotText(String),
    Name(NameError),
    Time(String),
    Year(MinuteError),
    Count(String),
    /// A field that a spreadsheet has rounded, and its text.
    Rounded(&'static str, String),
    /// A number that may be read in two ways.
    Grouped(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => write!(f, "line is longer than {LINE_BYTES_MAX} bytes"),
            Self::Columns(count) => write!(
                f,
                "a row has three columns with commas between them, name, minute and count unless the first line names \
                 them in another order; this one has {count}"
            ),
            Self::Quotes => f.write_str("a quote is not closed in its line, or not right before a comma"),
            Self::Shape(complaint) => write!(f, "not a JSON object of name, minute and count: {complaint}"),
            Self::Missing(field) => write!(f, "{field} is missing"),
            Self::TwoTimes => f.write_str("minute and timestamp are the same field, and both are given"),
            Self::NameNotText(text) => write!(f, "name is not a string: {text}"),
            Self::Name(error) => error.fmt(f),
            Self::Time(text) => write!(
                f,
                "minute is not unix seconds, an RFC 3339 time or YYYY-MM-DD HH:MM[:SS] in UTC: '{text}'"
            ),
            Self::Year(error) => error.fmt(f),
            Self::Count(text) => write!(
                f,
                "count is not an integer from 0 to {ROW_COUNT_MAX}, the most of one row: '{text}'"
            ),
            Self::Rounded(field, text) => write!(
                f,
                "{field} is '{text}', which a spreadsheet has rounded: give its column a format with all digits, and save the file again"
            ),
            Self::Grouped(text) => write!(
                f,
                "count is '{text}', which may be a number with a fraction or one with its thousands apart: write whole numbers of \
                 digits alone"
            ),
        }
    }
}

impl Row<'_> {
    /// Appends the row's events as JSON lines, and returns how many there are.
    pub(super) fn write_events(&self, json: &mut Vec<u8>) -> usize {
        let mut written = 0;
        let mut left = self.count;
        while left > 0 {
            let count = left.min(EVENT_COUNT_MAX);
            json.extend_from_slice(b"{\"name\":\"");
            json.extend_from_slice(self.name.as_str().as_bytes());
            json.extend_from_slice(b"\",\"count\":");
            push_number(json, count);
            json.extend_from_slice(b",\"timestamp\":");
            push_number(json, self.minute.unix_s().unsigned_abs());
            json.extend_from_slice(b"}\n");
            written += 1;
            left -= count;
        }
        written
    }
}

/// Appends a number in decimal digits. Formatting's own machinery would take most of the time that a row takes.
fn push_number(text: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; DIGITS_MAX];
    let mut at = DIGITS_MAX;
    loop {
        at -= 1;
        digits[at] += u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 {
            break;
        }
    }
    text.extend_from_slice(&digits[at..]);
}

/// The name that a text is.
pub(super) fn name(text: &[u8]) -> Result<EventName<'_>, Refusal> {
    let text = std::str::from_utf8(text).map_err(|_| Refusal::NameNotText(shown(text)))?;
    EventName::new(text).map_err(Refusal::Name)
}

/// The minute that a text names, also by any time within it.
pub(super) fn minute(text: &[u8]) -> Result<Minute, Refusal> {
    let instant = instant(text).ok_or_else(|| Refusal::Time(shown(text)))?;
    Minute::containing(instant).map_err(Refusal::Year)
}

/// The minute in a cell that a spreadsheet may have written: what that has rounded is refused.
pub(super) fn minute_in_cell(text: &[u8]) -> Result<Minute, Refusal> {
    if is_rounded(text) {
        return Err(Refusal::Rounded("minute", shown(text)));
    }
    minute(text)
}

/// The count in a cell that a spreadsheet may have written: what that has rounded or grouped is refused.
pub(super) fn count_in_cell(text: &[u8]) -> Result<u64, Refusal> {
    if is_rounded(text) {
        return Err(Refusal::Rounded("count", shown(text)));
    }
    // Groups of three digits may be thousands, or a fraction.
    let groups: Vec<&[u8]> = text.split(|b| b".,' ".contains(b)).collect();
    let is_number = |group: &&[u8]| !group.is_empty() && group.iter().all(u8::is_ascii_digit);
    if groups.len() > 1 && groups.iter().all(is_number) && groups[1..].iter().all(|group| group.len() == 3) {
        return Err(Refusal::Grouped(shown(text)));
    }
    count(text)
}

/// Whether a number has an exponent, as `1.76379E+09`, and so has lost digits.
fn is_rounded(text: &[u8]) -> bool {
    let mut parts = text.split(|b| b"eE".contains(b));
    let is_number = |part: &[u8]| {
        part.iter().any(u8::is_ascii_digit) && part.iter().all(|b| b"0123456789.,+-".contains(b))
    };
    parts.next().is_some_and(is_number) && parts.next().is_some_and(is_number)
}

/// The count that a text is: an integer however it is written, also `3.0`; 0 for no text.
pub(super) fn count(text: &[u8]) -> Result<u64, Refusal> {
    if text.is_empty() {
        return Ok(0);
    }
    let count = integer(text).or_else(|| decimal::whole(std::str::from_utf8(text).ok()?));
    count
        .filter(|&count| count <= ROW_COUNT_MAX)
        .ok_or_else(|| Refusal::Count(shown(text)))
}

/// The instant that a text names: unix seconds, `YYYY-MM-DD HH:MM[:SS]` in UTC, or RFC 3339.
fn instant(text: &[u8]) -> Option<Timestamp> {
    if let Some(unix_s) = integer(text) {
        return Some(Timestamp::from_unix_ms(
            i64::try_from(unix_s).ok()?.checked_mul(1000)?,
        ));
    }
    utc(text).or_else(|| {
        let text = std::str::from_utf8(text).ok()?;
        Timestamp::from_rfc3339(text)
            .or_else(|_| Timestamp::from_unix_text(text))
            .ok()
    })
}

/// The instant of `YYYY-MM-DD HH:MM[:SS]`, and of the same with a `T` and a `Z`, which most RFC 3339 times are by far.
fn utc(text: &[u8]) -> Option<Timestamp> {
    let (date, rest) = text.split_at_checked(10)?;
    let (&separator, rest) = rest.split_first()?;
    let time = match separator {
        b' ' => rest.strip_suffix(b"Z").unwrap_or(rest),
        b'T' => rest.strip_suffix(b"Z")?,
        _ => return None,
    };
    let two = |text: &[u8]| integer(text).and_then(|n| u32::try_from(n).ok());
    let (&[b'-', m1, m2, b'-', d1, d2], year) = (date.last_chunk::<6>()?, date.first_chunk::<4>()?) else {
        return None;
    };
    let (hours, minutes, seconds): ([u8; 2], [u8; 2], [u8; 2]) = match *time {
        [h1, h2, b':', m1, m2] => ([h1, h2], [m1, m2], *b"00"),
        [h1, h2, b':', m1, m2, b':', s1, s2] => ([h1, h2], [m1, m2], [s1, s2]),
        _ => return None,
    };
    let year = i32::try_from(two(year)?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, two(&[m1, m2])?, two(&[d1, d2])?)?;
    // A second of 60 is the end of the one before; whether there can be one, the instant decides.
    let (seconds, ms) = match two(&seconds)? {
        60 => (59, 1_000),
        seconds => (seconds, 0),
    };
    let time = date.and_time(NaiveTime::from_hms_milli_opt(
        two(&hours)?,
        two(&minutes)?,
        seconds,
        ms,
    )?);
    Timestamp::from_calendar(time.and_utc().fixed_offset()).ok()
}

/// The number of a text of decimal digits; `None` also where it does not fit into 64 bits.
fn integer(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, &b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// The beginning of a text as a refusal repeats it.
pub(super) fn shown(text: &[u8]) -> String {
    text[..text.len().min(SHOWN_BYTES_MAX)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unix_s(text: &str) -> Result<i64, String> {
        minute(text.as_bytes())
            .map(Minute::unix_s)
            .map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn a_minute_in_all_its_forms() {
        for text in [
            "1763787600",
            "1763787659",
            "1763787659.99",
            "2025-11-22T05:00:00Z",
            "2025-11-22T05:00:59.9Z",
            "2025-11-22T06:00:00+01:00",
            "2025-11-22t05:00:00z",
            "2025-11-22T05:00Z",
            "2025-11-22 05:00",
            "2025-11-22 05:00:59",
            "2025-11-22 05:00:00Z",
        ] {
            assert_eq!(unix_s(text), Ok(1_763_787_600), "{text}");
        }
    }

    #[test]
    fn what_is_no_minute_is_refused_with_its_text() {
        for text in [
            "",
            "yesterday",
            "2025-11-22",
            "2025-11-22T05:00:00",
            "2025-02-30 05:00",
            "2025-11-22 24:00",
            "2025-11-22 5:00",
            "inf",
            "NaN",
            "1763787600s",
            "99999999999999999999",
            "2025-11-22 05:00\u{e9}",
        ] {
            let reason = unix_s(text).unwrap_err();
            assert!(
                reason.starts_with("minute is not unix seconds"),
                "{text}: {reason}"
            );
        }
        assert_eq!(
            unix_s("946684799"),
            Err("time is before 2000-01-01T00:00:00Z".to_owned())
        );
        assert_eq!(
            unix_s("-60"),
            Err("time is before 2000-01-01T00:00:00Z".to_owned())
        );
        assert_eq!(
            unix_s("2038-01-19 03:15"),
            Err("time is after 2038-01-19T03:14:00Z".to_owned())
        );
    }

    #[test]
    fn counts_are_whole_and_not_negative() {
        for (text, expected) in [
            ("", 0),
            ("0", 0),
            ("25", 25),
            ("025", 25),
            ("25.0", 25),
            ("2e3", 2_000),
        ] {
            assert_eq!(count(text.as_bytes()), Ok(expected), "{text}");
        }
        assert_eq!(count(b"1000000000000"), Ok(ROW_COUNT_MAX));
        for text in [
            "-1",
            "1.5",
            "1000000000001",
            "36893488147419103230",
            "x",
            "null",
            "0x10",
            "1,000",
            "inf",
        ] {
            let reason = count(text.as_bytes()).unwrap_err().to_string();
            let sentence =
                format!("count is not an integer from 0 to 1000000000000, the most of one row: '{text}'");
            assert_eq!(reason, sentence);
        }
    }

    #[test]
    fn what_a_spreadsheet_has_made_of_a_number_is_refused() {
        for text in ["1.76379E+09", "1,76379E+09", "1e9"] {
            let reason = minute_in_cell(text.as_bytes()).unwrap_err().to_string();
            assert!(
                reason.contains("which a spreadsheet has rounded"),
                "{text}: {reason}"
            );
        }
        assert!(
            count_in_cell(b"1.2E+04")
                .unwrap_err()
                .to_string()
                .contains("rounded")
        );
        for text in ["12.000", "12,000", "1.000.000", "1'000", "12 000"] {
            let reason = count_in_cell(text.as_bytes()).unwrap_err().to_string();
            assert!(reason.contains("its thousands apart"), "{text}: {reason}");
        }
        for (text, expected) in [("12", 12), ("12.0", 12), ("12.00", 12), ("", 0)] {
            assert_eq!(count_in_cell(text.as_bytes()), Ok(expected), "{text}");
        }
        for text in ["1,5", "12.5", "-1", "e", "1e"] {
            assert!(
                matches!(count_in_cell(text.as_bytes()), Err(Refusal::Count(_))),
                "{text}"
            );
        }
        assert!(minute_in_cell(b"2025-11-22 05:00").is_ok());
    }

    #[test]
    fn nothing_is_rounded() {
        assert!(count(b"3.0000000000000001").is_err());
        assert_eq!(unix_s("1763787659.99999999999999"), Ok(1_763_787_600));
    }

    #[test]
    fn a_leap_second_counts_in_the_minute_that_it_ends() {
        for text in [
            "2016-12-31T23:59:60Z",
            "2016-12-31 23:59:60",
            "2016-12-31 23:59:60Z",
            "2017-01-01T00:59:60+01:00",
        ] {
            assert_eq!(unix_s(text), Ok(1_483_228_740), "{text}");
        }
        for text in [
            "2016-12-31T11:31:60Z",
            "2016-12-31 11:31:60",
            "2016-12-30 23:59:60",
            "2016-12-31 23:59:61",
        ] {
            assert!(unix_s(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_large_count_is_several_events() {
        let row = |count| Row {
            name: EventName::new("a").unwrap(),
            minute: Minute::from_unix_s(1_763_787_600).unwrap(),
            count,
        };
        let mut json = Vec::new();
        assert_eq!(row(2_500_000_000).write_events(&mut json), 3);
        let expected = "\
            {\"name\":\"a\",\"count\":1000000000,\"timestamp\":1763787600}\n\
            {\"name\":\"a\",\"count\":1000000000,\"timestamp\":1763787600}\n\
            {\"name\":\"a\",\"count\":500000000,\"timestamp\":1763787600}\n";
        assert_eq!(String::from_utf8(json).unwrap(), expected);
        assert_eq!(row(0).write_events(&mut Vec::new()), 0);
        assert_eq!(row(ROW_COUNT_MAX).write_events(&mut Vec::new()), 1_000);
    }

    proptest! {
        #[test]
        fn every_way_to_write_a_time_is_the_same_minute(ms in 946_684_800_000_i64..2_147_483_640_000) {
            let at = chrono::DateTime::from_timestamp_millis(ms).unwrap();
            let expected = Minute::containing(Timestamp::from_unix_ms(ms)).unwrap();
            for text in [
                (ms / 1000).to_string(),
                at.to_rfc3339(),
                at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
                at.with_timezone(&chrono::FixedOffset::east_opt(20_700).unwrap()).to_rfc3339(),
                at.format("%F %T").to_string(),
                at.format("%F %H:%M").to_string(),
            ] {
                prop_assert_eq!(minute(text.as_bytes()), Ok(expected), "{}", text);
            }
        }

        #[test]
        fn a_row_is_events_that_sum_to_it(total in 0..=ROW_COUNT_MAX, unix_s in 946_684_800_i64..2_147_483_640) {
            let minute = Minute::containing(Timestamp::from_unix_ms(unix_s * 1000)).unwrap();
            let row = Row { name: EventName::new("shop.item.sold").unwrap(), minute, count: total };
            let mut json = Vec::new();
            let written = row.write_events(&mut json);
            let events: Vec<serde_json::Value> =
                json.split(|&b| b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect();
            prop_assert_eq!(events.len(), written);
            prop_assert!(events.iter().all(|event| event["timestamp"] == minute.unix_s() && event["name"] == "shop.item.sold"));
            let counts = events.iter().map(|event| event["count"].as_u64().unwrap());
            prop_assert!(counts.clone().all(|n| (1..=EVENT_COUNT_MAX).contains(&n)));
            prop_assert_eq!(counts.sum::<u64>(), total);
        }

        #[test]
        fn no_bytes_panic(text in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert!(minute(&text).is_ok() || minute(&text).is_err());
            prop_assert!(count(&text).is_ok() || count(&text).is_err());
        }
    }
}
