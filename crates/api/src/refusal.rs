//! Requests that are not answered, with the sentence that the client gets.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::{AnnotationError, GlobError, StepError, TAGS_MAX};
use store::NAMES_SCANNED_MAX;

use crate::form::FORM_BYTES_MAX;
use crate::graphite::{Fault, MATCHES_MAX};
use crate::names::{NAMES_MAX, NODES_MAX, QUERIES_MAX, VALUES_MAX};
use crate::series::{
    COUNTS_READ_MAX, PATTERN_TOKENS_MAX, PATTERNS_MAX, POINTS_MAX, POINTS_PER_SERIES_MAX, SERIES_MAX,
};

/// Causes go to the log; the client gets the variant's sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("unknown query parameter: this path takes {}", listed(known))]
    UnknownParameter { known: &'static [&'static str] },
    #[error("query parameter {0} is given more than once")]
    Repeated(&'static str),
    #[error("name is missing: give at least one name or pattern, such as name=shop.item.sold")]
    NoName,
    #[error(transparent)]
    Pattern(#[from] GlobError),
    #[error(transparent)]
    Step(#[from] StepError),
    #[error(
        "{0} is not a time: use unix seconds, RFC 3339, a date such as 2015-05-17, now, \
         or a time before now such as -90m, -24h, -7d"
    )]
    Time(&'static str),
    #[error("{0} is not a time: use unix seconds, now, or a time before now such as -90min, -24h, -7d")]
    GraphiteTime(&'static str),
    #[error("from is not before until")]
    EmptyRange,
    #[error("from and until are more than 8 days apart: 'eventtracker audit' takes any range")]
    AuditRange,
    #[error(
        "{0} is neither a name nor a ratio of two: give it as shop.item.sold or as web.load/web.load.samples, \
         with blanks around the slash where names have slashes themselves"
    )]
    Side(&'static str),
    #[error("format is neither json nor csv")]
    Format,
    #[error("limit is not a number from 1 to {NAMES_MAX}")]
    Limit,
    #[error("more than {PATTERNS_MAX} names and patterns: ask for fewer, or use a pattern")]
    TooManyPatterns,
    #[error(
        "more than {PATTERN_TOKENS_MAX} characters in all patterns, their alternatives multiplied out: \
         use fewer alternatives"
    )]
    TooManyPatternTokens,
    #[error("more than {SERIES_MAX} series: ask for fewer names, or give a pattern with a longer beginning")]
    TooManySeries,
    #[error("more than {POINTS_PER_SERIES_MAX} points per series: use a larger step or a shorter range")]
    TooManyPointsPerSeries,
    #[error("more than {POINTS_MAX} points: use a larger step, a shorter range or a narrower pattern")]
    TooManyPoints,
    #[error(
        "more than {COUNTS_READ_MAX} counts to read, one for each name and minute, or day where whole days will do: use a \
         shorter range, a narrower pattern, or a step of a day"
    )]
    TooManyCounts,
    #[error(
        "all patterns reach so many names that each would be looked at for each pattern more than {MATCHES_MAX} times: ask in \
         several requests"
    )]
    TooManyMatches,
    #[error(
        "pattern reaches more than {NAMES_SCANNED_MAX} names: give it a longer beginning without wildcards"
    )]
    PatternTooBroad,
    #[error("body is longer than {bytes_max} bytes, or was cut off")]
    Body { bytes_max: usize },
    #[error("Content-Type is {given}: send {wanted}")]
    ContentType { wanted: &'static str, given: String },
    #[error("the answer could not be written")]
    Unwritable(#[source] serde_json::Error),
    #[error("body is not an annotation: {0}")]
    NoAnnotation(serde_json::Error),
    #[error(transparent)]
    Annotation(#[from] AnnotationError),
    #[error("{0} is not a time: use a number of unix seconds, or RFC 3339 in quotes")]
    JsonTime(&'static str),
    #[error("no annotation has this id")]
    NoSuchAnnotation,
    #[error("more than {TAGS_MAX} tags: ask for fewer")]
    TooManyTags,
    #[error(
        "a token is needed to write, and there is none or another one: send Authorization: Bearer SECRET"
    )]
    Unauthorized,
    #[error(
        "the page that sends this is of another site: list its host in api.allowed_hosts, or write with a program"
    )]
    ForeignPage,
    #[error("query is missing: give a path with or without wildcards, such as query=shop.*")]
    NoQuery,
    #[error("format is neither treejson nor completer")]
    FindFormat,
    #[error("more than {QUERIES_MAX} queries: ask for fewer")]
    TooManyQueries,
    #[error("more than {NODES_MAX} nodes: give the query a longer beginning, or narrower wildcards")]
    TooManyNodes,
    #[error("names are not in memory yet: try again, or give the query a longer beginning")]
    NotInMemory,
    #[error("names are too many to be held in memory: give the query a longer beginning")]
    TooManyNames,
    #[error("more than {0} names: walk through them with /metrics/find, or search with /v1/names")]
    TooManyToList(usize),
    #[error("tag is missing: give tag=name")]
    NoTag,
    #[error("limit is not a number from 1 to {VALUES_MAX}")]
    ValuesLimit,
    #[error("a search ended without an answer")]
    Died(#[source] tokio::task::JoinError),
    #[error(transparent)]
    Graphite(#[from] Fault),
    #[error(
        "form is longer than {FORM_BYTES_MAX} bytes, or was cut off: use patterns, or ask in several requests"
    )]
    FormTooLong,
    #[error("no such path")]
    NoSuchPath,
    #[error("this path does not take this method")]
    Method,
    #[error("too many large answers are being sent: try again, or use a larger step")]
    Busy,
    #[error("too many large requests are being read: try again, or ask for less in one request")]
    Crowded,
    #[error("the answer took too long: try again, use a shorter range or fewer names")]
    TookTooLong,
    #[error("the central database did not answer")]
    Database(#[from] store::Error),
    /// Of one centre; the request goes on elsewhere, or waits.
    #[error("the central database lacks counts that were answered before")]
    GoesBack,
}

fn listed(known: &[&str]) -> String {
    if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    }
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchPath | Self::NoSuchAnnotation => StatusCode::NOT_FOUND,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::ForeignPage => StatusCode::FORBIDDEN,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Body { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ContentType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unwritable(_) | Self::Died(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::FormTooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy
            | Self::Crowded
            | Self::NotInMemory
            | Self::TookTooLong
            | Self::Database(_)
            | Self::GoesBack => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let refusal = match self {
            Self::Database(error) => {
                metrics::counter!("api_database_failures_total").increment(1);
                tracing::error!(error = &error as &dyn std::error::Error, "refused a request");
                if error.is_statement_timeout() {
                    Self::TookTooLong
                } else {
                    Self::Database(error)
                }
            }
            failed @ (Self::Died(_) | Self::Unwritable(_)) => {
                tracing::error!(
                    error = &failed as &dyn std::error::Error,
                    "failed to answer a request"
                );
                failed
            }
            other => other,
        };
        (
            refusal.status(),
            Json(serde_json::json!({ "error": refusal.to_string() })),
        )
            .into_response()
    }
}
