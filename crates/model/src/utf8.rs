//! Byte order marks, with which some programs begin a text.

/// The byte order mark of UTF-8: spreadsheets and editors write it, and it says nothing. Files that were put together have it in the
/// middle, too.
pub const MARK: char = '\u{feff}';

const MARK_BYTES: &[u8] = "\u{feff}".as_bytes();

/// The text without the byte order marks that it begins with.
#[must_use]
pub fn without_mark(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_prefix(MARK_BYTES) {
        text = rest;
    }
    text
}

/// Whether the text begins with UTF-16's byte order mark, of either order, as no UTF-8 does.
#[must_use]
pub fn is_utf16(text: &[u8]) -> bool {
    text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_say_nothing() {
        assert_eq!(
            without_mark("\u{feff}\u{feff}a\u{feff}".as_bytes()),
            "a\u{feff}".as_bytes()
        );
        assert_eq!(without_mark(b"a"), b"a");
        assert!(is_utf16(b"\xff\xfea\0") && is_utf16(b"\xfe\xff\0a"));
        assert!(!is_utf16("\u{feff}a".as_bytes()) && !is_utf16(b""));
    }
}
