//! Annotations: marks on every graph for a deployment, an incident, a campaign.

use std::fmt;
use std::str::FromStr;

use uuid::{NoContext, Uuid};

use crate::{Minute, Timestamp};

/// Most characters of [`Annotation::what`]: a word or a line.
pub const WHAT_CHARS_MAX: usize = 255;

/// Most bytes of [`Annotation::data`]: a version, a link, a few lines.
pub const DATA_BYTES_MAX: usize = 2_000;

/// Most tags of an annotation.
pub const TAGS_MAX: usize = 20;

/// Most characters of a tag.
pub const TAG_CHARS_MAX: usize = 50;

/// Most milliseconds that an annotation covers. The annotations of a range are found by their beginnings, from this long before it on.
pub const SPAN_MS_MAX: i64 = 366 * 86_400_000;

/// The last second, in unix milliseconds, that MariaDB 10.11's TIMESTAMP can hold, in which an annotation is kept.
pub const ANNOTATION_MS_MAX: i64 = 2_147_483_647_000;

/// Why an annotation cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnnotationError {
    /// `what` is empty or too long.
    #[error("what is empty, or longer than {WHAT_CHARS_MAX} characters")]
    What,
    /// `data` is too long.
    #[error("data is longer than {DATA_BYTES_MAX} bytes")]
    Data,
    /// The field with this name has a control character.
    #[error("{0} has a control character")]
    Control(&'static str),
    /// There are too many tags, or one of them is none.
    #[error(
        "more than {TAGS_MAX} tags, or one that is empty, has a blank or is longer than {TAG_CHARS_MAX} characters"
    )]
    Tags,
    /// `when` or `until` lies outside the years that the tables can hold.
    #[error("when or until is not between 2000-01-01 and 2038-01-19")]
    Time,
    /// `until` is before `when`, or too long after it.
    #[error("until is before when, or more than 366 days after it")]
    Span,
    /// The text of an id is not a UUID.
    #[error("id is not a UUID")]
    Id,
}

/// The identity of an annotation, a UUID: an annotation that is sent again under the same id is kept once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AnnotationId(Uuid);

impl AnnotationId {
    /// A new id (UUID version 7, RFC 9562) of that time; ids sort by theirs, to the millisecond.
    #[must_use]
    pub fn generate(now: Timestamp) -> Self {
        let ms = now.unix_ms().unsigned_abs();
        let nanos = u32::try_from(ms % 1_000 * 1_000_000).unwrap_or(0);
        Self(Uuid::new_v7(uuid::Timestamp::from_unix(
            NoContext,
            ms / 1_000,
            nanos,
        )))
    }
}

impl FromStr for AnnotationId {
    type Err = AnnotationError;

    fn from_str(text: &str) -> Result<Self, AnnotationError> {
        Uuid::try_parse(text).map(Self).map_err(|_| AnnotationError::Id)
    }
}

impl fmt::Display for AnnotationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// A mark for something that happened at an instant or over a time. Its text is kept as it came: whoever shows it has to escape it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// The id under which the annotation is kept once.
    pub id: AnnotationId,
    /// When it happened, or began.
    pub when: Timestamp,
    /// When it ended; `None` for an instant.
    pub until: Option<Timestamp>,
    /// The line that says what happened: 1 to [`WHAT_CHARS_MAX`] characters.
    pub what: String,
    /// Further text, of any number of lines, at most [`DATA_BYTES_MAX`] bytes; may be empty.
    pub data: String,
    /// Words to find the annotation by, each once, in the order in which they were given.
    pub tags: Vec<String>,
}

