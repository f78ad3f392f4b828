#![doc = include_str!("../README.md")]

mod clock;
mod config;
mod disk;
mod figures;
mod flush;
mod held;
mod names;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use listener::Health;
use queue::{BOOKS, Consumer, EventIds, LowMark};
use store::regional::{Flush, Regional, Report};
use tokio_util::sync::CancellationToken;

use clock::Clock;
pub use config::{Config, Error};
use disk::Disks;
use flush::Flushed;
use held::{FlushPolicy, Held};
use names::Names;

/// Jobs taken in one look into the queue: bounds what it can add to memory before the next check for a flush.
const RESERVE_JOBS_MAX: usize = 16;

/// Pause between two looks into the queue while jobs are held that are not due yet.
const RESERVE_PAUSE: Duration = Duration::from_millis(50);

/// Looks in a row that find nothing, after which nothing is on its way.
const QUIET_LOOKS: u32 = 2;

/// How often the region's clock and the queue's state are reported to the centre when nothing is counted.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// How often the ledger is pruned.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);

/// A transaction with jobs that came back to the queue before one pruning has ended before the next.
const _: () =
    assert!(PRUNE_INTERVAL.as_secs() > queue::TIME_TO_RUN_S as u64 + store::regional::COMMIT_LIMIT.as_secs());

/// Pause after a failure, so that a database that is away is not asked in a busy loop.
const FAILURE_PAUSE: Duration = Duration::from_millis(500);

/// The parts of a worker's readiness.
pub const READINESS: [&str; 2] = ["queue", "regional database"];

