//! Globs over names.

use crate::NAME_BYTES_MAX;
use crate::name::allowed_in_name;

/// More alternatives than this in one pattern, after multiplying out, are refused.
const ALTERNATIVES_MAX: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    #[error("pattern is empty")]
    Empty,
    #[error("pattern is longer than {NAME_BYTES_MAX} characters")]
    TooLong,
    #[error("pattern has an opening '{0}' without its end")]
    Unclosed(char),
    #[error("pattern has a character that no name has: {0:?}")]
    Character(char),
    #[error("pattern has more than {ALTERNATIVES_MAX} alternatives")]
    TooManyAlternatives,
}

/// A pattern over whole names: `*` any run within one dot-separated part, `**` any run across dots, `?` one character other than a dot,
/// `[a-z]` one of a set, `{a,b}` alternatives (not nested).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    alternatives: Vec<Vec<Token>>,
    literal: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal(u8),
    One,
    Set(Vec<(u8, u8)>),
    Run { across_dots: bool },
}

impl Glob {
    /// # Errors
    /// The first reason why `pattern` is no pattern over names.
    pub fn new(pattern: &str) -> Result<Self, GlobError> {
        if pattern.is_empty() {
            return Err(GlobError::Empty);
        }
        if pattern.len() > NAME_BYTES_MAX {
            return Err(GlobError::TooLong);
        }
        let alternatives = expand_braces(pattern)?
            .iter()
            .map(|text| tokens(text))
            .collect::<Result<Vec<_>, _>>()?;
        let literal = (!pattern.contains(['*', '?', '[', '{'])).then(|| pattern.to_owned());
        Ok(Self {
            alternatives,
            literal,
        })
    }

    /// A pattern to search by: as [`Glob::new`], but `*` runs across dots, so that `shop.*` finds all below `shop`.
    ///
    /// # Errors
    /// As [`Glob::new`].
    pub fn for_search(pattern: &str) -> Result<Self, GlobError> {
        let mut glob = Self::new(pattern)?;
        for token in glob.alternatives.iter_mut().flatten() {
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

    /// What every matching name begins with.
    #[must_use]
    pub fn prefix(&self) -> String {
        let heads: Vec<Vec<u8>> = self
            .alternatives
            .iter()
            .map(|tokens| {
                tokens
                    .iter()
                    .map_while(|t| if let Token::Literal(b) = t { Some(*b) } else { None })
                    .collect()
            })
            .collect();
        let Some((first, rest)) = heads.split_first() else {
            return String::new();
        };
        let shared = rest.iter().fold(first.len(), |shared, head| {
            first
                .iter()
                .zip(head)
                .take(shared)
                .take_while(|(a, b)| a == b)
                .count()
        });
        String::from_utf8_lossy(&first[..shared]).into_owned()
    }

    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.alternatives
            .iter()
            .any(|tokens| tokens_match(tokens, name.as_bytes()))
    }
}

fn expand_braces(pattern: &str) -> Result<Vec<String>, GlobError> {
    let Some((head, rest)) = pattern.split_once('{') else {
        return Ok(vec![pattern.to_owned()]);
    };
    let (choices, tail) = rest.split_once('}').ok_or(GlobError::Unclosed('{'))?;
    let tails = expand_braces(tail)?;
    let mut all = Vec::new();
    for choice in choices.split(',') {
        for tail in &tails {
            if all.len() == ALTERNATIVES_MAX {
                return Err(GlobError::TooManyAlternatives);
            }
            all.push(format!("{head}{choice}{tail}"));
        }
    }
    Ok(all)
}

fn tokens(text: &str) -> Result<Vec<Token>, GlobError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '*' => {
                let across_dots = rest.starts_with('*');
                rest = rest.trim_start_matches('*');
                tokens.push(Token::Run { across_dots });
            }
            '?' => tokens.push(Token::One),
            '[' => {
                let (set, tail) = rest.split_once(']').ok_or(GlobError::Unclosed('['))?;
                tokens.push(Token::Set(ranges(set)?));
                rest = tail;
            }
            c if allowed_in_name(c) => tokens.extend(u8::try_from(c).ok().map(Token::Literal)),
            c => return Err(GlobError::Character(c)),
        }
    }
    Ok(tokens)
}