impl Annotation {
    /// The annotation within its limits, with each tag once.
    ///
    /// # Errors
    /// The first reason why it cannot be kept.
    pub fn checked(mut self) -> Result<Self, AnnotationError> {
        if self.what.is_empty() || self.what.chars().count() > WHAT_CHARS_MAX {
            return Err(AnnotationError::What);
        }
        if self.data.len() > DATA_BYTES_MAX {
            return Err(AnnotationError::Data);
        }
        if self.what.chars().any(char::is_control) {
            return Err(AnnotationError::Control("what"));
        }
        if self
            .data
            .chars()
            .any(|c| c.is_control() && c != '\n' && c != '\t')
        {
            return Err(AnnotationError::Control("data"));
        }
        let fits = |tag: &String| {
            (1..=TAG_CHARS_MAX).contains(&tag.chars().count())
                && !tag.chars().any(|c| c.is_whitespace() || c.is_control())
        };
        if self.tags.len() > TAGS_MAX || !self.tags.iter().all(fits) {
            return Err(AnnotationError::Tags);
        }
        let until = self.until.unwrap_or(self.when);
        let is_kept = |at: Timestamp| Minute::containing(at).is_ok() && at.unix_ms() <= ANNOTATION_MS_MAX;
        if !is_kept(self.when) || !is_kept(until) {
            return Err(AnnotationError::Time);
        }
        if !(0..=SPAN_MS_MAX).contains(&until.ms_since(self.when)) {
            return Err(AnnotationError::Span);
        }
        let mut seen = std::collections::HashSet::new();
        self.tags.retain(|tag| seen.insert(tag.clone()));
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_MS: i64 = 1_763_787_600_000;

    fn annotation() -> Annotation {
        Annotation {
            id: "0199aa55-0000-7000-8000-000000000001".parse().unwrap(),
            when: Timestamp::from_unix_ms(NOON_MS),
            until: None,
            what: "deploy".to_owned(),
            data: "v12\nby hand".to_owned(),
            tags: vec!["web".to_owned(), "ü".to_owned(), "web".to_owned()],
        }
    }

    #[test]
    fn ids_begin_with_their_time() {
        let id = AnnotationId::generate(Timestamp::from_unix_ms(NOON_MS + 987)).to_string();
        let ms = format!("{:012x}", NOON_MS + 987);
        assert!(
            id.starts_with(&format!("{}-{}-7", &ms[..8], &ms[8..])),
            "{id} {ms}"
        );
    }

    #[test]
    fn as_much_as_the_limits_is_kept() {
        assert_eq!(SPAN_MS_MAX, 31_622_400_000);
        let full = Annotation {
            what: "ü".repeat(WHAT_CHARS_MAX),
            data: "d".repeat(DATA_BYTES_MAX),
            tags: (0..TAGS_MAX).map(|number| number.to_string()).collect(),
            until: Some(Timestamp::from_unix_ms(NOON_MS + SPAN_MS_MAX)),
            ..annotation()
        };
        assert_eq!(full.clone().checked(), Ok(full));
    }

    #[test]
    fn a_tag_given_twice_is_one() {
        assert_eq!(annotation().checked().unwrap().tags, ["web", "ü"]);
    }

    #[test]
    fn each_field_has_its_limit() {
        let refused = |change: fn(&mut Annotation)| {
            let mut changed = annotation();
            change(&mut changed);
            changed.checked().map(drop)
        };
        for (change, error) in [
            ((|a| a.what.clear()) as fn(&mut Annotation), AnnotationError::What),
            (|a| a.what = "ä".repeat(256), AnnotationError::What),
            (|a| a.what = "a\0".to_owned(), AnnotationError::Control("what")),
            (
                |a| a.data = "a\x1b[2J".to_owned(),
                AnnotationError::Control("data"),
            ),
            (|a| a.data = "a".repeat(2_001), AnnotationError::Data),
            (|a| a.tags = vec!["a b".to_owned()], AnnotationError::Tags),
            (|a| a.tags = vec![String::new()], AnnotationError::Tags),
            (
                |a| a.tags = (0..21).map(|n| n.to_string()).collect(),
                AnnotationError::Tags,
            ),
            (|a| a.when = Timestamp::from_unix_ms(0), AnnotationError::Time),
            (
                |a| a.until = Some(Timestamp::from_unix_ms(2_200_000_000_000)),
                AnnotationError::Time,
            ),
            (
                |a| a.when = Timestamp::from_unix_ms(ANNOTATION_MS_MAX + 1),
                AnnotationError::Time,
            ),
            (|a| a.until = Some(a.when.plus_ms(-1)), AnnotationError::Span),
            (
                |a| a.until = Some(a.when.plus_ms(SPAN_MS_MAX + 1)),
                AnnotationError::Span,
            ),
        ] {
            assert_eq!(refused(change), Err(error));
        }
        let longest = Annotation {
            what: "ä".repeat(255),
            until: Some(Timestamp::from_unix_ms(NOON_MS + SPAN_MS_MAX)),
            ..annotation()
        };
        assert!(longest.checked().is_ok());
        let last = Annotation {
            when: Timestamp::from_unix_ms(ANNOTATION_MS_MAX),
            ..annotation()
        };
        assert!(last.checked().is_ok());
        assert_eq!("deploy".parse::<AnnotationId>(), Err(AnnotationError::Id));
    }
}
