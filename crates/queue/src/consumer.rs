//! The worker's side of the queue: reserves jobs, deletes or buries them, and looks how far the queue was worked off.

#![expect(clippy::disallowed_methods, reason = "the watermark is told the time here")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use beanstalkc::Beanstalkc;
use model::QueueDepth;

use crate::link::Link;
use crate::log_watch::LogWatch;
use crate::operate::{fence, first_of_process, is_left, log, note_first_sight, tube_state};
use crate::watermark::{LowMark, Tube, TubeStats, Watermark};
use crate::{Config, Error, PRIORITY};

/// How long a reserve waits for a first job, in whole seconds (beanstalkc cuts fractions off).
const RESERVE_WAIT: Duration = Duration::from_secs(1);

/// Longest wait for one call; the longest call deletes all jobs of a flush.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// A job that this consumer holds until it deletes or buries it, loses its connection, or the time to run is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    /// beanstalkd's number: unique only while the job lives and this connection stands.
    pub job_id: u64,
    /// The job as it was put: JSON, as `queue::decode` reads it.
    pub body: Vec<u8>,
}

/// The state of the tube, as [`Consumer::look`] found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The number of jobs in the tube by state.
    pub tube: QueueDepth,
    /// Whether beanstalkd writes its log.
    pub is_durable: bool,
    /// An instant of this process' monotonic clock: every job that was acknowledged before it is gone or one of those that the
    /// consumer said it holds. `None` where no such instant is known.
    pub passed: Option<Instant>,
    /// The low mark, for other consumers to start from.
    pub mark: Option<LowMark>,
}

/// A worker's connection to the queue. Connects when first needed, and anew after each failure.
pub struct Consumer {
    link: Link,
    watermark: Watermark,
    log: LogWatch,
}

impl Consumer {
    /// A consumer of the tube on the beanstalkd of `config`; not connected yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            link: Link::new(config.address),
            watermark: Watermark::default(),
            log: LogWatch::default(),
        }
    }

    /// Reserves up to `max` jobs that are ready, without waiting. The flag is true where the time to run of a job that this consumer
    /// holds is nearly over.
    ///
    /// # Errors
    /// The connection broke: all jobs held before are lost to this consumer, and go to others.
    pub async fn reserve_ready(&mut self, max: usize) -> Result<(Vec<Reserved>, bool), Error> {
        self.link
            .call(CALL_LIMIT, move |connection| {
                reserve(connection, max, Duration::ZERO)
            })
            .await
    }

    /// Reserves as [`Consumer::reserve_ready`] does, but waits up to a second for the first job.
    ///
    /// # Errors
    /// As [`Consumer::reserve_ready`].
    pub async fn reserve_waiting(&mut self, max: usize) -> Result<(Vec<Reserved>, bool), Error> {
        let limit = CALL_LIMIT + RESERVE_WAIT;
        self.link
            .call(limit, move |connection| reserve(connection, max, RESERVE_WAIT))
            .await
    }

    /// Deletes jobs; one that is gone or was given to another worker meanwhile is passed over. Returns the numbers of those that were
    /// deleted.
    ///
    /// Only jobs whose counts are committed may be deleted. After a crash between the two, they come back, and the ledger recognises
    /// their batches; deleted first, their counts would be lost, and a claim that passed them would be wrong.
    ///
    /// # Errors
    /// The connection broke: jobs not yet deleted will come back.
    pub async fn delete(&mut self, job_ids: Vec<u64>) -> Result<BTreeSet<u64>, Error> {
        let deleted = self
            .link
            .call(CALL_LIMIT, move |connection| {
                let mut deleted = BTreeSet::new();
                for id in job_ids {
                    if unless_gone(connection.delete(id))? {
                        deleted.insert(id);
                    }
                }
                Ok(deleted)
            })
            .await?;
        // Only numbers that beanstalkd has confirmed: a job that was given to another worker is still in the tube.
        self.watermark.deleted(deleted.iter().copied());
        Ok(deleted)
    }

    /// Sets a job aside until an operator kicks or deletes it. `false` where beanstalkd cannot note that, its disk being full: then
    /// the job stays reserved, and comes back when its time to run is over.
    ///
    /// # Errors
    /// The connection broke: the job will come back.
    pub async fn bury(&mut self, job_id: u64) -> Result<bool, Error> {
        self.link
            .call(CALL_LIMIT, move |connection| {
                match unless_gone(connection.bury(job_id, PRIORITY)) {
                    Ok(_) => Ok(true),
                    Err(Error::Internal) => Ok(false),
                    Err(error) => Err(error),
                }
            })
            .await
    }

    /// Looks for the jobs that are in the queue beside `held`, which are about to be committed, whoever holds them. `shared` is
    /// what any consumer found out before. Where beanstalkd takes no jobs, as in a drain or with a full disk, [`Look::passed`] is no
    /// later than the last fence put before, unless the queue is empty.
    ///
    /// # Errors
    /// The connection broke: all jobs held before are lost to this consumer.
    pub async fn look(&mut self, held: BTreeSet<u64>, shared: Option<LowMark>) -> Result<Look, Error> {
        // Read before anything is asked: what is acknowledged from here on is not part of the claim, so no delay of the call can
        // make it wrong.
        let now = Instant::now();
        // It goes to the connection's thread and is lost with a call that fails; the shared mark is a start for another.
        let mut watermark = std::mem::take(&mut self.watermark);
        let look = move |connection: &mut Beanstalkc| {
            let log = log(connection)?;
            note_first_sight(connection, &log)?;
            // Over the same connection, hence of the same process: no restart of beanstalkd comes between the two answers.
            let tube = tube_state(connection)?;
            let mut connected = ConnectedTube {
                stats: TubeStats {
                    process: log.process.clone(),
                    jobs: tube.jobs(),
                },
                connection,
            };
            let passed = watermark.look(&mut connected, &held, shared.as_ref(), now)?;
            Ok((log, tube, passed, watermark))
        };
        let (log, tube, passed, watermark) = self.link.call(CALL_LIMIT, look).await?;
        self.watermark = watermark;
        Ok(Look {
            tube,
            is_durable: self.log.is_written(log),
            passed,
            mark: self.watermark.mark().cloned(),
        })
    }

    /// Notes how far the numbers of jobs have advanced, so that a later look can tell jobs that come from now on from older ones. To
    /// be called while nothing can be committed.
    ///
    /// # Errors
    /// The connection broke: all jobs held before are lost to this consumer.
    pub async fn mark_time(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        let mut watermark = std::mem::take(&mut self.watermark);
        let mark = move |connection: &mut Beanstalkc| {
            let stats = TubeStats {
                process: log(connection)?.process,
                jobs: tube_state(connection)?.jobs(),
            };
            watermark.mark_time(&mut ConnectedTube { stats, connection }, now)?;
            Ok(watermark)
        };
        self.watermark = self.link.call(CALL_LIMIT, mark).await?;
        Ok(())
    }

    /// Gives every held job back at once, by closing the connection.
    pub fn disconnect(&mut self) {
        self.link.disconnect();
    }
}

