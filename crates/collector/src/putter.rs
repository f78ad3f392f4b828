//! Puts what was gathered into the queue.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use listener::Health;
use queue::{BOOKS, Job, Producer, PutError, Stored};
use tokio_util::sync::CancellationToken;

use crate::combiner::{Combiner, Gathered, Outcome, pack};

/// How often the depth of the queue is asked for.
const DEPTH_INTERVAL: Duration = Duration::from_secs(1);

/// Puts jobs until `drained`, and then what is left: one after another, so that what comes in while one is on its way gathers for the
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
        if let Some(gathered) = putter.combiner.next(linger).await {
            putter.put_gathered(gathered).await?;
        } else if drained.is_cancelled() {
            return Ok(());
        } else {
            tokio::select! {
                () = putter.combiner.changed() => {}
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
    /// # Errors
    /// The queue can be used again only by another process; the requests know.
    async fn put_gathered(&mut self, mut gathered: Gathered) -> Result<(), queue::Error> {
        let is_large = gathered.fills_a_job();
        let counts = gathered.take_counts();
        let jobs = if is_large {
            tokio::task::spawn_blocking(|| pack(counts)).await.ok()
        } else {
            Some(pack(counts))
        };
        let put = match jobs {
            Some(jobs) => self.put_in_turn(&jobs).await,
            // Packing panicked, or the process ends: nothing was put.
            None => Ok(Outcome::NotStored),
        };
        let outcome = *put.as_ref().unwrap_or(&Outcome::Unknown);
        self.combiner.finish(&gathered, outcome);
        if outcome != Outcome::Stored {
            // Those behind it have not been sent: their clients may know at once.
            while let Some(gathered) = self.combiner.take() {
                self.combiner.finish(&gathered, Outcome::NotStored);
            }
        }
        put.map(drop)
    }

    /// Some stored and some not is as unknown as a lost reply.
    async fn put_in_turn(&mut self, jobs: &[Job]) -> Result<Outcome, queue::Error> {
        for (at, job) in jobs.iter().enumerate() {
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

    async fn put(&mut self, job: &Job) -> Outcome {
        let body = job.encode(SystemTime::now().into());
        let started = Instant::now();
        match self.producer.put(&body).await {
            Ok(stored) => {
                if stored == Stored::MaybeAgain {
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
                        BOOKS.doubt(job.total());
                        metrics::counter!("collector_counts_doubtful_total").increment(job.total());
                        Outcome::Unknown
                    }
                }
            }
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

    fn queue_failed(&mut self, error: &dyn std::error::Error) {
        self.combiner.queue_failed();
        self.health.not_ready("queue", error);
        metrics::counter!("collector_queue_failures_total").increment(1);
    }
}
