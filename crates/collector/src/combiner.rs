//! Gathers the counts of many requests, within bounds, until they are put into the queue.
//!
//! Requests wait for a [`Ticket`], which the putter settles once every job that may hold their counts is on disk, or is not.

#![expect(
    clippy::disallowed_methods,
    reason = "batches without a key get their ids here"
)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{BatchId, QueueDepth};
use queue::{Counts, Job, JobPacker, Keyed};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::admission::{Admission, Backpressure};

/// Bytes of memory of sums that surely fill a job: they do not linger.
const JOB_BYTES_FULL: usize = 700_000;

/// Bytes of memory of sums that do not wait for requests being read, so that they stay in the processor's cache.
const GATHERED_BYTES_FULL: usize = 16 << 20;

/// Longest time that counts wait for requests that are being read.
const READING_MAX: Duration = Duration::from_millis(50);

/// The outcome of the counts that were gathered together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All of them are in the queue, on disk.
    Stored,
    /// None of them is in the queue.
    NotStored,
    /// Some of them, or none, or all are in the queue.
    Unknown,
}

/// A request's view of the outcome of the counts that were gathered together; `None` until it is known.
pub(crate) type Ticket = watch::Receiver<Option<Outcome>>;

/// The counts of one request.
#[derive(Debug)]
pub(crate) enum Counted {
    /// Counts without a key, for the batch that all requests share.
    Unkeyed(Counts),
    /// Batches of the request's own.
    Keyed(Keyed),
}

impl Counted {
    fn is_empty(&self) -> bool {
        match self {
            Self::Unkeyed(counts) => counts.is_empty(),
            Self::Keyed(keyed) => keyed.is_empty(),
        }
    }

    /// Bytes of memory, from above.
    fn bytes(&self) -> usize {
        match self {
            Self::Unkeyed(counts) => counts.bytes(),
            Self::Keyed(keyed) => keyed.bytes(),
        }
    }
}

/// The counts on their way from requests to the putter. Many requests add, one putter takes.
pub(crate) struct Combiner {
    state: Mutex<State>,
    /// Wakes the putter. It is the only one that waits, and a notification that comes while it does not is kept for it.
    changed: Notify,
}

struct State {
    /// The counts to which requests add until the putter takes them.
    open: Gathered,
    /// What decides on the open counts and those being put.
    admission: Admission,
    /// The number of requests that are being read and will add to the open counts within milliseconds.
    reading: usize,
}

/// The counts that came in until the queue was free for them: sums over many requests, so that jobs grow with names and not with
/// events.
#[derive(Debug)]
pub(crate) struct Gathered {
    unkeyed: Counts,
    keyed: Vec<Keyed>,
    /// Bytes of memory of `keyed`.
    keyed_bytes: usize,
    /// What was admitted of these counts: memory of what came, before it was summed.
    bytes: usize,
    outcome: watch::Sender<Option<Outcome>>,
}

/// A request that is being read. As long as it lives, counts may wait for those of that request.
pub(crate) struct ReadingGuard(Arc<Combiner>);

impl Drop for ReadingGuard {
    fn drop(&mut self) {
        self.0.lock().reading -= 1;
        self.0.changed.notify_one();
    }
}

impl Gathered {
    fn new() -> Self {
        Self {
            unkeyed: Counts::default(),
            keyed: Vec::new(),
            keyed_bytes: 0,
            bytes: 0,
            outcome: watch::Sender::new(None),
        }
    }

    fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Bytes of memory of the sums, from above.
    fn summed_bytes(&self) -> usize {
        self.unkeyed.bytes() + self.keyed_bytes
    }

    /// Whether the counts surely fill a job, so that packing them takes longer than handing them to another thread.
    pub(crate) fn fills_a_job(&self) -> bool {
        self.summed_bytes() >= JOB_BYTES_FULL
    }

