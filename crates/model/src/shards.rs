//! Sets of shards, as configurations and people write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Shard;

/// A set of shards, of which each is in it or not. Written as numbers and ranges, such as `0-15,20`; nothing for none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shards(u32);

/// Reasons for which a text is no set of shards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "shards '{0}' are not understood: write numbers from 0 to 31 and ranges of them, each once, such as '0-15' or '3,16-31'"
)]
pub struct ShardsError(String);

impl Shards {
    /// No shard.
    pub const NONE: Self = Self(0);

    /// All 32 shards.
    pub const ALL: Self = Self(u32::MAX);

    /// Whether a shard is in it.
    #[must_use]
    pub fn contains(self, shard: Shard) -> bool {
        self.0 & bit(shard) != 0
    }

    /// The shards, by their numbers.
    pub fn iter(self) -> impl Iterator<Item = Shard> {
        Shard::all().filter(move |&shard| self.contains(shard))
    }

    /// The shards that are in either.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The shards that are in both.
    #[must_use]
    pub fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The shards that are in this set and not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether no shard is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }
}

fn bit(shard: Shard) -> u32 {
    1 << shard.number()
}

impl From<Shard> for Shards {
    fn from(shard: Shard) -> Self {
        Self(bit(shard))
    }
}

impl FromIterator<Shard> for Shards {
    fn from_iter<I: IntoIterator<Item = Shard>>(shards: I) -> Self {
        shards.into_iter().map(Self::from).fold(Self::NONE, Self::and)
    }
}

impl FromStr for Shards {
    type Err = ShardsError;

    fn from_str(text: &str) -> Result<Self, ShardsError> {
        let error = || ShardsError(text.to_owned());
        let number = |text: &str| {
            let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            is_plain.then(|| text.parse::<u8>().ok()).flatten()
        };
        let mut shards = Self::NONE;
        if text.trim().is_empty() {
            return Ok(shards);
        }
        for part in text.split(',').map(str::trim) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = number(first.trim()).zip(number(last.trim())).ok_or_else(error)?;
            let within: Self = Shard::all()
                .filter(|shard| (first..=last).contains(&shard.number()))
                .collect();
            let is_whole = first <= last && within.iter().last().is_some_and(|shard| shard.number() == last);
            if !is_whole || !shards.common(within).is_empty() {
                return Err(error());
            }
            shards = shards.and(within);
        }
        Ok(shards)
    }
}

impl TryFrom<String> for Shards {
    type Error = ShardsError;

    fn try_from(text: String) -> Result<Self, ShardsError> {
        text.parse()
    }
}

impl From<Shards> for String {
    fn from(shards: Shards) -> Self {
        shards.to_string()
    }
}

/// Ranges in the order of numbers, such as `0-15,20`; nothing for no shard.
impl fmt::Display for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<u8> = self.iter().map(Shard::number).collect();
        for (at, range) in numbers.chunk_by(|a, b| a + 1 == *b).enumerate() {
            let comma = if at > 0 { "," } else { "" };
            match range {
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                [number] => write!(f, "{comma}{number}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_set_of_shards_is_refused() {
        for text in [
            ",", "1,", "32", "0-32", "5-4", "1,1", "0-3,2", "-1", "+1", "1-", "x", "256", "1-2-3",
        ] {
            let refusal = text.parse::<Shards>().unwrap_err().to_string();
            assert!(refusal.contains(&format!("'{text}'")), "{refusal}");
        }
        assert_eq!(" 3 , 16 - 31".parse::<Shards>().unwrap().to_string(), "3,16-31");
        assert_eq!("0-31".parse::<Shards>(), Ok(Shards::ALL));
        assert_eq!(
            (Shards::NONE.to_string().as_str(), " ".parse()),
            ("", Ok(Shards::NONE))
        );
    }

    proptest! {
        #[test]
        fn it_is_read_as_it_is_written(bits: u32) {
            prop_assert_eq!(Shards(bits).to_string().parse::<Shards>(), Ok(Shards(bits)));
            prop_assert_eq!(Shards(bits).iter().collect::<Shards>(), Shards(bits));
            prop_assert_eq!(Shards(bits).and(Shards(!bits)), Shards::ALL);
            prop_assert!(Shards(bits).without(Shards(bits)).is_empty());
        }
    }
}
