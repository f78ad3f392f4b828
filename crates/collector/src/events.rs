//! Reads the events of a body, each of which is accepted or refused by itself.

use std::borrow::Cow;

use model::{
    ContentHash, CountError, EVENT_COUNT_MAX, Event, EventError, EventName, NameError, Timestamp, decimal,
    utf8,
};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_json::value::RawValue;

use crate::elements::elements;
use crate::limits::EVENTS_MAX;
use crate::plain::{self, PlainEvent};
use crate::request::Format;

/// Most characters of a refused value that an error repeats.
const SHOWN_CHARS_MAX: usize = 40;

/// Most characters of the parser's complaint that an error repeats; it quotes what it found, which may be megabytes.
const COMPLAINT_CHARS_MAX: usize = 160;

/// Why the whole body is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("body is not UTF-8 from byte {0} on")]
    NotUtf8(usize),
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
    #[error("event is not alone in its line; curl -d takes line ends out, and --data-binary keeps them")]
    TwoInLine,
    #[error("event is not a JSON object (an array needs Content-Type: application/json): {0}")]
    NoObject(String),
    #[error("event has no name")]
    NoName,
    #[error("name is not a string: {0}")]
    NameNotText(String),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("name is one by which EventTracker counts what clients do; no client may send it: '{0}'")]
    Reserved(String),
    #[error("name does not begin as those that the token '{client}' may count: '{name}'")]
    Foreign { client: String, name: String },
    #[error(transparent)]
    Count(#[from] CountError),
    #[error("timestamp is not a number of unix seconds or an RFC 3339 time: {0}")]
    Timestamp(String),
    #[error(transparent)]
    Time(#[from] EventError),
}

/// An event that was read: valid or refused, with what a keyed request needs of it in either case.
#[derive(Debug)]
pub(crate) struct ParsedEvent<'a> {
    /// Bytes of the name as sent, even of a refused one; 0 without a name. A keyed request is cut into pieces by them.
    pub(crate) name_bytes: usize,
    /// A hash of what was sent, whether valid or refused; that of no text in a request without a key.
    pub(crate) content: ContentHash,
    /// The event, or why it does not count.
    pub(crate) event: Result<Event<'a>, Refusal>,
}

/// The text of a body. In NDJSON, a line that is not UTF-8 is refused alone: bytes that are none are replaced by a character that no
/// name has.
///
/// # Errors
/// The body is UTF-16, or JSON that is not UTF-8.
pub(crate) fn text(format: Format, body: &[u8]) -> Result<Cow<'_, str>, BodyError> {
    if utf8::is_utf16(body) {
        return Err(BodyError::Utf16);
    }
    let body = utf8::without_mark(body);
    match (std::str::from_utf8(body), format) {
        (Ok(text), _) => Ok(Cow::Borrowed(text)),
        (Err(_), Format::Ndjson) => Ok(String::from_utf8_lossy(body)),
        (Err(error), Format::Json) => Err(BodyError::NotUtf8(error.valid_up_to())),
    }
}

/// Gives all events of a body to `each` in their order, at the collector's time `now`. Blank lines of NDJSON are no events. The content
/// hash is only computed for a request with a key.
///
/// # Errors
/// Why the whole body is refused; then the caller must not count what was given to `each`.
pub(crate) fn read<'a>(
    format: Format,
    text: &'a str,
    now: Timestamp,
    is_keyed: bool,
    mut each: impl FnMut(ParsedEvent<'a>),
) -> Result<(), BodyError> {
    match format {
        Format::Json => {
            if let Some(events) = plain::body(text, EVENTS_MAX) {
                events
                    .into_iter()
                    .for_each(|event| each(from_plain(event, now, is_keyed)));
                return Ok(());
            }
            let elements = elements(text).map_err(|error| not_json(text, &error))?;
            if elements.count > EVENTS_MAX {
                return Err(BodyError::TooManyEvents);
            }
            for raw in &elements.first {
                each(parse_event(raw.get(), now, is_keyed));
            }
            Ok(())
        }
        Format::Ndjson => read_lines(text, now, is_keyed, each),
    }
}

