//! The answers to `POST /v1/events`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::body::{ReceiveError, UNPACKED_BYTES_MAX, UnpackError, WIRE_BYTES_MAX};
use crate::events::{BodyError, EVENTS_MAX, Refusal};
use crate::request::HeaderError;

/// Rejected events that an answer lists one by one.
const REJECTED_LISTED_MAX: usize = 100;

/// What a client waits before it tries again: its share, or the queue, frees up within seconds.
const RETRY_AFTER_S: u16 = 2;

/// The events of a request that were refused.
#[derive(Debug, Default)]
pub(crate) struct Rejected {
    listed: Vec<Value>,
    total: usize,
}

impl Rejected {
    pub(crate) fn push(&mut self, index: usize, refusal: &Refusal) {
        if self.listed.len() < REJECTED_LISTED_MAX {
            self.listed
                .push(json!({ "index": index, "error": refusal.to_string() }));
        }
        self.total += 1;
    }

    pub(crate) fn total(&self) -> usize {
        self.total
    }
}

#[derive(Debug)]
pub(crate) enum Answer {
    Accepted {
        accepted: usize,
        rejected: Rejected,
    },
    AllRejected(Rejected),
    /// The body cannot be read: a fixed sentence, with the parser's position where it has one.
    Unreadable(String),
    Unauthorized,
    /// A browser sends this for a page of somebody else.
    ForeignPage,
    TooLarge(String),
    Unsupported(String),
    ShareUsedUp,
    /// Nothing was counted.
    Unavailable(&'static str),
    /// Perhaps something was counted.
    Unknown,
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Accepted { .. } => StatusCode::ACCEPTED,
            Self::AllRejected(_) | Self::Unreadable(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::ForeignPage => StatusCode::FORBIDDEN,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::ShareUsedUp => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(_) | Self::Unknown => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Its status, for metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self.status() {
            StatusCode::ACCEPTED => "202",
            StatusCode::BAD_REQUEST => "400",
            StatusCode::UNAUTHORIZED => "401",
            StatusCode::FORBIDDEN => "403",
            StatusCode::PAYLOAD_TOO_LARGE => "413",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "415",
            StatusCode::TOO_MANY_REQUESTS => "429",
            _ => "503",
        }
    }

    fn body(self) -> Value {
        match self {
            Self::Accepted { accepted, rejected } => {
                json!({ "accepted": accepted, "rejected": rejected.listed, "rejected_total": rejected.total })
            }
            Self::AllRejected(rejected) => json!({
                "error": "all events were rejected",
                "accepted": 0,
                "rejected": rejected.listed,
                "rejected_total": rejected.total,
            }),
            Self::Unreadable(error) | Self::Unsupported(error) => json!({ "error": error }),
            Self::Unauthorized => json!({ "error": "a known token is needed: Authorization: Bearer …" }),
            Self::ForeignPage => json!({
                "error": "the page that sends this is of another site: list its host in collector.allowed_hosts, or send from a web server",
            }),
            Self::TooLarge(error) => json!({
                "error": error,
                "limits": {
                    "events": EVENTS_MAX,
                    "bytes": WIRE_BYTES_MAX,
                    "bytes_unpacked": UNPACKED_BYTES_MAX,
                },
            }),
            Self::ShareUsedUp => json!({ "error": "this client has too many requests in progress" }),
            Self::Unavailable(error) => json!({ "error": error }),
            Self::Unknown => json!({
                "error": "the queue's answer was lost; events may have been counted or not",
                "outcome": "unknown",
            }),
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = match self {
            // Nearly all are: without a tree of values.
            Self::Accepted { accepted, rejected } if rejected.total == 0 => {
                let body = format!("{{\"accepted\":{accepted},\"rejected\":[],\"rejected_total\":0}}");
                (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
            }
            answer => (status, Json(answer.body())).into_response(),
        };
        let headers = response.headers_mut();
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

impl From<HeaderError> for Answer {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::ContentType(_) | HeaderError::ContentEncoding | HeaderError::TransferEncoding => {
                Self::Unsupported(error.to_string())
            }
            HeaderError::Key => Self::Unreadable(error.to_string()),
        }
    }
}

impl From<ReceiveError> for Answer {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::TooLong => Self::TooLarge(error.to_string()),
            ReceiveError::NoRoom => Self::Unavailable("the collector is busy"),
            ReceiveError::TooSlow(_) | ReceiveError::Broken(_) => Self::Unreadable(error.to_string()),
        }
    }
}

impl From<UnpackError> for Answer {
    fn from(error: UnpackError) -> Self {
        match error {
            UnpackError::TooLong => Self::TooLarge(error.to_string()),
            UnpackError::Broken(_) => Self::Unreadable(error.to_string()),
        }
    }
}

impl From<BodyError> for Answer {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooManyEvents => Self::TooLarge(error.to_string()),
            _ => Self::Unreadable(error.to_string()),
        }
    }
}
