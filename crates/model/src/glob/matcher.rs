//! The matcher of a glob, for all alternatives at once: the bit-parallel Shift-And algorithm (Baeza-Yates and Gonnet, "A new approach to
//! text searching", 1992), extended by runs.

use super::{Set, Token};

/// Bits of a word, hence tokens of a [`Word`].
const BITS: usize = 64;

/// The number of different bytes that a name may have: names are ASCII.
const BYTES: usize = 128;

/// A glob that is ready to match many names: a bit for each token, and for each byte of a name a few operations
/// for each 64 tokens, whatever the pattern.
#[derive(Debug)]
pub struct Matcher {
    /// The tokens that a byte moves past, for each byte.
    steps: Vec<Vec<u64>>,
    /// The tokens' kinds, which are the same for every byte.
    words: Vec<Word>,
    /// The automaton's states: a token is alive where the text read so far matches all tokens of its alternative before it. Kept here,
    /// so that no name needs memory of its own.
    alive: Vec<u64>,
}

/// The kinds of 64 tokens, a bit for each.
#[derive(Debug, Clone, Default)]
struct Word {
    begins: u64,
    ends: u64,
    runs: u64,
    runs_across_dots: u64,
}

impl Matcher {
    pub(super) fn new(tokens: &[Token], sets: &[Set]) -> Self {
        let length = tokens.len().div_ceil(BITS);
        let mut steps = vec![vec![0; length]; BYTES];
        let mut words = vec![Word::default(); length];
        let mut begins = true;
        for (at, &token) in tokens.iter().enumerate() {
            let (word, bit) = (&mut words[at / BITS], 1 << (at % BITS));
            if begins {
                word.begins |= bit;
            }
            begins = token == Token::End;
            match token {
                Token::End => word.ends |= bit,
                Token::Run { across_dots } => {
                    word.runs |= bit;
                    word.runs_across_dots |= if across_dots { bit } else { 0 };
                }
                Token::Literal(_) | Token::One | Token::Set(_) => {
                    let accepted = accepted(token, sets);
                    let accepted = (0..BYTES).filter(|byte| accepted >> byte & 1 == 1);
                    accepted.for_each(|byte| steps[byte][at / BITS] |= bit);
                }
            }
        }
        Self {
            steps,
            words,
            alive: vec![0; length],
        }
    }

    /// Whether the whole of `name` matches. `&mut` only because the automaton's states are kept between calls.
    #[must_use]
    pub fn matches(&mut self, name: &str) -> bool {
        self.begin();
        let any_left = name.bytes().all(|byte| self.step(byte));
        let mut ends = self.alive.iter().zip(&self.words);
        any_left && ends.any(|(alive, word)| alive & word.ends != 0)
    }

    /// Makes the first token of every alternative alive.
    fn begin(&mut self) {
        let mut carry = 0;
        for (alive, word) in self.alive.iter_mut().zip(&self.words) {
            *alive = past_runs(word.begins, word, &mut carry);
        }
    }

    /// Reads one byte; false where nothing can match any more.
    fn step(&mut self, byte: u8) -> bool {
        let Some(step) = self.steps.get(usize::from(byte)) else {
            return false;
        };
        let (mut carry, mut run_carry, mut left) = (0, 0, 0);
        for ((alive, word), step) in self.alive.iter_mut().zip(&self.words).zip(step) {
            let stays = if byte == b'.' {
                word.runs_across_dots
            } else {
                word.runs
            };
            let moves = *alive & step;
            let next = *alive & stays | moves << 1 | carry;
            carry = moves >> (BITS - 1);
            *alive = past_runs(next, word, &mut run_carry);
            left |= *alive;
        }
        left != 0
    }
}

/// Adds the tokens after living runs, as a run may be empty. One pass is enough: no run follows a run.
fn past_runs(alive: u64, word: &Word, carry: &mut u64) -> u64 {
    let runs = alive & word.runs;
    let all = alive | runs << 1 | *carry;
    *carry = runs >> (BITS - 1);
    all
}