    /// Takes the counts out, and leaves what [`Combiner::finish`] needs.
    pub(crate) fn take_counts(&mut self) -> (Counts, Vec<Keyed>) {
        (std::mem::take(&mut self.unkeyed), std::mem::take(&mut self.keyed))
    }
}

/// Packs counts into jobs. Every batch without a key gets a new id, which all repetitions of a put then share.
pub(crate) fn pack((unkeyed, keyed): (Counts, Vec<Keyed>)) -> Vec<Job> {
    let mut packer = JobPacker::new(|| BatchId::from(Uuid::now_v7()));
    packer.add(unkeyed);
    keyed.iter().for_each(|keyed| packer.add_keyed(keyed));
    packer.finish()
}

impl Combiner {
    pub(crate) fn new(jobs_max: u64) -> Self {
        let state = State {
            open: Gathered::new(),
            admission: Admission::new(jobs_max),
            reading: 0,
        };
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }

    /// Announces a request that will be added; the guard is to be held until it was.
    pub(crate) fn reading(self: &Arc<Self>) -> ReadingGuard {
        self.lock().reading += 1;
        ReadingGuard(self.clone())
    }

    /// Adds the counts of a request, all or nothing: there is room for every job that they may need. `None` where there are none.
    ///
    /// # Errors
    /// Nothing was added, and the client is to try again later.
    pub(crate) fn add(&self, counted: Counted) -> Result<Option<Ticket>, Backpressure> {
        if counted.is_empty() {
            return Ok(None);
        }
        let bytes = counted.bytes();
        let mut state = self.lock();
        state.admission.admit(bytes)?;
        let open = &mut state.open;
        open.bytes += bytes;
        match counted {
            Counted::Unkeyed(counts) => open.unkeyed.merge(counts),
            Counted::Keyed(keyed) => {
                open.keyed_bytes += bytes;
                open.keyed.push(keyed);
            }
        }
        // Under the same lock as the counts: a moment later, the putter may have taken them, and a new ticket would be one for others.
        let ticket = open.outcome.subscribe();
        drop(state);
        self.changed.notify_one();
        Ok(Some(ticket))
    }

    /// Waits until the open counts need not wait for others any more, and takes them; `None` where there are none. `linger` is how
    /// long they wait in any case.
    pub(crate) async fn next(&self, linger: Duration) -> Option<Gathered> {
        if self.lock().open.is_empty() {
            return None;
        }
        // Requests that have come already are read first, which costs no waiting.
        tokio::task::yield_now().await;
        let pause = self.lock().admission.linger(linger);
        if !pause.is_zero() {
            // A timeout is the common end: no job became full meanwhile.
            tokio::time::timeout(pause, self.until(|state| state.open.fills_a_job()))
                .await
                .ok();
        }
        let all_are_in =
            |state: &State| state.reading == 0 || state.open.summed_bytes() >= GATHERED_BYTES_FULL;
        tokio::time::timeout(READING_MAX, self.until(all_are_in))
            .await
            .ok();
        // Taken only now, so that all that came while this waited shares the jobs.
        self.take()
    }

    /// Takes the open counts without waiting; `None` where there are none. What is added from now on belongs to others.
    pub(crate) fn take(&self) -> Option<Gathered> {
        let mut state = self.lock();
        (!state.open.is_empty()).then(|| std::mem::replace(&mut state.open, Gathered::new()))
    }

    /// Settles the tickets of all requests whose counts were gathered, and frees the memory. To be called once for all that was taken,
    /// whatever became of it: else that memory stays taken.
    pub(crate) fn finish(&self, gathered: &Gathered, outcome: Outcome) {
        self.lock().admission.release(gathered.bytes);
        gathered.outcome.send_replace(Some(outcome));
    }

    /// Returns when counts may have been added since the last call.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Returns when `is_reached` holds. No change between the check and the wait is missed: a notification is kept.
    async fn until(&self, is_reached: impl Fn(&State) -> bool) {
        while !is_reached(&self.lock()) {
            self.changed.notified().await;
        }
    }

