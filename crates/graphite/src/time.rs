//! Times and intervals as Graphite writes them (graphite-web's `attime.py`), in whole seconds.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime};

use crate::zone::Zone;

const MINUTE_S: i64 = 60;
const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 86_400;

/// Most seconds of a time since 1970, before or after it, and of an interval: three centuries, so that sums of a few never overflow.
pub(crate) const SECONDS_MAX: i64 = 10_000_000_000;

/// Most bytes of an interval: every unit once, with room to spare. Names and tags of series repeat it.
const INTERVAL_BYTES_MAX: usize = 100;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Unit {
    /// The unit that a word begins with: `mon` is a month, `min` a minute, and `m` alone is neither.
    pub(crate) fn of(text: &str) -> Option<Self> {
        const UNITS: [(&str, Unit); 7] = [
            ("s", Unit::Second),
            ("min", Unit::Minute),
            ("h", Unit::Hour),
            ("d", Unit::Day),
            ("w", Unit::Week),
            ("mon", Unit::Month),
            ("y", Unit::Year),
        ];
        UNITS
            .into_iter()
            .find(|(beginning, _)| text.starts_with(beginning))
            .map(|(_, unit)| unit)
    }

    /// Seconds of a unit; a month is 30 days here, a year 365.
    fn seconds(self) -> i64 {
        match self {
            Self::Second => 1,
            Self::Minute => MINUTE_S,
            Self::Hour => HOUR_S,
            Self::Day => DAY_S,
            Self::Week => 7 * DAY_S,
            Self::Month => 30 * DAY_S,
            Self::Year => 365 * DAY_S,
        }
    }
}

/// The unix second that `text` means at `now`: unix seconds, or a reference (`now`, `midnight`, `noon_yesterday`, `20251122`, `11/22/25`,
/// `nov22`, `monday`, `6pm_today`, `04:30_20251122`), by the clock of `zone`, and offsets from it (`-1h`, `now-1d`, `today+6h30min`). `None`
/// for anything else.
pub fn parse(text: &str, now: i64, zone: Zone) -> Option<i64> {
    let text: String = text
        .trim()
        .chars()
        .filter(|c| !matches!(c, '_' | ',' | ' '))
        .collect::<String>()
        .to_ascii_lowercase();
    if is_digits(&text) && !(text.len() == 8 && date_of_digits(&text).is_some()) {
        return text.parse().ok().filter(|s| *s <= SECONDS_MAX);
    }
    let cut = text.find('+').or_else(|| text.find('-')).unwrap_or(text.len());
    let (reference, offset) = text.split_at(cut);
    let seconds = self::reference(reference, now, zone)?.checked_add(if offset.is_empty() {
        0
    } else {
        interval(offset)?
    })?;
    (-SECONDS_MAX..=SECONDS_MAX).contains(&seconds).then_some(seconds)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn date_of_digits(text: &str) -> Option<NaiveDate> {
    let part = |range: std::ops::Range<usize>| text.get(range)?.parse::<u32>().ok();
    let year = part(0..4).filter(|year| *year > 1900)?;
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, part(4..6)?, part(6..8)?)
}

fn reference(text: &str, now: i64, zone: Zone) -> Option<i64> {
    if text.is_empty() || text == "now" {
        return Some(now);
    }
    let (hour, minute, day) = time_of_day(text)?;
    let date = self::day(day, date_in(zone, now)?)?;
    date.and_hms_opt(hour, minute, 0)
        .map(|time| zone.unix_s(time.and_utc().timestamp()))
}

/// The date by the zone's clock.
fn date_in(zone: Zone, unix_s: i64) -> Option<NaiveDate> {
    DateTime::from_timestamp(zone.local_s(unix_s), 0).map(|shown| shown.date_naive())
}

