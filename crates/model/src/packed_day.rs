//! The packed day: one name's counts in a day, written as one text.

use crate::reader::{PackedDayError, Reader};
use crate::{MINUTES_PER_DAY, OutsideDay};

/// Most minutes with events of a day that is packed as pairs. Compressed, eight pairs take 58 bytes and their digits some 40, but SQL reads
/// eight pairs a hundred times faster than 1,440 digits, and three take 26 bytes either way.
pub const SPARSE_MINUTES_MAX: usize = 8;

/// The number of the form in which [`DayCounts::pack`] writes. The first was all numbers and pairs, without digits.
pub const PACKED_FORM: u8 = 2;

/// The base of the digits: as many characters as there are from `#` to `~`, which are all of ASCII that can be seen but the first two. With
/// fewer, usual counts would need a second digit.
const BASE: u64 = 92;

/// The digit 0; the digit `d` is `d` characters later.
const ZERO: u8 = b'#';

/// Most digits of a count: analysts' views read so many.
const DIGITS_MAX: u32 = 4;

/// Digits that are read at once where none of them is escaped, by instructions for many bytes; a part of a day.
const DIGITS_AT_ONCE: usize = 32;

const _: () = assert!(MINUTES_PER_DAY.is_multiple_of(DIGITS_AT_ONCE));

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

    /// The counts as text, which is one of
    ///
    /// - `[[minute,count],…]`, where at most [`SPARSE_MINUTES_MAX`] minutes have events;
    /// - `least,"…"` for other days: the least of all counts, and a character for each minute that says how much more its count is, from `#`
    ///   for 0 to `~` for 91. If one is more, the digits to the base 92: `least,"…","…"` has each minute's last digit in the first string,
    ///   the one before it in the second, and so on. Within brackets that is JSON, so `\` is written twice;
    /// - `[n0,…,n1439]`, where a count is more than four digits above the least.
    ///
    /// Digits of one kind compress to nearly the entropy of the counts.
    #[must_use]
    pub fn pack(&self) -> String {
        let minutes = self.0.iter().enumerate().filter(|&(_, &count)| count > 0);
        if minutes.clone().count() <= SPARSE_MINUTES_MAX {
            return array(minutes.map(|(minute, count)| format!("[{minute},{count}]")));
        }
        let least = self.0.iter().copied().min().unwrap_or(0);
        let above: Vec<u64> = self.0.iter().map(|count| count - least).collect();
        match above.iter().max() {
            Some(&most) if most >= BASE.pow(DIGITS_MAX) => array(self.0.iter().map(u64::to_string)),
            _ => digits(least, above),
        }
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

/// Whether a packed day is of an earlier version, which wrote as an array of numbers what [`DayCounts::pack`] writes as digits.
#[must_use]
pub fn may_be_packed_anew(text: &[u8]) -> bool {
    text.first() == Some(&b'[') && text.get(1) != Some(&b'[') && text != b"[]"
}

fn array(parts: impl Iterator<Item = String>) -> String {
    format!("[{}]", parts.collect::<Vec<_>>().join(","))
}

/// The form of digits, of counts that are `least` and what `above` has.
fn digits(least: u64, mut above: Vec<u64>) -> String {
    let mut text = least.to_string();
    loop {
        text.push_str(",\"");
        for count in &mut above {
            let digit = u8::try_from(*count % BASE).map_or('~', |digit| char::from(ZERO + digit));
            *count /= BASE;
            text.push_str(if digit == '\\' { "\\" } else { "" });
            text.push(digit);
        }
        text.push('"');
        if above.iter().all(|&count| count == 0) {
            return text;
        }
    }
}

/// Hands every minute with events of a packed day to `each`, in the order of time: the number of the minute, from 0, and its count.
///
/// # Errors
/// The text is no packed day; `each` may have been given some of it.
pub fn for_each_packed(text: &[u8], each: impl FnMut(u16, u64)) -> Result<(), PackedDayError> {
    let mut reader = Reader::new(text);
    if text == b"[]" {
        return Ok(());
    }
    match text.get(..2) {
        Some(b"[[") => read_pairs(&mut reader, each)?,
        Some([b'[', _]) => read_numbers(&mut reader, each)?,
        _ => read_digits(&mut reader, each)?,
    }
    reader.end()
}

fn read_pairs(reader: &mut Reader<'_>, mut each: impl FnMut(u16, u64)) -> Result<(), PackedDayError> {
    reader.expect(b'[', "'['")?;
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
            return reader.expect(b']', "']'");
        }
    }
}

