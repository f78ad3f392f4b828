//! Requests that are not answered, with the sentence that their sender reads.

use model::GlobError;

use crate::limits::{CONDITIONS_MAX, DEPTH_MAX, TARGET_BYTES_MAX, TARGETS_MAX, VISITS_MAX};

/// What is wrong with a request, as its sender reads it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("target is longer than {TARGET_BYTES_MAX} bytes: use a pattern instead of many names")]
    TargetTooLong,
    #[error("more than {TARGETS_MAX} targets: ask in several requests")]
    TooManyTargets,
    #[error("more than {DEPTH_MAX} calls within calls: use fewer")]
    TooDeep,
    #[error("target is not an expression: {what} is missing at character {at}")]
    Syntax { what: &'static str, at: usize },
    #[error("template() is not taken: write the target out")]
    Template,
    #[error("unknown function '{0}': GET /functions lists those that are known")]
    UnknownFunction(String),
    #[error("too many parameters specified for function '{0}'")]
    TooManyParameters(String),
    #[error("missing required parameter '{parameter}' for function '{function}'")]
    MissingParameter {
        function: String,
        parameter: &'static str,
    },
    #[error("invalid '{kind}' value specified for function '{function}' parameter '{parameter}': {value}")]
    InvalidValue {
        kind: &'static str,
        function: String,
        parameter: &'static str,
        value: String,
    },
    #[error("function '{0}' has no parameter '{1}'")]
    UnknownKeyword(String, String),
    #[error("target is no series: give a name, a pattern or a function")]
    NoSeries,
    #[error("'{0}' is not an interval of at least a second, such as 5min, 1h or 7d")]
    NoInterval(String),
    #[error("more than {0} values, or three centuries, in a moving window: use a shorter one")]
    TooLongWindow(usize),
    #[error("'{0}' is shorter than the {1} seconds between the values: use a longer interval")]
    ShortInterval(String, i64),
    #[error("'{0}' is not a time, such as -1h, midnight or 20151117")]
    NoTime(String),
    #[error(
        "'{0}' is not a regular expression, or too large a one; look-around and back-references in it are not taken"
    )]
    Regex(String),
    #[error("the steps of the series have no common multiple: summarize them to the same interval")]
    Steps,
    #[error("function '{function}' {problem}")]
    Function {
        function: &'static str,
        problem: &'static str,
    },
    #[error("{0} is not a whole number from 1")]
    MaxDataPoints(&'static str),
    #[error("xFilesFactor is not a number from 0 to 1")]
    XFilesFactor,
    #[error("format is not one of json, csv and raw")]
    Format,
    #[error("{0} is not a time, such as unix seconds, -1h, now, midnight or 20151117")]
    Time(&'static str),
    #[error("from is not before until")]
    EmptyRange,
    #[error("tz is no time zone, such as Europe/Berlin, America/New_York or UTC")]
    Zone,
    #[error(
        "'{0}' does not go into days of the time zone, whose clock is changed within the range: use an interval of whole days, one \
         that divides the hour, a range without the change, or tz=UTC"
    )]
    ChangedClock(String),
    #[error(
        "the days of the time zone are not all as long within the range, so nothing is made of them per second, and nothing of them and \
         other steps together: do that before summarize, use a range without the change of the clock, or tz=UTC"
    )]
    UnevenDays,
    #[error(
        "format=raw has one step for all values, and the days of the time zone are not all as long within the range: use json or csv"
    )]
    UnevenRaw,
    #[error(
        "more than {VISITS_MAX} names, calls and values, times the windows that they are wanted in: ask for less in one request"
    )]
    TooManyVisits,
    #[error(
        "the functions take too long over this many values: use shorter windows or a shorter range, or summarize first"
    )]
    TooMuchWork,
    #[error(
        "seriesByTag takes conditions on the tag name only, one of which says what it is or begins with, \
             such as 'name=shop.item.sold' or 'name=~shop'"
    )]
    Tag,
    #[error("seriesByTag takes at most {CONDITIONS_MAX} conditions: put several into one regular expression")]
    TooManyConditions,
    #[error(transparent)]
    Pattern(#[from] GlobError),
    #[error("more than {0} names and patterns: ask for fewer, or use a pattern")]
    TooManyPatterns(usize),
    #[error("more than {0} points per series: use a larger step or a shorter range")]
    TooManyPointsPerSeries(usize),
}