fn reserve(connection: &mut Beanstalkc, max: usize, wait: Duration) -> Result<(Vec<Reserved>, bool), Error> {
    let mut jobs = Vec::new();
    while jobs.len() < max {
        // Only the first is waited for: once there is one, its time to run passes.
        let wait = if jobs.is_empty() { wait } else { Duration::ZERO };
        match connection.reserve_with_timeout(wait) {
            Ok(job) => jobs.push(Reserved {
                job_id: job.id(),
                body: job.body().to_vec(),
            }),
            Err(error) => match Error::from(error) {
                Error::TimedOut => break,
                Error::DeadlineSoon => return Ok((jobs, true)),
                // The jobs reserved so far go back with the connection.
                other => return Err(other),
            },
        }
    }
    Ok((jobs, false))
}

/// Whether the job was there: a job that is gone, or with another worker, is no error.
fn unless_gone(outcome: Result<(), beanstalkc::BeanstalkcError>) -> Result<bool, Error> {
    match outcome.map_err(Error::from) {
        Ok(()) => Ok(true),
        Err(Error::NotFound) => Ok(false),
        Err(other) => Err(other),
    }
}

/// The tube of a real beanstalkd.
struct ConnectedTube<'a> {
    /// Statistics as of one moment after the look began.
    stats: TubeStats,
    connection: &'a mut Beanstalkc,
}

impl Tube for ConnectedTube<'_> {
    fn stats(&mut self) -> Result<TubeStats, Error> {
        Ok(self.stats.clone())
    }

    fn is_left(&mut self, id: u64) -> Result<bool, Error> {
        is_left(self.connection, id)
    }

    fn fence(&mut self) -> Result<Option<u64>, Error> {
        fence(self.connection)
    }

    fn first_of_process(&mut self, fence: u64) -> Result<u64, Error> {
        first_of_process(self.connection, fence)
    }
}