fn read_numbers(reader: &mut Reader<'_>, mut each: impl FnMut(u16, u64)) -> Result<(), PackedDayError> {
    reader.expect(b'[', "'['")?;
    for minute in (0..).take(MINUTES_PER_DAY) {
        if minute > 0 {
            reader.expect(b',', "','")?;
        }
        match reader.number()? {
            0 => {}
            count => each(minute, count),
        }
    }
    reader.expect(b']', "']'")
}

/// Whether a byte is a digit that is not escaped.
fn is_plain_digit(byte: u8) -> bool {
    u64::from(byte.wrapping_sub(ZERO)) < BASE && byte != b'\\'
}

/// Reads a digit of each of `counts`, some of which may be escaped, and adds it at its place.
fn add_digits(reader: &mut Reader<'_>, counts: &mut [u64], place: u64) -> Result<(), PackedDayError> {
    for count in counts {
        let digit = reader.next().and_then(|byte| byte.checked_sub(ZERO));
        let is_escaped = digit != Some(b'\\' - ZERO) || reader.take(b'\\');
        *count = digit
            .filter(|&digit| is_escaped && u64::from(digit) < BASE)
            .and_then(|digit| count.checked_add(u64::from(digit) * place))
            .ok_or_else(|| reader.error("a digit of a count below 2^64"))?;
    }
    Ok(())
}