fn ranges(set: &str) -> Result<Vec<(u8, u8)>, GlobError> {
    if let Some(c) = set.chars().find(|&c| !allowed_in_name(c)) {
        return Err(GlobError::Character(c));
    }
    let bytes = set.as_bytes();
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if bytes.get(at + 1) == Some(&b'-') && at + 2 < bytes.len() {
            ranges.push((bytes[at], bytes[at + 2]));
            at += 3;
        } else {
            ranges.push((bytes[at], bytes[at]));
            at += 1;
        }
    }
    Ok(ranges)
}

/// Which prefixes of the tokens can match what was read so far: linear in both, whatever the pattern.
fn tokens_match(tokens: &[Token], name: &[u8]) -> bool {
    let mut alive = vec![false; tokens.len() + 1];
    alive[0] = true;
    skip_runs(tokens, &mut alive);
    for &byte in name {
        let mut after = vec![false; tokens.len() + 1];
        for (at, token) in tokens.iter().enumerate().filter(|&(at, _)| alive[at]) {
            match token {
                Token::Literal(literal) => after[at + 1] |= *literal == byte,
                Token::One => after[at + 1] |= byte != b'.',
                Token::Set(set) => after[at + 1] |= set.iter().any(|&(lo, hi)| lo <= byte && byte <= hi),
                Token::Run { across_dots } => after[at] |= *across_dots || byte != b'.',
            }
        }
        skip_runs(tokens, &mut after);
        alive = after;
    }
    alive[tokens.len()]
}

fn skip_runs(tokens: &[Token], alive: &mut [bool]) {
    for (at, token) in tokens.iter().enumerate() {
        if alive[at] && matches!(token, Token::Run { .. }) {
            alive[at + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Glob::new(pattern).unwrap().matches(name)
    }

    #[test]
    fn wildcards_stay_within_a_part() {
        assert!(matches("shop.*", "shop.sold"));
        assert!(!matches("shop.*", "shop.item.sold"));
        assert!(matches("shop.**", "shop.item.sold"));
        assert!(Glob::for_search("shop.*").unwrap().matches("shop.item.sold"));
        assert!(matches("web.status.?0[0-4]", "web.status.404"));
        assert!(!matches("web.status.?0[0-4]", "web.status.405"));
        assert!(matches("web.{status,method}.*", "web.method.GET"));
        assert!(!matches("a?b", "a.b"));
        assert!(matches("*", "a"));
        assert!(!matches("a", "ab"));
    }

    #[test]
    fn prefix_is_shared_by_all_alternatives() {
        assert_eq!(Glob::new("web.{status,st}.*").unwrap().prefix(), "web.st");
        assert_eq!(Glob::new("*").unwrap().prefix(), "");
        assert_eq!(Glob::new("a.b").unwrap().literal(), Some("a.b"));
        assert_eq!(Glob::new("a.*").unwrap().literal(), None);
    }

    #[test]
    fn bad_patterns_are_refused() {
        assert_eq!(Glob::new("a{b"), Err(GlobError::Unclosed('{')));
        assert_eq!(Glob::new("a[b"), Err(GlobError::Unclosed('[')));
        assert_eq!(Glob::new("a'b"), Err(GlobError::Character('\'')));
        assert_eq!(Glob::new(&"{a,b}".repeat(9)), Err(GlobError::TooManyAlternatives));
        assert_eq!(Glob::new(""), Err(GlobError::Empty));
    }

    #[test]
    fn many_stars_cost_no_more_than_their_length() {
        assert!(!matches(&"*a".repeat(100), &"a".repeat(99)));
    }
}
