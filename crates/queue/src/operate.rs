//! Commands of beanstalkd beyond put, reserve and delete: the tube's state, its first jobs, fences, kicks.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use beanstalkc::Beanstalkc;
use model::QueueDepth;

use crate::books::BOOKS;
use crate::link::Link;
use crate::{Config, Error, EventIds, PRIORITY, TIME_TO_RUN_S, TUBE, decode};

/// Longest wait for one call.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// The tube of the fences, each of which is in it for an instant: see [`fence`].
const FENCE_TUBE: &str = "events-fence";

/// Most fences removed after one was put: that one, and a few that crashed workers left.
const FENCES_REMOVED_MAX: usize = 8;

/// The first job in one state, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The state: `ready`, `delayed` or `buried`.
    pub state: &'static str,
    /// beanstalkd's number of the job.
    pub job_id: u64,
    /// Seconds since the job was put, by beanstalkd's clock.
    pub age_s: u64,
    /// The job as it was put, whether or not it can be read.
    pub body: Vec<u8>,
}

/// The number of jobs in the tube by state, and the first job of each state that beanstalkd shows: ready, delayed and buried.
///
/// # Errors
/// beanstalkd did not answer.
pub async fn heads(config: &Config) -> Result<(QueueDepth, Vec<Head>), Error> {
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

/// Makes up to `bound` buried jobs (or, where there are none, delayed ones) ready again. Returns their number.
///
/// # Errors
/// beanstalkd did not answer.
pub async fn kick(config: &Config, bound: u32) -> Result<u64, Error> {
    Link::new(config.address)
        .call(CALL_LIMIT, move |connection| Ok(connection.kick(bound)?))
        .await
}

/// The number of jobs in the tube by state, and the age of the next one.
pub(crate) fn tube_state(connection: &mut Beanstalkc) -> Result<QueueDepth, Error> {
    let stats = connection.stats_tube(TUBE)?;
    let number = |key: &str| number(&stats, key);
    Ok(QueueDepth {
        ready: number("current-jobs-ready")?,
        reserved: number("current-jobs-reserved")?,
        delayed: number("current-jobs-delayed")?,
        buried: number("current-jobs-buried")?,
        oldest_ready_age_s: head(connection, "ready")?.map(|head| head.age_s),
    })
}

/// The log by beanstalkd's statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    /// The id that beanstalkd draws at random when it starts.
    pub(crate) process: String,
    /// Whether it has a log file to write to.
    pub(crate) is_on: bool,
    /// The number of records written since it started.
    pub(crate) records_written: u64,
    /// The number of jobs put since it started.
    pub(crate) jobs_put: u64,
    /// The seconds since it started, by its wall clock, which may have been set meanwhile.
    pub(crate) uptime_s: i64,
}

/// Asks for the state of beanstalkd's log.
pub(crate) fn log(connection: &mut Beanstalkc) -> Result<Log, Error> {
    let stats = connection.stats()?;
    Ok(Log {
        process: text(&stats, "id")?.to_owned(),
        is_on: number(&stats, "binlog-current-index")? > 0,
        records_written: number(&stats, "binlog-records-written")?,
        jobs_put: number(&stats, "total-jobs")?,
        uptime_s: uptime_s(parsed(&stats, "uptime")?),
    })
}

/// An uptime as it was before it was shown as 32 bits without a sign: a clock that was set back may show less than nothing.
fn uptime_s(shown: i64) -> i64 {
    const WRAP: i64 = 1 << 32;
    if shown < WRAP / 2 { shown } else { shown - WRAP }
}

/// Enters into this process' books how many jobs others had put into the tube before it first saw it: what became of those, it does not
/// know.
pub(crate) fn note_first_sight(connection: &mut Beanstalkc, log: &Log) -> Result<(), Error> {
    if BOOKS.knows(&log.process) {
        return Ok(());
    }
    let jobs = number(&connection.stats_tube(TUBE)?, "total-jobs")?;
    BOOKS.first_saw(&log.process, jobs);
    let jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
    metrics::gauge!("queue_tube_jobs_at_start", "process" => log.process.clone()).set(jobs);
    Ok(())
}

