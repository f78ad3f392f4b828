//! Puts gathered counts into the queue, and tells their requests the outcome.
//!
//! A request is answered 202 only after every job that may hold one of its counts was put, which beanstalkd acknowledges once the job is
//! on disk. One that fails before anything was put is certainly not counted; one that fails later may be.

#![expect(
    clippy::disallowed_methods,
    reason = "a job says when it was accepted, and puts are measured"
)]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use listener::Health;
use queue::{BOOKS, Job, Producer, PutError, Stored};
use tokio_util::sync::CancellationToken;

use crate::combiner::{Combiner, Gathered, Outcome, pack};

/// Time between two questions for the depth of the queue.
const DEPTH_INTERVAL: Duration = Duration::from_secs(1);

/// The same, while requests wait for room in the queue.
const DEPTH_INTERVAL_FULL: Duration = Duration::from_millis(20);

/// Puts jobs until `drained`, and then what is left: one after another, so that the counts that come in while one is on its way gather
/// for the next. An idle queue gets a job at once.
///
/// # Errors
/// Only another process can use the queue again.
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
        depth_asked: None,
        failing: false,
    };
    loop {
        putter.ask_depth_if_due().await?;
        if let Some(gathered) = putter.combiner.next(linger).await {
            putter.put_gathered(gathered).await?;
        } else if drained.is_cancelled() {
            // The listener has ended, and its requests have waited for their outcomes: nothing is left that a client waits for.
            return Ok(());
        } else {
            tokio::select! {
                () = putter.combiner.changed() => {}
                () = drained.cancelled() => {}
                () = tokio::time::sleep(putter.depth_interval()) => {}
            }
        }
    }
}

struct Putter {
    combiner: Arc<Combiner>,
    producer: Producer,
    health: Health,
    /// When the depth was last asked for.
    depth_asked: Option<Instant>,
    /// Whether the queue failed when last asked: an outage is logged once.
    failing: bool,
}

impl Putter {
    /// Packs gathered counts, puts the jobs and settles the tickets.
    ///
    /// # Errors
    /// Only another process can use the queue again; the requests were told the outcome before.
    async fn put_gathered(&mut self, mut gathered: Gathered) -> Result<(), queue::Error> {
        let is_large = gathered.fills_a_job();
        let sums = gathered.take_sums();
        let jobs = if is_large {
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
        self.combiner.finish(&gathered, outcome);
        if outcome != Outcome::Stored {
            // Counts that were gathered meanwhile were not put: their clients may know that at once, and need not wait for a queue
            // that is away.
            while let Some(gathered) = self.combiner.take() {
                self.combiner.finish(&gathered, Outcome::NotStored);
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
                self.combiner.job_stored();
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
        if self.combiner.is_waited_for() {
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

    fn queue_failed(&mut self, error: &dyn std::error::Error) {
        self.combiner.queue_failed();
        self.health.not_ready("queue", error);
        metrics::counter!("collector_queue_failures_total").increment(1);
    }
}
