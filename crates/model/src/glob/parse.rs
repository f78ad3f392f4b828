//! The parser of a glob: from a pattern's text to its tokens, alternatives multiplied out.

use std::collections::BTreeSet;

use super::{GlobError, Set, TOKENS_MAX, Token};
use crate::name::allowed_in_name;

/// Alternatives, sorted and each once.
type Alternatives = BTreeSet<Vec<Token>>;

/// All alternatives but the empty one, each with its end, and the sets that they name.
pub(super) fn parse(pattern: &str) -> Result<(Vec<Token>, Vec<Set>), GlobError> {
    let mut sets = Vec::new();
    let mut whole = Alternatives::from([Vec::new()]);
    let mut rest = pattern;
    while !rest.is_empty() {
        let part;
        (part, rest) = alternatives(rest, &mut sets)?;
        whole = followed_by(&whole, &part)?;
    }
    whole.remove(&Vec::new());
    let tokens = whole
        .into_iter()
        .flat_map(|alternative| alternative.into_iter().chain([Token::End]));
    Ok((tokens.collect(), sets))
}

/// The alternatives between one pair of braces, or the one text before the first brace; and the text behind.
fn alternatives<'a>(text: &'a str, sets: &mut Vec<Set>) -> Result<(Alternatives, &'a str), GlobError> {
    if let Some(inside) = text.strip_prefix('{') {
        let (choices, rest) = inside.split_once('}').ok_or(GlobError::Unclosed('{'))?;
        let choices = choices.split(',').map(|choice| tokens(choice, sets));
        Ok((choices.collect::<Result<_, _>>()?, rest))
    } else {
        let (head, rest) = text.split_at(text.find('{').unwrap_or(text.len()));
        Ok((Alternatives::from([tokens(head, sets)?]), rest))
    }
}

/// Each of `heads` followed by each of `tails`. Their tokens are counted before the first is made, so that no pattern takes more memory
/// than it may.
fn followed_by(heads: &Alternatives, tails: &Alternatives) -> Result<Alternatives, GlobError> {
    let size = |all: &Alternatives| all.iter().map(Vec::len).sum::<usize>();
    let ends = heads.len() * tails.len();
    if size(heads) * tails.len() + size(tails) * heads.len() + ends > TOKENS_MAX {
        return Err(GlobError::TooManyTokens);
    }
    let pairs = heads
        .iter()
        .flat_map(|head| tails.iter().map(move |tail| joined(head, tail)));
    Ok(pairs.collect())
}

/// The tokens of `head` and `tail`. Runs that meet become one across dots, as in `**`.
fn joined(head: &[Token], tail: &[Token]) -> Vec<Token> {
    match (head, tail) {
        ([head @ .., Token::Run { .. }], [Token::Run { .. }, tail @ ..]) => {
            [head, &[Token::Run { across_dots: true }], tail].concat()
        }
        _ => [head, tail].concat(),
    }
}

/// The tokens of a text without braces.
fn tokens(text: &str, sets: &mut Vec<Set>) -> Result<Vec<Token>, GlobError> {
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
                let (listed, tail) = rest.split_once(']').ok_or(GlobError::Unclosed('['))?;
                tokens.push(Token::Set(place(set(listed)?, sets)?));
                rest = tail;
            }
            c if allowed_in_name(c) => tokens.extend(u8::try_from(c).ok().map(Token::Literal)),
            c => return Err(GlobError::Character(c)),
        }
    }
    Ok(tokens)
}

/// The set that is listed between brackets, such as `a-z_`.
fn set(listed: &str) -> Result<Set, GlobError> {
    if let Some(c) = listed.chars().find(|&c| !allowed_in_name(c)) {
        return Err(GlobError::Character(c));
    }
    let mut set = 0;
    let mut rest = listed.as_bytes();
    while let [first, tail @ ..] = rest {
        let last;
        (last, rest) = match tail {
            [b'-', last, tail @ ..] => (last, tail),
            _ => (first, tail),
        };
        for byte in *first..=*last {
            set |= 1 << byte;
        }
    }
    if set == 0 {
        Err(GlobError::EmptySet)
    } else {
        Ok(set)
    }
}

/// The number of `set` among `sets`, where it is added if it is new.
fn place(set: Set, sets: &mut Vec<Set>) -> Result<u8, GlobError> {
    let at = sets.iter().position(|&known| known == set).unwrap_or(sets.len());
    let place = u8::try_from(at).map_err(|_| GlobError::TooManySets)?;
    if at == sets.len() {
        sets.push(set);
    }
    Ok(place)
}
