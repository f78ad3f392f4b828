//! The jobs that a worker holds, and when it should commit them.

use std::time::{Duration, Instant};

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use model::{Batch, BatchId, EventId, EventName};

/// Counts held at once: 24 MB, and five times as much while they are added up.
const COUNTS_MAX: usize = 1_000_000;

/// As many as one flush should always get through.
const COUNTS_MIN: usize = 10_000;

/// Rows per second that a worker writes without waiting: with more, counts are held for longer, so that one row takes up more of them.
const ROWS_PER_S: u32 = 20_000;

/// Longest time that counts are held: a fraction of the jobs' time to run, most of which a large flush may take.
const AGE_MAX: Duration = Duration::from_secs(5);

/// Counts that are written at once where no more jobs come: behind a burst, there is nobody to wait for.
const QUIET_COUNTS_MIN: usize = 5_000;

/// Memory of new names held at once, and of one beside its text.
const NAME_BYTES_MAX: usize = 48 << 20;
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
    /// Those that the centre does not know yet.
    pub(crate) new_names: HashMap<EventId, EventName<'static>>,
    counts: usize,
    name_bytes: usize,
    since: Option<Instant>,
}

impl Held {
    /// `is_known` says of a name whether the centre knows it.
    pub(crate) fn add(
        &mut self,
        job_id: u64,
        job: queue::Decoded<'_>,
        is_known: impl Fn(EventId) -> bool,
        now: Instant,
    ) {
        self.since.get_or_insert(now);
        let sum = |batch: &Batch| batch.counts.iter().fold(0_u64, |sum, c| sum.saturating_add(c.2));
        self.jobs.push(HeldJob {
            id: job_id,
            batches: job.batches.iter().map(|batch| (batch.id, sum(batch))).collect(),
        });
        self.counts += job.batches.iter().map(|batch| batch.counts.len()).sum::<usize>();
        let unknown = job.names.into_iter().filter(|(id, _)| !is_known(*id));
        for (id, name) in unknown {
            if let Entry::Vacant(vacant) = self.new_names.entry(id) {
                self.name_bytes += name.as_str().len() + NAME_OVERHEAD_BYTES;
                vacant.insert(name.into_owned());
            }
        }
        self.batches.extend(job.batches);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// When the first of the jobs goes to another worker.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        Some(self.since? + Duration::from_secs(queue::TIME_TO_RUN_S.into()))
    }
}

/// Flush what is old enough or big enough. The age grows with the rows that flushes have: what is written then grows with names and
/// time, not with events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlushPolicy {
    age_min: Duration,
    age: Duration,
    /// [`COUNTS_MAX`], or less after flushes that have failed: perhaps they were too large for their time.
    counts_max: usize,
}

impl FlushPolicy {
    pub(crate) fn new(age: Duration) -> Self {
        Self {
            age_min: age,
            age,
            counts_max: COUNTS_MAX,
        }
    }

    pub(crate) fn failed(&mut self) {
        self.age = self.age_min;
        self.counts_max = (self.counts_max / 2).max(COUNTS_MIN);
    }

    /// Fits the age to the rows that a flush has written.
    pub(crate) fn flushed(&mut self, rows: usize) {
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        let age = Duration::from_secs(1).mul_f64(f64::from(rows) / f64::from(ROWS_PER_S));
        self.age = age.min(AGE_MAX).max(self.age_min);
        self.counts_max = (self.counts_max * 2).min(COUNTS_MAX);
    }

    pub(crate) fn age(&self) -> Duration {
        self.age
    }

    /// `is_quiet` says that no more jobs have come for a moment.
    pub(crate) fn is_due(&self, held: &Held, is_quiet: bool, now: Instant) -> bool {
        !held.is_empty()
            && (self.left(held, now).is_zero()
                || (is_quiet && held.counts >= QUIET_COUNTS_MIN)
                || held.counts >= self.counts_max
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
#[expect(clippy::disallowed_methods, reason = "a test begins now")]
mod tests {
    use super::*;

    #[test]
    fn due_by_age_or_by_size() {
        let policy = FlushPolicy::new(Duration::from_secs(1));
        let start = Instant::now();
        let mut held = Held::default();
        assert!(!policy.is_due(&held, false, start + Duration::from_secs(9)));
        let job = || queue::Decoded {
            names: Vec::new(),
            batches: Vec::new(),
        };
        held.add(1, job(), |_| true, start);
        assert!(!policy.is_due(&held, false, start + Duration::from_millis(999)));
        assert_eq!(
            policy.left(&held, start + Duration::from_millis(400)),
            Duration::from_millis(600)
        );
        assert!(policy.is_due(&held, false, start + Duration::from_secs(1)));
        (2..=2_000).for_each(|id| held.add(id, job(), |_| true, start));
        assert!(policy.is_due(&held, false, start));
    }
    #[test]
    fn behind_a_burst_nothing_is_waited_for() {
        let policy = FlushPolicy::new(Duration::from_secs(1));
        let start = Instant::now();
        let batch = |counts| Batch {
            id: BatchId::from_bytes([0; 16]),
            accepted: model::Timestamp::from_unix_ms(0),
            counts: vec![(EventId(1), model::Minute::FIRST, 1); counts],
            origin: None,
        };
        let job = |counts| queue::Decoded {
            names: Vec::new(),
            batches: vec![batch(counts)],
        };
        let mut held = Held::default();
        held.add(1, job(QUIET_COUNTS_MIN - 1), |_| true, start);
        assert!(!policy.is_due(&held, true, start));
        held.add(2, job(1), |_| true, start);
        assert!(policy.is_due(&held, true, start) && !policy.is_due(&held, false, start));
    }

    #[test]
    fn many_rows_are_held_for_longer_and_few_are_not() {
        let mut policy = FlushPolicy::new(Duration::from_millis(500));
        for (rows, ms) in [
            (0, 500),
            (10_000, 500),
            (40_000, 2_000),
            (1_000_000, 5_000),
            (20_000, 1_000),
            (100, 500),
        ] {
            policy.flushed(rows);
            assert_eq!(policy.age(), Duration::from_millis(ms), "{rows}");
        }
        policy.failed();
        assert_eq!(
            (policy.age(), policy.counts_max),
            (Duration::from_millis(500), COUNTS_MAX / 2)
        );
        (0..20).for_each(|_| policy.failed());
        assert_eq!(policy.counts_max, COUNTS_MIN);
        (0..20).for_each(|_| policy.flushed(1));
        assert_eq!(policy.counts_max, COUNTS_MAX);
        // Who asks for more than is needed has it.
        let mut policy = FlushPolicy::new(Duration::from_millis(7_500));
        policy.flushed(1_000_000);
        assert_eq!(policy.age(), Duration::from_millis(7_500));
    }
}
