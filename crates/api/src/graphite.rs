//! The Graphite dialect: what Grafana's built-in Graphite data source asks, answered from the same counts.
//!
//! As graphite-web 1.1.8 with a store of one value per minute, except where counts ask for more: integers stay exact; more values than
//! `maxDataPoints` become sums of buckets that begin at the same instants whatever the range; a complete minute without events is 0,
//! and null is only what is not known. A minute is stamped with its first second.
//!
//! A request's way: [`request`] reads the parameters, [`parse`] its targets; [`plan`] finds which names are wanted when; [`fetch`] reads them in
//! one snapshot; [`evaluate`] applies the functions; [`output`] writes what is left.

mod aggregate;
mod arguments;
mod buckets;
mod catalogue;
mod evaluate;
mod fetch;
mod function;
mod functions;
mod number;
mod output;
mod parse;
mod plan;
mod regex;
mod render;
mod request;
mod series;
mod span;
mod tag;
mod time;
mod zone;

use axum::Router;
use axum::routing::get;

pub(crate) use self::fetch::MATCHES_MAX;
use self::parse::{DEPTH_MAX, TARGET_BYTES_MAX};
use self::request::TARGETS_MAX;
pub(crate) use self::time::parse as unix_s;
pub(crate) use self::zone::Zone;
use crate::routes::Api;
use crate::series::POINTS_PER_SERIES_MAX;

/// What Grafana asks to know which functions there are; its newest question is of 1.1.
const VERSION: &str = "1.1.10";

pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/render", get(render::render).post(render::render))
        .route("/functions", get(catalogue::functions))
        .route("/functions/{name}", get(catalogue::function))
        .route("/version", get(async || axum::Json(VERSION)))
}

/// What is wrong with a request, as its sender reads it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
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
    #[error(
        "more than {POINTS_PER_SERIES_MAX} values, or three centuries, in a moving window: use a shorter one"
    )]
    TooLongWindow,
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
        "more than {} names, calls and values, times the windows that they are wanted in: ask for less in one request",
        plan::VISITS_MAX
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
    #[error(
        "seriesByTag takes at most {} conditions: put several into one regular expression",
        tag::CONDITIONS_MAX
    )]
    TooManyConditions,
}