/// The bytes that `token`, one character, accepts.
pub(super) fn accepted(token: Token, sets: &[Set]) -> Set {
    match token {
        Token::Literal(byte) => 1 << byte,
        Token::One => !(1 << b'.'),
        Token::Set(at) => sets[usize::from(at)],
        Token::Run { .. } | Token::End => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Glob, GlobError};

    fn matches(pattern: &str, name: &str) -> bool {
        Glob::new(pattern).unwrap().matcher().matches(name)
    }

    #[test]
    fn a_run_that_is_alive_is_entered_again() {
        assert!(matches("*a*", "aaa"));
        // The second run is the first token of the second word.
        let head = "h".repeat(62);
        for times in 1..4 {
            let name = format!("{head}{}", "a".repeat(times));
            assert!(matches(&format!("{head}*a*"), &name), "{times}");
        }
    }

    #[test]
    fn a_pattern_may_have_so_many_tokens() {
        for (head, tail) in [("", "{a,b}"), ("{a,b}", "")] {
            let of = |length: usize| Glob::new(&format!("{head}{}{tail}", "x".repeat(length)));
            assert_eq!(of(998).unwrap().token_count(), 2_000, "{head} {tail}");
            assert_eq!(of(999), Err(GlobError::TooManyTokens), "{head} {tail}");
        }
    }

    #[test]
    fn wildcards_stay_within_a_part() {
        assert!(matches("shop.*", "shop.sold"));
        assert!(!matches("shop.*", "shop.item.sold"));
        assert!(matches("shop.**", "shop.item.sold"));
        assert!(matches("web.status.?0[0-4]", "web.status.404"));
        assert!(!matches("web.status.?0[0-4]", "web.status.405"));
        assert!(matches("web.{status,method}.*", "web.method.GET"));
        assert!(!matches("a?b", "a.b"));
        assert!(matches("[a-]", "-"));
        assert!(matches("*", "a"));
        assert!(!matches("a", "ab"));
        assert!(!matches("{,}", "a"));
        assert!(!matches("**", "é"));
    }

    #[test]
    fn stars_of_a_search_run_across_dots() {
        let mut matcher = Glob::for_search("shop.*").unwrap().matcher();
        assert!(matcher.matches("shop.item.sold"));
        assert!(!matcher.matches("web.item.sold"));
        assert!(matcher.matches("shop.item"));
    }

    #[test]
    fn many_stars_cost_no_more_than_their_length() {
        assert!(!matches(&"*a".repeat(100), &"a".repeat(99)));
        assert!(matches(&"*a".repeat(100), &"a".repeat(100)));
    }

    #[test]
    fn alternatives_match_wherever_their_bits_lie() {
        for before in 1..2 * super::BITS {
            let pattern = format!("{{{},a*c}}", "A".repeat(before));
            assert!(matches(&pattern, "ac"), "{pattern}");
            assert!(matches(&pattern, "abbc"), "{pattern}");
            assert!(!matches(&pattern, "a.c"), "{pattern}");
            assert!(matches(&pattern, &"A".repeat(before)), "{pattern}");
        }
    }

    /// Straight from the grammar: every alternative as text, every length of every run.
    fn naive(pattern: &str, name: &str) -> bool {
        let Some((head, rest)) = pattern.split_once('{') else {
            return naive_from(pattern, name);
        };
        let (choices, tail) = rest.split_once('}').unwrap();
        choices
            .split(',')
            .any(|choice| naive(&format!("{head}{choice}{tail}"), name))
    }

    fn naive_from(pattern: &str, name: &str) -> bool {
        let Some(first) = pattern.chars().next() else {
            return name.is_empty();
        };
        if first == '*' {
            let rest = pattern.trim_start_matches('*');
            let across_dots = pattern.starts_with("**");
            let run = name.find(|c| c == '.' && !across_dots).unwrap_or(name.len());
            return (0..=run).any(|end| naive_from(rest, &name[end..]));
        }
        let Some(c) = name.chars().next() else {
            return false;
        };
        let (accepted, rest) = match first {
            '?' => (c != '.', &pattern[1..]),
            '[' => {
                let (set, rest) = pattern[1..].split_once(']').unwrap();
                let range = set.replace("a-c", "abc");
                (range.contains(c), rest)
            }
            literal => (c == literal, &pattern[1..]),
        };
        accepted && naive_from(rest, &name[1..])
    }

    fn piece() -> impl Strategy<Value = String> {
        let choice = "([abc.?]|\\*|\\[[ab.]{1,2}\\]|\\[a-c\\]){0,3}";
        let braces =
            prop::collection::vec(choice, 1..4).prop_map(|choices| format!("{{{}}}", choices.join(",")));
        prop_oneof![3 => choice, 1 => braces]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn matches_what_the_grammar_says(
            pieces in prop::collection::vec(piece(), 1..8),
            names in prop::collection::vec("[abc.]{1,9}", 1..12),
        ) {
            let pattern = pieces.concat();
            let glob = match Glob::new(&pattern) {
                Err(GlobError::Empty | GlobError::TooManyTokens) => return Ok(()),
                glob => glob.unwrap(),
            };
            let mut matcher = glob.matcher();
            for name in &names {
                let matched = naive(&pattern, name);
                prop_assert_eq!(matcher.matches(name), matched, "{} {}", pattern, name);
                prop_assert!(!matched || name.starts_with(&glob.prefix()), "{} {}", pattern, name);
            }
        }
    }
}
