//! The part of a glob whose names begin with a given text.

use std::collections::BTreeSet;

use super::matcher::accepted;
use super::{Set, Token};

/// The alternatives of `tokens`, cut to the names that begin with any of `prefixes`, each once and in their order: a prefix, and after it
/// whatever can follow where an alternative has read that prefix.
pub(super) fn beginning_with(tokens: &[Token], sets: &[Set], prefixes: &[String]) -> Vec<Token> {
    let mut whole = BTreeSet::new();
    for alternative in tokens.split_inclusive(|&token| token == Token::End) {
        for prefix in prefixes {
            let literals: Vec<Token> = prefix.bytes().map(Token::Literal).collect();
            for place in places_after(alternative, sets, prefix) {
                whole.insert([&literals, &alternative[place..]].concat());
            }
        }
    }
    whole.into_iter().flatten().collect()
}

/// The places in an alternative at which the rest of a name goes on that begins with `prefix`. The place after a run is not among them for
/// that run's sake: the run may be empty, so the rest from the run on includes it.
fn places_after(alternative: &[Token], sets: &[Set], prefix: &str) -> BTreeSet<usize> {
    let mut places = BTreeSet::from([0]);
    for byte in prefix.bytes() {
        let mut next = BTreeSet::new();
        for place in places {
            let mut at = place;
            if let Token::Run { across_dots } = alternative[at] {
                if across_dots || byte != b'.' {
                    next.insert(at);
                }
                // No run follows a run, and an alternative ends with its end.
                at += 1;
            }
            if accepted(alternative[at], sets) >> byte & 1 == 1 {
                next.insert(at + 1);
            }
        }
        places = next;
    }
    places
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Glob, GlobError};

    #[test]
    fn a_pattern_is_cut_to_what_begins_so() {
        for (pattern, prefixes, same) in [
            ("*.item.*", &["shop."][..], "shop.item.*"),
            ("**", &["shop.", "web.st"], "{shop.**,web.st**}"),
            ("*", &["shop."], "{,}"),
            ("s*", &["shop"], "shop*"),
            ("{shop,web}.a", &["web."], "{web.a,web.a}"),
            ("shop.[ab]?", &["shop.a"], "shop.a?"),
            ("shop.a", &["shop."], "shop.a"),
            ("shop.a", &["web."], "{,}"),
            ("shop", &["shop."], "{,}"),
        ] {
            let prefixes: Vec<String> = prefixes.iter().map(|&text| text.to_owned()).collect();
            let cut = Glob::new(pattern).unwrap().beginning_with(&prefixes);
            let same = Glob::new(same).unwrap();
            assert_eq!(
                (cut.tokens, cut.literal),
                (same.tokens, same.literal),
                "{pattern} {prefixes:?}"
            );
        }
    }

    fn any_text(alphabet: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(alphabet), 0..most).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn what_is_cut_matches_what_both_do(
            pattern in any_text(&["a", "b", ".", "*", "**", "?", "[ab]", "{a,.b*}", "{*,b}"], 6),
            prefixes in prop::collection::vec(any_text(&["a", "b", "."], 4), 0..3),
            names in prop::collection::vec(any_text(&["a", "b", "."], 8), 20),
        ) {
            let glob = match Glob::new(&pattern) {
                Err(GlobError::Empty) => return Ok(()),
                glob => glob.unwrap(),
            };
            let cut = glob.beginning_with(&prefixes);
            let (mut whole, mut part) = (glob.matcher(), cut.matcher());
            for name in names.iter().filter(|name| !name.is_empty()) {
                let begins = prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()));
                prop_assert_eq!(part.matches(name), begins && whole.matches(name), "{} {:?} {}", pattern, prefixes, name);
            }
        }
    }
}
