//! Requests that are not answered, with the sentence that the client gets.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::{GlobError, StepError};
use store::NAMES_SCANNED_MAX;

use crate::graphite::{FORM_BYTES_MAX, Fault};
use crate::names::NAMES_MAX;
use crate::series::{PATTERN_TOKENS_MAX, PATTERNS_MAX, POINTS_MAX, POINTS_PER_SERIES_MAX, SERIES_MAX};

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
    #[error("from is not before until")]
    EmptyRange,
    #[error("from and until are more than 8 days apart: 'eventtracker audit' takes any range")]
    AuditRange,
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
        "pattern reaches more than {NAMES_SCANNED_MAX} names: give it a longer beginning without wildcards"
    )]
    PatternTooBroad,
    #[error(transparent)]
    Graphite(#[from] Fault),
    #[error("form is longer than {FORM_BYTES_MAX} bytes: use patterns, or ask in several requests")]
    FormTooLong,
    #[error("no such path")]
    NoSuchPath,
    #[error("this path does not take this method: use GET")]
    Method,
    #[error("too many large answers are being sent: try again, or use a larger step")]
    Busy,
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
            Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::FormTooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy | Self::TookTooLong | Self::Database(_) | Self::GoesBack => {
                StatusCode::SERVICE_UNAVAILABLE
            }
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
            other => other,
        };
        (
            refusal.status(),
            Json(serde_json::json!({ "error": refusal.to_string() })),
        )
            .into_response()
    }
}