    /// As [`Admission::queue_answered`].
    pub(crate) fn queue_answered(&self, depth: &QueueDepth) {
        self.lock().admission.queue_answered(depth);
    }

    /// As [`Admission::queue_failed`].
    pub(crate) fn queue_failed(&self) {
        self.lock().admission.queue_failed();
    }

    /// As [`Admission::job_stored`].
    pub(crate) fn job_stored(&self) {
        self.lock().admission.job_stored();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use model::{EventName, Minute};
    use proptest::prelude::*;

    use super::*;

    fn combiner() -> Arc<Combiner> {
        let combiner = Combiner::new(1_000);
        combiner.queue_answered(&QueueDepth::default());
        Arc::new(combiner)
    }

    /// Counts of one name in one minute.
    fn counts(name: &str, count: u64) -> Counted {
        let mut counts = Counts::default();
        let minute = Minute::from_unix_s(1_763_787_600).unwrap();
        counts.add(&EventName::new(name).unwrap(), minute, count);
        Counted::Unkeyed(counts)
    }

    fn total(mut gathered: Gathered) -> u64 {
        let jobs = pack(gathered.take_counts());
        jobs.iter().map(Job::total).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_settled_with_the_counts_that_it_is_of() {
        let combiner = combiner();
        let mut first = combiner.add(counts("a", 1)).unwrap().unwrap();
        let gathered = combiner.next(Duration::ZERO).await.unwrap();
        let mut second = combiner.add(counts("a", 2)).unwrap().unwrap();
        combiner.finish(&gathered, Outcome::Unknown);
        assert_eq!(*first.borrow_and_update(), Some(Outcome::Unknown));
        assert_eq!(
            *second.borrow_and_update(),
            None,
            "it was added after those were taken"
        );
        assert_eq!(total(gathered), 1);
        let gathered = combiner.take().unwrap();
        combiner.finish(&gathered, Outcome::Stored);
        assert_eq!(*second.borrow_and_update(), Some(Outcome::Stored));
        assert!(combiner.take().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn counts_wait_for_requests_that_are_being_read_and_not_for_ever() {
        let combiner = combiner();
        combiner.add(counts("a", 1)).unwrap();
        let reading = combiner.reading();
        let begun = tokio::time::Instant::now();
        let both = async {
            tokio::time::sleep(READING_MAX / 2).await;
            combiner.add(counts("b", 2)).unwrap();
            drop(reading);
        };
        let (gathered, ()) = tokio::join!(combiner.next(Duration::ZERO), both);
        assert_eq!(total(gathered.unwrap()), 3);
        combiner.add(counts("a", 1)).unwrap();
        let _never_added = combiner.reading();
        assert!(combiner.next(Duration::ZERO).await.is_some());
        assert_eq!(begun.elapsed(), READING_MAX / 2 + READING_MAX);
    }

    #[test]
    fn no_counts_are_no_ticket() {
        let combiner = combiner();
        let none = combiner.add(Counted::Unkeyed(Counts::default()));
        assert!(matches!(none, Ok(None)));
        combiner.queue_failed();
        assert_eq!(combiner.add(counts("a", 1)).unwrap_err(), Backpressure::QueueAway);
    }

    proptest! {
        #[test]
        fn what_is_added_is_taken_once(added in prop::collection::vec((0u8..5, 1u64..1_000, any::<bool>()), 0..60)) {
            let combiner = combiner();
            let (mut expected, mut taken) = (0, 0);
            for (name, count, takes) in added {
                combiner.add(counts(&format!("n{name}"), count)).unwrap();
                expected += count;
                if takes && let Some(gathered) = combiner.take() {
                    combiner.finish(&gathered, Outcome::Stored);
                    taken += total(gathered);
                }
            }
            taken += combiner.take().map_or(0, total);
            prop_assert_eq!(taken, expected);
        }
    }
}
