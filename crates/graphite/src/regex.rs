//! Regular expressions over names, written as in Python.

use regex::bytes::{Regex, RegexBuilder};

use crate::error::Error;
use crate::series::shortened;

/// Most bytes of a compiled expression: a hundred times those of a long one. Matching takes time in proportion to it and to the name.
const COMPILED_BYTES_MAX: usize = 200_000;

/// A compiled expression over bytes: names are ASCII, and the letters of all languages would make every `\w` a thousand times as large.
#[derive(Debug)]
pub(crate) struct Pattern(Regex);

impl Pattern {
    /// # Errors
    /// `Regex` for what is no regular expression or too large a one, and for look-around and back-references.
    pub(crate) fn new(pattern: &str) -> Result<Self, Error> {
        let mut builder = RegexBuilder::new(pattern);
        builder
            .unicode(false)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(COMPILED_BYTES_MAX);
        builder
            .build()
            .map(Self)
            .map_err(|_| Error::Regex(pattern.chars().take(SHOWN_CHARS_MAX).collect()))
    }

    pub(crate) fn is_in(&self, name: &str) -> bool {
        self.0.is_match(name.as_bytes())
    }

    /// `name` with each match replaced; `replacement` refers to groups as `\1` or `\g<name>`.
    pub(crate) fn replaced(&self, name: &str, replacement: &str) -> String {
        let replaced = self
            .0
            .replace_all(name.as_bytes(), as_template(replacement).as_bytes());
        shortened(String::from_utf8_lossy(&replaced).into_owned())
    }
}

/// Most characters of a refused expression that the refusal repeats.
const SHOWN_CHARS_MAX: usize = 80;

/// A replacement in Python's notation as one of the crate `regex`: `\1`, `\g<name>` and `\\` become `${1}`, `${name}` and `\`; a dollar is
/// itself.
fn as_template(replacement: &str) -> String {
    let mut template = String::with_capacity(replacement.len() + 8);
    let mut rest = replacement;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c == '$' {
            template.push_str("$$");
            continue;
        }
        let digits = rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
        let named = rest.strip_prefix("g<").and_then(|name| name.split_once('>'));
        if c == '\\' && digits > 0 {
            template.push_str(&format!("${{{}}}", &rest[..digits]));
            rest = &rest[digits..];
        } else if let (true, Some((name, tail))) = (c == '\\', named) {
            template.push_str(&format!("${{{name}}}"));
            rest = tail;
        } else {
            if c == '\\' && rest.starts_with('\\') {
                rest = &rest[1..];
            }
            template.push(c);
        }
    }
    template
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn replaced(pattern: &str, replacement: &str, name: &str) -> String {
        Pattern::new(pattern).unwrap().replaced(name, replacement)
    }

    #[test]
    fn replacements_are_pythons() {
        assert_eq!(replaced("(^.*$)", r"\1 A", "shop.item.sold"), "shop.item.sold A");
        assert_eq!(
            replaced(r"^.*\.(\w+)\.(\w+)$", r"\2-\g<1>", "shop.item.sold"),
            "sold-item"
        );
        assert_eq!(
            replaced("(?P<last>[a-z]+)$", r"$1 \\ \g<last>", "a.b"),
            r"a.$1 \ b"
        );
        assert_eq!(replaced("o", "0", "foo"), "f00");
        assert_eq!(replaced(r"^(?:[\w-]{1,64}\.){1,8}", "", "shop.item.sold"), "sold");
        assert_eq!(replaced("(^.*$)", r"\1 B", "größe"), "größe B");
    }

    #[test]
    fn what_cannot_be_matched_in_linear_time_is_refused() {
        for pattern in ["(", r"(a)\1", "(?=a)", "(((a{100}){100}){100}){100}"] {
            assert!(matches!(Pattern::new(pattern), Err(Error::Regex(_))), "{pattern}");
        }
        let longer = replaced(".", &"x".repeat(200), &"a".repeat(200));
        assert!(longer.len() < 2_100);
    }

    proptest! {
        #[test]
        fn no_replacement_panics(replacement in r"[\\$g<>{}0-9é]{0,12}") {
            replaced("(a)", &replacement, "banana");
        }
    }
}
