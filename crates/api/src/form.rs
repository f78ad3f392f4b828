//! The parameters of a request to one of Graphite's paths: in the query string, a posted form, or both.

use std::borrow::Cow;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, Uri, header};
use tokio::sync::OwnedSemaphorePermit;

use crate::intake::{self, Intake};
use crate::limits::FORM_BYTES_MAX;

const FORM: &str = "application/x-www-form-urlencoded";

/// Reasons for which a form is not read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Crowded(intake::Error),
    #[error(
        "form is longer than {FORM_BYTES_MAX} bytes, or was cut off: use patterns, or ask in several requests"
    )]
    TooLong,
    #[error(transparent)]
    ContentType(#[from] WrongType),
}

impl From<intake::Error> for Error {
    fn from(error: intake::Error) -> Self {
        match error {
            intake::Error::TooLong { .. } => Self::TooLong,
            crowded @ intake::Error::Crowded => Self::Crowded(crowded),
        }
    }
}

/// A body of another type than the one that is taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("Content-Type is {given}: send {wanted}")]
pub(crate) struct WrongType {
    pub(crate) wanted: &'static str,
    pub(crate) given: String,
}

/// Characters of a content type that a refusal repeats at most.
const TYPE_CHARS_SHOWN: usize = 60;

/// Parameters, first those of the query string, then those of the form. Unlike [`crate::parameters::Parameters`], unknown ones are no
/// error, as Graphite's clients send some that mean nothing here, and a `+` is a blank. They are held as they came, and decoded as they
/// are asked for: a form may have hundreds of thousands.
#[derive(Debug, Default)]
pub(crate) struct Form {
    uri: Uri,
    body: Bytes,
    /// The memory that the body takes.
    _place: Option<OwnedSemaphorePermit>,
}

impl Form {
    /// Reads the parameters of a request; a body only of a `POST`.
    ///
    /// # Errors
    /// `ContentType` for a body that is no form, `TooLong` and `Crowded` as of [`Intake::read`].
    pub(crate) async fn read(request: Request, intake: &Intake) -> Result<Self, Error> {
        let uri = request.uri().clone();
        if request.method() != Method::POST {
            return Ok(Self {
                uri,
                ..Self::default()
            });
        }
        let is_form = content_type(request.headers()).is_none_or(|given| given.eq_ignore_ascii_case(FORM));
        let another_type = (!is_form).then(|| shown_type(request.headers()));
        let (body, place) = intake.read(request.into_body(), FORM_BYTES_MAX).await?;
        if let Some(given) = another_type.filter(|_| !body.is_empty()) {
            return Err(WrongType { wanted: FORM, given }.into());
        }
        Ok(Self {
            uri,
            body,
            _place: Some(place),
        })
    }

    /// An upper bound of how often any of `symbols` is in the form, literally or percent-encoded: every `%` counts as one.
    pub(crate) fn count_at_most(&self, symbols: &[u8]) -> usize {
        let query = self.uri.query().unwrap_or_default().as_bytes();
        let counts = |b: &&u8| **b == b'%' || symbols.contains(b);
        query.iter().chain(&self.body).filter(counts).count()
    }
}

/// The media type of a body, without its parameters.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().unwrap_or_default();
    Some(value.split(';').next().unwrap_or(value).trim())
}

/// The content type as a refusal repeats it.
pub(crate) fn shown_type(headers: &HeaderMap) -> String {
    match content_type(headers) {
        None | Some("") => "missing".to_owned(),
        Some(given) => format!("'{}'", given.chars().take(TYPE_CHARS_SHOWN).collect::<String>()),
    }
}

impl Form {
    /// All keys and values, decoded, in their order.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> + Clone {
        let query = self.uri.query().unwrap_or_default().as_bytes();
        form_urlencoded::parse(query).chain(form_urlencoded::parse(&self.body))
    }

    /// All values of a key, in their order.
    pub(crate) fn all(&self, key: &str) -> impl Iterator<Item = Cow<'_, str>> {
        self.pairs()
            .filter_map(move |(k, value)| (k == key).then_some(value))
    }

    /// The last value of a key, which is the one that Graphite takes.
    pub(crate) fn one(&self, key: &str) -> Option<Cow<'_, str>> {
        self.all(key).last()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    async fn posted(content_type: Option<&str>, body: impl Into<Body>) -> Result<Form, Error> {
        let mut request = Request::post("/render?target=a&format=json");
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        Form::read(request.body(body.into()).unwrap(), &Intake::new()).await
    }

    #[tokio::test]
    async fn a_form_goes_on_where_the_query_string_ends() {
        let form = posted(
            Some("Application/X-www-form-urlencoded; charset=UTF-8"),
            "target=b%2Bc+d&format=csv",
        );
        let form = form.await.unwrap();
        assert_eq!(form.all("target").collect::<Vec<_>>(), ["a", "b+c d"]);
        assert_eq!(form.one("format").as_deref(), Some("csv"));
        assert_eq!(form.one("from"), None);
    }

    #[tokio::test]
    async fn other_bodies_are_refused() {
        let json = posted(Some("application/json"), "{}").await.unwrap_err();
        assert!(json.to_string().contains(FORM), "{json}");
        assert!(posted(Some("application/json"), "").await.is_ok());
        let large = posted(None, vec![b'a'; FORM_BYTES_MAX + 1]).await.unwrap_err();
        assert!(large.to_string().contains("1048576 bytes"), "{large}");
    }
}
