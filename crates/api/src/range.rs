//! The time that a request is about, and the format of its answer.

use axum::http::{HeaderMap, header};
use model::{Buckets, Step, StepError, Timestamp, query_time};

use crate::answer::{Format, Formats};
use crate::limits::POINTS_PER_SERIES_MAX;
use crate::parameters::{self, Parameters};

/// Reasons for which a range of time is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Parameters(#[from] parameters::Error),
    #[error(transparent)]
    Step(#[from] StepError),
    #[error(
        "{0} is not a time: use unix seconds, RFC 3339, a date such as 2015-05-17, now, \
         or a time before now such as -90m, -24h, -7d"
    )]
    Time(&'static str),
    #[error("from is not before until")]
    Empty,
    #[error("from and until are more than 8 days apart: 'eventtracker audit' takes any range")]
    TooLongToAudit,
    #[error("format is not one of {}", .0.iter().map(|format| format.word()).collect::<Vec<_>>().join(" "))]
    Format(Formats),
    #[error("more than {POINTS_PER_SERIES_MAX} points per series: use a larger step or a shorter range")]
    TooManyPointsPerSeries,
}

/// The buckets of a request's time, and the format of its answer.
#[derive(Debug)]
pub(crate) struct Range {
    pub(crate) buckets: Buckets,
    pub(crate) format: Format,
}

impl Range {
    /// The range that the parameters `from`, `until` and `step` name, by default the last hour by the minute; and the one of `formats`
    /// that `format` or the header `Accept` names.
    ///
    /// # Errors
    /// Those of a single parameter; `Empty`, `TooManyPointsPerSeries` for what they mean together.
    pub(crate) fn parse(
        parameters: &Parameters,
        headers: &HeaderMap,
        formats: Formats,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let step = parameters.one("step")?.unwrap_or("1m").parse::<Step>()?;
        let (from, until) = (
            time(parameters, "from", "-1h", now)?,
            time(parameters, "until", "now", now)?,
        );
        if from >= until {
            return Err(Error::Empty);
        }
        let accept = headers
            .get(header::ACCEPT)
            .and_then(|accept| accept.to_str().ok());
        Ok(Self {
            buckets: Buckets::covering(from, until, step, POINTS_PER_SERIES_MAX)
                .ok_or(Error::TooManyPointsPerSeries)?,
            format: Format::wanted(formats, parameters.one("format")?, accept)
                .ok_or(Error::Format(formats))?,
        })
    }
}

/// The instant that the parameter `key`, or `default` without it, means at `now`.
///
/// # Errors
/// `Time` for what is none, `Parameters` where it is given twice.
pub(crate) fn time(
    parameters: &Parameters,
    key: &'static str,
    default: &str,
    now: Timestamp,
) -> Result<Timestamp, Error> {
    let text = parameters.one(key)?.unwrap_or(default);
    query_time::parse(text, now).ok_or(Error::Time(key))
}
