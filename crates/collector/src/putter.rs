//! Puts gathered counts into the queue, and tells their requests the outcome.
//!
//! A request is answered 202 only after every job that may hold one of its counts was put, which beanstalkd acknowledges once the job is
//! on disk. One that fails before anything was put is certainly not counted; one that fails later may be.

#![expect(
    clippy::disallowed_methods,
    reason = "a job says when it was accepted, and puts are measured"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use listener::Health;
use queue::{BOOKS, Job, Producer, PutError, Stored};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::combiner::{Combiner, Gathered, Outcome, pack};
use crate::lanes::Lane;

/// Longest wait for the other putter's end where one has given up.
const LAST_PUT_LIMIT: Duration = Duration::from_secs(10);

/// Time between two questions for the depth of the queue.
const DEPTH_INTERVAL: Duration = Duration::from_secs(1);

/// The same, while requests wait for room in the queue.
const DEPTH_INTERVAL_FULL: Duration = Duration::from_millis(20);

/// What the putters of both lanes share.
pub(crate) struct Putters {
    pub(crate) combiner: Arc<Combiner>,
    /// How long counts wait for others in any case.
    pub(crate) linger: Duration,
    pub(crate) health: Health,
    /// When the listener has ended.
    pub(crate) drained: CancellationToken,
    /// Whether it was told that the queue fails: once in an outage.
    pub(crate) outage_told: AtomicBool,
}

/// The putters at work.
pub(crate) struct Putting {
    of_lanes: JoinSet<Result<(), queue::Error>>,
    drained: CancellationToken,
}

impl Putting {
    /// Waits until one of them ends by itself, and then, within a limit, until the other one has told its requests what became of them.
    ///
    /// # Errors
    /// Only another process can use the queue again.
    pub(crate) async fn give_up(&mut self) -> Result<(), Error> {
        let ended = self.of_lanes.join_next().await;
        self.drained.cancel();
        let other = tokio::time::timeout(LAST_PUT_LIMIT, self.of_lanes.join_next());
        // It has the same error, or none.
        other.await.ok();
        ended.map_or(Ok(()), |ended| Ok(ended.map_err(Error::PutterDied)??))
    }

    /// Waits until what is left is put, once all is drained.
    ///
    /// # Errors
    /// As [`Self::give_up`].
    pub(crate) async fn finish(mut self) -> Result<(), Error> {
        while let Some(ended) = self.of_lanes.join_next().await {
            ended.map_err(Error::PutterDied)??;
        }
        Ok(())
    }
}

struct Putter {
    shared: Arc<Putters>,
    lane: Lane,
    producer: Producer,
    /// When the depth was last asked for.
    depth_asked: Option<Instant>,
    /// Whether the queue failed then.
    failing: bool,
}

impl Putters {
    /// Starts to put the jobs of both lanes into a queue.
    pub(crate) fn start(self, queue: &queue::Config) -> Putting {
        let (putters, producer) = (Arc::new(self), Producer::new(queue));
        let put = |lane| putters.clone().put_jobs(lane, producer.beside());
        Putting {
            of_lanes: Lane::ALL.map(put).into_iter().collect(),
            drained: putters.drained.clone(),
        }
    }

    /// Puts the jobs of one lane until all is drained, and then what is left: one after another, so that the counts that come in while one
    /// is on its way gather for the next. An idle queue gets a job at once.
    ///
    /// # Errors
    /// Only another process can use the queue again.
    async fn put_jobs(self: Arc<Self>, lane: Lane, producer: Producer) -> Result<(), queue::Error> {
        let mut putter = Putter {
            shared: self.clone(),
            lane,
            producer,
            depth_asked: None,
            failing: false,
        };
        loop {
            putter.ask_depth_if_due().await?;
            if let Some(gathered) = self.combiner.next(lane, self.linger).await {
                putter.put_gathered(gathered).await?;
            } else if self.drained.is_cancelled() {
                // The listener has ended, and its requests have waited for their outcomes: nothing is left that a client waits for.
                return Ok(());
            } else {
                tokio::select! {
                    () = self.combiner.changed(lane) => {}
                    () = self.drained.cancelled() => {}
                    () = tokio::time::sleep(putter.depth_interval()) => {}
                }
            }
        }
    }
}

