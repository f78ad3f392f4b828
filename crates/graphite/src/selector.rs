//! Selectors: the names that an expression asks for, by a path with or without wildcards, or by `seriesByTag`'s conditions on the tag
//! `name`, the only one that counts have.

use model::Glob;

use crate::error::Error;
use crate::limits::CONDITIONS_MAX;
use crate::parse::Expression;
use crate::regex::Pattern;

/// The choice of names that an expression makes.
#[derive(Debug)]
pub(crate) struct Selector {
    /// A pattern that matches all names that are wanted, and perhaps others: it bounds what is read.
    glob: Glob,
    /// Conditions on the matches, each with whether it must match.
    conditions: Vec<(Pattern, bool)>,
}

impl Selector {
    /// The names that a path matches.
    ///
    /// # Errors
    /// `Pattern` for what is no pattern.
    pub(crate) fn by_path(path: &str) -> Result<Self, Error> {
        Ok(Self {
            glob: Glob::new(path)?,
            conditions: Vec::new(),
        })
    }

    /// The names that all conditions of `seriesByTag` allow.
    ///
    /// # Errors
    /// `TooManyConditions`; `Tag` for conditions on other tags, and where none says what a name is or begins with.
    pub(crate) fn by_tags(given: &[Expression]) -> Result<Self, Error> {
        if given.len() > CONDITIONS_MAX {
            return Err(Error::TooManyConditions);
        }
        let (mut longest, mut conditions) = (None::<String>, Vec::new());
        for argument in given {
            let Expression::Text(condition) = argument else {
                return Err(Error::Tag);
            };
            let condition = condition.strip_prefix("name").ok_or(Error::Tag)?;
            let (is_wanted, condition) = match condition.strip_prefix('!') {
                Some(condition) => (false, condition),
                None => (true, condition),
            };
            let value = condition.strip_prefix('=').ok_or(Error::Tag)?;
            let (pattern, beginning) = match value.strip_prefix('~') {
                // As Graphite: from the name's beginning, to anywhere.
                Some(pattern) => (
                    format!("^(?:{pattern})"),
                    format!("{}**", literal_beginning(pattern)),
                ),
                None if value.contains(['*', '?', '[', '{']) => return Err(Error::Tag),
                None => (format!("^{}$", ::regex::escape(value)), value.to_owned()),
            };
            conditions.push((Pattern::new(&pattern)?, is_wanted));
            if is_wanted
                && longest
                    .as_ref()
                    .is_none_or(|longest| longest.len() < beginning.len())
            {
                longest = Some(beginning);
            }
        }
        Ok(Self {
            glob: Glob::new(&longest.ok_or(Error::Tag)?)?,
            conditions,
        })
    }

    pub(crate) fn glob(&self) -> &Glob {
        &self.glob
    }

    /// The number of the request's patterns that it counts for.
    pub(crate) fn pattern_count(&self) -> usize {
        self.conditions.len().max(1)
    }

    /// The elements of `all` that are wanted by their names.
    pub(crate) fn kept<'a, T>(&self, all: &'a [T], name: impl Fn(&T) -> &str) -> Vec<&'a T> {
        let mut matcher = self.glob.matcher();
        let is_wanted = |name: &str| {
            self.conditions
                .iter()
                .all(|(pattern, wanted)| pattern.is_in(name) == *wanted)
        };
        all.iter()
            .filter(|one| matcher.matches(name(one)) && is_wanted(name(one)))
            .collect()
    }
}

/// The literal text that every match of a regular expression begins with; empty where there is none, or it is not plain to see.
fn literal_beginning(pattern: &str) -> String {
    if pattern.contains('|') {
        return String::new();
    }
    let mut beginning = String::new();
    let mut rest = pattern.strip_prefix('^').unwrap_or(pattern).chars().peekable();
    while let Some(c) = rest.next() {
        let literal = match c {
            '\\' => rest.next().filter(|escaped| !escaped.is_ascii_alphanumeric()),
            c if c.is_ascii_alphanumeric() || "_-:/@#%~=".contains(c) => Some(c),
            _ => None,
        };
        match (literal, rest.peek()) {
            (None, _) | (_, Some('*' | '?' | '{' | '+')) => break,
            (Some(literal), _) => beginning.push(literal),
        }
    }
    beginning
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_is_what_every_match_begins_with() {
        for (pattern, beginning) in [
            (r"^web\.status\.\d+", "web.status."),
            ("shop", "shop"),
            ("web.status", "web"),
            ("ab*", "a"),
            ("ab{0}", "a"),
            ("a|b", ""),
            ("(a)", ""),
            (r"a\d", "a"),
        ] {
            assert_eq!(literal_beginning(pattern), beginning, "{pattern}");
        }
    }
}
