//! Counts per name and minute.

use hashbrown::HashMap;

use crate::{EventId, Minute};

/// Largest count of one event.
pub const EVENT_COUNT_MAX: u64 = 1_000_000_000;

/// Largest sum of one name and minute in one batch.
pub const COUNT_MAX: u64 = 1_000_000_000_000_000;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CountError {
    #[error("count is not an integer from 1 to {EVENT_COUNT_MAX}: {0}")]
    Event(String),
    #[error("count is not an integer from 1 to {COUNT_MAX}: {0}")]
    Sum(String),
}

/// Sums per name and minute. A sum saturates at `u64::MAX`, as the tables' upsert does.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct MinuteCounts(HashMap<(EventId, Minute), u64>);

impl MinuteCounts {
    pub fn add(&mut self, id: EventId, minute: Minute, count: u64) {
        let sum = self.0.entry((id, minute)).or_insert(0);
        *sum = sum.saturating_add(count);
    }

    pub fn merge(&mut self, other: &Self) {
        for (&(id, minute), &count) in &other.0 {
            self.add(id, minute, count);
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

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

/// What [`MinuteCounts::sorted`] gives of the same counts, sooner where they are of very many names: part by part, by the first bits of
/// the id, so that each part stays near at hand.
pub fn sums(mut counts: impl Iterator<Item = (EventId, Minute, u64)>) -> Vec<(EventId, Minute, u64)> {
    const NEAR_MAX: usize = 16_384;
    const PART_BITS: u32 = 8;
    let mut near = MinuteCounts::default();
    while near.len() < NEAR_MAX {
        let Some((id, minute, count)) = counts.next() else {
            return near.sorted();
        };
        near.add(id, minute, count);
    }
    let mut parts = vec![Vec::new(); 1 << PART_BITS];
    for count in near.sorted().into_iter().chain(counts) {
        let part = count.0.0 >> (u64::BITS - PART_BITS);
        parts[usize::try_from(part).unwrap_or_default()].push(count);
    }
    let mut rows = Vec::new();
    for part in parts {
        near.0.clear();
        for (id, minute, count) in part {
            near.add(id, minute, count);
        }
        rows.extend(near.sorted());
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
