//! The collector's side of the queue: puts jobs, and says whether they are certainly in it, certainly not, or perhaps.

#![expect(clippy::disallowed_methods, reason = "waits are limited by time")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::QueueDepth;
use tokio::sync::Mutex;

use crate::link::Link;
use crate::log_watch::LogWatch;
use crate::operate::{log, note_first_sight, tube_state};
use crate::{Config, Error, PRIORITY, TIME_TO_RUN_S};

/// Longest wait for one put: an fsync on a busy disk.
const PUT_LIMIT: Duration = Duration::from_secs(5);

/// How long a put is repeated after a lost reply or a refused connection: as long as a restart of beanstalkd takes.
/// The ids of the job's batches make the repetition safe.
const PUT_PATIENCE: Duration = Duration::from_secs(8);

/// Longest wait for beanstalkd's statistics.
const STATE_LIMIT: Duration = Duration::from_secs(3);

/// How a put failed. The difference is what a client may do: a repetition after `NotStored` cannot count twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// The job is certainly not in the queue.
    #[error("job was not stored")]
    NotStored(#[source] Error),
    /// The job may be in the queue: a reply was lost, and every repetition failed.
    #[error("job may have been stored or not")]
    Unknown(#[source] Error),
}

/// How often a job that was put is in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// The job is in the queue once.
    Once,
    /// A reply was lost and the job put again: it may be there more than once, which the ids of its batches make harmless.
    MaybeAgain,
}

/// A collector's connection to the queue. Connects when first needed, and anew after each failure.
pub struct Producer {
    address: SocketAddr,
    link: Link,
    /// Held while the queue is asked, so that what is known of its log is compared in order.
    log: Arc<Mutex<LogWatch>>,
}

impl Producer {
    /// A producer for the tube on the beanstalkd of `config`; not connected yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            address: config.address,
            link: Link::new(config.address),
            log: Arc::default(),
        }
    }

    /// A producer with another connection, which shares what is known of the queue's log.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self {
            address: self.address,
            link: Link::new(self.address),
            log: self.log.clone(),
        }
    }

    /// Puts `job`, the body that [`crate::Job::encode`] gave. Returns once beanstalkd has it on disk. A put whose reply was lost is
    /// repeated, byte for byte.
    ///
    /// # Errors
    /// `NotStored` where the job is certainly not in the queue; else `Unknown`.
    pub async fn put(&mut self, job: &str) -> Result<Stored, PutError> {
        let begun = Instant::now();
        let mut maybe_stored = false;
        loop {
            let error = match self.put_once(job).await {
                Ok(()) if maybe_stored => return Ok(Stored::MaybeAgain),
                Ok(()) => return Ok(Stored::Once),
                Err(error) => error,
            };
            // Once a reply was lost, no later refusal makes it certain again that nothing is stored.
            maybe_stored |= may_have_stored(&error);
            if error == Error::Buried {
                self.log.lock().await.suspicious = true;
            }
            metrics::counter!("queue_put_failures_total").increment(1);
            // A whole reply is a refusal, which a repetition would only get again.
            if begun.elapsed() >= PUT_PATIENCE || error.leaves_connection_usable() {
                tracing::error!(%error, maybe_stored, "cannot put a job");
                return Err(if maybe_stored {
                    PutError::Unknown(error)
                } else {
                    PutError::NotStored(error)
                });
            }
            tracing::debug!(%error, "putting a job again");
        }
    }

    /// The number of jobs in the tube by state, where beanstalkd keeps them on disk.
    ///
    /// # Errors
    /// beanstalkd did not answer, or `NotDurable`: it acknowledges jobs without writing them down, as it does
    /// after a write error and without `-b`.
    pub async fn durable_tube_state(&mut self) -> Result<QueueDepth, Error> {
        let mut watch = self.log.lock().await;
        let (log, tube) = self
            .link
            .call(STATE_LIMIT, |connection| {
                let log = log(connection)?;
                note_first_sight(connection, &log)?;
                Ok((log, tube_state(connection)?))
            })
            .await?;
        if watch.is_written(log) {
            Ok(tube)
        } else {
            Err(Error::NotDurable)
        }
    }

    async fn put_once(&mut self, job: &str) -> Result<(), Error> {
        let body = job.to_owned();
        let time_to_run = Duration::from_secs(TIME_TO_RUN_S.into());
        self.link
            .call(PUT_LIMIT, move |connection| {
                connection.put(body.as_bytes(), PRIORITY, Duration::ZERO, time_to_run)?;
                Ok(())
            })
            .await
    }
}

/// Whether a put that failed so may have left the job in the queue. `Buried` did: no worker gets that job before an operator kicks it.
fn may_have_stored(error: &Error) -> bool {
    matches!(
        error,
        Error::Connection(_) | Error::Protocol(_) | Error::Stuck(_) | Error::Buried | Error::Internal
    )
}
