//! Gathers the counts of many requests, within bounds, until they are put into the queue.
//!
//! Requests wait for a [`Ticket`], which the putter settles once every job that may hold their counts is on disk, or is not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{BatchId, QueueDepth};
use queue::{Counts, Job, JobPacker, Keyed};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

/// Most bytes of memory of counts, as requests bring them, that are accepted and not yet in the queue: some 400 jobs, seconds of any
/// disk.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// Bytes of memory of counts for each job: two jobs in a row hold at least twice as much, so it gives their number from above.
const JOB_BYTES_MIN: usize = 30_000;

/// Bytes of memory of sums that surely fill a job: they do not linger.
const JOB_BYTES_FULL: usize = 700_000;

/// Bytes of memory of sums that do not wait for requests being read, so that they stay in the processor's cache.
const GATHERED_BYTES_FULL: usize = 16 << 20;

/// The more jobs no worker has taken, the longer counts wait for company, so that a long outage of the workers fits into fewer jobs:
/// by a step for every so many jobs above those that working workers leave, up to the maximum.
const LINGER_STEP: Duration = Duration::from_millis(5);
const LINGER_STEP_JOBS: u64 = 100;
const LINGER_NONE_BELOW_JOBS: u64 = 1_000;
const LINGER_MAX: Duration = Duration::from_millis(250);

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

/// Why counts are not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backpressure {
    /// The queue, or the memory for counts that wait for it, has no room.
    Full,
    /// The queue does not answer.
    QueueAway,
}

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
    jobs_max: u64,
}

struct State {
    /// The counts to which requests add until the putter takes them.
    open: Gathered,
    /// Bytes of memory of the open counts and of those being put, whether or not their clients still wait.
    waiting_bytes: usize,
    /// The number of requests that are being read and will add to the open counts within milliseconds.
    reading: usize,
    /// The number of jobs in the tube when last asked, plus those put since.
    depth: u64,
    /// The number of jobs that no worker had taken when last asked.
    untaken: u64,
    /// Whether the queue does not answer; also until it has answered once.
    away: bool,
}

/// The counts that came in until the queue was free for them: sums over many requests, so that jobs grow with names and not with
/// events.
#[derive(Debug)]
pub(crate) struct Gathered {
    unkeyed: Counts,
    keyed: Vec<Keyed>,
    /// Bytes of memory of `keyed`.
    keyed_bytes: usize,
    /// The part of [`State::waiting_bytes`] that these counts take: memory of what came, before it was summed.
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

impl State {
    /// Reserves memory for counts and checks that the queue has room for every job that they may become, together with all that
    /// wait already.
    fn make_room(&mut self, bytes: usize, jobs_max: u64) -> Result<(), Backpressure> {
        if self.away {
            return Err(Backpressure::QueueAway);
        }
        let waiting_bytes = self.waiting_bytes + bytes;
        let jobs = (1 + waiting_bytes / JOB_BYTES_MIN) as u64;
        if waiting_bytes > WAITING_BYTES_MAX || self.depth + jobs > jobs_max {
            return Err(Backpressure::Full);
        }
        self.waiting_bytes = waiting_bytes;
        Ok(())
    }
}

impl Combiner {
    pub(crate) fn new(jobs_max: u64) -> Self {
        let state = State {
            open: Gathered::new(),
            waiting_bytes: 0,
            reading: 0,
            depth: 0,
            untaken: 0,
            away: true,
        };
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
            jobs_max,
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
        state.make_room(bytes, self.jobs_max)?;
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
        let pause = self.linger(linger);
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
        self.lock().waiting_bytes -= gathered.bytes;
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

    /// How long counts linger: `base`, or longer the more jobs no worker has taken.
    fn linger(&self, base: Duration) -> Duration {
        let steps = self.lock().untaken.saturating_sub(LINGER_NONE_BELOW_JOBS) / LINGER_STEP_JOBS;
        let more = LINGER_STEP.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX));
        base.max(more.min(LINGER_MAX))
    }

    /// Takes note of the queue's depth, and takes counts again.
    pub(crate) fn queue_answered(&self, tube: &QueueDepth) {
        let mut state = self.lock();
        state.depth = tube.jobs();
        state.untaken = tube.ready;
        state.away = false;
        metrics::gauge!("collector_queue_jobs").set(u32::try_from(state.depth).unwrap_or(u32::MAX));
    }

    /// Takes note that the queue does not answer: until it does, requests are refused at once instead of waiting in vain.
    pub(crate) fn queue_failed(&self) {
        self.lock().away = true;
    }

    /// Counts a job that was put since the depth was last asked for, so that the bound on jobs holds in between.
    pub(crate) fn job_stored(&self) {
        self.lock().depth += 1;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
