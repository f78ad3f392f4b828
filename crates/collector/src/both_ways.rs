//! The check that the fast reader and serde_json read the same, for tests and for fuzzing.

use model::{Timestamp, utf8};

use crate::elements::elements;
use crate::events::{self, ParsedEvent, parse_event};
use crate::plain;
use crate::request::Format;

pub(crate) const NOW_MS: i64 = 1_763_787_600_000;

/// Reads `body` in both ways, as NDJSON and as JSON.
///
/// # Panics
/// One way reads something else than the other.
pub(crate) fn check(body: &[u8]) {
    let now = Timestamp::from_unix_ms(NOW_MS);
    if let Ok(text) = events::text(Format::Ndjson, body) {
        let line = text.split('\n').next().unwrap_or_default();
        if plain::line(&text).is_some() {
            let read = all(Format::Ndjson, line).unwrap_or_default();
            assert_eq!(read, [shown(parse_event(line, now, true))], "{line:?}");
        }
    }
    let Ok(text) = events::text(Format::Json, body) else {
        return;
    };
    if plain::body(&text, crate::limits::EVENTS_MAX).is_some() {
        let elements = elements(&text).expect("what is plain is JSON");
        let by_serde = elements
            .first
            .iter()
            .map(|raw| shown(parse_event(raw.get(), now, true)));
        assert_eq!(all(Format::Json, &text), Some(by_serde.collect()), "{text:?}");
    }
}

fn all(format: Format, text: &str) -> Option<Vec<String>> {
    let now = Timestamp::from_unix_ms(NOW_MS);
    let mut texts = Vec::new();
    let text = text.trim_start_matches(utf8::MARK);
    events::read(format, text, now, true, |parsed| texts.push(shown(parsed))).ok()?;
    Some(texts)
}

/// All that was read of an event, the sentence of a refusal included.
fn shown(parsed: ParsedEvent<'_>) -> String {
    let event = parsed.event.map_err(|refusal| refusal.to_string());
    format!("{} {:?} {event:?}", parsed.name_bytes, parsed.content)
}