impl Putter {
    /// Packs gathered counts, puts the jobs and settles the tickets.
    ///
    /// # Errors
    /// Only another process can use the queue again; the requests were told the outcome before.
    async fn put_gathered(&mut self, mut gathered: Gathered) -> Result<(), queue::Error> {
        let fills_a_job = gathered.fills_a_job();
        let sums = gathered.take_sums();
        // What takes longer than handing it to another thread.
        let jobs = if fills_a_job || self.lane == Lane::Long {
            tokio::task::spawn_blocking(|| pack(sums)).await.ok()
        } else {
            Some(pack(sums))
        };
        let put = match jobs {
            Some(jobs) => self.put_in_turn(&jobs).await,
            // Packing panicked, or the process ends: nothing was put.
            None => Ok(Outcome::NotStored),
        };
        // An error comes from between two jobs, so at least one of them is in the queue.
        let outcome = *put.as_ref().unwrap_or(&Outcome::Unknown);
        // Only now, after the last job: the counts are packed name by name, so those of one request may lie in any of the jobs.
        self.shared.combiner.finish(&gathered, outcome);
        if outcome != Outcome::Stored {
            // Counts that were gathered meanwhile were not put: their clients may know that at once, and need not wait for a queue
            // that is away.
            if let Some(gathered) = self.shared.combiner.take(self.lane) {
                self.shared.combiner.finish(&gathered, Outcome::NotStored);
            }
        }
        put.map(drop)
    }

    /// Puts jobs one after another, up to the first that is not stored. Where some are stored and some are not, a request's counts may
    /// be among either: its outcome is as unknown as after a lost reply.
    async fn put_in_turn(&mut self, jobs: &[Job]) -> Result<Outcome, queue::Error> {
        for (at, job) in jobs.iter().enumerate() {
            // Many jobs take longer than an interval, and beanstalkd may cease to write its log meanwhile.
            if at > 0 {
                self.ask_depth_if_due().await?;
                if self.failing {
                    return Ok(Outcome::Unknown);
                }
            }
            match self.put(job).await {
                Outcome::Stored => {}
                Outcome::NotStored if at == 0 => return Ok(Outcome::NotStored),
                Outcome::NotStored | Outcome::Unknown => return Ok(Outcome::Unknown),
            }
        }
        Ok(Outcome::Stored)
    }

    /// Puts one job. Returns once it is on disk, or is given up.
    async fn put(&mut self, job: &Job) -> Outcome {
        // Encoded only now, since a job carries the time of its put. The producer repeats the same bytes, and with them the batch ids
        // by which the ledger recognises a second copy.
        let body = job.encode(SystemTime::now().into());
        let started = Instant::now();
        failpoint::crash("collector.encoded");
        match self.producer.put(&body).await {
            Ok(stored) => {
                failpoint::crash("collector.put");
                if stored == Stored::MaybeAgain {
                    failpoint::sometimes("collector.put_again");
                    BOOKS.doubt(job.total());
                    metrics::counter!("collector_counts_doubtful_total").increment(job.total());
                }
                BOOKS.acknowledge(job.total());
                metrics::counter!("collector_counts_acknowledged_total").increment(job.total());
                metrics::counter!("collector_jobs_put_total").increment(1);
                metrics::histogram!("collector_put_seconds").record(started.elapsed());
                self.shared.combiner.job_stored();
                Outcome::Stored
            }
            Err(error) => {
                self.queue_failed(&error);
                match error {
                    PutError::NotStored(_) => Outcome::NotStored,
                    PutError::Unknown(_) => {
                        failpoint::sometimes("collector.put_unknown");
                        BOOKS.doubt(job.total());
                        metrics::counter!("collector_counts_doubtful_total").increment(job.total());
                        Outcome::Unknown
                    }
                }
            }
        }
    }

    /// The time after which the depth is asked for again.
    fn depth_interval(&self) -> Duration {
        if self.shared.combiner.is_waited_for() {
            DEPTH_INTERVAL_FULL
        } else {
            DEPTH_INTERVAL
        }
    }

    /// Asks for the queue's depth, and whether it is durable, where that was not done for the interval.
    ///
    /// # Errors
    /// Only another process can use the queue again. Any other failure only makes requests be refused.
    async fn ask_depth_if_due(&mut self) -> Result<(), queue::Error> {
        if self
            .depth_asked
            .is_some_and(|at| at.elapsed() < self.depth_interval())
        {
            return Ok(());
        }
        self.depth_asked = Some(Instant::now());
        let stored_before = self.shared.combiner.jobs_stored();
        let answer = self.producer.durable_tube_state().await;
        self.failing = answer.is_err();
        match answer {
            Ok(tube) => {
                self.shared.combiner.queue_answered(&tube, stored_before);
                self.shared.health.ready("queue");
                if self.shared.outage_told.swap(false, Ordering::Relaxed) {
                    tracing::info!("the queue answers again");
                }
            }
            Err(error) if error.is_final() => return Err(error),
            Err(error) => {
                if !self.shared.outage_told.swap(true, Ordering::Relaxed) {
                    let cause: &dyn std::error::Error = &error;
                    tracing::warn!(cause, "the queue is away: requests are refused");
                }
                self.queue_failed(&error);
            }
        }
        Ok(())
    }

    fn queue_failed(&mut self, error: &dyn std::error::Error) {
        self.shared.combiner.queue_failed();
        self.shared.health.not_ready("queue", error);
        metrics::counter!("collector_queue_failures_total").increment(1);
    }
}
