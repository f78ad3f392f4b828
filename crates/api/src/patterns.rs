//! The names and patterns that a request asks for.

use model::{EventName, Glob, GlobError};

use crate::limits::{PATTERN_TOKENS_MAX, PATTERNS_MAX};
use crate::parameters::Parameters;

/// Reasons for which names and patterns are not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("name is missing: give at least one name or pattern, such as name=shop.item.sold")]
    NoName,
    #[error(transparent)]
    Pattern(#[from] GlobError),
    #[error("more than {PATTERNS_MAX} names and patterns: ask for fewer, or use a pattern")]
    TooMany,
    #[error(
        "more than {PATTERN_TOKENS_MAX} characters in all patterns, their alternatives multiplied out: \
         use fewer alternatives"
    )]
    TooManyTokens,
}

/// The patterns of all `name` parameters, each once.
///
/// # Errors
/// Each of [`Error`]'s.
pub(crate) fn parse(parameters: &Parameters) -> Result<Vec<Glob>, Error> {
    let mut texts: Vec<&str> = parameters.all("name").collect();
    texts.sort_unstable();
    texts.dedup();
    if texts.is_empty() {
        return Err(Error::NoName);
    }
    if texts.len() > PATTERNS_MAX {
        return Err(Error::TooMany);
    }
    let mut patterns = Vec::with_capacity(texts.len());
    // Checked after each: what alternatives multiply out to takes memory as soon as a pattern is parsed.
    for text in texts {
        patterns.push(Glob::new(text)?);
        check_tokens(&patterns)?;
    }
    Ok(patterns)
}

/// The names that `patterns` are, if none of them has a wildcard. A text that cannot be a name was never counted, and is left out.
pub(crate) fn literals(patterns: &[Glob]) -> Option<Vec<EventName<'_>>> {
    let texts: Option<Vec<&str>> = patterns.iter().map(Glob::literal).collect();
    let names = texts?.into_iter().map(EventName::new);
    Some(names.filter_map(Result::ok).collect())
}

/// Checks what the patterns of one request cost to hold and to match.
///
/// # Errors
/// `TooManyTokens` where that is more than one request may.
pub(crate) fn check_tokens(patterns: &[Glob]) -> Result<(), Error> {
    if patterns.iter().map(Glob::token_count).sum::<usize>() > PATTERN_TOKENS_MAX {
        return Err(Error::TooManyTokens);
    }
    Ok(())
}
