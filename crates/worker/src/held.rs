//! The jobs that a worker holds, and when it should commit them.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use model::{Batch, BatchId, EventId, EventName, Minute};

/// Counts held at once: 5 MB.
const COUNTS_MAX: usize = 200_000;

/// Rows that a flush writes: a fraction of a second in the region, and for as long they block other regions' rows at the centre.
const ROWS_MAX: usize = 20_000;

/// Memory of names held at once, and of one beside its text.
const NAME_BYTES_MAX: usize = 4 << 20;
const NAME_OVERHEAD_BYTES: usize = 64;

/// Batches held at once: as many rows go into the ledger.
const BATCHES_MAX: usize = 20_000;

/// Jobs held at once: deleting them takes a round trip each.
const JOBS_MAX: usize = 2_000;

#[derive(Debug)]
pub(crate) struct HeldJob {
    pub(crate) id: u64,
    /// With the sum of their counts.
    pub(crate) batches: Vec<(BatchId, u64)>,
}

#[derive(Debug, Default)]
pub(crate) struct Held {
    /// In the order in which they came.
    pub(crate) jobs: Vec<HeldJob>,
    pub(crate) batches: Vec<Batch>,
    pub(crate) names: HashMap<EventId, EventName<'static>>,
    counts: usize,
    rows: HashSet<(EventId, Minute)>,
    name_bytes: usize,
    since: Option<Instant>,
}

impl Held {
    pub(crate) fn add(&mut self, job_id: u64, job: queue::Decoded, now: Instant) {
        self.since.get_or_insert(now);
        let sum = |batch: &Batch| batch.counts.iter().fold(0_u64, |sum, c| sum.saturating_add(c.2));
        self.jobs.push(HeldJob {
            id: job_id,
            batches: job.batches.iter().map(|batch| (batch.id, sum(batch))).collect(),
        });
        self.counts += job.batches.iter().map(|batch| batch.counts.len()).sum::<usize>();
        for batch in &job.batches {
            self.rows
                .extend(batch.counts.iter().map(|&(id, minute, _)| (id, minute)));
        }
        for (id, name) in job.names {
            if let Entry::Vacant(vacant) = self.names.entry(id) {
                self.name_bytes += name.as_str().len() + NAME_OVERHEAD_BYTES;
                vacant.insert(name);
            }
        }
        self.batches.extend(job.batches);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }
}

/// Flush what is old enough or big enough.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlushPolicy {
    pub(crate) age: Duration,
}

impl FlushPolicy {
    pub(crate) fn is_due(&self, held: &Held, now: Instant) -> bool {
        !held.is_empty()
            && (self.left(held, now).is_zero()
                || held.counts >= COUNTS_MAX
                || held.rows.len() >= ROWS_MAX
                || held.name_bytes >= NAME_BYTES_MAX
                || held.batches.len() >= BATCHES_MAX
                || held.jobs.len() >= JOBS_MAX)
    }

    /// Time until the oldest held job is old enough.
    pub(crate) fn left(&self, held: &Held, now: Instant) -> Duration {
        held.since
            .map_or(self.age, |since| self.age.saturating_sub(now - since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_by_age_or_by_size() {
        let policy = FlushPolicy {
            age: Duration::from_secs(1),
        };
        let start = Instant::now();
        let mut held = Held::default();
        assert!(!policy.is_due(&held, start + Duration::from_secs(9)));
        let job = || queue::Decoded {
            names: Vec::new(),
            batches: Vec::new(),
        };
        held.add(1, job(), start);
        assert!(!policy.is_due(&held, start + Duration::from_millis(999)));
        assert_eq!(
            policy.left(&held, start + Duration::from_millis(400)),
            Duration::from_millis(600)
        );
        assert!(policy.is_due(&held, start + Duration::from_secs(1)));
        (2..=2_000).for_each(|id| held.add(id, job(), start));
        assert!(policy.is_due(&held, start));
    }
}
