//! What an operator and the status want to know of the tube.

use std::collections::HashMap;
use std::time::Duration;

use beanstalkc::Beanstalkc;
use model::TubeState;

use crate::link::Link;
use crate::{Config, Error, TUBE};

const CALL_LIMIT: Duration = Duration::from_secs(10);

/// The first job in one state, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// `ready`, `delayed` or `buried`.
    pub state: &'static str,
    pub job_id: u64,
    pub age_s: u64,
    pub body: Vec<u8>,
}

/// The tube's state and the first job of each state that can be looked at.
///
/// # Errors
/// beanstalkd did not answer.
pub async fn heads(config: &Config) -> Result<(TubeState, Vec<Head>), Error> {
    Link::new(config.address)
        .call(CALL_LIMIT, |connection| {
            let state = tube_state(connection)?;
            let mut heads = Vec::new();
            heads.extend(head(connection, "ready")?);
            heads.extend(head(connection, "delayed")?);
            heads.extend(head(connection, "buried")?);
            Ok((state, heads))
        })
        .await
}

/// Makes up to `bound` buried jobs (or, where there are none, delayed ones) ready again; returns how many.
///
/// # Errors
/// beanstalkd did not answer.
pub async fn kick(config: &Config, bound: u32) -> Result<u64, Error> {
    Link::new(config.address)
        .call(CALL_LIMIT, move |connection| Ok(connection.kick(bound)?))
        .await
}

pub(crate) fn tube_state(connection: &mut Beanstalkc) -> Result<TubeState, Error> {
    let stats = connection.stats_tube(TUBE)?;
    let number = |key: &str| number(&stats, key);
    Ok(TubeState {
        ready: number("current-jobs-ready")?,
        reserved: number("current-jobs-reserved")?,
        delayed: number("current-jobs-delayed")?,
        buried: number("current-jobs-buried")?,
        oldest_ready_age_s: head(connection, "ready")?.map(|head| head.age_s),
    })
}

/// What beanstalkd tells of its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    /// Random per process.
    pub(crate) process: String,
    pub(crate) is_on: bool,
    pub(crate) records_written: u64,
    pub(crate) jobs_put: u64,
}

pub(crate) fn log(connection: &mut Beanstalkc) -> Result<Log, Error> {
    let stats = connection.stats()?;
    Ok(Log {
        process: stats.get("id").cloned().unwrap_or_default(),
        is_on: number(&stats, "binlog-current-index")? > 0,
        records_written: number(&stats, "binlog-records-written")?,
        jobs_put: number(&stats, "total-jobs")?,
    })
}

/// `None` where there is no such job, or where it went away between the two commands.
fn head(connection: &mut Beanstalkc, state: &'static str) -> Result<Option<Head>, Error> {
    let peeked = match state {
        "ready" => connection.peek_ready(),
        "delayed" => connection.peek_delayed(),
        _ => connection.peek_buried(),
    };
    let (job_id, body) = match peeked.map_err(Error::from) {
        Ok(job) => (job.id(), job.body().to_vec()),
        Err(Error::NotFound) => return Ok(None),
        Err(error) => return Err(error),
    };
    match connection.stats_job(job_id).map_err(Error::from) {
        Ok(stats) => Ok(Some(Head {
            state,
            job_id,
            age_s: number(&stats, "age")?,
            body,
        })),
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

fn number(stats: &HashMap<String, String>, key: &str) -> Result<u64, Error> {
    stats
        .get(key)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Error::Protocol(format!("statistics without a number for {key}")))
}
