//! Globs over event names, by which dashboards and searches choose series.

mod matcher;
mod parse;
mod within;

pub use self::matcher::Matcher;

/// Most tokens of one pattern, its alternatives multiplied out: a thousand times what a graph asks for, and 4 kB.
const TOKENS_MAX: usize = 2_000;

/// Most bytes of one pattern. It may be longer than a name: dashboards write each of the values that somebody chose as an alternative.
const PATTERN_BYTES_MAX: usize = 4_096;

/// Most different sets of characters in one pattern: a token has one byte for the number of its set.
const SETS_MAX: usize = 256;

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// The text is empty.
    #[error("pattern is empty")]
    Empty,
    /// The text is too long.
    #[error("pattern is longer than {PATTERN_BYTES_MAX} characters")]
    TooLong,
    /// A `[` or `{` has no end.
    #[error("pattern has an opening '{0}' without its end")]
    Unclosed(char),
    /// The first character that no name and no wildcard has.
    #[error("pattern has a character that no name has: {0:?}")]
    Character(char),
    /// A set such as `[]` or `[z-a]` has no character.
    #[error("pattern has a set of characters that is empty")]
    EmptySet,
    /// There are too many sets that differ.
    #[error("pattern has more than {SETS_MAX} different sets of characters")]
    TooManySets,
    /// The alternatives multiply to too many tokens.
    #[error(
        "pattern has more than {TOKENS_MAX} characters, its alternatives multiplied out: use fewer alternatives"
    )]
    TooManyTokens,
}

/// A pattern over whole names: `*` any run within one dot-separated part, `**` any run across dots, `?` one character other than a dot,
/// `[a-z]` one of a set, `{a,b}` alternatives (not nested).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    /// The alternatives, one after the other, each with its end. None is empty, as no name is; none has two runs side by side.
    tokens: Box<[Token]>,
    /// The different sets of characters of the pattern.
    sets: Box<[Set]>,
    /// The pattern itself where it has no wildcard.
    literal: Option<Box<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Token {
    /// The byte itself.
    Literal(u8),
    /// One character other than a dot.
    One,
    /// One character of a set, by the number of the set in the pattern.
    Set(u8),
    /// Any characters, or none.
    Run { across_dots: bool },
    /// The end of an alternative.
    End,
}

/// A set of characters: a bit for each of ASCII.
type Set = u128;