struct Worker {
    jobs: Consumer,
    region: Regional,
    held: Held,
    /// Looks into the queue in a row that have found nothing while jobs are held.
    empty_looks: u32,
    ids: EventIds,
    names: Names,
    policy: FlushPolicy,
    clock: Clock,
    disks: Disks,
    reported: Option<Instant>,
    ledger_window: Duration,
    pruned: Option<Instant>,
    /// Since when what was put might be left in the queue, when the ledger was last to be pruned.
    passed_before: Option<Instant>,
    time_marked: Option<Instant>,
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
#[expect(clippy::disallowed_methods, reason = "work begins now")]
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
        empty_looks: 0,
        ids: EventIds::default(),
        names: Names::new(Instant::now()),
        policy: config.flush_policy(),
        clock: Clock::default(),
        disks: Disks::new(config.disks.clone()),
        reported: None,
        ledger_window: Duration::from_secs(config.ledger_window_s.into()),
        pruned: None,
        passed_before: None,
        time_marked: None,
        health,
        failing: false,
    };
    while !shutdown.is_cancelled() {
        if let Err(error) = worker.turn().await {
            worker.give_back(&error);
            match error {
                TurnError::Queue(error) if error.is_final() => return Err(error.into()),
                TurnError::Queue(_) => {}
                TurnError::Store(_) => worker.mark_time().await,
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

#[expect(clippy::disallowed_methods, reason = "turns are paced by time")]
impl Worker {
    /// One look into the queue, and what is due.
    async fn turn(&mut self) -> Result<(), TurnError> {
        self.region.connect().await?;
        self.health.ready("regional database");
        let hurry = self.reserve().await?;
        self.health.ready("queue");
        let now = Instant::now();
        let is_due = |last: Option<Instant>, interval| last.is_none_or(|at| now - at >= interval);
        let is_quiet = self.empty_looks >= QUIET_LOOKS;
        if hurry || self.policy.is_due(&self.held, is_quiet, now) {
            self.flush().await?;
        } else if is_due(self.reported, REPORT_INTERVAL) {
            self.report().await?;
        } else {
            if self.empty_looks > 0 {
                tokio::time::sleep(RESERVE_PAUSE.min(self.policy.left(&self.held, now))).await;
            }
            return Ok(());
        }
        if is_due(self.pruned, PRUNE_INTERVAL) {
            // Noted first: a prune that fails is not made again at once, with nothing counted in between.
            self.pruned = Some(now);
            self.prune().await?;
        }
        if std::mem::take(&mut self.failing) {
            tracing::info!("queue and database answer again");
        }
        Ok(())
    }

    /// Takes what is ready. Returns whether a held job is about to go back to the queue.
    async fn reserve(&mut self) -> Result<bool, queue::Error> {
        let begun = Instant::now();
        let (reserved, hurry) = if self.held.is_empty() {
            self.jobs.reserve_waiting(RESERVE_JOBS_MAX).await?
        } else {
            self.jobs.reserve_ready(RESERVE_JOBS_MAX).await?
        };
        let is_empty = reserved.is_empty() && !self.held.is_empty();
        self.empty_looks = if is_empty { self.empty_looks + 1 } else { 0 };
        metrics::counter!("worker_jobs_reserved_total").increment(reserved.len() as u64);
        for job in reserved {
            match queue::decode(&job.body, &mut self.ids) {
                Ok(decoded) => {
                    let names = &self.names;
                    self.held.add(job.job_id, decoded, |id| names.is_known(id), begun);
                }
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
        if self.jobs.bury(job_id).await? {
            BOOKS.bury();
            metrics::counter!("worker_jobs_buried_total").increment(1);
        } else {
            tracing::warn!(
                job_id,
                "the queue has no room to note that; the job comes back and is tried again"
            );
        }
        Ok(())
    }

    /// Writes what is held. Reports, popularity and figures observe it; none of them changes what is counted or deleted.
    async fn flush(&mut self) -> Result<(), TurnError> {
        let started = Instant::now();
        let job_ids: Vec<u64> = self.held.jobs.iter().map(|job| job.id).collect();
        let (report, _) = self.look(job_ids.iter().copied().collect()).await?;
        self.names.prepare(started);
        let names = &self.names;
        let flush = Flush {
            batches: &self.held.batches,
            new_names: &self.held.new_names,
            is_known: &|id| names.is_known(id),
            popularity: names.popularity(),
            report: &report,
            deadline: self.held.deadline(),
        };
        let flushed = flush::flush(&mut self.region, &mut self.jobs, &flush, job_ids).await?;
        self.reported = Some(started);
        self.observe(flushed, started)
    }

    /// Takes note of what was committed, also where the jobs were not deleted: they come back, and their batches are recognised.
    fn observe(&mut self, flushed: Flushed, started: Instant) -> Result<(), TurnError> {
        let Flushed { committed, deleted } = flushed;
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            self.policy.flushed(committed.rows);
            metrics::gauge!("worker_hold_seconds").set(self.policy.age().as_secs_f64());
        }
        self.names.committed(&committed.totals, held.new_names);
        figures::count_committed(&committed, started);
        if committed.batches_recognised > 0 {
            failpoint::sometimes("worker.redelivery");
        }
        let deleted = deleted.inspect_err(|_| {
            failpoint::sometimes("worker.delete_unknown");
            tracing::warn!("jobs were counted but not deleted; the ledger will recognise them");
        })?;
        figures::count_deleted(&held.jobs, &deleted, committed.counted);
        Ok(())
    }

    /// Tells the centre what can be said of the region while its counts are held for longer.
    async fn report(&mut self) -> Result<(), TurnError> {
        let held = std::mem::take(&mut self.held);
        let reported = self.flush().await;
        self.held = held;
        reported
    }

    /// What can be said of the region now, and since when what was put may be left in the queue beside `held`. The clock is read first.
    async fn look(&mut self, held: BTreeSet<u64>) -> Result<(Report, Option<Instant>), TurnError> {
        let read = self.region.clock().await?;
        self.clock.read(read.now, Instant::now());
        let shared = read.mark.map(|mark| LowMark {
            process: mark.epoch,
            lowest: mark.number,
        });
        let look = self.jobs.look(held, shared).await?;
        let report = Report {
            seen_at: read.now,
            queue: look.tube,
            is_queue_durable: look.is_durable,
            disk: self.disks.fullest().await,
            hold: self.policy.age(),
            complete_until: self.clock.complete_until(look.passed),
            mark: look.mark.map(|mark| store::regional::Mark {
                epoch: mark.process,
                number: mark.lowest,
            }),
        };
        Ok((report, look.passed))
    }

    /// Forgets batches that were counted longer than the window before the oldest job that was left at the look before was put: whichever
    /// of its batches was counted already is in the ledger still, however long the job has waited. What is left now does not say enough:
    /// a job that others have recognised and deleted may be in a transaction still, of a worker that had it before them.
    async fn prune(&mut self) -> Result<(), TurnError> {
        let (_, passed) = self.look(BTreeSet::new()).await?;
        let Some(passed) = std::mem::replace(&mut self.passed_before, passed) else {
            return Ok(());
        };
        let batches = self.region.prune(passed.elapsed() + self.ledger_window).await?;
        metrics::counter!("worker_batches_pruned_total").increment(batches);
        if batches > 0 {
            tracing::info!(batches, "pruned the ledger");
        }
        Ok(())
    }

    /// While the database is away, so that what waits for it can be dated afterwards.
    async fn mark_time(&mut self) {
        if self.time_marked.is_some_and(|at| at.elapsed() < REPORT_INTERVAL) {
            return;
        }
        self.time_marked = Some(Instant::now());
        if let Err(error) = self.jobs.mark_time().await {
            tracing::debug!(%error, "the queue does not answer either");
        }
    }

    /// Forgets the held jobs and lets the queue have them back: whether they were counted, the ledger knows.
    fn give_back(&mut self, error: &TurnError) {
        metrics::counter!("worker_flush_failures_total").increment(1);
        self.policy.failed();
        self.names.failed();
        let part = match error {
            TurnError::Queue(_) => READINESS[0],
            TurnError::Store(_) => READINESS[1],
        };
        self.health.not_ready(part, error);
        if !std::mem::replace(&mut self.failing, true) {
            let cause: &dyn std::error::Error = error;
            tracing::warn!(
                cause,
                jobs = self.held.jobs.len(),
                "gave the held jobs back to the queue"
            );
        }
        self.held = Held::default();
        self.jobs.disconnect();
    }
}