/// The hour and minute that `text` begins with, midnight without any, and the rest.
fn time_of_day(text: &str) -> Option<(u32, u32, &str)> {
    for (word, hour) in [("noon", 12), ("midnight", 0), ("teatime", 16)] {
        if let Some(rest) = text.strip_prefix(word) {
            return Some((hour, 0, rest));
        }
    }
    let colon = text.find(':').filter(|at| (1..3).contains(at));
    let (hour, minute, rest) = match colon {
        Some(at) => (
            text.get(..at)?.parse::<u32>().ok()?,
            text.get(at + 1..at + 3)?.parse::<u32>().ok()?,
            text.get(at + 3..)?,
        ),
        None => {
            let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let rest = text.get(digits..)?;
            if !(1..3).contains(&digits) || !(rest.starts_with("am") || rest.starts_with("pm")) {
                return Some((0, 0, text));
            }
            (text.get(..digits)?.parse().ok()?, 0, rest)
        }
    };
    Some(match rest.strip_prefix("pm") {
        Some(rest) => ((hour + 12) % 24, minute, rest),
        None => (hour, minute, rest.strip_prefix("am").unwrap_or(rest)),
    })
}

fn day(text: &str, today: NaiveDate) -> Option<NaiveDate> {
    match text {
        "" | "today" => return Some(today),
        "yesterday" => return today.pred_opt(),
        "tomorrow" => return today.succ_opt(),
        _ => {}
    }
    if is_digits(text) && text.len() == 8 {
        return date_of_digits(text);
    }
    let parts: Vec<&str> = text.split('/').collect();
    if let [month, day, year] = parts[..] {
        let year = match year.parse::<i32>().ok()? {
            year @ 0..70 => year + 2000,
            year @ 70..1900 => year + 1900,
            year => year,
        };
        return NaiveDate::from_ymd_opt(year, month.parse().ok()?, day.parse().ok()?);
    }
    let word = text.get(..3)?;
    if let Some(month) = MONTHS.iter().position(|name| *name == word) {
        let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
        return NaiveDate::from_ymd_opt(today.year(), u32::try_from(month + 1).ok()?, digits.parse().ok()?);
    }
    let weekday = WEEKDAYS.iter().position(|name| *name == word)?;
    let back = (7 + u64::from(today.weekday().num_days_from_monday()) - u64::try_from(weekday).ok()?) % 7;
    today.checked_sub_days(Days::new(back))
}

/// Seconds of an interval such as `1h`, `-30min` or `+1d6h`: numbers with units after one sign. `None` for anything else.
pub(crate) fn interval(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut seconds = 0i64;
    if rest.is_empty() || rest.len() > INTERVAL_BYTES_MAX {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at(letters);
        let part = number
            .parse::<i64>()
            .ok()?
            .checked_mul(Unit::of(unit)?.seconds())?;
        seconds = seconds.checked_add(part).filter(|s| *s <= SECONDS_MAX)?;
        rest = tail;
    }
    Some(sign * seconds)
}

