//! The boundary: errors of all modules become a status and the sentence that the client gets.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gate::Denied;

use crate::admission;
use crate::annotations::error as annotations;
use crate::names::error as names;
use crate::relation::terms::NoTerm;
use crate::room::Busy;
use crate::{answer, centres, form, intake, parameters, patterns, range, reading, room, turns};

/// Seconds after which a request that was refused for want of room may come again: room frees up within seconds.
const RETRY_AFTER_S: u32 = 2;

/// Reasons for which a handler refuses a request. Causes go to the log; the client gets the variant's sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("no such path")]
    NoSuchPath,
    #[error("this path does not take this method")]
    Method,
    #[error(transparent)]
    Parameters(#[from] parameters::Error),
    #[error(transparent)]
    Range(#[from] range::Error),
    #[error(transparent)]
    Patterns(#[from] patterns::Error),
    #[error(transparent)]
    Term(#[from] NoTerm),
    #[error(transparent)]
    Graphite(#[from] graphite::Error),
    #[error(transparent)]
    Names(#[from] names::Error),
    #[error(transparent)]
    Annotation(#[from] annotations::Error),
    #[error(transparent)]
    Admission(#[from] admission::Error),
    #[error(transparent)]
    Form(#[from] form::Error),
    #[error(transparent)]
    Intake(#[from] intake::Error),
    #[error(transparent)]
    Reading(reading::Error),
    #[error(transparent)]
    Centre(#[from] centres::Error),
    #[error(transparent)]
    Turn(#[from] turns::Error),
    #[error(transparent)]
    Answer(#[from] room::Error),
    #[error(transparent)]
    Series(#[from] answer::Error),
}

impl From<reading::Error> for Refusal {
    fn from(error: reading::Error) -> Self {
        match error {
            reading::Error::Centre(error) => Self::Centre(error),
            reading::Error::Busy(error) => Self::from(error),
            reading::Error::Patterns(error) => Self::Patterns(error),
            reading::Error::Graphite(error) => Self::Graphite(error),
            other => Self::Reading(other),
        }
    }
}

impl From<Busy> for Refusal {
    fn from(error: Busy) -> Self {
        Self::Answer(error.into())
    }
}

impl Refusal {
    /// The status: 503 where the same request may succeed later, another 4xx or 5xx where it will not.
    fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchPath | Self::Annotation(annotations::Error::NoSuchAnnotation) => {
                StatusCode::NOT_FOUND
            }
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Admission(error) => error.status(),
            Self::Form(form::Error::ContentType(_))
            | Self::Annotation(annotations::Error::ContentType(_)) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Form(form::Error::TooLong)
            | Self::Annotation(annotations::Error::Body(intake::Error::TooLong { .. }))
            | Self::Intake(intake::Error::TooLong { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Answer(room::Error::Unwritable(_))
            | Self::Series(answer::Error::Unwritable(_))
            | Self::Turn(turns::Error::Died(_)) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Answer(room::Error::Busy(_))
            | Self::Form(form::Error::Crowded(_))
            | Self::Annotation(annotations::Error::Body(intake::Error::Crowded))
            | Self::Intake(intake::Error::Crowded)
            | Self::Names(names::Error::NotInMemory)
            | Self::Turn(turns::Error::TookTooLong)
            | Self::Reading(reading::Error::NoPlace(_))
            | Self::Centre(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The limit that was reached, where others have what there is.
    fn limit(&self) -> Option<&'static str> {
        match self {
            Self::Admission(admission::Error::Denied(Denied::TooManyWrong)) => {
                Some("wrong_secrets_per_address")
            }
            Self::Answer(room::Error::Busy(_)) => Some("answers_points_max"),
            Self::Form(form::Error::Crowded(_))
            | Self::Annotation(annotations::Error::Body(intake::Error::Crowded))
            | Self::Intake(intake::Error::Crowded) => Some("requests_bytes_max"),
            Self::Reading(reading::Error::NoPlace(kind)) => Some(kind.limit()),
            _ => None,
        }
    }

    /// Logs the cause, once, where an operator may want to know it.
    fn log(&self) {
        let error: &dyn std::error::Error = self;
        match self {
            Self::Centre(centres::Error::Database(error)) => {
                metrics::counter!("api_database_failures_total").increment(1);
                tracing::error!(error = error as &dyn std::error::Error, "refused a request");
            }
            Self::Turn(turns::Error::Died(_))
            | Self::Answer(room::Error::Unwritable(_))
            | Self::Series(answer::Error::Unwritable(_)) => {
                tracing::error!(error, "failed to answer a request");
            }
            _ => {}
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.log();
        let sentence = match &self {
            // The database answered, only too late: the client can do something about that.
            Self::Centre(centres::Error::Database(error)) if error.is_statement_timeout() => {
                turns::Error::TookTooLong.to_string()
            }
            other => other.to_string(),
        };
        let status = self.status();
        let mut body = serde_json::json!({ "error": sentence });
        let comes_again = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
        if comes_again {
            body["retry_after_s"] = RETRY_AFTER_S.into();
            if let Some(limit) = self.limit() {
                body["limit"] = limit.into();
            }
        }
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        if comes_again {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
