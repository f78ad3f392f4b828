//! Sums per name and minute, and the limits of a count.

use hashbrown::HashMap;

use crate::{EventId, Minute};

/// Largest count of one event.
pub const EVENT_COUNT_MAX: u64 = 1_000_000_000;

/// Largest sum of one name and minute in one batch.
pub const COUNT_MAX: u64 = 1_000_000_000_000_000;

/// Why a count is none. Both have the count as given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CountError {
    /// The count of an event.
    #[error("count is not an integer from 1 to {EVENT_COUNT_MAX}: {0}")]
    Event(String),
    /// A sum in a batch.
    #[error("count is not an integer from 1 to {COUNT_MAX}: {0}")]
    Sum(String),
}

/// Sums per name and minute. A sum saturates at `u64::MAX`, as the tables' upsert does.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct MinuteCounts(HashMap<(EventId, Minute), u64>);

impl MinuteCounts {
    /// Adds to the sum of a name and minute.
    pub fn add(&mut self, id: EventId, minute: Minute, count: u64) {
        let sum = self.0.entry((id, minute)).or_insert(0);
        *sum = sum.saturating_add(count);
    }

    /// Adds all sums of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (&(id, minute), &count) in &other.0 {
            self.add(id, minute, count);
        }
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of sums.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// All counts in the order of the tables' primary key (eventId, minute), hence shard by shard.
    #[must_use]
    pub fn sorted(&self) -> Vec<(EventId, Minute, u64)> {
        let sums = self.0.iter();
        let mut rows: Vec<_> = sums.map(|(&(id, minute), &count)| (id, minute, count)).collect();
        rows.sort_unstable();
        rows
    }
}

/// Sums of counts, each name and minute once, in the order of [`MinuteCounts::sorted`].
///
/// It gives the same rows and is faster where the counts are of very many names: they are split by the first bits of the id, and each
/// part is summed by itself, in a table that fits into the processor's cache.
pub fn sums(mut counts: impl Iterator<Item = (EventId, Minute, u64)>) -> Vec<(EventId, Minute, u64)> {
    const UNSPLIT_MAX: usize = 16_384;
    const PART_BITS: u32 = 8;
    let mut table = MinuteCounts::default();
    while table.len() < UNSPLIT_MAX {
        let Some((id, minute, count)) = counts.next() else {
            return table.sorted();
        };
        table.add(id, minute, count);
    }
    // More different sums than fit into the cache.
    let mut parts = vec![Vec::new(); 1 << PART_BITS];
    for count in table.sorted().into_iter().chain(counts) {
        let part = count.0.0 >> (u64::BITS - PART_BITS);
        parts[usize::try_from(part).unwrap_or_default()].push(count);
    }
    let mut rows = Vec::new();
    for part in parts {
        table.0.clear();
        for (id, minute, count) in part {
            table.add(id, minute, count);
        }
        rows.extend(table.sorted());
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sums_are_counted() {
        assert!(MinuteCounts::default().is_empty());
        let sums = counts(&[(1, 0, 3), (1, 0, 4), (1, 1, 1), (2, 0, 1)]);
        assert_eq!((sums.len(), sums.is_empty()), (3, false));
    }

    fn counts(rows: &[(u64, i64, u64)]) -> MinuteCounts {
        let mut sum = MinuteCounts::default();
        for &(id, minute, count) in rows {
            sum.add(
                EventId(id),
                Minute::from_unix_s(1_700_000_040 + minute * 60).unwrap(),
                count,
            );
        }
        sum
    }

    proptest! {
        #[test]
        fn any_order_and_any_cut_give_the_same_sums(
            rows in prop::collection::vec((0u64..4, 0i64..4, 1u64..1000), 0..60),
            cut in 0usize..60,
        ) {
            let whole = counts(&rows);
            let (head, tail) = rows.split_at(cut.min(rows.len()));
            let mut merged = counts(tail);
            merged.merge(&counts(head));
            prop_assert_eq!(&merged, &whole);
            let reversed: Vec<_> = rows.iter().rev().copied().collect();
            prop_assert_eq!(counts(&reversed), whole);
        }
    }

    #[test]
    fn sums_of_many_and_few_names_are_those_of_one_table() {
        for names in [3, 100_000] {
            let counts = (0..150_000_u64).map(|n| {
                let minute = Minute::from_unix_s(1_700_000_040 + 60 * i64::try_from(n % 7).unwrap()).unwrap();
                (EventId::of(&(n % names).to_string()), minute, n + 1)
            });
            let mut expected = MinuteCounts::default();
            counts
                .clone()
                .for_each(|(id, minute, count)| expected.add(id, minute, count));
            assert_eq!(sums(counts), expected.sorted(), "{names}");
        }
    }

    #[test]
    fn sums_saturate() {
        let mut sum = counts(&[(1, 0, u64::MAX)]);
        sum.merge(&counts(&[(1, 0, 2)]));
        assert_eq!(sum.sorted()[0].2, u64::MAX);
    }
}