impl Glob {
    /// The pattern that `pattern` writes.
    ///
    /// # Errors
    /// The first reason why `pattern` is no pattern over names.
    pub fn new(pattern: &str) -> Result<Self, GlobError> {
        if pattern.is_empty() {
            return Err(GlobError::Empty);
        }
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(GlobError::TooLong);
        }
        let (tokens, sets) = parse::parse(pattern)?;
        let literal = (!pattern.contains(['*', '?', '[', '{'])).then(|| pattern.into());
        Ok(Self {
            tokens: tokens.into(),
            sets: sets.into(),
            literal,
        })
    }

    /// The pattern to search by: as [`Glob::new`], but `*` runs across dots, so that `shop.*` finds all below `shop`.
    ///
    /// # Errors
    /// As [`Glob::new`].
    pub fn for_search(pattern: &str) -> Result<Self, GlobError> {
        let mut glob = Self::new(pattern)?;
        for token in &mut glob.tokens {
            if let Token::Run { across_dots } = token {
                *across_dots = true;
            }
        }
        Ok(glob)
    }

    /// The name itself where the pattern has no wildcard.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        self.literal.as_deref()
    }

    /// Whether no name can match, as with `{,}`.
    #[must_use]
    pub fn matches_nothing(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The number of tokens, alternatives multiplied out: the measure of what the pattern costs to hold and to match.
    #[must_use]
    pub fn token_count(&self) -> usize {
        self.tokens.len()
    }

    /// The longest text that every matching name begins with; may be empty.
    #[must_use]
    pub fn prefix(&self) -> String {
        let head = |alternative: &[Token]| -> String {
            let literals = alternative.iter().map_while(|token| match token {
                Token::Literal(byte) => Some(char::from(*byte)),
                _ => None,
            });
            literals.collect()
        };
        let mut heads = self
            .tokens
            .split_inclusive(|&token| token == Token::End)
            .map(head);
        let first = heads.next().unwrap_or_default();
        let shared = heads.fold(first.len(), |shared, head| {
            first
                .bytes()
                .zip(head.bytes())
                .take(shared)
                .take_while(|(a, b)| a == b)
                .count()
        });
        first[..shared].to_owned()
    }

    /// The texts to look for in a list of names before matching, one for each alternative: the longest piece that all of its names have.
    /// Each name of the list stands between two of `separator`, so a piece at a name's end includes the separator. `None` where an
    /// alternative has no piece, so that any name may match.
    #[must_use]
    pub fn needles(&self, separator: char) -> Option<Vec<String>> {
        let mut needles = Vec::new();
        let (mut longest, mut piece) = (String::new(), String::from(separator));
        for &token in &self.tokens {
            match token {
                Token::Literal(byte) => piece.push(char::from(byte)),
                Token::End => piece.push(separator),
                Token::One | Token::Set(_) | Token::Run { .. } => {}
            }
            if matches!(token, Token::Literal(_)) {
                continue;
            }
            let found = std::mem::take(&mut piece);
            if found.len() > longest.len() && !found.trim_matches(separator).is_empty() {
                longest = found;
            }
            if token == Token::End {
                if longest.is_empty() {
                    return None;
                }
                needles.push(std::mem::take(&mut longest));
                piece.push(separator);
            }
        }
        Some(needles)
    }

    /// The pattern of those names that this one matches and that begin with any of `prefixes`.
    #[must_use]
    pub fn beginning_with(&self, prefixes: &[String]) -> Self {
        let is_within = |literal: &str| prefixes.iter().any(|prefix| literal.starts_with(prefix.as_str()));
        if self.literal().is_some_and(is_within) {
            return self.clone();
        }
        Self {
            tokens: within::beginning_with(&self.tokens, &self.sets, prefixes).into(),
            sets: self.sets.clone(),
            literal: None,
        }
    }

    /// A matcher, to match many names with.
    #[must_use]
    pub fn matcher(&self) -> Matcher {
        Matcher::new(&self.tokens, &self.sets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_is_shared_by_all_alternatives() {
        for (pattern, prefix) in [
            ("web.{status,st}.*", "web.st"),
            ("web.{status,}", "web."),
            ("{,}", ""),
            ("{,shop.item}", "shop.item"),
            ("{a,b}", ""),
            ("*", ""),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().prefix(), prefix, "{pattern}");
        }
    }

    #[test]
    fn needles_are_the_longest_pieces() {
        for (pattern, needles) in [
            ("shop.*", Some(vec!["|shop."])),
            ("*.item.s*", Some(vec![".item.s"])),
            ("*sold", Some(vec!["sold|"])),
            ("a", Some(vec!["|a|"])),
            ("a?bcd*", Some(vec!["bcd"])),
            ("{web,shop}.*", Some(vec!["|shop.", "|web."])),
            ("{*,shop}", None),
            ("**", None),
            ("?[ab]*", None),
            ("{,}", Some(vec![])),
        ] {
            let found = Glob::new(pattern).unwrap().needles('|');
            let needles = needles.map(|all| all.into_iter().map(str::to_owned).collect());
            assert_eq!(found, needles, "{pattern}");
        }
    }

    #[test]
    fn a_literal_has_no_wildcard() {
        assert_eq!(Glob::new("a.b").unwrap().literal(), Some("a.b"));
        assert_eq!(Glob::new("a.*").unwrap().literal(), None);
    }

    #[test]
    fn equal_and_empty_alternatives_cost_nothing() {
        let nothing = Glob::new(&"{,}".repeat(80)).unwrap();
        assert!(nothing.matches_nothing());
        let some = Glob::new(&format!("{}a", "{,}{b,b,b}".repeat(20))).unwrap();
        assert_eq!(some.token_count(), 22);
        assert!(!some.matches_nothing());
    }

    #[test]
    fn bad_patterns_are_refused() {
        for (pattern, error) in [
            ("a{b", GlobError::Unclosed('{')),
            ("a[b", GlobError::Unclosed('[')),
            ("a'b", GlobError::Character('\'')),
            ("a[b'c]", GlobError::Character('\'')),
            ("a}b", GlobError::Character('}')),
            ("a,b", GlobError::Character(',')),
            ("é", GlobError::Character('é')),
            ("a[]b", GlobError::EmptySet),
            ("a[z-a]b", GlobError::EmptySet),
            ("", GlobError::Empty),
        ] {
            assert_eq!(Glob::new(pattern), Err(error), "{pattern}");
        }
        assert_eq!(Glob::new(&"a".repeat(4_097)), Err(GlobError::TooLong));
    }

    #[test]
    fn a_pattern_may_be_longer_than_a_name() {
        let hosts: Vec<_> = (0..200).map(|n| format!("web{n}")).collect();
        let pattern = format!("hosts.{{{}}}", hosts[..100].join(","));
        assert!(pattern.len() > 255);
        assert!(Glob::new(&pattern).unwrap().matcher().matches("hosts.web99"));
        assert_eq!(Glob::new(&"a".repeat(2_000)), Err(GlobError::TooManyTokens));
        assert!(Glob::new(&"a".repeat(1_999)).unwrap().literal().is_some());
        // Each of the sets differs from the others.
        let letters: Vec<char> = ('a'..='z').collect();
        let pairs = letters.iter().flat_map(|a| {
            letters
                .iter()
                .filter(move |b| *b > a)
                .map(move |b| format!("[{a}{b}]"))
        });
        let sets = |count| pairs.clone().take(count).collect::<String>();
        assert!(Glob::new(&sets(256)).is_ok());
        assert_eq!(Glob::new(&sets(257)), Err(GlobError::TooManySets));
    }

    #[test]
    fn alternatives_are_bounded_before_they_are_made() {
        assert!(Glob::new(&"{a,b}".repeat(7)).is_ok());
        for pattern in [
            "{a,b}".repeat(8),
            "{a,b}".repeat(51),
            "{a,b,c,d,e,f,g,h}".repeat(15),
        ] {
            assert_eq!(Glob::new(&pattern), Err(GlobError::TooManyTokens), "{pattern}");
        }
    }
}
