//! Reads events out of a body, each with its own verdict.

use std::borrow::Cow;

use model::{
    ContentHash, CountError, EVENT_COUNT_MAX, Event, EventError, EventName, Instant, NameError, decimal, utf8,
};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_json::value::RawValue;

use crate::elements::elements;
use crate::request::Format;

/// Most events of one request.
pub(crate) const EVENTS_MAX: usize = 10_000;

/// How much of a refused value an error repeats.
const SHOWN_CHARS_MAX: usize = 40;

/// How much of the parser's complaint an error repeats; it quotes what it found, which may be megabytes.
const COMPLAINT_CHARS_MAX: usize = 160;

/// The byte order mark, which lines that were put together begin with.
const MARK: char = '\u{feff}';

/// Why the whole body is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("body is not UTF-8")]
    NotUtf8,
    #[error("body is UTF-16: send UTF-8")]
    Utf16,
    #[error("body is not JSON of an event, an array of events or {{\"events\":[…]}}: {0}")]
    NotJson(String),
    #[error("body is a line of JSON for each event: send it with Content-Type: application/x-ndjson")]
    Lines,
    #[error(
        "body is one piece of JSON over several lines, not a line for each event: send it with Content-Type: application/json"
    )]
    NoLines,
    #[error("body has more than {EVENTS_MAX} events")]
    TooManyEvents,
}

/// Why one event is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("event is not a JSON object of name, count and timestamp: {0}")]
    Shape(String),
    #[error("event is not a JSON object (an array needs Content-Type: application/json): {0}")]
    NoObject(String),
    #[error("event has no name")]
    NoName,
    #[error("name is not a string: {0}")]
    NameNotText(String),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Count(#[from] CountError),
    #[error("timestamp is not a number of unix seconds or an RFC 3339 time: {0}")]
    Timestamp(String),
    #[error(transparent)]
    Time(#[from] EventError),
}

/// An event, or why it is none.
#[derive(Debug)]
pub(crate) struct Item<'a> {
    /// Length of the name as sent, even of a refused one; 0 without a name. What a keyed request is cut by.
    pub(crate) name_bytes: usize,
    /// Of a keyed request: what was sent, whatever became of it.
    pub(crate) content: ContentHash,
    pub(crate) event: Result<Event<'a>, Refusal>,
}

/// Reads all events of a body in their order, at the collector's time `now`. Blank lines of NDJSON are no events. Without a key
/// nobody asks what the events say beside what they count, and their content is left out.
pub(crate) fn read(
    format: Format,
    body: &[u8],
    now: Instant,
    is_keyed: bool,
) -> Result<Vec<Item<'_>>, BodyError> {
    if utf8::is_utf16(body) {
        return Err(BodyError::Utf16);
    }
    let text = std::str::from_utf8(utf8::without_mark(body)).map_err(|_| BodyError::NotUtf8)?;
    match format {
        Format::Json => {
            let elements = elements(text).map_err(|error| not_json(text, &error))?;
            if elements.count > EVENTS_MAX {
                return Err(BodyError::TooManyEvents);
            }
            Ok(elements
                .first
                .iter()
                .map(|raw| item(raw.get(), now, is_keyed))
                .collect())
        }
        Format::Ndjson => {
            let lines = || {
                let lines = text.lines().map(|line| line.trim_start_matches(MARK));
                lines.filter(|line| !line.trim().is_empty())
            };
            if lines().nth(EVENTS_MAX).is_some() {
                return Err(BodyError::TooManyEvents);
            }
            // An array on one line is left to its verdict, so that other lines count.
            if lines()
                .next()
                .is_some_and(|first| first.trim().ends_with(['[', '{']))
            {
                return Err(BodyError::NoLines);
            }
            Ok(lines().map(|line| item(line, now, is_keyed)).collect())
        }
    }
}

/// A body whose first line is an event, and which goes on, was meant as lines.
fn not_json(text: &str, error: &serde_json::Error) -> BodyError {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let is_object =
        |line: &str| line.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(line).is_ok();
    if lines.next().is_some_and(is_object) && lines.next().is_some() {
        BodyError::Lines
    } else {
        BodyError::NotJson(complaint(error))
    }
}

/// The fields as written. A field that is null is there, and is refused: JavaScript writes NaN so.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    name: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    count: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    timestamp: Option<&'a RawValue>,
}

fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn item(text: &str, now: Instant, is_keyed: bool) -> Item<'_> {
    // serde would take an array of the fields' values in their order for the object.
    let fields = if text.trim_start().starts_with('{') {
        serde_json::from_str::<Fields<'_>>(text).map_err(|error| Refusal::Shape(complaint(&error)))
    } else {
        Err(Refusal::NoObject(shown(text, SHOWN_CHARS_MAX)))
    };
    let name = fields.and_then(|fields| {
        let raw = fields.name.ok_or(Refusal::NoName)?.get();
        let name = json_string(raw).ok_or_else(|| Refusal::NameNotText(shown(raw, SHOWN_CHARS_MAX)))?;
        Ok((name, fields))
    });
    let (name, fields) = match name {
        Ok(named) => named,
        Err(refusal) => {
            return Item {
                name_bytes: 0,
                content: ContentHash::of_text(if is_keyed { text } else { "" }),
                event: Err(refusal),
            };
        }
    };
    let count = fields.count.map(|raw| count(raw.get()));
    let at = fields.timestamp.map(|raw| timestamp(raw.get()));
    let content = if is_keyed {
        let count = count.as_ref().zip(fields.count);
        let at = at.as_ref().zip(fields.timestamp);
        ContentHash::of_event(
            &name,
            count.map(|(count, raw)| count.as_ref().copied().map_err(|_| raw.get())),
            at.map(|(at, raw)| at.as_ref().copied().map_err(|_| raw.get())),
        )
    } else {
        ContentHash::default()
    };
    let name_bytes = name.len();
    let event = || {
        Ok(Event {
            name: EventName::new(name)?,
            count: count.unwrap_or(Ok(1))?,
            minute: Event::minute(at.unwrap_or(Ok(now))?, now)?,
        })
    };
    Item {
        name_bytes,
        content,
        event: event(),
    }
}

/// The text of a JSON string, without a copy where it has no escapes.
fn json_string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// An integer, however JSON writes it: `3`, `3.0` or `3e0`.
fn count(raw: &str) -> Result<u64, Refusal> {
    let integer = raw.parse::<u64>().ok().or_else(|| decimal::whole(raw));
    integer
        .filter(|n| (1..=EVENT_COUNT_MAX).contains(n))
        .ok_or_else(|| CountError::Event(shown(raw, SHOWN_CHARS_MAX)).into())
}

fn timestamp(raw: &str) -> Result<Instant, Refusal> {
    let instant = match json_string(raw) {
        Some(text) => Instant::from_rfc3339(&text).ok(),
        None => Instant::from_unix_text(raw).ok(),
    };
    instant.ok_or_else(|| Refusal::Timestamp(shown(raw, SHOWN_CHARS_MAX)))
}

fn complaint(error: &serde_json::Error) -> String {
    shown(&error.to_string(), COMPLAINT_CHARS_MAX)
}

