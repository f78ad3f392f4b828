//! Packs the events of many requests into jobs, and puts the jobs into the queue one after another.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use listener::Health;
use model::{BatchId, EventName, Minute, Origin, TubeState};
use queue::{JobBuilder, Producer, PutError, Stored};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Memory of events that are accepted and not yet in the queue.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// Memory of an event beside its name: at worst a minute of its own, with a table for one count.
const EVENT_OVERHEAD_BYTES: usize = 200;

/// Two jobs in a row hold at least twice this memory of events, so it gives their number from above.
const JOB_BYTES_MIN: usize = 30_000;

/// How often the depth of the queue is asked for.
const DEPTH_INTERVAL: Duration = Duration::from_secs(1);

/// The more jobs no worker has taken, the longer events wait for company, so that a long outage of the workers fits into fewer jobs:
/// by a step for every so many jobs above those that working workers leave, up to the maximum.
const LINGER_STEP: Duration = Duration::from_millis(5);
const LINGER_STEP_JOBS: u64 = 100;
const LINGER_NONE_BELOW_JOBS: u64 = 1_000;
const LINGER_MAX: Duration = Duration::from_millis(250);

/// What became of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Stored,
    NotStored,
    Unknown,
}

/// Tells the outcome of one job to the requests whose events it holds; `None` until it is known.
pub(crate) type Ticket = watch::Receiver<Option<Outcome>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    Full,
    QueueAway,
}

/// A keyed request's batch.
pub(crate) struct KeyedBatch<'a> {
    pub(crate) id: BatchId,
    pub(crate) origin: Origin,
    /// Each name and minute once.
    pub(crate) counts: Vec<Count<'a>>,
}

/// What a request counts of a name in a minute.
pub(crate) type Count<'a> = (EventName<'a>, Minute, u64);

pub(crate) struct Combiner {
    state: Mutex<State>,
    changed: Notify,
    jobs_max: u64,
}

struct State {
    open: Job,
    full: VecDeque<Job>,
    /// Of the open job, the full ones and the one being put, whether or not their clients still wait.
    waiting_bytes: usize,
    /// Jobs in the tube when last asked, plus those put since.
    depth: u64,
    /// Those of them that no worker had taken when last asked.
    untaken: u64,
    /// Until the queue has answered once, and again while it does not.
    away: bool,
}

struct Job {
    builder: JobBuilder,
    /// Its part of [`State::waiting_bytes`].
    bytes: usize,
    /// Sum of what its events count.
    count: u64,
    outcome: watch::Sender<Option<Outcome>>,
}

impl Job {
    fn new() -> Self {
        let builder = JobBuilder::new(BatchId::from(Uuid::now_v7()));
        Self {
            builder,
            bytes: 0,
            count: 0,
            outcome: watch::Sender::new(None),
        }
    }
}

/// What a job takes as a whole or not at all.
pub(crate) trait Part {
    /// Memory, estimated from above.
    fn bytes(&self) -> usize;
    /// Sum of its counts.
    fn count(&self) -> u64;
    fn add_to(&self, job: &mut JobBuilder) -> bool;
}

impl Part for Count<'_> {
    fn bytes(&self) -> usize {
        self.0.as_str().len() + EVENT_OVERHEAD_BYTES
    }

    fn count(&self) -> u64 {
        self.2
    }

    fn add_to(&self, job: &mut JobBuilder) -> bool {
        let (name, minute, count) = self;
        job.add_event(name, *minute, *count)
    }
}

impl Part for KeyedBatch<'_> {
    fn bytes(&self) -> usize {
        self.counts.iter().map(Part::bytes).sum()
    }

    fn count(&self) -> u64 {
        self.counts.iter().map(Part::count).sum()
    }

    fn add_to(&self, job: &mut JobBuilder) -> bool {
        job.add_batch(self.id, &self.origin, &self.counts)
    }
}

impl State {
    fn make_room(&mut self, bytes: usize, jobs_max: u64) -> Result<(), NoRoom> {
        if self.away {
            return Err(NoRoom::QueueAway);
        }
        let waiting_bytes = self.waiting_bytes + bytes;
        let jobs = (self.full.len() + 1 + bytes / JOB_BYTES_MIN) as u64;
        if waiting_bytes > WAITING_BYTES_MAX || self.depth + jobs > jobs_max {
            return Err(NoRoom::Full);
        }
        self.waiting_bytes = waiting_bytes;
        Ok(())
    }
}

