//! Whether the plain form and serde_json read the same, for tests and for fuzzing.

use model::{Instant, utf8};

use crate::elements::elements;
use crate::events::{self, Item, item};
use crate::plain;
use crate::request::Format;

const NOW_MS: i64 = 1_763_787_600_000;

/// # Panics
/// Where one way reads something else than the other.
pub(crate) fn check(body: &[u8]) {
    let now = Instant::from_unix_ms(NOW_MS);
    if let Ok(text) = events::text(Format::Ndjson, body) {
        let line = text.split('\n').next().unwrap_or_default();
        if plain::line(&text).is_some() {
            let read = all(Format::Ndjson, line).unwrap_or_default();
            assert_eq!(read, [shown(item(line, now, true))], "{line:?}");
        }
    }
    let Ok(text) = events::text(Format::Json, body) else {
        return;
    };
    if plain::body(&text, events::EVENTS_MAX).is_some() {
        let elements = elements(&text).expect("what is plain is JSON");
        let by_serde = elements.first.iter().map(|raw| shown(item(raw.get(), now, true)));
        assert_eq!(all(Format::Json, &text), Some(by_serde.collect()), "{text:?}");
    }
}

fn all(format: Format, text: &str) -> Option<Vec<String>> {
    let now = Instant::from_unix_ms(NOW_MS);
    let mut items = Vec::new();
    let text = text.trim_start_matches(utf8::MARK);
    events::read(format, text, now, true, |item| items.push(shown(item))).ok()?;
    Some(items)
}

/// All of it, the sentence of a refusal included.
fn shown(item: Item<'_>) -> String {
    let event = item.event.map_err(|refusal| refusal.to_string());
    format!("{} {:?} {event:?}", item.name_bytes, item.content)
}
