//! `seriesByTag`: names by conditions on the tag `name`, the only one that counts have.

use model::Glob;

use super::Fault;
use super::parse::{Call, Expression};
use super::regex::Pattern;
use crate::refusal::Refusal;

/// Conditions of one call; Grafana's editor makes one for each row that somebody adds.
pub(super) const CONDITIONS_MAX: usize = 10;

/// What names are asked for with.
pub(super) struct Wish {
    /// Matches all that are wanted, and perhaps others.
    glob: Glob,
    /// Each with whether it must match.
    conditions: Vec<(Pattern, bool)>,
}

impl Wish {
    /// # Errors
    /// What is wrong with the pattern.
    pub(super) fn of_path(path: &str) -> Result<Self, Refusal> {
        Ok(Self {
            glob: Glob::new(path)?,
            conditions: Vec::new(),
        })
    }

    /// # Errors
    /// `TooManyConditions`; `Tag` for conditions on other tags, and where none says what a name is or begins with.
    pub(super) fn of_tags(call: &Call) -> Result<Self, Refusal> {
        if call.arguments.len() > CONDITIONS_MAX {
            return Err(Fault::TooManyConditions.into());
        }
        let (mut longest, mut conditions) = (None::<String>, Vec::new());
        for argument in &call.arguments {
            let Expression::Text(condition) = argument else {
                return Err(Fault::Tag.into());
            };
            let condition = condition.strip_prefix("name").ok_or(Fault::Tag)?;
            let (is_wanted, condition) = match condition.strip_prefix('!') {
                Some(condition) => (false, condition),
                None => (true, condition),
            };
            let value = condition.strip_prefix('=').ok_or(Fault::Tag)?;
            let (pattern, beginning) = match value.strip_prefix('~') {
                // As Graphite: from the name's beginning, to anywhere.
                Some(pattern) => (
                    format!("^(?:{pattern})"),
                    format!("{}**", literal_beginning(pattern)),
                ),
                None if value.contains(['*', '?', '[', '{']) => return Err(Fault::Tag.into()),
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
            glob: Glob::new(&longest.ok_or(Fault::Tag)?)?,
            conditions,
        })
    }

    pub(super) fn glob(&self) -> &Glob {
        &self.glob
    }

    /// How many patterns of the request it is.
    pub(super) fn pattern_count(&self) -> usize {
        self.conditions.len().max(1)
    }

    /// Which of `all` are wanted, by their names.
    pub(super) fn kept<'a, T>(&self, all: &'a [T], name: impl Fn(&T) -> &str) -> Vec<&'a T> {
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

/// What every match begins with.
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