fn read_digits(reader: &mut Reader<'_>, mut each: impl FnMut(u16, u64)) -> Result<(), PackedDayError> {
    let least = reader.number()?;
    let may_overflow = least > u64::MAX - BASE.pow(DIGITS_MAX);
    let mut counts = [least; MINUTES_PER_DAY];
    for position in 0..DIGITS_MAX {
        reader.expect(b',', "','")?;
        reader.expect(b'"', "'\"'")?;
        let place = BASE.pow(position);
        for counts in counts.as_chunks_mut::<DIGITS_AT_ONCE>().0 {
            if !may_overflow && let Some(digits) = reader.take_all::<DIGITS_AT_ONCE>(is_plain_digit) {
                for (count, digit) in counts.iter_mut().zip(digits) {
                    *count += u64::from(digit - ZERO) * place;
                }
            } else {
                add_digits(reader, counts, place)?;
            }
        }
        reader.expect(b'"', "'\"'")?;
        if reader.is_at_end() {
            break;
        }
    }
    for (minute, &count) in (0..).zip(&counts) {
        if count > 0 {
            each(minute, count);
        }
    }
    Ok(())
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

    fn all(count: impl Fn(u16) -> u64) -> DayCounts {
        counts(
            &(0..1_440)
                .map(|minute| (minute, count(minute)))
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn a_minute_outside_the_day_is_not_added() {
        let mut counts = DayCounts::default();
        let outside = counts.add(1_440, 5).unwrap_err();
        assert_eq!(outside.to_string(), "minute 1440 is none of the 1440 of a day");
        assert_eq!(counts.total(), 0);
    }

    #[test]
    fn few_minutes_are_pairs_and_many_digits() {
        assert_eq!(DayCounts::default().pack(), "[]");
        assert_eq!(counts(&[(700, 1), (615, 3)]).pack(), "[[615,3],[700,1]]");
        let eight: Vec<(u16, u64)> = (0..8).map(|minute| (minute * 7, 5)).collect();
        assert!(counts(&eight).pack().starts_with("[[0,5],[7,5],"));
        let nine: Vec<(u16, u64)> = (0..9).map(|minute| (minute, 5)).collect();
        let packed = counts(&nine).pack();
        assert_eq!(
            packed,
            format!("0,\"((((((((({}\"", "#".repeat(MINUTES_PER_DAY - 9))
        );
    }

    #[test]
    fn only_minutes_that_have_counts_are_given() {
        let day = all(|minute| u64::from(minute % 2));
        let mut minutes = Vec::new();
        for_each_packed(day.pack().as_bytes(), |minute, count| {
            minutes.push((minute, count))
        })
        .unwrap();
        let odd: Vec<(u16, u64)> = (0..720).map(|half| (2 * half + 1, 1)).collect();
        assert_eq!(minutes, odd);
        // The first byte that is no digit.
        let beyond = day.pack().replacen('$', "\u{7f}", 1);
        assert!(for_each_packed(beyond.as_bytes(), |_, _| {}).is_err());
    }

    #[test]
    fn digits_are_those_of_what_is_above_the_least() {
        let line = |digit: &str| digit.repeat(MINUTES_PER_DAY);
        assert_eq!(all(|_| 60).pack(), format!("60,\"{}\"", line("#")));
        assert_eq!(
            all(|minute| 1_000 + 91 * u64::from(minute % 2)).pack(),
            format!("1000,\"{}\"", "#~".repeat(MINUTES_PER_DAY / 2))
        );
        let last = |count| all(|minute| if minute == 1_439 { count } else { 0 }).pack();
        assert_eq!(last(0), "[]");
        let high = |count| all(|minute| if minute == 1_439 { count } else { 7 }).pack();
        let zeros = "#".repeat(MINUTES_PER_DAY - 1);
        assert_eq!(high(7 + 57), format!("7,\"{zeros}\\\\\""));
        assert_eq!(high(7 + 92 * 2 + 1), format!("7,\"{zeros}$\",\"{zeros}%\""));
        let most = 92u64.pow(4) - 1;
        assert_eq!(high(7 + most).matches('~').count(), 4);
        assert!(high(8 + most).starts_with("[7,7,"));
        assert_eq!(
            all(|_| u64::MAX).pack(),
            format!("18446744073709551615,\"{}\"", line("#"))
        );
    }

    #[test]
    fn what_earlier_versions_wrote_is_read_and_known() {
        let text = format!("[{}3]", "25,".repeat(MINUTES_PER_DAY - 1));
        let mut day = DayCounts::default();
        day.add_packed(text.as_bytes()).unwrap();
        assert_eq!(day, all(|minute| if minute == 1_439 { 3 } else { 25 }));
        assert!(may_be_packed_anew(text.as_bytes()));
        for text in [day.pack().as_str(), "[]", "[[3,4]]"] {
            assert!(!may_be_packed_anew(text.as_bytes()), "{text}");
        }
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
        let hashes = "#".repeat(MINUTES_PER_DAY - 1);
        for (text, sentence) in [
            ("", "expected a number below 2^64 at byte 0 of 0"),
            (
                &format!("0,\"{hashes}\""),
                "expected a digit of a count below 2^64 at byte 1443 of 1443",
            ),
            (
                &format!("0,\"{hashes}\\#\""),
                "expected a digit of a count below 2^64 at byte 1443 of 1445",
            ),
            (&format!("0,\"{hashes}##\""), "expected '\"' at byte 1443 of 1445"),
            (
                &format!("18446744073709551615,\"{hashes}$\""),
                "expected a digit of a count below 2^64 at byte 1462 of 1463",
            ),
            (
                &format!("0{}", format!(",\"{hashes}#\"").repeat(5)),
                "expected the end at byte 5773 of 7216",
            ),
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
            all in prop::option::of((0u64.., 1u64..1 << 40)),
        ) {
            let mut day = counts(&minutes);
            if let Some((least, spread)) = all {
                (0..1_440).for_each(|minute| day.add(minute, least.saturating_add(u64::from(minute) * 7_919 % spread)).unwrap());
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
