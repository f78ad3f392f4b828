//! Jobs become per-minute counts in the regional database, each batch exactly once.
//!
//! Knows neither HTTP handlers nor how jobs and rows travel. Promises that a job is deleted only after its counts were
//! committed together with the ids of its batches, that nothing is kept only in memory, and that a job which
//! cannot be read is buried with its reason, never dropped and never retried for ever.

mod config;
mod held;
mod names;

use std::time::{Duration, Instant, SystemTime};

use listener::Health;
use queue::Consumer;
use store::{Flush, Regional};
use tokio_util::sync::CancellationToken;

pub use config::{Config, Error};
use held::{FlushPolicy, Held};
use names::Names;

/// Jobs taken in one look into the queue: bounds what it can add to memory before the next check for a flush.
const RESERVE_JOBS_MAX: usize = 4;

/// Pause between two looks into the queue while jobs are held that are not due yet.
const RESERVE_PAUSE: Duration = Duration::from_millis(50);

/// How often the queue's state is reported to the centre.
const TUBE_REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// Pause after a failure, so that a database that is away is not asked in a busy loop.
const FAILURE_PAUSE: Duration = Duration::from_millis(500);

/// The parts of a worker's readiness.
pub const READINESS: [&str; 2] = ["queue", "regional database"];

struct Worker {
    jobs: Consumer,
    region: Regional,
    held: Held,
    names: Names,
    policy: FlushPolicy,
    tube_reported: Option<Instant>,
    health: Health,
    /// Whether the last turn failed: an outage is logged once, not once per attempt.
    failing: bool,
}

#[derive(Debug, thiserror::Error)]
enum TurnError {
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Works until `shutdown`, then commits what it holds and returns. Failures of queue and database are logged and retried.
///
/// # Errors
/// A configuration that cannot work, or a queue that only another process can reach again.
pub async fn run(
    config: &Config,
    region: &str,
    queue: &queue::Config,
    server: store::Server,
    health: Health,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    config.check()?;
    let mut worker = Worker {
        jobs: Consumer::new(queue),
        region: Regional::new(server, region, &config.name)?,
        held: Held::default(),
        names: Names::new(Instant::now()),
        policy: config.flush_policy(),
        tube_reported: None,
        health,
        failing: false,
    };
    while !shutdown.is_cancelled() {
        if let Err(error) = worker.turn().await {
            worker.give_back(&error);
            if let TurnError::Queue(error) = error
                && error.is_final()
            {
                return Err(error.into());
            }
            tokio::time::sleep(FAILURE_PAUSE).await;
        }
    }
    worker.names.send_at_once();
    if let Err(error) = worker.flush().await {
        worker.give_back(&error);
    }
    Ok(())
}

impl Worker {
    /// One look into the queue, and a flush where one is due.
    async fn turn(&mut self) -> Result<(), TurnError> {
        self.region.connect().await?;
        self.health.ready("regional database");
        let hurry = self.reserve().await?;
        self.health.ready("queue");
        let now = Instant::now();
        let report_due = self
            .tube_reported
            .is_none_or(|at| now - at >= TUBE_REPORT_INTERVAL);
        if hurry || report_due || self.policy.is_due(&self.held, now) {
            self.flush().await?;
        }
        if std::mem::take(&mut self.failing) {
            tracing::info!("queue and database answer again");
        }
        Ok(())
    }

    /// Takes what is ready. Returns whether a held job is about to go back to the queue.
    async fn reserve(&mut self) -> Result<bool, queue::Error> {
        let (reserved, hurry) = if self.held.is_empty() {
            self.jobs.reserve_waiting(RESERVE_JOBS_MAX).await?
        } else {
            let (reserved, hurry) = self.jobs.reserve_ready(RESERVE_JOBS_MAX).await?;
            if reserved.is_empty() && !hurry {
                tokio::time::sleep(RESERVE_PAUSE.min(self.policy.left(&self.held, Instant::now()))).await;
            }
            (reserved, hurry)
        };
        metrics::counter!("worker_jobs_reserved_total").increment(reserved.len() as u64);
        for job in reserved {
            match queue::decode(&job.body, SystemTime::now().into()) {
                Ok(decoded) => self.held.add(job.job_id, decoded, Instant::now()),
                Err(error) => self.bury(job.job_id, &error).await?,
            }
        }
        Ok(hurry)
    }

    async fn bury(&mut self, job_id: u64, reason: &queue::DecodeError) -> Result<(), queue::Error> {
        let reason: &dyn std::error::Error = reason;
        tracing::error!(
            job_id,
            reason,
            "buried a job that cannot be counted; see 'eventtracker queue list'"
        );
        metrics::counter!("worker_jobs_buried_total").increment(1);
        self.jobs.bury(job_id).await
    }

    /// Commits what the jobs hold, then deletes them. The order is the delivery promise: a crash in between
    /// brings the jobs back, and the ledger recognises their batches.
    async fn flush(&mut self) -> Result<(), TurnError> {
        let started = Instant::now();
        let tube = (self.jobs.tube_state().await?, SystemTime::now().into());
        let popularity = self.names.popularity_due(started);
        let flush = Flush {
            batches: &self.held.batches,
            names: &self.held.names,
            names_known: self.names.known(),
            popularity: popularity.unwrap_or(&names::NO_POPULARITY),
            tube,
        };
        let committed = self.region.commit(&flush).await?;
        let popularity_sent = popularity.is_some();
        let held = std::mem::take(&mut self.held);
        self.tube_reported = Some(started);
        self.names
            .committed(&committed.totals, held.names, popularity_sent, started);
        metrics::counter!("worker_batches_counted_total").increment(committed.batches_counted);
        metrics::counter!("worker_batches_recognised_total").increment(committed.batches_recognised);
        metrics::counter!("worker_counts_total").increment(committed.count());
        metrics::counter!("worker_rows_total").increment(committed.rows as u64);
        metrics::histogram!("worker_flush_seconds").record(started.elapsed());
        self.jobs.delete(held.job_ids).await.inspect_err(|_| {
            tracing::warn!("jobs were counted but not deleted; the ledger will recognise them");
        })?;
        if committed.batches_counted + committed.batches_recognised > 0 {
            tracing::info!(
                batches = committed.batches_counted,
                recognised = committed.batches_recognised,
                rows = committed.rows,
                ms = started.elapsed().as_secs_f64() * 1000.0,
                "flushed"
            );
        }
        Ok(())
    }

    /// Forgets the held jobs and lets the queue have them back: whether they were counted, the ledger knows.
    fn give_back(&mut self, error: &TurnError) {
        metrics::counter!("worker_flush_failures_total").increment(1);
        let part = match error {
            TurnError::Queue(_) => READINESS[0],
            TurnError::Store(_) => READINESS[1],
        };
        self.health.not_ready(part, error);
        if !std::mem::replace(&mut self.failing, true) {
            let cause: &dyn std::error::Error = error;
            tracing::warn!(
                cause,
                jobs = self.held.job_ids.len(),
                "gave the held jobs back to the queue"
            );
        }
        self.held = Held::default();
        self.jobs.disconnect();
    }
}
