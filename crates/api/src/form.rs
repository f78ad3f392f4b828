//! Parameters of a request as Graphite takes them: from the query string, a posted form, or both.

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, Method, header};

use crate::refusal::Refusal;

/// Bytes of a posted form: Grafana's largest dashboards send some tens of kilobytes.
pub(crate) const FORM_BYTES_MAX: usize = 256 * 1024;

const FORM: &str = "application/x-www-form-urlencoded";

/// Those of the query string, then those of the form. Unlike [`crate::parameters::Parameters`], unknown ones are no error, as
/// Graphite's clients send some that mean nothing here, and a `+` is a blank.
#[derive(Debug, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl<S: Sync> FromRequest<S> for Form {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let mut form = Self::default();
        form.read(request.uri().query().unwrap_or_default().as_bytes());
        if request.method() == Method::POST {
            let is_form =
                content_type(request.headers()).is_none_or(|given| given.eq_ignore_ascii_case(FORM));
            let body = to_bytes(request.into_body(), FORM_BYTES_MAX)
                .await
                .map_err(|_| Refusal::Body {
                    bytes_max: FORM_BYTES_MAX,
                })?;
            if !is_form && !body.is_empty() {
                return Err(Refusal::ContentType { wanted: FORM });
            }
            form.read(&body);
        }
        Ok(form)
    }
}

/// The media type of a body, without its parameters.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().unwrap_or_default();
    Some(value.split(';').next().unwrap_or(value).trim())
}

impl Form {
    fn read(&mut self, encoded: &[u8]) {
        let pairs = form_urlencoded::parse(encoded);
        self.0
            .extend(pairs.map(|(key, value)| (key.into_owned(), value.into_owned())));
    }

    pub(crate) fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    }

    /// The last value, as Graphite has it.
    pub(crate) fn one(&self, key: &str) -> Option<&str> {
        self.all(key).last()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    async fn posted(content_type: Option<&str>, body: impl Into<Body>) -> Result<Form, Refusal> {
        let mut request = Request::post("/render?target=a&format=json");
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        Form::from_request(request.body(body.into()).unwrap(), &()).await
    }

    #[tokio::test]
    async fn a_form_goes_on_where_the_query_string_ends() {
        let form = posted(
            Some("Application/X-www-form-urlencoded; charset=UTF-8"),
            "target=b%2Bc+d&format=csv",
        );
        let form = form.await.unwrap();
        assert_eq!(form.all("target").collect::<Vec<_>>(), ["a", "b+c d"]);
        assert_eq!((form.one("format"), form.one("from")), (Some("csv"), None));
    }

    #[tokio::test]
    async fn other_bodies_are_refused() {
        let json = posted(Some("application/json"), "{}").await.unwrap_err();
        assert!(json.to_string().contains(FORM), "{json}");
        assert!(posted(Some("application/json"), "").await.is_ok());
        let large = posted(None, vec![b'a'; FORM_BYTES_MAX + 1]).await.unwrap_err();
        assert!(large.to_string().contains("262144 bytes"), "{large}");
    }
}
