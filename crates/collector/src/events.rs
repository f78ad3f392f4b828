//! Reads events out of a body, each with its own verdict.

use std::borrow::Cow;

use model::{
    ContentHash, CountError, EVENT_COUNT_MAX, Event, EventError, EventName, Instant, NameError, decimal, utf8,
};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_json::value::RawValue;

use crate::elements::elements;
use crate::plain::{self, Plain};
use crate::request::Format;

/// Most events of one request.
pub(crate) const EVENTS_MAX: usize = 10_000;

/// How much of a refused value an error repeats.
const SHOWN_CHARS_MAX: usize = 40;

/// How much of the parser's complaint an error repeats; it quotes what it found, which may be megabytes.
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

/// A body's text. Where lines are not UTF-8, they alone are refused: a character that no name has stands for what they are instead.
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

/// Gives all events of a body to `each` in their order, at the collector's time `now`. Blank lines of NDJSON are no events. Without a
/// key nobody asks what the events say beside what they count, and their content is left out.
///
/// # Errors
/// Why the whole body is refused; then what was given to `each` is void.
pub(crate) fn read<'a>(
    format: Format,
    text: &'a str,
    now: Instant,
    is_keyed: bool,
    mut each: impl FnMut(Item<'a>),
) -> Result<(), BodyError> {
    match format {
        Format::Json => {
            if let Some(events) = plain::body(text, EVENTS_MAX) {
                events
                    .into_iter()
                    .for_each(|event| each(plain_item(event, now, is_keyed)));
                return Ok(());
            }
            let elements = elements(text).map_err(|error| not_json(text, &error))?;
            if elements.count > EVENTS_MAX {
                return Err(BodyError::TooManyEvents);
            }
            for raw in &elements.first {
                each(item(raw.get(), now, is_keyed));
            }
            Ok(())
        }
        Format::Ndjson => read_lines(text, now, is_keyed, each),
    }
}

fn read_lines<'a>(
    mut text: &'a str,
    now: Instant,
    is_keyed: bool,
    mut each: impl FnMut(Item<'a>),
) -> Result<(), BodyError> {
    let mut events = 0;
    while !text.is_empty() {
        let read = match plain::line(text) {
            Some((event, rest)) => {
                text = rest;
                plain_item(event, now, is_keyed)
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
                // An array on one line is left to its verdict, so that other lines count.
                if events == 0 && line.trim().ends_with(['[', '{']) {
                    return Err(BodyError::NoLines);
                }
                item(line, now, is_keyed)
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

fn plain_item(Plain { name, count, at }: Plain<'_>, now: Instant, is_keyed: bool) -> Item<'_> {
    let content = if is_keyed {
        ContentHash::of_event(name.as_str(), count.map(Ok), at.map(Ok))
    } else {
        ContentHash::default()
    };
    let minute = Event::minute(at.unwrap_or(now), now);
    Item {
        name_bytes: name.as_str().len(),
        content,
        event: minute.map_err(Refusal::Time).map(|minute| Event {
            name,
            count: count.unwrap_or(1),
            minute,
        }),
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

pub(crate) fn item(text: &str, now: Instant, is_keyed: bool) -> Item<'_> {
    // serde would take an array of the fields' values in their order for the object.
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
mod tests;
