//! The block: counts of many names in one day, written as one text.

use crate::reader::{PackedDayError, Reader};
use crate::{EventId, MINUTES_PER_DAY};

/// Most minutes without events that a run of minutes goes on over: they take less room than a new entry.
const GAP_MAX: u16 = 8;

/// Counts of one day as JSON: `[[eventId,minute,[n,…]],…]`. Each entry holds the counts of a name in a minute, numbered from the day's
/// first, and in those after it; a 0 where there was no event.
///
/// A block grows count by count, until [`Block::bytes`] tells its owner that it is long enough.
#[derive(Debug, Default)]
pub struct Block {
    text: String,
    /// The name and the minute of the count that was added last.
    last: Option<(EventId, u16)>,
}

impl Block {
    /// Adds a count; `minute` counts from the day's first. Any order is right, but only in the order of names and minutes a name's counts
    /// share an entry.
    pub fn add(&mut self, id: EventId, minute: u16, count: u64) {
        let gap = self.last.and_then(|(last, at)| {
            let gap = minute.checked_sub(at)?.checked_sub(1)?;
            (last == id && gap <= GAP_MAX).then_some(gap)
        });
        match gap {
            Some(gap) => (0..gap).for_each(|_| self.text.push_str(",0")),
            None => {
                self.text
                    .push_str(if self.last.is_some() { "]],[" } else { "[[" });
                self.number(id.0);
                self.text.push(',');
                self.number(minute.into());
                self.text.push_str(",[");
            }
        }
        self.text.push_str(if gap.is_some() { "," } else { "" });
        self.number(count);
        self.last = Some((id, minute));
    }

    /// Whether no count was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// The length of the text so far, without the brackets at its end.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// The whole text; `[]` without counts.
    #[must_use]
    pub fn into_text(mut self) -> String {
        self.text.push_str(if self.is_empty() { "[]" } else { "]]]" });
        self.text
    }

    fn number(&mut self, number: u64) {
        self.text.push_str(itoa::Buffer::new().format(number));
    }
}

/// Hands every count of a block's text that is not 0 to `each`, in the order of the text: the name's id, the number of the minute,
/// counted from the day's first, and the count.
///
/// # Errors
/// The text is no block; `each` may have been given some of it.
pub fn for_each_in_block(text: &[u8], mut each: impl FnMut(EventId, u16, u64)) -> Result<(), PackedDayError> {
    let mut reader = Reader::new(text);
    if text == b"[]" {
        return Ok(());
    }
    reader.expect(b'[', "'['")?;
    loop {
        reader.expect(b'[', "'['")?;
        let id = EventId(reader.number()?);
        reader.expect(b',', "','")?;
        let first = reader.number()?;
        reader.expect(b',', "','")?;
        reader.expect(b'[', "'['")?;
        let mut minutes = first..MINUTES_PER_DAY as u64;
        loop {
            let count = reader.number()?;
            let minute = minutes.next().and_then(|minute| u16::try_from(minute).ok());
            let minute = minute.ok_or_else(|| reader.error("a minute of the day"))?;
            if count > 0 {
                each(id, minute, count);
            }
            if !reader.take(b',') {
                break;
            }
        }
        reader.expect(b']', "']'")?;
        reader.expect(b']', "']'")?;
        if !reader.take(b',') {
            break;
        }
    }
    reader.expect(b']', "']'")?;
    reader.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn its_length_is_that_of_its_text() {
        let mut block = Block::default();
        assert_eq!(block.bytes(), 0);
        block.add(EventId(7), 5, 3);
        assert_eq!(block.bytes() + "]]]".len(), block.into_text().len());
    }

    #[test]
    fn a_colon_is_no_digit() {
        assert!(read("[[7,5,[1:]]]").is_err());
    }

    fn read(text: &str) -> Result<Vec<(u64, u16, u64)>, PackedDayError> {
        let mut counts = Vec::new();
        for_each_in_block(text.as_bytes(), |id, minute, count| {
            counts.push((id.0, minute, count))
        })?;
        Ok(counts)
    }

    fn write(counts: &[(u64, u16, u64)]) -> String {
        let mut block = Block::default();
        for &(id, minute, count) in counts {
            block.add(EventId(id), minute, count);
        }
        block.into_text()
    }

    #[test]
    fn minutes_in_a_row_share_an_entry() {
        assert_eq!(write(&[]), "[]");
        assert_eq!(write(&[(7, 0, 1)]), "[[7,0,[1]]]");
        let text = write(&[
            (7, 10, 1),
            (7, 11, 2),
            (7, 14, 3),
            (7, 100, 4),
            (8, 101, u64::MAX),
        ]);
        assert_eq!(
            text,
            "[[7,10,[1,2,0,0,3]],[7,100,[4]],[8,101,[18446744073709551615]]]"
        );
    }

    #[test]
    fn what_is_no_block_is_an_error() {
        for text in [
            "",
            "[",
            "[[7,0,[1]]",
            "[[7,0,[]]]",
            "[[7,1440,[1]]]",
            "[[7,1439,[1,1]]]",
            "[[7,0,[1]],]",
            "[[7,0,[18446744073709551616]]]",
            "[[7,0,[1]]] ",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(mut counts in prop::collection::vec((0_u64..4, 0_u16..1440, 1_u64..), 0..60), sorted: bool) {
            if sorted {
                counts.sort_unstable();
            }
            let text = write(&counts);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
            prop_assert_eq!(read(&text).unwrap(), counts);
        }
    }
}
