//! The text of very many numbers and times, without formatting machinery: an answer has half a million of them.

use chrono::{DateTime, Utc};
use model::Day;

/// Unix seconds as decimal text. What follow each other differ in their last digits alone.
#[derive(Default)]
pub(crate) struct UnixSeconds {
    /// The thousands, and their text.
    thousands: Option<(i64, String)>,
}

/// Times of UTC as `2025-11-22T05:00:00Z`. Those of a day have its date in common.
#[derive(Default)]
pub(crate) struct UtcSeconds {
    /// The day, and its date.
    day: Option<(Day, String)>,
}

impl UnixSeconds {
    pub(crate) fn push(&mut self, text: &mut String, unix_s: i64) {
        let (thousands, rest) = (unix_s.div_euclid(1_000), unix_s.rem_euclid(1_000));
        if thousands <= 0 {
            text.push_str(itoa::Buffer::new().format(unix_s));
            return;
        }
        if self
            .thousands
            .as_ref()
            .is_none_or(|(known, _)| *known != thousands)
        {
            self.thousands = Some((thousands, thousands.to_string()));
        }
        text.push_str(self.thousands.as_ref().map_or("", |(_, head)| head));
        text.push(digit(rest / 100));
        text.push(digit(rest / 10));
        text.push(digit(rest));
    }
}

impl UtcSeconds {
    pub(crate) fn push(&mut self, text: &mut String, unix_s: i64) {
        let day = Day::containing(unix_s);
        if self.day.as_ref().is_none_or(|(known, _)| *known != day) {
            self.day = Some((day, date(unix_s)));
        }
        text.push_str(self.day.as_ref().map_or("", |(_, date)| date));
        let second = unix_s - day.unix_s();
        for (number, behind) in [(second / 3_600, ':'), (second / 60 % 60, ':'), (second % 60, 'Z')] {
            text.push(digit(number / 10));
            text.push(digit(number));
            text.push(behind);
        }
    }
}

/// Appends a count.
pub(crate) fn push_count(text: &mut String, count: u128) {
    let mut digits = itoa::Buffer::new();
    // Numbers of 64 bits take a fraction of the time, and nearly all are.
    text.push_str(match u64::try_from(count) {
        Ok(count) => digits.format(count),
        Err(_) => digits.format(count),
    });
}

fn date(unix_s: i64) -> String {
    let time = DateTime::<Utc>::from_timestamp(unix_s, 0).unwrap_or_default();
    time.format("%Y-%m-%dT").to_string()
}

/// The last digit of a number that is not negative.
fn digit(number: i64) -> char {
    char::from(b'0' + u8::try_from(number % 10).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use chrono::SecondsFormat;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_are_those_of_the_libraries(times in prop::collection::vec(0i64..4_000_000_000, 1..20), count in any::<u128>()) {
            let (mut unix, mut utc) = (UnixSeconds::default(), UtcSeconds::default());
            for at in times.into_iter().flat_map(|at| [at, at + 60, at + 3_600, at / 1_000_000]) {
                let mut text = String::new();
                unix.push(&mut text, at);
                prop_assert_eq!(&text, &at.to_string());
                text.clear();
                utc.push(&mut text, at);
                let time = DateTime::<Utc>::from_timestamp(at, 0).unwrap();
                prop_assert_eq!(&text, &time.to_rfc3339_opts(SecondsFormat::Secs, true));
            }
            for count in [count, count >> 64, count >> 100] {
                let mut text = String::new();
                push_count(&mut text, count);
                prop_assert_eq!(text, count.to_string());
            }
        }
    }
}
