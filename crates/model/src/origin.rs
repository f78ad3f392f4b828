//! Who sent a keyed request, and what it said: by these a key that is used again for something else is noticed.

use std::fmt;

use twox_hash::XxHash3_64;

use crate::Instant;

/// Longest name of a client.
pub const CLIENT_BYTES_MAX: usize = 64;

/// Of a piece of a keyed request, who sent it and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub client: Client,
    pub content: ContentHash,
}

/// A client by the name of its token, or by its address: 1 to 64 characters of `A–Z a–z 0–9 _ - . : @`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client(String);

impl Client {
    /// Any text, with `_` for what a name cannot have and without what is too long.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.:@".contains(c);
        let chars = text.chars().map(|c| if allowed(c) { c } else { '_' });
        let name: String = chars.take(CLIENT_BYTES_MAX).collect();
        Self(if name.is_empty() { "_".to_owned() } else { name })
    }

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

/// What a piece said, event by event as it was sent: the same for every repetition, whatever the clocks say meanwhile and whichever
/// way JSON writes it. XXH3-64.
///
/// Part of a key's meaning, as [`crate::PIECE_BYTES_MAX`] is: with another rule, repetitions across the change are taken for
/// other requests, which alarms, and nothing else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash(pub u64);

impl ContentHash {
    /// An event by its fields; each is its text where it could not be read, and `None` where it is not given.
    #[must_use]
    pub fn of_event(
        name: &str,
        count: Option<Result<u64, &str>>,
        timestamp: Option<Result<Instant, &str>>,
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

    /// What is no event.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        Self(XxHash3_64::oneshot(text.trim().as_bytes()))
    }

    /// A piece with one more event.
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
        assert_eq!(Client::of("2001:db8::7").as_str(), "2001:db8::7");
        assert_eq!(Client::of("O'Brien \u{e9}").as_str(), "O_Brien__");
        assert_eq!(Client::of("").as_str(), "_");
        assert_eq!(Client::of(&"x".repeat(100)).as_str().len(), CLIENT_BYTES_MAX);
    }

    #[test]
    fn what_is_not_said_is_not_what_is() {
        let at = |ms| Some(Ok(Instant::from_unix_ms(ms)));
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