/// Whether the job `id` is left and may still be counted: not if it is gone, lies in another tube, or is buried and cannot be read,
/// which a job of a collector always can. A job that is still being put is left.
pub(crate) fn is_left(connection: &mut Beanstalkc, id: u64) -> Result<bool, Error> {
    let stats = match connection.stats_job(id).map_err(Error::from) {
        Ok(stats) => stats,
        Err(Error::NotFound) => return Ok(false),
        Err(error) => return Err(error),
    };
    if text(&stats, "tube")? != TUBE {
        return Ok(false);
    }
    if text(&stats, "state")? != "buried" {
        return Ok(true);
    }
    // A buried job that can be read was acknowledged, and counts once it is kicked: it holds claims back.
    match connection.peek(id).map_err(Error::from) {
        Ok(job) => Ok(decode(job.body(), &mut EventIds::default()).is_ok()),
        Err(Error::NotFound) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Puts a job into a tube that nobody reserves from, deletes it again and returns its number: all jobs that come later have higher
/// ones. `None` where beanstalkd takes no jobs: it is draining, or has no room. It goes on serving those that it has.
pub(crate) fn fence(connection: &mut Beanstalkc) -> Result<Option<u64>, Error> {
    connection.use_tube(FENCE_TUBE)?;
    let fenced = put_fence(connection);
    // Before the outcome is looked at: an error that leaves the connection usable must not leave it in the fences' tube.
    connection.use_tube(TUBE)?;
    fenced
}

fn put_fence(connection: &mut Beanstalkc) -> Result<Option<u64>, Error> {
    let time_to_run = Duration::from_secs(TIME_TO_RUN_S.into());
    let put = connection.put(b"fence", PRIORITY, Duration::ZERO, time_to_run);
    let number = match put.map_err(Error::from) {
        Ok(number) => Some(number),
        Err(error) if error.is_refused_put() => {
            metrics::counter!("queue_fences_refused_total").increment(1);
            tracing::debug!(%error, "a fence was refused");
            None
        }
        Err(error) => return Err(error),
    };
    // A fence that a crashed worker left, or that beanstalkd buried, would keep beanstalkd from removing its old log files.
    for _ in 0..FENCES_REMOVED_MAX {
        let left = match peek(connection, "ready")? {
            None => peek(connection, "buried")?,
            ready => ready,
        };
        let Some((left, _)) = left else { break };
        match connection.delete(left).map_err(Error::from) {
            Ok(()) | Err(Error::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(number)
}

/// A lower bound of the first number that this process of beanstalkd gave to a job, where it has given `fence`. It gives one number
/// for each put command at most, so it gave no more numbers up to `fence` than it has had puts.
pub(crate) fn first_of_process(connection: &mut Beanstalkc, fence: u64) -> Result<u64, Error> {
    let puts = number(&connection.stats()?, "cmd-put")?;
    Ok((fence + 1).saturating_sub(puts).max(1))
}

/// The number and the body of the first job that is in `state`, in the tube that the connection uses.
fn peek(connection: &mut Beanstalkc, state: &'static str) -> Result<Option<(u64, Vec<u8>)>, Error> {
    let peeked = match state {
        "ready" => connection.peek_ready(),
        "delayed" => connection.peek_delayed(),
        _ => connection.peek_buried(),
    };
    match peeked.map_err(Error::from) {
        Ok(job) => Ok(Some((job.id(), job.body().to_vec()))),
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The first job in `state`; `None` where there is none, or where it went away between the two commands.
fn head(connection: &mut Beanstalkc, state: &'static str) -> Result<Option<Head>, Error> {
    let Some((job_id, body)) = peek(connection, state)? else {
        return Ok(None);
    };
    match connection.stats_job(job_id).map_err(Error::from) {
        Ok(stats) => Ok(Some(Head {
            state,
            job_id,
            age_s: age_s(&stats)?,
            body,
        })),
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A job's age in seconds by beanstalkd's clock; 0 where that was set back since the job came.
fn age_s(stats: &HashMap<String, String>) -> Result<u64, Error> {
    let age_s: i64 = parsed(stats, "age")?;
    Ok(u64::try_from(age_s).unwrap_or(0))
}

/// A text of the statistics. A missing one is an error: taken for an empty text, another process would pass for the same one, or a job
/// that waits for one in another tube.
fn text<'a>(stats: &'a HashMap<String, String>, key: &str) -> Result<&'a str, Error> {
    let text = stats.get(key).filter(|text| !text.is_empty());
    text.map(String::as_str)
        .ok_or_else(|| Error::Protocol(format!("statistics without {key}")))
}

/// A number of the statistics. A missing one is an error.
fn number(stats: &HashMap<String, String>, key: &str) -> Result<u64, Error> {
    parsed(stats, key)
}

fn parsed<T: FromStr>(stats: &HashMap<String, String>, key: &str) -> Result<T, Error> {
    stats
        .get(key)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Error::Protocol(format!("statistics without a number for {key}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_statistics_lack_is_an_error() {
        let stats = HashMap::from([
            ("id".to_owned(), String::new()),
            ("age".to_owned(), "7".to_owned()),
        ]);
        assert_eq!(number(&stats, "age"), Ok(7));
        for key in ["id", "tube"] {
            assert_eq!(
                text(&stats, key),
                Err(Error::Protocol(format!("statistics without {key}")))
            );
        }
    }
}
