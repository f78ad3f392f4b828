//! The split of all eventIds into 32 equal ranges, one database each.

use std::fmt;
use std::ops::RangeInclusive;

use crate::EventId;

/// The number of shards: one for each value of an eventId's top five bits.
const SHARD_COUNT: u8 = 32;

/// Low bits of an eventId that do not decide its shard.
const ID_BITS: u32 = 59;

/// A range of eventIds: shard n holds those whose top five bits are n, in database `bigdata_n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(u8);

impl Shard {
    /// The shard that holds the counts of an event.
    #[must_use]
    pub fn of(id: EventId) -> Self {
        let [top, ..] = id.0.to_be_bytes();
        Self(top >> 3)
    }

    /// All 32 shards, by their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SHARD_COUNT).map(Self)
    }

    /// The eventIds of the shard, from the first to the last.
    #[must_use]
    pub fn event_ids(self) -> RangeInclusive<u64> {
        let first = u64::from(self.0) << ID_BITS;
        first..=first | ((1 << ID_BITS) - 1)
    }

    /// The number of the shard, from 0 to 31.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }
}

/// The database's name, `bigdata_0` to `bigdata_31`.
impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bigdata_{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_equal_ranges() {
        assert_eq!(Shard::of(EventId(0)).number(), 0);
        assert_eq!(Shard::of(EventId((1 << 59) - 1)).number(), 0);
        assert_eq!(Shard::of(EventId(1 << 59)).number(), 1);
        assert_eq!(Shard::of(EventId(u64::MAX)).to_string(), "bigdata_31");
        assert_eq!(Shard::all().count(), 32);
        for shard in Shard::all() {
            let (first, last) = shard.event_ids().into_inner();
            assert_eq!(
                (Shard::of(EventId(first)), Shard::of(EventId(last))),
                (shard, shard)
            );
            assert!(last == u64::MAX || Shard::of(EventId(last + 1)).number() == shard.number() + 1);
        }
    }
}
