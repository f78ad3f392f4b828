//! Refusals: requests that are not answered, each with the sentence that its sender reads.

use model::GlobError;

use crate::limits::{CONDITIONS_MAX, DEPTH_MAX, TARGET_BYTES_MAX, TARGETS_MAX, VISITS_MAX};

/// A refusal of a request. Its text is the sentence that the sender reads, with the remedy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are the words of the sentence above them")]
pub enum Error {
    /// A target beyond [`TARGET_BYTES_MAX`].
    #[error("target is longer than {TARGET_BYTES_MAX} bytes: use a pattern instead of many names")]
    TargetTooLong,
    /// More targets than [`TARGETS_MAX`].
    #[error("more than {TARGETS_MAX} targets: ask in several requests")]
    TooManyTargets,
    /// More calls within calls than [`DEPTH_MAX`].
    #[error("more than {DEPTH_MAX} calls within calls: use fewer")]
    TooDeep,
    /// A target that does not parse: what is missing, and the number of the character, from 1.
    #[error("target is not an expression: {what} is missing at character {at}")]
    Syntax { what: &'static str, at: usize },
    /// A call of `template()`.
    #[error("template() is not taken: write the target out")]
    Template,
    /// A call of a function that is not in the catalogue.
    #[error("unknown function '{0}': GET /functions lists those that are known")]
    UnknownFunction(String),
    /// More arguments than the function has parameters.
    #[error("too many parameters specified for function '{0}'")]
    TooManyParameters(String),
    /// A required parameter without an argument.
    #[error("missing required parameter '{parameter}' for function '{function}'")]
    MissingParameter {
        function: String,
        parameter: &'static str,
    },
    /// An argument of the wrong kind, or none of the options.
    #[error("invalid '{kind}' value specified for function '{function}' parameter '{parameter}': {value}")]
    InvalidValue {
        kind: &'static str,
        function: String,
        parameter: &'static str,
        value: String,
    },
    /// A keyword argument: the function, and the parameter that it does not have.
    #[error("function '{0}' has no parameter '{1}'")]
    UnknownKeyword(String, String),
    /// A number, a text or another literal where series are wanted.
    #[error("target is no series: give a name, a pattern or a function")]
    NoSeries,
    /// A text that is no interval of at least a second.
    #[error("'{0}' is not an interval of at least a second, such as 5min, 1h or 7d")]
    NoInterval(String),
    /// A moving window of more values than the given limit, or of too long a time.
    #[error("more than {0} values, or three centuries, in a moving window: use a shorter one")]
    TooLongWindow(usize),
    /// An interval that is shorter than the given seconds between values.
    #[error("'{0}' is shorter than the {1} seconds between the values: use a longer interval")]
    ShortInterval(String, i64),
    /// An argument that is no time.
    #[error("'{0}' is not a time, such as -1h, midnight or 20151117")]
    NoTime(String),
    /// A regular expression that is none, or is too large.
    #[error(
        "'{0}' is not a regular expression, or too large a one; look-around and back-references in it are not taken"
    )]
    Regex(String),
    /// Series whose steps have no common multiple.
    #[error("the steps of the series have no common multiple: summarize them to the same interval")]
    Steps,
    /// A refusal of a function: its name, and what is wrong.
    #[error("function '{function}' {problem}")]
    Function {
        function: &'static str,
        problem: &'static str,
    },
    /// A `maxDataPoints` that is no whole number from 1; the parameter's name.
    #[error("{0} is not a whole number from 1")]
    MaxDataPoints(&'static str),
    /// An `xFilesFactor` that is no number from 0 to 1.
    #[error("xFilesFactor is not a number from 0 to 1")]
    XFilesFactor,
    /// A format other than `json`, `csv` and `raw`.
    #[error("format is not one of json, csv and raw")]
    Format,
    /// A parameter that is no time; its name.
    #[error("{0} is not a time, such as unix seconds, -1h, now, midnight or 20151117")]
    Time(&'static str),
    /// A `from` at or after `until`.
    #[error("from is not before until")]
    EmptyRange,
    /// A `tz` that is no zone of the IANA database.
    #[error("tz is no time zone, such as Europe/Berlin, America/New_York or UTC")]
    Zone,
    /// An interval that does not divide the days of the zone within the range.
    #[error(
        "'{0}' does not go into days of the time zone, whose clock is changed within the range: use an interval of whole days, one \
         that divides the hour, a range without the change, or tz=UTC"
    )]
    ChangedClock(String),
    /// Days of unequal lengths in a function that needs equal ones.
    #[error(
        "the days of the time zone are not all as long within the range, so nothing is made of them per second, and nothing of them and \
         other steps together: do that before summarize, use a range without the change of the clock, or tz=UTC"
    )]
    UnevenDays,
    /// Days of unequal lengths in a format that has one step.
    #[error(
        "format=raw has one step for all values, and the days of the time zone are not all as long within the range: use json or csv"
    )]
    UnevenRaw,
    /// More visits than [`VISITS_MAX`].
    #[error(
        "more than {VISITS_MAX} names, calls and values, times the windows that they are wanted in: ask for less in one request"
    )]
    TooManyVisits,
    /// Functions that take longer than the limit.
    #[error(
        "the functions take too long over this many values: use shorter windows or a shorter range, or summarize first"
    )]
    TooMuchWork,
    /// Conditions of `seriesByTag` on other tags than `name`, or without one that says what a name is or begins with.
    #[error(
        "seriesByTag takes conditions on the tag name only, one of which says what it is or begins with, \
             such as 'name=shop.item.sold' or 'name=~shop'"
    )]
    Tag,
    /// More conditions of one `seriesByTag` than [`CONDITIONS_MAX`].
    #[error("seriesByTag takes at most {CONDITIONS_MAX} conditions: put several into one regular expression")]
    TooManyConditions,
    /// A path that is no pattern.
    #[error(transparent)]
    Pattern(#[from] GlobError),
    /// More names and patterns than the given limit.
    #[error("more than {0} names and patterns: ask for fewer, or use a pattern")]
    TooManyPatterns(usize),
    /// More values of one series than the given limit.
    #[error("more than {0} points per series: use a larger step or a shorter range")]
    TooManyPointsPerSeries(usize),
    /// More names are read than may be, each once for each window.
    #[error(
        "more than {0} names to read, each once for each window of time: ask for fewer names, or fewer windows"
    )]
    TooManyNames(usize),
}
