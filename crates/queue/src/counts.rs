//! The sums of events on their way into jobs: without a key, and under one.

use hashbrown::HashMap;
use model::{BatchId, EventName, Minute, Origin};

use crate::NameTable;

/// Bytes of memory of a sum: its place in a table that is at least half full when it has grown, and in the one it grew out of.
const SUM_BYTES: usize = 60;

/// A count: the number of a name in a [`NameTable`], the minute, and the sum of the events.
pub type Count = (u32, Minute, u64);

/// Sums of events without a key, each name and minute once.
///
/// No sum overflows: even a million requests of ten thousand events that count 10⁹ each add up to 10¹⁹.
#[derive(Debug, Default)]
pub struct Counts {
    names: NameTable,
    sums: HashMap<(u32, Minute), u64>,
}

impl Counts {
    /// Counts with room for `sums` different pairs of a name and a minute.
    #[must_use]
    pub fn with_capacity(sums: usize) -> Self {
        Self {
            names: NameTable::default(),
            sums: HashMap::with_capacity(sums),
        }
    }

    /// Adds an event.
    ///
    /// # Panics
    /// Where there would be 4 GiB of names.
    pub fn add(&mut self, name: &EventName<'_>, minute: Minute, count: u64) {
        self.add_as(|names| names.number(name), minute, count);
    }

    /// Adds an event under the name whose number `number` gives.
    ///
    /// # Panics
    /// Where there would be 4 GiB of names.
    pub fn add_as(&mut self, number: impl FnOnce(&mut NameTable) -> u32, minute: Minute, count: u64) {
        let number = number(&mut self.names);
        *self.sums.entry((number, minute)).or_insert(0) += count;
    }

    /// Adds all sums of `other`.
    ///
    /// # Panics
    /// Where there would be 4 GiB of names.
    pub fn merge(&mut self, mut other: Self) {
        // The smaller is added to the larger. Numbers of names may change by that, and nobody has seen them yet.
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

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// Bytes of memory, from above; a job needs less for the same.
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

/// The batches of one request with an idempotency key.
#[derive(Debug, Default)]
pub struct Keyed {
    /// The names of all batches.
    pub names: NameTable,
    /// The batches that count something.
    pub batches: Vec<KeyedBatch>,
}

/// A piece of a keyed request: counted together or not at all, and once however often it is sent.
#[derive(Debug)]
pub struct KeyedBatch {
    /// The id, which the same piece of the same request always has.
    pub id: BatchId,
    /// The sender of the piece, and a hash of what it said.
    pub origin: Origin,
    /// The counts, with the numbers of [`Keyed::names`]; each name and minute once.
    pub counts: Vec<Count>,
}

impl Keyed {
    /// Whether the request counts nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Bytes of memory, from above; a job needs less for the same.
    #[must_use]
    pub fn bytes(&self) -> usize {
        /// Bytes of memory of a batch, and of a request, beside what is counted.
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
    use crate::JobPacker;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn sorted(counts: Counts) -> BTreeMap<(String, Minute), u64> {
        let (names, counts) = counts.into_sorted();
        counts
            .into_iter()
            .map(|(number, minute, count)| ((names.get(number).name.to_owned(), minute), count))
            .collect()
    }

    /// Of so many names, each in two minutes.
    fn counts(names: usize) -> Counts {
        let mut counts = Counts::default();
        for number in 0..names {
            let name = EventName::new(format!("shop.item.{number}")).unwrap();
            for minute_s in [1_763_787_600, 1_763_787_660] {
                counts.add(&name, Minute::from_unix_s(minute_s).unwrap(), 1_000_000);
            }
        }
        counts
    }

    /// The same, in so many batches.
    fn keyed(names: usize, batches: usize) -> Keyed {
        let (names, counts) = counts(names).into_sorted();
        let batch = |counts: &[Count]| KeyedBatch {
            id: BatchId::from_bytes([7; 16]),
            origin: Origin {
                client: model::Client::of("shop"),
                content: model::ContentHash(7),
            },
            counts: counts.to_vec(),
        };
        let per_batch = counts.len().div_ceil(batches);
        Keyed {
            names,
            batches: counts.chunks(per_batch).map(batch).collect(),
        }
    }

    fn job_bytes(packed: impl FnOnce(&mut JobPacker)) -> usize {
        let mut packer = JobPacker::new(|| BatchId::from_bytes([7; 16]));
        packed(&mut packer);
        let now = model::Timestamp::from_unix_ms(1_763_787_600_000);
        packer.finish().iter().map(|job| job.encode(now).len()).sum()
    }

    #[test]
    fn memory_is_estimated_from_above_and_not_by_far() {
        for names in [1, 30, 400] {
            let bytes = counts(names).bytes();
            let in_jobs = job_bytes(|packer| packer.add(counts(names)));
            assert!(in_jobs < bytes + 200 && bytes < 10 * in_jobs, "{in_jobs} {bytes}");
            for batches in [1, 7] {
                let bytes = keyed(names, batches).bytes();
                let in_jobs = job_bytes(|packer| packer.add_keyed(&keyed(names, batches)));
                assert!(in_jobs < bytes && bytes < 10 * in_jobs, "{in_jobs} {bytes}");
            }
        }
    }

    #[test]
    fn each_sum_and_each_name_of_a_batch_take_their_memory() {
        let unkeyed = counts(30);
        assert_eq!(unkeyed.bytes(), unkeyed.names.bytes() + 60 * SUM_BYTES);
        let keyed = keyed(30, 1);
        // Ten names of 11 bytes and twenty of 12, each in two minutes.
        let of_batch = 300 + 60 * SUM_BYTES + 2 * (10 * 11 + 20 * 12);
        assert_eq!(keyed.bytes(), 300 + keyed.names.bytes() + of_batch);
    }

    #[test]
    fn what_counts_nothing_is_empty() {
        assert!(Counts::default().is_empty() && Keyed::default().is_empty());
        assert!(!counts(1).is_empty() && !keyed(1, 1).is_empty());
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