/// Reads NDJSON: each line by the fast reader, or else by serde_json.
fn read_lines<'a>(
    mut text: &'a str,
    now: Timestamp,
    is_keyed: bool,
    mut each: impl FnMut(ParsedEvent<'a>),
) -> Result<(), BodyError> {
    let mut events = 0;
    while !text.is_empty() {
        let read = match plain::line(text) {
            Some((event, rest)) => {
                text = rest;
                from_plain(event, now, is_keyed)
            }
            None => {
                let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
                text = rest;
                let line = line
                    .strip_suffix('\r')
                    .unwrap_or(line)
                    .trim_start_matches(utf8::MARK);
                if line.trim().is_empty() {
                    continue;
                }
                // A first line that ends in an opening bracket begins JSON over several lines. An array that is whole on its line is
                // refused alone, so that other lines count.
                if events == 0 && line.trim().ends_with(['[', '{']) {
                    return Err(BodyError::NoLines);
                }
                parse_event(line, now, is_keyed)
            }
        };
        events += 1;
        if events > EVENTS_MAX {
            return Err(BodyError::TooManyEvents);
        }
        each(read);
    }
    Ok(())
}

/// An event as the fast reader found it.
fn from_plain(
    PlainEvent { name, count, at }: PlainEvent<'_>,
    now: Timestamp,
    is_keyed: bool,
) -> ParsedEvent<'_> {
    let content = if is_keyed {
        ContentHash::of_event(name.as_str(), count.map(Ok), at.map(Ok))
    } else {
        ContentHash::default()
    };
    let minute = Event::minute(at.unwrap_or(now), now);
    ParsedEvent {
        name_bytes: name.as_str().len(),
        content,
        event: minute.map_err(Refusal::Time).map(|minute| Event {
            name,
            count: count.unwrap_or(1),
            minute,
        }),
    }
}

/// Why a body is not JSON of the expected shape. A body whose first line is an object, and which goes on, was meant as NDJSON.
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

/// The fields of an event as they are written. A field that is null is present, and is refused: JavaScript writes NaN as null.
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

/// A field that is there, whatever its value: serde alone would take null for a missing field.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads one event by serde_json. Every field is read even where another one is refused, since the content hash covers all of them.
pub(crate) fn parse_event(text: &str, now: Timestamp, is_keyed: bool) -> ParsedEvent<'_> {
    // serde would also take an array of the fields' values, in their order, for the object.
    let fields = if text.trim_start().starts_with('{') {
        serde_json::from_str::<Fields<'_>>(text).map_err(|error| misshapen(text, &error))
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
            return ParsedEvent {
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
    ParsedEvent {
        name_bytes,
        content,
        event: event(),
    }
}

/// The refusal of an event that is not one object of the known fields.
fn misshapen(text: &str, error: &serde_json::Error) -> Refusal {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Fields<'_>>();
    let is_first_whole = matches!(values.next(), Some(Ok(_)));
    if is_first_whole && text[values.byte_offset()..].trim_start().starts_with('{') {
        Refusal::TwoInLine
    } else {
        Refusal::Shape(complaint(error))
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

/// The count of an event: an integer, however JSON writes it: `3`, `3.0` or `3e0`.
fn count(raw: &str) -> Result<u64, Refusal> {
    let integer = raw.parse::<u64>().ok().or_else(|| decimal::whole(raw));
    integer
        .filter(|n| (1..=EVENT_COUNT_MAX).contains(n))
        .ok_or_else(|| CountError::Event(shown(raw, SHOWN_CHARS_MAX)).into())
}

/// The time of an event: a number of unix seconds, or a string with an RFC 3339 time.
fn timestamp(raw: &str) -> Result<Timestamp, Refusal> {
    let instant = match json_string(raw) {
        Some(text) => Timestamp::from_rfc3339(&text).ok(),
        None => Timestamp::from_unix_text(raw).ok(),
    };
    instant.ok_or_else(|| Refusal::Timestamp(shown(raw, SHOWN_CHARS_MAX)))
}

fn complaint(error: &serde_json::Error) -> String {
    shown(&error.to_string(), COMPLAINT_CHARS_MAX)
}

/// The beginning of a text, for an error; with an ellipsis where it is not all.
fn shown(raw: &str, chars_max: usize) -> String {
    let mut text: String = raw.chars().take(chars_max).collect();
    if text.len() < raw.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
