//! The names that only EventTracker itself counts.

use crate::{Client, EventName};

/// What the names of EventTracker's own counts begin with.
pub const OWN_NAMES: &str = "eventtracker.";

/// The name that counts how often a collector has found that its file of tokens cannot be used.
pub const TOKENS_FILE_REFUSED: &str = "eventtracker.tokens_file.refused";

/// The name that counts how often a collector has found that its certificate ends soon, or cannot be used.
pub const CERTIFICATE_TROUBLE: &str = "eventtracker.certificate.trouble";

/// What the names begin with that count what clients did.
const OF_CLIENTS: &str = "eventtracker.client.";

/// What the names begin with that take the counts of too many others.
const OVERFLOW: &str = "__overflow__.";

impl EventName<'_> {
    /// Whether no client may send the name: EventTracker counts by it what clients did.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        // Told by the first byte for nearly every name, as this is asked for every event.
        matches!(self.as_str().as_bytes()[0], b'e' | b'_')
            && (self.as_str().starts_with(OWN_NAMES) || self.as_str().starts_with(OVERFLOW))
    }
}

impl Client {
    /// The name that counts the client's names beyond those that it may have.
    #[must_use]
    pub fn overflow_name(&self) -> EventName<'static> {
        name(format!("{OVERFLOW}{self}"))
    }

    /// The names that count what the client did: the events that were accepted of it, those that were rejected, those that went to
    /// [`Client::overflow_name`], and the names that it counted as the first of their day.
    #[must_use]
    pub fn own_names(&self) -> [EventName<'static>; 4] {
        ["events", "rejected", "overflowed", "names"].map(|what| name(format!("{OF_CLIENTS}{self}.{what}")))
    }
}

/// The client, and what of it is counted, of a name that counts what clients did: `events`, `rejected`, `overflowed` or `names`.
#[must_use]
pub fn own_count(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(OF_CLIENTS)?.rsplit_once('.')
}

/// A name made of what is allowed in one, and short enough.
fn name(text: String) -> EventName<'static> {
    EventName::new(text).expect("a client's name has at most 64 of a name's characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_clients_is_reserved_and_nothing_else() {
        let longest = Client::of(&"A@:.".repeat(16));
        for client in [Client::of("shop"), longest] {
            let names = client.own_names();
            assert!(
                names
                    .iter()
                    .chain([&client.overflow_name()])
                    .all(EventName::is_reserved)
            );
        }
        let shop = Client::of("shop");
        assert_eq!(shop.overflow_name().as_str(), "__overflow__.shop");
        assert_eq!(shop.own_names()[0].as_str(), "eventtracker.client.shop.events");
        let dotted = Client::of("shop.eu").own_names();
        assert_eq!(own_count(dotted[2].as_str()), Some(("shop.eu", "overflowed")));
        for name in [TOKENS_FILE_REFUSED, CERTIFICATE_TROUBLE] {
            assert_eq!(own_count(name), None);
            assert!(EventName::new(name).unwrap().is_reserved());
        }
        for free in [
            "eventtracker",
            "eventtrackers.a",
            "__overflow__",
            "e",
            "_",
            "shop.eventtracker.a",
        ] {
            assert!(!EventName::new(free).unwrap().is_reserved(), "{free}");
        }
    }
}
