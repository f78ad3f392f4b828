//! Query times: times as the parameters of `/v1` have them.

use crate::Timestamp;
use chrono::{NaiveDate, NaiveTime};

/// The instant that `text` means at `now`: unix seconds with or without a fraction, RFC 3339, a date (its UTC midnight),
/// `now`, or a time before it (`-30s`, `-90m`, `-24h`, `-7d`, `-2w`). `None` for anything else.
pub fn parse(text: &str, now: Timestamp) -> Option<Timestamp> {
    if text == "now" {
        return Some(now);
    }
    if let Some(ms) = ms_before_now(text) {
        return Some(now.plus_ms(-ms));
    }
    if let Ok(instant) = Timestamp::from_unix_text(text) {
        return Some(instant);
    }
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Some(Timestamp::from_unix_ms(
            date.and_time(NaiveTime::MIN).and_utc().timestamp_millis(),
        ));
    }
    Timestamp::from_rfc3339(text).ok()
}

/// The milliseconds before now that `text` means; `None` where it is no number of units behind a `-`.
fn ms_before_now(text: &str) -> Option<i64> {
    let text = text.strip_prefix('-')?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit_ms = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return None,
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<i64>().ok()?.checked_mul(unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_763_787_600_500;

    fn unix_ms(text: &str) -> Option<i64> {
        parse(text, Timestamp::from_unix_ms(NOW_MS)).map(Timestamp::unix_ms)
    }

    #[test]
    fn relative_times() {
        assert_eq!(unix_ms("now"), Some(NOW_MS));
        assert_eq!(unix_ms("-30s"), Some(NOW_MS - 30_000));
        assert_eq!(unix_ms("-90m"), Some(NOW_MS - 5_400_000));
        assert_eq!(unix_ms("-24h"), unix_ms("-1d"));
        assert_eq!(unix_ms("-14d"), unix_ms("-2w"));
    }

    #[test]
    fn absolute_times() {
        assert_eq!(unix_ms("1763787600"), Some(1_763_787_600_000));
        assert_eq!(unix_ms("1763787600.25"), Some(1_763_787_600_250));
        assert_eq!(unix_ms("2015-05-17"), Some(1_431_820_800_000));
        assert_eq!(unix_ms("2015-05-17T10:05:03Z"), Some(1_431_857_103_000));
        assert_eq!(unix_ms("2015-05-17T12:05:03+02:00"), Some(1_431_857_103_000));
    }

    #[test]
    fn anything_else_is_none() {
        let wrong = [
            "",
            "-",
            "-h",
            "--1h",
            "-1.5h",
            "-+1h",
            "-1mon",
            "-1é",
            "1h",
            "yesterday",
            "NaN",
            "inf",
            "1e300",
            "2015-05-32",
            "2015-05-17 10:05",
            "-9223372036854775807w",
        ];
        for text in wrong {
            assert_eq!(unix_ms(text), None, "{text}");
        }
    }
}
