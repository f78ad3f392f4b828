//! What pages of other origins may do with tokens (CORS, <https://fetch.spec.whatwg.org/#http-cors-protocol>).

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::{Caller, Denied, Gate, Origin};

/// What a page may send.
const HEADERS: HeaderValue = HeaderValue::from_static("content-type, idempotency-key, authorization");

/// What a page may read of an answer, beside what every page may.
const EXPOSED: HeaderValue = HeaderValue::from_static("retry-after");

/// Seconds for which a browser need not ask again: the tokens may change.
const MAX_AGE_S: HeaderValue = HeaderValue::from_static("600");

/// The origin of the page that a request is of, as it came and as a token may list it.
fn origin(headers: &HeaderMap) -> Option<(&HeaderValue, Origin)> {
    let mut given = headers.get_all(ORIGIN).iter();
    let value = given.next()?;
    let origin = Origin::parse(value.to_str().ok()?)?;
    given.next().is_none().then_some((value, origin))
}

impl Gate {
    /// Answers a browser that asks whether a page may send its request; `None` for a request that asks no such thing. A browser asks
    /// without the token, so that whatever page any token may be used on is told yes.
    #[must_use]
    pub fn preflight(&self, method: &Method, headers: &HeaderMap, methods: &'static str) -> Option<Response> {
        if method != Method::OPTIONS || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        let mut response = StatusCode::NO_CONTENT.into_response();
        if self.answer_page(headers, &mut response) {
            let more = [
                (ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods)),
                (ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
                (ACCESS_CONTROL_MAX_AGE, MAX_AGE_S),
            ];
            response.headers_mut().extend(more);
        }
        Some(response)
    }

    /// Lets the page that a request is of read the response, be it a refusal, if any token may be used there; whether it may.
    pub fn answer_page(&self, headers: &HeaderMap, response: &mut Response) -> bool {
        let Some((value, origin)) = origin(headers) else {
            return false;
        };
        let Some(tokens) = self.tokens() else { return false };
        if !tokens.iter().any(|token| token.origins.contains(&origin)) {
            return false;
        }
        let more = [
            (ACCESS_CONTROL_ALLOW_ORIGIN, value.clone()),
            (ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")),
            (ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED),
        ];
        response.headers_mut().extend(more);
        response
            .headers_mut()
            .append(VARY, HeaderValue::from_static("origin"));
        true
    }
}

impl Caller {
    /// Checks that the page of another site that a request is of may use the token. A token without origins is for programs alone: a browser may send
    /// a password that it knows for any page, and a proxy may add a token to whatever comes.
    ///
    /// # Errors
    /// `Origin` for a page of another origin than those of the token.
    pub fn may_be_of_page(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let Self::Token(token) = self else { return Ok(()) };
        match origin(headers) {
            Some((_, origin)) if token.origins.contains(&origin) => Ok(()),
            _ => Err(Denied::Origin {
                name: token.name.to_string(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Tokens;

    const SHOP: &str = "https://shop.example";

    fn gate() -> Gate {
        let hash = "0".repeat(64);
        let text =
            format!("[[token]]\nname = 'shop'\nsha256 = '{hash}'\nscopes = ['write']\norigins = ['{SHOP}']");
        Gate::of(Tokens::parse(&text).unwrap())
    }

    fn of_page(origin: &'static str) -> HeaderMap {
        HeaderMap::from_iter([
            (ORIGIN, HeaderValue::from_static(origin)),
            (ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST")),
        ])
    }

    fn allowed(response: &Response) -> Option<&str> {
        response.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN)?.to_str().ok()
    }

    #[test]
    fn exactly_the_origins_of_tokens_are_told_yes() {
        let gate = gate();
        let ask = |origin| {
            gate.preflight(&Method::OPTIONS, &of_page(origin), "POST")
                .unwrap()
        };
        let yes = ask(SHOP);
        assert_eq!(
            (yes.status(), allowed(&yes)),
            (StatusCode::NO_CONTENT, Some(SHOP))
        );
        assert_eq!(yes.headers()[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(yes.headers()[ACCESS_CONTROL_ALLOW_METHODS], "POST");
        assert_eq!(yes.headers()[ACCESS_CONTROL_ALLOW_HEADERS], HEADERS);
        assert_eq!(yes.headers()[VARY], "origin");
        for other in [
            "null",
            "*",
            "https://evil.example",
            "http://shop.example",
            "https://shop.example.evil",
        ] {
            assert_eq!(allowed(&ask(other)), None, "{other}");
        }
        assert!(gate.preflight(&Method::POST, &of_page(SHOP), "POST").is_none());
        assert!(
            gate.preflight(&Method::OPTIONS, &HeaderMap::new(), "POST")
                .is_none()
        );
        let open = Gate::open(None).unwrap();
        assert_eq!(
            allowed(&open.preflight(&Method::OPTIONS, &of_page(SHOP), "POST").unwrap()),
            None
        );
    }

    #[test]
    fn a_refusal_can_be_read_and_a_token_is_for_its_pages() {
        let gate = gate();
        let mut refusal = StatusCode::UNAUTHORIZED.into_response();
        assert!(gate.answer_page(&of_page(SHOP), &mut refusal));
        assert_eq!(allowed(&refusal), Some(SHOP));
        let tokens = gate.tokens().unwrap();
        let caller = Caller::Token(Arc::clone(tokens.iter().next().unwrap()));
        assert_eq!(caller.may_be_of_page(&of_page(SHOP)), Ok(()));
        for other in ["null", "https://evil.example"] {
            let denied = caller.may_be_of_page(&of_page(other)).unwrap_err();
            assert_eq!(
                denied.to_string(),
                "the token 'shop' may not be used by pages of this origin"
            );
        }
        assert_eq!(Caller::Anonymous.may_be_of_page(&of_page("null")), Ok(()));
    }
}
