//! Reading packed counts: numbers and punctuation, one after the other.

use crate::OutsideDay;

/// Why a text holds no counts as [`crate::DayCounts::pack`] and [`crate::Block`] write them.
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

    /// The next byte, if there is one.
    pub(crate) fn next(&mut self) -> Option<u8> {
        let byte = self.text.get(self.at).copied();
        self.at += usize::from(byte.is_some());
        byte
    }

    /// The next `N` bytes, where `is_such` holds for each of them; moves on only then.
    pub(crate) fn take_all<const N: usize>(&mut self, is_such: impl Fn(u8) -> bool) -> Option<&'a [u8; N]> {
        let bytes = self.text.get(self.at..)?.first_chunk()?;
        // All are looked at, which takes less time than to stop at the first that is not.
        let are_such = bytes.iter().fold(true, |are, &byte| are & is_such(byte));
        self.at += if are_such { N } else { 0 };
        are_such.then_some(bytes)
    }

    /// Whether nothing is left to read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// Makes sure that nothing is left to read.
    pub(crate) fn end(&self) -> Result<(), PackedDayError> {
        if self.is_at_end() {
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
