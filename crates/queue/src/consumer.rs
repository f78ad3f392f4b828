//! Reserves jobs, and deletes or buries them.

use std::time::Duration;

use beanstalkc::Beanstalkc;
use model::TubeState;

use crate::link::Link;
use crate::operate::tube_state;
use crate::{Config, Error, PRIORITY};

/// How long a reserve waits for a first job, in whole seconds (beanstalkc cuts fractions off).
const RESERVE_WAIT: Duration = Duration::from_secs(1);

/// Longest wait for one call, of which the longest deletes all jobs of a flush.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// A job that this consumer holds until it deletes or buries it, loses its connection, or the time to run is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    /// beanstalkd's number: unique only while the job lives and this connection stands.
    pub job_id: u64,
    pub body: Vec<u8>,
}

pub struct Consumer {
    link: Link,
}

impl Consumer {
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            link: Link::new(config.address),
        }
    }

    /// Up to `max` jobs that are ready, without waiting. `hurry` says that a held job's time is nearly over.
    ///
    /// # Errors
    /// The connection broke: all jobs held before are lost to this consumer.
    pub async fn reserve_ready(&mut self, max: usize) -> Result<(Vec<Reserved>, bool), Error> {
        self.link
            .call(CALL_LIMIT, move |connection| {
                reserve(connection, max, Duration::ZERO)
            })
            .await
    }

    /// Like [`Consumer::reserve_ready`], but waits up to a second for the first job.
    ///
    /// # Errors
    /// As [`Consumer::reserve_ready`].
    pub async fn reserve_waiting(&mut self, max: usize) -> Result<(Vec<Reserved>, bool), Error> {
        let limit = CALL_LIMIT + RESERVE_WAIT;
        self.link
            .call(limit, move |connection| reserve(connection, max, RESERVE_WAIT))
            .await
    }

    /// Deletes jobs; one that is gone or was given to another worker meanwhile is passed over.
    ///
    /// # Errors
    /// The connection broke: jobs not yet deleted will come back.
    pub async fn delete(&mut self, job_ids: Vec<u64>) -> Result<(), Error> {
        self.link
            .call(CALL_LIMIT, move |connection| {
                job_ids
                    .iter()
                    .try_for_each(|&id| unless_gone(connection.delete(id)))
            })
            .await
    }

    /// Sets a job aside until an operator kicks or deletes it.
    ///
    /// # Errors
    /// The connection broke: the job will come back.
    pub async fn bury(&mut self, job_id: u64) -> Result<(), Error> {
        self.link
            .call(CALL_LIMIT, move |connection| {
                unless_gone(connection.bury(job_id, PRIORITY))
            })
            .await
    }

    /// # Errors
    /// The connection broke.
    pub async fn tube_state(&mut self) -> Result<TubeState, Error> {
        self.link.call(CALL_LIMIT, tube_state).await
    }

    /// Gives every held job back at once.
    pub fn disconnect(&mut self) {
        self.link.disconnect();
    }
}

fn reserve(connection: &mut Beanstalkc, max: usize, wait: Duration) -> Result<(Vec<Reserved>, bool), Error> {
    let mut jobs = Vec::new();
    while jobs.len() < max {
        let wait = if jobs.is_empty() { wait } else { Duration::ZERO };
        match connection.reserve_with_timeout(wait) {
            Ok(job) => jobs.push(Reserved {
                job_id: job.id(),
                body: job.body().to_vec(),
            }),
            Err(error) => match Error::from(error) {
                Error::TimedOut => break,
                Error::DeadlineSoon => return Ok((jobs, true)),
                other => return Err(other),
            },
        }
    }
    Ok((jobs, false))
}

fn unless_gone(outcome: Result<(), beanstalkc::BeanstalkcError>) -> Result<(), Error> {
    match outcome.map_err(Error::from) {
        Err(Error::NotFound) => Ok(()),
        other => other,
    }
}
