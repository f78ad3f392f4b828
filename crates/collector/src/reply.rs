//! The replies to `POST /v1/events`, from their status to their JSON.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gate::Denied;
use serde_json::{Value, json};

use crate::body::{ReceiveError, UnpackError};
use crate::events::{BodyError, Refusal};
use crate::limits::{EVENTS_MAX, UNPACKED_BYTES_MAX, WIRE_BYTES_MAX};
use crate::request::HeaderError;

/// Most rejected events that a reply lists one by one.
const REJECTED_LISTED_MAX: usize = 100;

/// Seconds that a client is to wait before it tries again: its share, or the queue, frees up within seconds.
pub(crate) const RETRY_AFTER_S: u32 = 2;

/// The events of a request that were refused.
#[derive(Debug, Default)]
pub(crate) struct Rejected {
    /// The first of them: `{"index":n,"error":"…"}`.
    listed: Vec<Value>,
    total: usize,
}

impl Rejected {
    /// Adds the event at `index`, counted from 0, of its request.
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

/// The reply to a request. All but [`Reply::Accepted`] and [`Reply::Unknown`] say that nothing of the request was counted.
#[derive(Debug)]
pub(crate) enum Reply {
    /// 202: every accepted event is on disk in the queue.
    Accepted {
        accepted: usize,
        rejected: Rejected,
        /// How many of the accepted events count by the client's overflow name.
        overflowed: usize,
    },
    /// 400: no event was accepted.
    AllRejected(Rejected),
    /// 400: the body cannot be read. A fixed sentence, with the parser's position where it has one.
    Unreadable(String),
    /// 401 or 403: the token that is needed was not given, or does not allow it.
    Denied(Denied),
    /// 403: a browser sends this for a page of another site.
    ForeignPage,
    /// 408: the body did not come in time, be it for the client's network or for others' bodies on its connection. It may be sent again.
    TooSlow(String),
    /// 413: the body is longer, or has more events, than the limits allow.
    TooLarge(String),
    /// 415: the format or the encoding of the body is none that the collector reads.
    Unsupported(String),
    /// 429: the client has reached a limit of its own.
    Limited {
        error: &'static str,
        limit: &'static str,
        retry_after_s: u32,
    },
    /// 503: nothing was counted, and the request may be sent again.
    Unavailable {
        error: &'static str,
        /// What is full, if something is.
        limit: Option<&'static str>,
    },
    /// 503: something may have been counted. Only a request with a key may be sent again without counting twice.
    Unknown,
}

impl Reply {
    /// The refusal of a request to which something that is not full stands in the way.
    pub(crate) fn unavailable(error: &'static str) -> Self {
        Self::Unavailable { error, limit: None }
    }

    /// The refusal of a request for which there is no room.
    pub(crate) fn full(error: &'static str, limit: &'static str) -> Self {
        let limit = Some(limit);
        Self::Unavailable { error, limit }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Accepted { .. } => StatusCode::ACCEPTED,
            Self::AllRejected(_) | Self::Unreadable(_) => StatusCode::BAD_REQUEST,
            Self::Denied(denied) => denied.status(),
            Self::ForeignPage => StatusCode::FORBIDDEN,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Limited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable { .. } | Self::Unknown => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The status as a metric's label.
    pub(crate) fn label(&self) -> &'static str {
        match self.status() {
            StatusCode::ACCEPTED => "202",
            StatusCode::BAD_REQUEST => "400",
            StatusCode::UNAUTHORIZED => "401",
            StatusCode::FORBIDDEN => "403",
            StatusCode::REQUEST_TIMEOUT => "408",
            StatusCode::PAYLOAD_TOO_LARGE => "413",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "415",
            StatusCode::TOO_MANY_REQUESTS => "429",
            _ => "503",
        }
    }

    fn body(self) -> Value {
        match self {
            Self::Accepted {
                accepted,
                rejected,
                overflowed,
            } => {
                let mut body = json!({
                    "accepted": accepted,
                    "rejected": rejected.listed,
                    "rejected_total": rejected.total,
                });
                if overflowed > 0 {
                    body["overflowed"] = overflowed.into();
                }
                body
            }
            Self::AllRejected(rejected) => json!({
                "error": "all events were rejected",
                "accepted": 0,
                "rejected": rejected.listed,
                "rejected_total": rejected.total,
            }),
            Self::Unreadable(error) | Self::TooSlow(error) | Self::Unsupported(error) => {
                json!({ "error": error })
            }
            Self::Denied(denied) => json!({ "error": denied.to_string() }),
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
            Self::Limited {
                error,
                limit,
                retry_after_s,
            } => json!({ "error": error, "limit": limit, "retry_after_s": retry_after_s }),
            Self::Unavailable { error, limit: None } => {
                json!({ "error": error, "retry_after_s": RETRY_AFTER_S })
            }
            Self::Unavailable {
                error,
                limit: Some(limit),
            } => json!({ "error": error, "limit": limit, "retry_after_s": RETRY_AFTER_S }),
            Self::Unknown => json!({
                "error": "the queue's answer was lost; events may have been counted or not",
                "outcome": "unknown",
            }),
        }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let status = self.status();
        let retry_after_s = match &self {
            Self::Limited { retry_after_s, .. } => *retry_after_s,
            _ => RETRY_AFTER_S,
        };
        let mut response = match self {
            // Nearly all replies are this one, which is written without a tree of values.
            Self::Accepted {
                accepted,
                rejected,
                overflowed: 0,
            } if rejected.total == 0 => {
                let body = format!("{{\"accepted\":{accepted},\"rejected\":[],\"rejected_total\":0}}");
                (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
            }
            reply => (status, Json(reply.body())).into_response(),
        };
        let headers = response.headers_mut();
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
            }
            // What still comes of the body is thrown away: another request would be, too. HTTP/2 has streams for that, and no such header.
            StatusCode::REQUEST_TIMEOUT => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

impl From<HeaderError> for Reply {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::ContentType(_) | HeaderError::ContentEncoding | HeaderError::TransferEncoding => {
                Self::Unsupported(error.to_string())
            }
            HeaderError::Key => Self::Unreadable(error.to_string()),
        }
    }
}

impl From<ReceiveError> for Reply {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::TooLong => Self::TooLarge(error.to_string()),
            ReceiveError::NoRoom => Self::full(
                "the memory for bodies that are being received is used up",
                "bodies_bytes_max",
            ),
            ReceiveError::NoTurn => Self::full(
                "too many long bodies wait for their turn",
                "long_bodies_at_once_max",
            ),
            ReceiveError::TooSlow(_) => Self::TooSlow(error.to_string()),
            ReceiveError::Broken(_) => Self::Unreadable(error.to_string()),
        }
    }
}

impl From<UnpackError> for Reply {
    fn from(error: UnpackError) -> Self {
        match error {
            UnpackError::TooLong => Self::TooLarge(error.to_string()),
            UnpackError::Broken(_) => Self::Unreadable(error.to_string()),
        }
    }
}

impl From<BodyError> for Reply {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooManyEvents => Self::TooLarge(error.to_string()),
            _ => Self::Unreadable(error.to_string()),
        }
    }
}