fn shown(raw: &str, chars_max: usize) -> String {
    let mut text: String = raw.chars().take(chars_max).collect();
    if text.len() < raw.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: i64 = 1_763_787_600;

    fn items(format: Format, body: &str) -> Vec<Item<'_>> {
        read(format, body.as_bytes(), Instant::from_unix_ms(NOW_S * 1000), true).unwrap()
    }

    fn one(event: &str) -> Result<(String, u64, i64), String> {
        let mut items = items(Format::Json, event);
        assert_eq!(items.len(), 1);
        let event = items.remove(0).event.map_err(|e| e.to_string())?;
        Ok((event.name.as_str().to_owned(), event.count, event.minute.unix_s()))
    }

    #[test]
    fn three_shapes_of_json_and_lines() {
        assert_eq!(one(r#"{"name":"a"}"#), Ok(("a".to_owned(), 1, NOW_S)));
        assert_eq!(items(Format::Json, r#" [{"name":"a"},{"name":"b"}]"#).len(), 2);
        assert_eq!(
            items(Format::Json, r#"{"events":[{"name":"a"},{"name":"b"},7]}"#).len(),
            3
        );
        assert_eq!(items(Format::Json, "[]").len(), 0);
        let lines = items(
            Format::Ndjson,
            "{\"name\":\"a\"}\r\n\n{\"name\":\n{\"name\":\"b\"}",
        );
        assert_eq!(
            lines.iter().map(|i| i.event.is_ok()).collect::<Vec<_>>(),
            [true, false, true]
        );
    }

    #[test]
    fn byte_order_marks_are_passed_over() {
        assert_eq!(one("\u{feff}{\"name\":\"a\"}").unwrap().0, "a");
        assert_eq!(items(Format::Json, "\u{feff}[{\"name\":\"a\"}]").len(), 1);
        // As `cat` puts two files together.
        let lines = items(
            Format::Ndjson,
            "\u{feff}{\"name\":\"a\"}\r\n\u{feff}{\"name\":\"b\"}\n\u{feff}\n",
        );
        assert_eq!(lines.iter().filter(|i| i.event.is_ok()).count(), 2);
        assert_eq!(lines.len(), 2);
        let now = Instant::from_unix_ms(NOW_S * 1000);
        for format in [Format::Json, Format::Ndjson] {
            assert!(matches!(
                read(format, b"\xff\xfe{\0", now, false),
                Err(BodyError::Utf16)
            ));
        }
    }

    #[test]
    fn a_body_of_the_other_content_type_says_so() {
        let refusal = |format, body: &str| {
            let now = Instant::from_unix_ms(NOW_S * 1000);
            read(format, body.as_bytes(), now, false).unwrap_err().to_string()
        };
        let lines = refusal(Format::Json, "{\"name\":\"a\"}\n{\"name\":\"b\"}\n");
        assert!(
            lines.ends_with("send it with Content-Type: application/x-ndjson"),
            "{lines}"
        );
        let whole = refusal(Format::Ndjson, "[\n  {\n    \"name\": \"a\"\n  }\n]");
        assert!(
            whole.ends_with("send it with Content-Type: application/json"),
            "{whole}"
        );
        let array = items(Format::Ndjson, "[{\"name\":\"a\"}]")
            .remove(0)
            .event
            .unwrap_err()
            .to_string();
        assert!(
            array.contains("an array needs Content-Type: application/json"),
            "{array}"
        );
        assert!(refusal(Format::Json, "{\"name\":\"a\"} x").contains("trailing characters"));
    }

    #[test]
    fn nothing_is_rounded() {
        for count in ["3.0000000000000001", "2.9999999999999999999", "1e-400"] {
            let refusal = one(&format!(r#"{{"name":"a","count":{count}}}"#)).unwrap_err();
            assert!(refusal.contains("not an integer"), "{refusal}");
        }
        let event = format!(r#"{{"name":"a","timestamp":{}.99999999999999999}}"#, NOW_S + 59);
        assert_eq!(one(&event).unwrap().2, NOW_S);
    }

    #[test]
    fn a_second_of_60_is_a_leap_second_or_refused() {
        let at = |text: &str| one(&format!(r#"{{"name":"a","timestamp":"{text}"}}"#));
        assert_eq!(at("2016-12-31T23:59:60Z").unwrap().2, 1_483_228_740);
        assert!(
            at("2016-12-31T11:31:60Z")
                .unwrap_err()
                .contains("not a number of unix seconds or an RFC 3339 time")
        );
    }

    #[test]
    fn counts_and_times_in_all_their_forms() {
        assert_eq!(one(r#"{"name":"a","count":3}"#).unwrap().1, 3);
        assert_eq!(one(r#"{"name":"a","count":3.0}"#).unwrap().1, 3);
        assert_eq!(one(r#"{"name":"a","count":1e9}"#).unwrap().1, 1_000_000_000);
        assert_eq!(
            one(r#"{"name":"\u0061","timestamp":1763787659.99}"#).unwrap(),
            ("a".to_owned(), 1, NOW_S)
        );
        assert_eq!(
            one(r#"{"name":"a","timestamp":"2025-11-22T06:01:00+01:00"}"#)
                .unwrap()
                .2,
            NOW_S + 60
        );
    }

    #[test]
    fn the_content_is_what_was_sent_however_it_is_written_and_whenever() {
        let content = |event: &str, now_s: i64| {
            let now = Instant::from_unix_ms(now_s * 1000);
            read(Format::Json, event.as_bytes(), now, true)
                .unwrap()
                .remove(0)
                .content
        };
        let first = content(r#"{"name":"a","count":3,"timestamp":1763787600}"#, NOW_S);
        for same in [
            r#"{"timestamp":1763787600.0, "count":3e0, "name":"\u0061"}"#,
            r#"[{"name":"a","count":3,"timestamp":"2025-11-22T06:00:00+01:00"}]"#,
        ] {
            assert_eq!(content(same, NOW_S + 600), first, "{same}");
        }
        // It is refused at first, and taken ten minutes later.
        let ahead = r#"{"name":"a","timestamp":1763791500}"#;
        assert_eq!(content(ahead, NOW_S), content(ahead, NOW_S + 600));
        for other in [
            r#"{"name":"a","count":3,"timestamp":1763787601}"#,
            r#"{"name":"a","count":3}"#,
            r#"{"name":"a","count":"3","timestamp":1763787600}"#,
            r#"{"nam":"a"}"#,
        ] {
            assert_ne!(content(other, NOW_S), first, "{other}");
        }
    }

    #[test]
    fn each_bad_event_has_its_reason() {
        for count in [
            "0",
            "-1",
            "1.5",
            "1e10",
            "1000000001",
            "\"3\"",
            "null",
            "true",
            "[]",
        ] {
            let refusal = one(&format!(r#"{{"name":"a","count":{count}}}"#)).unwrap_err();
            assert_eq!(
                refusal,
                format!("count is not an integer from 1 to 1000000000: {count}")
            );
        }
        for (timestamp, reason) in [
            ("915148800", "before 2000"),
            ("2524608000", "an hour ahead"),
            ("\"noon\"", "not a number"),
            ("null", "not a number"),
            ("1e300", "not a number"),
            ("1763787600250", "unix seconds are expected"),
        ] {
            let refusal = one(&format!(r#"{{"name":"a","timestamp":{timestamp}}}"#)).unwrap_err();
            assert!(refusal.contains(reason), "{refusal}");
        }
        assert_eq!(one(r#"{"count":1}"#).unwrap_err(), "event has no name");
        assert_eq!(one(r#"{"name":7}"#).unwrap_err(), "name is not a string: 7");
        assert!(one(r#"{"name":"a b"}"#).unwrap_err().contains("' '"));
        assert!(one(r#"{"name":"a\u0001"}"#).unwrap_err().contains("\\u{1}"));
        assert!(one(r#"{"name":"a'"}"#).unwrap_err().contains("not allowed"));
        assert!(
            one(&format!(r#"{{"name":"{}"}}"#, "x".repeat(256)))
                .unwrap_err()
                .contains("longer than 255")
        );
        assert!(
            one(r#"{"name":"a","cuont":3}"#)
                .unwrap_err()
                .contains("unknown field `cuont`")
        );
        assert!(
            one(r#"{"name":"a","name":"b"}"#)
                .unwrap_err()
                .contains("duplicate field")
        );
        assert!(one("[7]").is_err_and(|e| e.contains("not a JSON object")));
        assert!(one(r#"[["a",5]]"#).is_err_and(|e| e.contains("not a JSON object")));
        let huge = format!(r#"{{"{}":1}}"#, "A".repeat(100_000));
        assert!(one(&huge).is_err_and(|e| e.contains("unknown field") && e.len() < 400));
    }

    #[test]
    fn broken_bodies_are_refused_whole() {
        let now = Instant::from_unix_ms(NOW_S * 1000);
        for body in [
            "",
            "{",
            "[{\"name\":\"a\"}",
            "{\"name\":NaN}",
            "[1,]",
            "{\"events\":7}",
            "{\"events\":null}",
            "{\"events\":[],\"name\":\"a\"}",
            "{} {}",
        ] {
            assert!(
                matches!(
                    read(Format::Json, body.as_bytes(), now, false),
                    Err(BodyError::NotJson(_))
                ),
                "{body}"
            );
        }
        assert!(matches!(
            read(Format::Ndjson, b"\xff", now, false),
            Err(BodyError::NotUtf8)
        ));
        let many = |n| format!("[{}7]", "7,".repeat(n - 1));
        assert!(read(Format::Json, many(EVENTS_MAX).as_bytes(), now, false).is_ok());
        assert!(matches!(
            read(Format::Json, many(EVENTS_MAX + 1).as_bytes(), now, false),
            Err(BodyError::TooManyEvents)
        ));
        let lines = "7\n".repeat(EVENTS_MAX + 1);
        assert!(matches!(
            read(Format::Ndjson, lines.as_bytes(), now, false),
            Err(BodyError::TooManyEvents)
        ));
    }
}