impl Combiner {
    pub(crate) fn new(jobs_max: u64) -> Self {
        let open = Job::new();
        let state = State {
            open,
            full: VecDeque::new(),
            waiting_bytes: 0,
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

    /// Adds a request's events to the batch that all requests share, or its batches of its own.
    /// Returns a ticket for each job that got some.
    ///
    /// All or nothing: room for every job that they may need is there before the first is added.
    pub(crate) fn add(&self, parts: &[impl Part]) -> Result<Vec<Ticket>, NoRoom> {
        let bytes = parts.iter().map(Part::bytes).sum();
        let mut state = self.lock();
        state.make_room(bytes, self.jobs_max)?;
        let mut tickets = Vec::new();
        let mut has_ticket = false;
        for part in parts {
            if !part.add_to(&mut state.open.builder) {
                let full = std::mem::replace(&mut state.open, Job::new());
                state.full.push_back(full);
                let added = part.add_to(&mut state.open.builder);
                assert!(added, "an empty job has room for any event and any piece");
                has_ticket = false;
            }
            state.open.bytes += part.bytes();
            state.open.count += part.count();
            if !std::mem::replace(&mut has_ticket, true) {
                tickets.push(state.open.outcome.subscribe());
            }
        }
        drop(state);
        self.changed.notify_one();
        Ok(tickets)
    }

    /// The next job to put: a full one, or the open one if `even_if_not_full`.
    fn next_job(&self, even_if_not_full: bool) -> Option<Job> {
        let mut state = self.lock();
        state.full.pop_front().or_else(|| {
            let ready = even_if_not_full && !state.open.builder.is_empty();
            ready.then(|| std::mem::replace(&mut state.open, Job::new()))
        })
    }

    /// Tells the job's requests, and frees its room.
    fn finish(&self, job: &Job, outcome: Outcome) {
        self.lock().waiting_bytes -= job.bytes;
        job.outcome.send_replace(Some(outcome));
    }

    fn has_open_events(&self) -> bool {
        !self.lock().open.builder.is_empty()
    }

    fn linger(&self, base: Duration) -> Duration {
        let steps = self.lock().untaken.saturating_sub(LINGER_NONE_BELOW_JOBS) / LINGER_STEP_JOBS;
        let more = LINGER_STEP.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX));
        base.max(more.min(LINGER_MAX))
    }

    fn queue_answered(&self, tube: &TubeState) {
        let mut state = self.lock();
        state.depth = tube.jobs();
        state.untaken = tube.ready;
        state.away = false;
        metrics::gauge!("collector_queue_jobs").set(u32::try_from(state.depth).unwrap_or(u32::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts jobs until `drained`, and then what is left: one after another, so that what comes in while one is on its way gathers in the
/// next. An idle queue gets a job at once.
///
/// # Errors
/// The queue can be used again only by another process.
pub(crate) async fn put_jobs(
    combiner: Arc<Combiner>,
    producer: Producer,
    linger: Duration,
    health: Health,
    drained: CancellationToken,
) -> Result<(), queue::Error> {
    let mut putter = Putter {
        combiner,
        producer,
        health,
        asked: None,
        failing: false,
    };
    loop {
        putter.ask_depth_if_due().await?;
        if let Some(job) = putter.combiner.next_job(false) {
            putter.put(job).await;
        } else if putter.combiner.has_open_events() {
            let pause = putter.combiner.linger(linger);
            if !pause.is_zero() {
                // A job that becomes full meanwhile ends the pause; where it does not, the time is over.
                tokio::time::timeout(pause, putter.until_full()).await.ok();
            }
            if let Some(job) = putter.combiner.next_job(true) {
                putter.put(job).await;
            }
        } else if drained.is_cancelled() {
            return Ok(());
        } else {
            tokio::select! {
                () = putter.combiner.changed.notified() => {}
                () = drained.cancelled() => {}
                () = tokio::time::sleep(DEPTH_INTERVAL) => {}
            }
        }
    }
}

struct Putter {
    combiner: Arc<Combiner>,
    producer: Producer,
    health: Health,
    asked: Option<Instant>,
    /// Whether the queue failed when last asked: an outage is logged once.
    failing: bool,
}

impl Putter {
    async fn put(&mut self, job: Job) {
        let body = job.builder.encode(SystemTime::now().into());
        let started = Instant::now();
        let outcome = match self.producer.put(&body).await {
            Ok(stored) => {
                if stored == Stored::MaybeAgain {
                    metrics::counter!("collector_counts_doubtful_total").increment(job.count);
                }
                metrics::counter!("collector_counts_acknowledged_total").increment(job.count);
                metrics::counter!("collector_jobs_put_total").increment(1);
                metrics::histogram!("collector_put_seconds").record(started.elapsed());
                self.combiner.lock().depth += 1;
                Outcome::Stored
            }
            Err(error) => {
                self.queue_failed(&error);
                match error {
                    PutError::NotStored(_) => Outcome::NotStored,
                    PutError::Unknown(_) => {
                        metrics::counter!("collector_counts_doubtful_total").increment(job.count);
                        Outcome::Unknown
                    }
                }
            }
        };
        self.combiner.finish(&job, outcome);
        if outcome != Outcome::Stored {
            // Those behind it have not been sent: their clients may know at once.
            while let Some(job) = self.combiner.next_job(true) {
                self.combiner.finish(&job, Outcome::NotStored);
            }
        }
    }

    async fn until_full(&self) {
        while self.combiner.lock().full.is_empty() {
            self.combiner.changed.notified().await;
        }
    }

    async fn ask_depth_if_due(&mut self) -> Result<(), queue::Error> {
        if self.asked.is_some_and(|at| at.elapsed() < DEPTH_INTERVAL) {
            return Ok(());
        }
        self.asked = Some(Instant::now());
        match self.producer.durable_tube_state().await {
            Ok(tube) => {
                self.combiner.queue_answered(&tube);
                self.health.ready("queue");
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the queue answers again");
                }
            }
            Err(error) if error.is_final() => return Err(error),
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    let cause: &dyn std::error::Error = &error;
                    tracing::warn!(cause, "the queue is away: requests are refused");
                }
                self.queue_failed(&error);
            }
        }
        Ok(())
    }

    /// Until the queue answers again, requests are refused at once instead of waiting in vain.
    fn queue_failed(&mut self, error: &dyn std::error::Error) {
        self.combiner.lock().away = true;
        self.health.not_ready("queue", error);
        metrics::counter!("collector_queue_failures_total").increment(1);
    }
}
