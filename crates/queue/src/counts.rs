//! Sums of events, on their way into jobs.

use hashbrown::HashMap;
use model::{BatchId, EventName, Minute, Origin};

use crate::NameTable;

/// Memory of a sum: its place in a table that is at least half full when it has grown, and in the one it grew out of.
const SUM_BYTES: usize = 60;

/// What is counted of a name, by its number, in a minute.
pub type Count = (u32, Minute, u64);

/// Counts without a key, each name and minute once.
///
/// Sums are of fewer than 10¹⁹: a million requests of ten thousand events that count 10⁹ each do not reach it.
#[derive(Debug, Default)]
pub struct Counts {
    names: NameTable,
    sums: HashMap<(u32, Minute), u64>,
}

impl Counts {
    /// With room for so many of different names or minutes.
    #[must_use]
    pub fn with_capacity(sums: usize) -> Self {
        Self {
            names: NameTable::default(),
            sums: HashMap::with_capacity(sums),
        }
    }

    pub fn add(&mut self, name: &EventName<'_>, minute: Minute, count: u64) {
        let number = self.names.number(name);
        *self.sums.entry((number, minute)).or_insert(0) += count;
    }

    pub fn merge(&mut self, mut other: Self) {
        if other.sums.len() > self.sums.len() {
            std::mem::swap(self, &mut other);
        }
        let numbers: Vec<u32> = other
            .names
            .iter()
            .map(|name| self.names.number_of(name))
            .collect();
        for ((number, minute), count) in other.sums {
            *self.sums.entry((numbers[number as usize], minute)).or_insert(0) += count;
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// Memory, from above; a job needs less for the same.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.names.bytes() + SUM_BYTES * self.sums.len()
    }

    /// The names, and the counts in the order of names and minutes.
    pub(crate) fn into_sorted(self) -> (NameTable, Vec<Count>) {
        let sums = self.sums.into_iter();
        let mut counts: Vec<Count> = sums
            .map(|((number, minute), count)| (number, minute, count))
            .collect();
        counts.sort_unstable();
        (self.names, counts)
    }
}

/// The batches of a request with a key.
#[derive(Debug, Default)]
pub struct Keyed {
    pub names: NameTable,
    pub batches: Vec<KeyedBatch>,
}

/// What is counted together or not at all, however often it is sent.
#[derive(Debug)]
pub struct KeyedBatch {
    pub id: BatchId,
    pub origin: Origin,
    /// By number in [`Keyed::names`], each name and minute once.
    pub counts: Vec<Count>,
}

impl Keyed {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Memory, from above; a job needs less for the same.
    #[must_use]
    pub fn bytes(&self) -> usize {
        /// Of a batch, and of a request, beside what is counted.
        const OVERHEAD_BYTES: usize = 300;
        let batches = self.batches.iter().map(|batch| {
            // Each may come into a job of its own, with its names.
            let names = batch
                .counts
                .iter()
                .map(|count| self.names.get(count.0).name.len());
            OVERHEAD_BYTES + SUM_BYTES * batch.counts.len() + names.sum::<usize>()
        });
        OVERHEAD_BYTES + self.names.bytes() + batches.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn sorted(counts: Counts) -> BTreeMap<(String, Minute), u64> {
        let (names, counts) = counts.into_sorted();
        counts
            .into_iter()
            .map(|(number, minute, count)| ((names.get(number).name.to_owned(), minute), count))
            .collect()
    }

    proptest! {
        #[test]
        fn sums_are_the_same_however_they_come_together(
            events in prop::collection::vec(("[a-c]{1,2}", 0i64..4, 1u64..=1_000_000_000), 0..300),
            cut in prop::collection::vec(0usize..300, 0..5),
        ) {
            let mut expected = BTreeMap::new();
            let mut parts: Vec<Counts> = (0..=cut.len()).map(|_| Counts::default()).collect();
            for (at, (name, minute, count)) in events.iter().enumerate() {
                let minute = Minute::from_unix_s(1_763_787_600 + 60 * minute).unwrap();
                *expected.entry((name.clone(), minute)).or_insert(0) += count;
                let part = cut.iter().filter(|&&cut| cut <= at).count();
                parts[part].add(&EventName::new(name.as_str()).unwrap(), minute, *count);
            }
            let mut all = Counts::default();
            for part in parts {
                all.merge(part);
            }
            prop_assert_eq!(all.is_empty(), expected.is_empty());
            prop_assert_eq!(sorted(all), expected);
        }
    }
}
