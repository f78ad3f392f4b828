//! Gathers what requests count, with a bound, until it is put into the queue.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{BatchId, QueueDepth};
use queue::{Counts, Job, JobPacker, Keyed};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

/// Memory of counts as requests bring them, that are accepted and not yet in the queue: at most some 400 jobs, seconds of any disk.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// Two jobs in a row hold at least twice this memory of counts, so it gives their number from above.
const JOB_BYTES_MIN: usize = 30_000;

/// Sums of so much memory surely fill a job: they wait for no more.
const JOB_BYTES_FULL: usize = 700_000;

/// Sums of so much memory wait for no more, so that they stay near at hand.
const GATHERED_BYTES_FULL: usize = 16 << 20;

/// The more jobs no worker has taken, the longer counts wait for company, so that a long outage of the workers fits into fewer jobs:
/// by a step for every so many jobs above those that working workers leave, up to the maximum.
const LINGER_STEP: Duration = Duration::from_millis(5);
const LINGER_STEP_JOBS: u64 = 100;
const LINGER_NONE_BELOW_JOBS: u64 = 1_000;
const LINGER_MAX: Duration = Duration::from_millis(250);

/// Longest that counts wait for requests that are being read.
const READING_MAX: Duration = Duration::from_millis(50);

/// What became of counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Stored,
    NotStored,
    Unknown,
}

/// Tells the requests whose counts were gathered together what became of them; `None` until it is known.
pub(crate) type Ticket = watch::Receiver<Option<Outcome>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    Full,
    QueueAway,
}

/// What a request counts.
#[derive(Debug)]
pub(crate) enum Counted {
    /// In a batch that all requests share.
    Unkeyed(Counts),
    /// In batches of its own.
    Keyed(Keyed),
}

impl Counted {
    fn is_empty(&self) -> bool {
        match self {
            Self::Unkeyed(counts) => counts.is_empty(),
            Self::Keyed(keyed) => keyed.is_empty(),
        }
    }

    /// Memory, from above.
    fn bytes(&self) -> usize {
        match self {
            Self::Unkeyed(counts) => counts.bytes(),
            Self::Keyed(keyed) => keyed.bytes(),
        }
    }
}

pub(crate) struct Combiner {
    state: Mutex<State>,
    changed: Notify,
    jobs_max: u64,
}

struct State {
    open: Gathered,
    /// Of the open counts and those being put, whether or not their clients still wait.
    waiting_bytes: usize,
    /// Requests that are being read and will add to the open counts within milliseconds.
    reading: usize,
    /// Jobs in the tube when last asked, plus those put since.
    depth: u64,
    /// Those of them that no worker had taken when last asked.
    untaken: u64,
    /// Until the queue has answered once, and again while it does not.
    away: bool,
}

/// What was counted until the queue was free for it: sums over many requests, so that jobs grow with names and not with events.
#[derive(Debug)]
pub(crate) struct Gathered {
    unkeyed: Counts,
    keyed: Vec<Keyed>,
    keyed_bytes: usize,
    /// Its part of [`State::waiting_bytes`]: of what came, before it was summed.
    bytes: usize,
    outcome: watch::Sender<Option<Outcome>>,
}

/// As long as it lives, counts may wait for those of one more request.
pub(crate) struct Reading(Arc<Combiner>);

impl Drop for Reading {
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

    /// Memory of the sums, from above.
    fn summed_bytes(&self) -> usize {
        self.unkeyed.bytes() + self.keyed_bytes
    }

    /// Whether it surely is more than a job, and packing it takes longer than handing it to another thread.
    pub(crate) fn fills_a_job(&self) -> bool {
        self.summed_bytes() >= JOB_BYTES_FULL
    }

    /// Takes the counts out, and leaves what is needed to tell the outcome.
    pub(crate) fn take_counts(&mut self) -> (Counts, Vec<Keyed>) {
        (std::mem::take(&mut self.unkeyed), std::mem::take(&mut self.keyed))
    }
}

pub(crate) fn pack((unkeyed, keyed): (Counts, Vec<Keyed>)) -> Vec<Job> {
    let mut packer = JobPacker::new(|| BatchId::from(Uuid::now_v7()));
    packer.add(unkeyed);
    keyed.iter().for_each(|keyed| packer.add_keyed(keyed));
    packer.finish()
}

impl State {
    fn make_room(&mut self, bytes: usize, jobs_max: u64) -> Result<(), NoRoom> {
        if self.away {
            return Err(NoRoom::QueueAway);
        }
        let waiting_bytes = self.waiting_bytes + bytes;
        let jobs = (1 + waiting_bytes / JOB_BYTES_MIN) as u64;
        if waiting_bytes > WAITING_BYTES_MAX || self.depth + jobs > jobs_max {
            return Err(NoRoom::Full);
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

    /// To be held while a request is read that will be added.
    pub(crate) fn reading(self: &Arc<Self>) -> Reading {
        self.lock().reading += 1;
        Reading(self.clone())
    }

    /// Adds what a request counts, all or nothing: room for every job that it may need is there before. `None` where it counts nothing.
    pub(crate) fn add(&self, counted: Counted) -> Result<Option<Ticket>, NoRoom> {
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
        let ticket = open.outcome.subscribe();
        drop(state);
        self.changed.notify_one();
        Ok(Some(ticket))
    }

    /// What was gathered, once it need not wait any more; `None` where there is nothing.
    pub(crate) async fn next(&self, linger: Duration) -> Option<Gathered> {
        if self.lock().open.is_empty() {
            return None;
        }
        // Requests that have come already are read first: there is no waiting in that.
        tokio::task::yield_now().await;
        let pause = self.linger(linger);
        if !pause.is_zero() {
            // Where no job becomes full meanwhile, the time is over.
            tokio::time::timeout(pause, self.until(|state| state.open.fills_a_job()))
                .await
                .ok();
        }
        let all_are_in =
            |state: &State| state.reading == 0 || state.open.summed_bytes() >= GATHERED_BYTES_FULL;
        tokio::time::timeout(READING_MAX, self.until(all_are_in))
            .await
            .ok();
        self.take()
    }

    /// What was gathered.
    pub(crate) fn take(&self) -> Option<Gathered> {
        let mut state = self.lock();
        (!state.open.is_empty()).then(|| std::mem::replace(&mut state.open, Gathered::new()))
    }

    /// Tells the requests, and frees the room.
    pub(crate) fn finish(&self, gathered: &Gathered, outcome: Outcome) {
        self.lock().waiting_bytes -= gathered.bytes;
        gathered.outcome.send_replace(Some(outcome));
    }

    /// Returns when something may have been added.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    async fn until(&self, is_reached: impl Fn(&State) -> bool) {
        while !is_reached(&self.lock()) {
            self.changed.notified().await;
        }
    }

    fn linger(&self, base: Duration) -> Duration {
        let steps = self.lock().untaken.saturating_sub(LINGER_NONE_BELOW_JOBS) / LINGER_STEP_JOBS;
        let more = LINGER_STEP.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX));
        base.max(more.min(LINGER_MAX))
    }

    pub(crate) fn queue_answered(&self, tube: &QueueDepth) {
        let mut state = self.lock();
        state.depth = tube.jobs();
        state.untaken = tube.ready;
        state.away = false;
        metrics::gauge!("collector_queue_jobs").set(u32::try_from(state.depth).unwrap_or(u32::MAX));
    }

    /// Until the queue answers again, requests are refused at once instead of waiting in vain.
    pub(crate) fn queue_failed(&self) {
        self.lock().away = true;
    }

    pub(crate) fn job_stored(&self) {
        self.lock().depth += 1;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
