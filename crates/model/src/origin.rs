//! The origin of a keyed request: who sent it, and a hash of what it said. By it, a key that is used again for something else is
//! noticed.

use std::fmt;

use twox_hash::XxHash3_64;

use crate::Timestamp;

/// Most bytes of a client's name.
pub const CLIENT_BYTES_MAX: usize = 64;

/// The origin of a piece of a keyed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The sender.
    pub client: Client,
    /// The hash of what it said.
    pub content: ContentHash,
}

/// A client by the name of its token, or by its address: 1 to 64 characters of `A–Z a–z 0–9 _ - . : @`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client(String);

impl Client {
    /// The client with this name or address: a character that a name cannot have becomes `_`, and what is too long is cut off.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.:@".contains(c);
        let chars = text.chars().map(|c| if allowed(c) { c } else { '_' });
        let name: String = chars.take(CLIENT_BYTES_MAX).collect();
        Self(if name.is_empty() { "_".to_owned() } else { name })
    }

    /// The name or address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A hash of what a piece said, event by event as it was sent (XXH3-64): the same for every repetition, whatever the clocks say
/// meanwhile and whichever way JSON writes it. The default is that of a piece without events.
///
/// The rule is part of what an idempotency key means, as [`crate::PIECE_BYTES_MAX`] is: with another rule, repetitions across the change
/// would be taken for other requests under the same key. That raises an alarm; no count changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash(pub u64);

impl ContentHash {
    /// The hash of an event by its fields. A field that could not be read is `Err` with its text; one that is not given is `None`.
    #[must_use]
    pub fn of_event(
        name: &str,
        count: Option<Result<u64, &str>>,
        timestamp: Option<Result<Timestamp, &str>>,
    ) -> Self {
        let read = |number: Option<Result<[u8; 8], &str>>| match number {
            None => (0, [0; 8]),
            Some(Ok(bytes)) => (1, bytes),
            Some(Err(text)) => (2, XxHash3_64::oneshot(text.as_bytes()).to_le_bytes()),
        };
        let (count_kind, count) = read(count.map(|count| count.map(u64::to_le_bytes)));
        let timestamp = timestamp.map(|at| at.map(|at| at.unix_ms().to_le_bytes()));
        let (timestamp_kind, timestamp) = read(timestamp);
        let mut rest = [0; 18];
        rest[..8].copy_from_slice(&count);
        rest[8..16].copy_from_slice(&timestamp);
        rest[16..].copy_from_slice(&[count_kind, timestamp_kind]);
        let name = XxHash3_64::oneshot(name.as_bytes());
        Self(XxHash3_64::oneshot_with_seed(name, &rest))
    }

    /// The hash of a text that is no event, without the blanks around it.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        Self(XxHash3_64::oneshot(text.trim().as_bytes()))
    }

    /// The hash of this piece with one more event. The order of events matters.
    #[must_use]
    pub fn and(self, event: Self) -> Self {
        Self(XxHash3_64::oneshot_with_seed(self.0, &event.0.to_le_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn clients_have_plain_names() {
        assert_eq!(Client::of("shop").as_str(), "shop");
        assert_eq!(Client::of("shop").to_string(), "shop");
        assert_eq!(Client::of("2001:db8::7").as_str(), "2001:db8::7");
        assert_eq!(Client::of("O'Brien \u{e9}").as_str(), "O_Brien__");
        assert_eq!(Client::of("").as_str(), "_");
        assert_eq!(Client::of(&"x".repeat(100)).as_str().len(), CLIENT_BYTES_MAX);
    }

    #[test]
    fn what_is_not_said_is_not_what_is() {
        let at = |ms| Some(Ok(Timestamp::from_unix_ms(ms)));
        let all = [
            ContentHash::of_event("a", None, None),
            ContentHash::of_event("a", Some(Ok(1)), None),
            ContentHash::of_event("a", Some(Ok(2)), None),
            ContentHash::of_event("a", Some(Err("1")), None),
            ContentHash::of_event("a", None, at(1)),
            ContentHash::of_event("a", None, Some(Err("1"))),
            ContentHash::of_event("a", Some(Ok(1)), at(1)),
            ContentHash::of_event("b", None, None),
            ContentHash::of_text("a"),
            ContentHash::default(),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one), "{at}");
        }
    }

    proptest! {
        #[test]
        fn the_order_and_the_number_of_events_matter(a in any::<u64>(), b in any::<u64>()) {
            prop_assume!(a != b);
            let join = |events: &[u64]| events.iter().fold(ContentHash::default(), |sum, &e| sum.and(ContentHash(e)));
            prop_assert_ne!(join(&[a, b]), join(&[b, a]));
            prop_assert_ne!(join(&[a]), join(&[a, a]));
        }
    }
}