/// The start of the `unit` that `unix_s` lies in, in unix seconds and by the zone's clock. A week begins on `weekday`, 1 for Monday to 7.
pub(crate) fn start_of(unit: Unit, weekday: u32, unix_s: i64, zone: Zone) -> Option<i64> {
    let date = date_in(zone, unix_s)?;
    let midnight = |date: NaiveDate| Some(zone.unix_s(date.and_time(NaiveTime::MIN).and_utc().timestamp()));
    match unit {
        Unit::Second => Some(unix_s),
        Unit::Minute | Unit::Hour => Some(unix_s - zone.local_s(unix_s).rem_euclid(unit.seconds())),
        Unit::Day => midnight(date),
        Unit::Week => {
            let back = (date.weekday().number_from_monday() + 7).checked_sub(weekday)? % 7;
            midnight(date.checked_sub_days(Days::new(u64::from(back)))?)
        }
        Unit::Month => midnight(date.with_day(1)?),
        Unit::Year => midnight(NaiveDate::from_ymd_opt(date.year(), 1, 1)?),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2025-11-22T05:00:30Z, a Saturday.
    const NOW: i64 = 1_763_787_630;
    const MIDNIGHT: i64 = 1_763_769_600;

    #[test]
    fn times_as_graphite_has_them() {
        for (text, unix_s) in [
            ("now", NOW),
            ("", NOW),
            ("0", 0),
            ("1763787600", 1_763_787_600),
            ("-1h", NOW - 3_600),
            ("-30min", NOW - 1_800),
            ("-1mon", NOW - 30 * DAY_S),
            ("-1y", NOW - 365 * DAY_S),
            ("now-1d", NOW - DAY_S),
            ("now - 1d6h", NOW - DAY_S - 6 * HOUR_S),
            ("-90seconds", NOW - 90),
            ("midnight", MIDNIGHT),
            ("today", MIDNIGHT),
            ("yesterday", MIDNIGHT - DAY_S),
            ("midnight+6h", MIDNIGHT + 6 * HOUR_S),
            ("noon_tomorrow", MIDNIGHT + 36 * HOUR_S),
            ("20251122", MIDNIGHT),
            ("04:30_20251122", MIDNIGHT + 4 * HOUR_S + 30 * MINUTE_S),
            ("6pm_today", MIDNIGHT + 18 * HOUR_S),
            ("6:30pm", MIDNIGHT + 18 * HOUR_S + 30 * MINUTE_S),
            ("11/21/25", MIDNIGHT - DAY_S),
            ("nov 20", MIDNIGHT - 2 * DAY_S),
            ("monday", MIDNIGHT - 5 * DAY_S),
            ("saturday", MIDNIGHT),
        ] {
            assert_eq!(parse(text, NOW, Zone::UTC), Some(unix_s), "{text}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "soon",
            "-1m",
            "-h",
            "-",
            "1h",
            "25:00",
            "99999999999",
            "13/40/25",
            "nov",
            "-99999999y",
            "é",
            "-1é",
            "1:é9",
        ] {
            assert_eq!(parse(text, NOW, Zone::UTC), None, "{text}");
        }
        assert_eq!(interval("1d"), Some(DAY_S));
        assert_eq!(interval("-1d"), Some(-DAY_S));
        for text in ["", "1", "h", "1x", "one hour"] {
            assert_eq!(interval(text), None, "{text}");
        }
    }

    #[test]
    fn times_by_another_clock() {
        // There, it is 00:00:30 of the same day.
        let zone = Zone::named("America/New_York").unwrap();
        let midnight = MIDNIGHT + 5 * HOUR_S;
        for (text, unix_s) in [
            ("now", NOW),
            ("-1d", NOW - DAY_S),
            ("today", midnight),
            ("yesterday", midnight - DAY_S),
            ("noon", midnight + 12 * HOUR_S),
            ("00:00_20251122", midnight),
            ("20250709", MIDNIGHT - 136 * DAY_S + 4 * HOUR_S),
            ("1763787600", 1_763_787_600),
        ] {
            assert_eq!(parse(text, NOW, zone), Some(unix_s), "{text}");
        }
        assert_eq!(start_of(Unit::Day, 1, midnight + 1, zone), Some(midnight));
        assert_eq!(start_of(Unit::Day, 1, midnight - 1, zone), Some(midnight - DAY_S));
        let kathmandu = Zone::named("Asia/Kathmandu").unwrap();
        assert_eq!(
            start_of(Unit::Hour, 1, MIDNIGHT, kathmandu),
            Some(MIDNIGHT - 45 * MINUTE_S)
        );
    }

    #[test]
    fn starts_of_units() {
        let start = |unit, weekday| start_of(unit, weekday, NOW, Zone::UTC).unwrap();
        assert_eq!(start(Unit::Hour, 1), NOW - 30);
        assert_eq!(start(Unit::Week, 1), MIDNIGHT - 5 * DAY_S);
        assert_eq!(start(Unit::Week, 7), MIDNIGHT - 6 * DAY_S);
        assert_eq!(start(Unit::Month, 1), MIDNIGHT - 21 * DAY_S);
        assert_eq!(start(Unit::Year, 1), MIDNIGHT - 325 * DAY_S);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,20}", now in -SECONDS_MAX..SECONDS_MAX) {
            parse(&text, now, Zone::named("America/New_York").unwrap());
            interval(&text);
        }
    }
}
