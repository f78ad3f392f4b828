//! Event names and the 64-bit ids derived from them.

use std::borrow::Cow;
use std::fmt;

use md5::{Digest, Md5};

/// Most bytes of a name; the width of `EventTags.tagName`.
pub const NAME_BYTES_MAX: usize = 255;

/// Most characters of a refused name that an error repeats.
const NAME_SHOWN_CHARS_MAX: usize = 40;

/// Why a text is no event name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("name is empty")]
    Empty,
    /// The text has more than [`NAME_BYTES_MAX`] bytes; with its beginning.
    #[error("name is longer than {NAME_BYTES_MAX} characters: '{0}…'")]
    TooLong(String),
    /// The first character of the text that no name has.
    #[error("name has a character that is not allowed: {0:?}")]
    Character(char),
}

/// Whether a name may have a byte, by the byte: looked up once for each byte of every event.
const ALLOWED: [bool; 256] = {
    let mut allowed = [false; 256];
    let marks = b"_-.:/@#+%~=";
    let mut at = 0;
    while at < marks.len() {
        allowed[marks[at] as usize] = true;
        at += 1;
    }
    let mut byte = 0;
    while byte < 128_u8 {
        if byte.is_ascii_alphanumeric() {
            allowed[byte as usize] = true;
        }
        byte += 1;
    }
    allowed
};

/// Whether a name may have the character `c`.
pub(crate) fn allowed_in_name(c: char) -> bool {
    u8::try_from(c).is_ok_and(|byte| ALLOWED[usize::from(byte)])
}

/// The name of an event: 1 to 255 characters out of `A–Z a–z 0–9 _ - . : / @ # + % ~ =`.
///
/// None of these characters needs escaping in JSON or in an SQL string.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventName<'a>(Cow<'a, str>);

impl<'a> EventName<'a> {
    /// The name that is all of `name`.
    ///
    /// # Errors
    /// The first reason why `name` is not a valid name.
    pub fn new(name: impl Into<Cow<'a, str>>) -> Result<Self, NameError> {
        let name = name.into();
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong(
                name.chars().take(NAME_SHOWN_CHARS_MAX).collect(),
            ));
        }
        if name.bytes().all(|byte| ALLOWED[usize::from(byte)]) {
            return Ok(Self(name));
        }
        let other = name.chars().find(|&c| !allowed_in_name(c));
        Err(other.map_or(NameError::Empty, NameError::Character))
    }

    /// The name that `text` begins with, up to the first character that no name has; `None` where that is empty or too long.
    #[must_use]
    pub fn leading(text: &'a str) -> Option<Self> {
        let is_other = |byte: &u8| !ALLOWED[usize::from(*byte)];
        let end = text.as_bytes().iter().position(is_other).unwrap_or(text.len());
        (1..=NAME_BYTES_MAX)
            .contains(&end)
            .then(|| Self(Cow::Borrowed(&text[..end])))
    }

    /// The name with a text of its own.
    #[must_use]
    pub fn into_owned(self) -> EventName<'static> {
        EventName(Cow::Owned(self.0.into_owned()))
    }

    /// The text of the name, which is ASCII.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the name; computes an MD5.
    #[must_use]
    pub fn id(&self) -> EventId {
        EventId::of(&self.0)
    }
}

impl fmt::Display for EventName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of an event's name: the first 8 bytes of its MD5, big endian.
/// In SQL: `CAST(CONV(LEFT(MD5(name),16),16,10) AS UNSIGNED)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub u64);

impl EventId {
    /// The id of a name, which need not be valid.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let digest = Md5::digest(name.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        Self(u64::from_be_bytes(first))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_are_shown_as_they_are() {
        let name = EventName::new("a.b").unwrap();
        assert_eq!(name.to_string(), "a.b");
        assert_eq!(EventId(7).to_string(), "7");
    }

    #[test]
    fn the_alphabet_is_the_designs() {
        for c in (0..=0x2ff).filter_map(char::from_u32) {
            let listed =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.:/@#+%~=".contains(c);
            assert_eq!(EventName::new(c.to_string()).is_ok(), listed, "{c:?}");
        }
    }

    #[test]
    fn what_text_begins_with_is_a_name_if_all_of_it_is() {
        let leading = |text| EventName::leading(text).map(|name| name.as_str().to_owned());
        assert_eq!(leading("a.b\",").as_deref(), Some("a.b"));
        assert_eq!(leading("a.b").as_deref(), Some("a.b"));
        assert_eq!(leading("a\u{e9}").as_deref(), Some("a"));
        assert_eq!(leading(""), None);
        assert_eq!(leading("\"a"), None);
        assert_eq!(leading(&"a".repeat(256)), None);
    }

    #[test]
    fn length_is_bounded() {
        assert_eq!(EventName::new(""), Err(NameError::Empty));
        assert!(EventName::new("a".repeat(255)).is_ok());
        assert!(matches!(
            EventName::new("a".repeat(256)),
            Err(NameError::TooLong(_))
        ));
    }

    #[test]
    fn errors_name_the_character() {
        assert_eq!(
            EventName::new("a*b").unwrap_err().to_string(),
            "name has a character that is not allowed: '*'"
        );
    }

    #[test]
    fn id_is_the_head_of_the_md5() {
        assert_eq!(EventId::of("").0, 0xd41d_8cd9_8f00_b204);
        assert_eq!(EventId::of("a").0, 0x0cc1_75b9_c0f1_b6a8);
    }
}
