//! Who may ask for what: the token of every request is looked at before its handler is.

#![expect(clippy::disallowed_methods, reason = "tokens expire")]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::header::ORIGIN;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gate::{Caller, Denied, Gate, Scope, View};
use listener::Hosts;
use model::{Client, EventName, Glob, Timestamp};

use crate::limits::PATTERNS_MAX;
use crate::patterns;
use crate::places::{Kind, Reader};
use crate::refusal::Refusal;
use crate::state::Api;

/// The methods that a page of another origin may use.
const METHODS: &str = "GET, POST, DELETE";

/// Reasons for which a request is not let in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(
        "the page that sends this is of another site: list its host in api.allowed_hosts, or write with a program"
    )]
    ForeignPage,
    #[error("'{name}' is not among the names that the token '{client}' may read: they begin with {prefixes}")]
    ForeignName {
        client: String,
        name: String,
        prefixes: String,
    },
    #[error("the annotation is another client's: to remove it, a token needs the scope admin")]
    ForeignAnnotation,
}

impl Error {
    /// The status that says so.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Denied(denied) => denied.status(),
            Self::ForeignPage | Self::ForeignName { .. } | Self::ForeignAnnotation => StatusCode::FORBIDDEN,
        }
    }
}

/// The door of the api: its tokens, and where its own pages are.
pub(crate) struct Door {
    gate: Arc<Gate>,
    hosts: Hosts,
}

impl Door {
    pub(crate) fn new(gate: Arc<Gate>, hosts: Hosts) -> Self {
        Self { gate, hosts }
    }

    /// The caller of a request, if he may do what needs one of `scopes`.
    ///
    /// # Errors
    /// `Denied`; `ForeignPage` for what another site's page writes where there are no tokens.
    fn admit(&self, peer: SocketAddr, headers: &HeaderMap, scopes: &[Scope]) -> Result<Caller, Error> {
        let caller = self
            .gate
            .caller(headers, peer.ip(), Timestamp::from(SystemTime::now()))?;
        let allowed = scopes.iter().map(|&scope| caller.may(scope));
        allowed.reduce(Result::or).unwrap_or(Ok(()))?;
        if self.hosts.is_of_foreign_page(headers) {
            caller.may_be_of_page(headers)?;
            if caller == Caller::Anonymous && scopes.contains(&Scope::Write) {
                return Err(Error::ForeignPage);
            }
        }
        Ok(caller)
    }
}

/// The scopes of which a request needs one; none for the page itself and the description of the api, which tell of no count.
fn needed(method: &Method, path: &str) -> &'static [Scope] {
    match path {
        "/" | "/openapi.json" => &[],
        _ if path.starts_with("/dashboard/") => &[],
        "/v1/audit" => &[Scope::Admin],
        // Graphite's other paths take a posted form for a question.
        "/events/" => &[Scope::Write],
        // Own annotations, or those of others.
        _ if path.starts_with("/v1/") && *method == Method::DELETE => &[Scope::Write, Scope::Admin],
        _ if path.starts_with("/v1/") && *method != Method::GET && *method != Method::HEAD => &[Scope::Write],
        _ => &[Scope::Read],
    }
}

/// Lets a request in with its [`Caller`], or refuses it.
pub(crate) async fn admitted(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let door = &api.door;
    if let Some(answer) = door.gate.preflight(request.method(), request.headers(), METHODS) {
        return answer;
    }
    let of_page = request
        .headers()
        .contains_key(ORIGIN)
        .then(|| request.headers().clone());
    let caller = match needed(request.method(), request.uri().path()) {
        [] => Ok(Caller::Anonymous),
        scopes => door.admit(peer, request.headers(), scopes),
    };
    let mut response = match caller {
        Ok(caller) => {
            let peer = peer.ip();
            answered(Asker { caller, peer }, request, next).await
        }
        Err(error) => Refusal::from(error).into_response(),
    };
    if let Some(headers) = of_page {
        door.gate.answer_page(&headers, &mut response);
    }
    response
}

async fn answered(asker: Asker, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(asker);
    next.run(request).await
}

/// The caller of a request that was let in.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) caller: Caller,
    /// The address that the request is of.
    peer: IpAddr,
}

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = Refusal;

    /// A request that was not let in has no caller, and is refused.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let asker = parts.extensions.get::<Self>().cloned();
        asker.ok_or_else(|| Error::from(Denied::Missing).into())
    }
}

impl Asker {
    /// The names that the caller may read.
    pub(crate) fn view(&self) -> View {
        self.caller.view()
    }

    /// The caller's name; `None` for one without a token.
    pub(crate) fn client(&self) -> Option<&Client> {
        match &self.caller {
            Caller::Anonymous => None,
            Caller::Token(token) => Some(&token.name),
        }
    }

    /// The caller as one who takes a place for reads of a kind.
    pub(crate) fn reader(&self, kind: Kind) -> Reader {
        let (client, weight) = self.caller.share(self.peer);
        Reader { client, weight, kind }
    }

    /// Whether the caller may do what needs the scope `admin`.
    pub(crate) fn is_admin(&self) -> bool {
        self.caller.may(Scope::Admin).is_ok()
    }

    /// Checks that the caller may read a name.
    ///
    /// # Errors
    /// `ForeignName`.
    pub(crate) fn may_read(&self, name: &str) -> Result<(), Error> {
        match &self.caller {
            Caller::Token(token) if !token.view.has(name) => Err(Error::ForeignName {
                client: token.name.to_string(),
                name: name.chars().take(model::NAME_BYTES_MAX).collect(),
                prefixes: token.view.prefixes().unwrap_or_default().join(" or "),
            }),
            _ => Ok(()),
        }
    }

    /// What the caller may read of `patterns`: one is cut to the names that he may read, for each of their beginnings, or for all of them at
    /// once where that would be more patterns than one request may have.
    ///
    /// # Errors
    /// `Admission` for a name that is given as a whole and is not one of those, `Patterns` where that is too much to match.
    pub(crate) fn within(&self, patterns: Vec<Glob>) -> Result<Vec<Glob>, Refusal> {
        patterns::check_tokens(&patterns)?;
        let Caller::Token(token) = &self.caller else {
            return Ok(patterns);
        };
        let beginnings = token.view.prefixes().map_or(1, <[String]>::len);
        let is_each = patterns.len().saturating_mul(beginnings) <= PATTERNS_MAX;
        let mut within = Vec::with_capacity(patterns.len());
        for pattern in patterns {
            match pattern.literal() {
                // A text that is no name was never counted, whoever asks.
                Some(name) if EventName::new(name).is_ok() => {
                    self.may_read(name)?;
                    within.push(pattern);
                }
                _ if is_each => within.extend(token.view.within(pattern)),
                _ => within.push(token.view.all_within(pattern)),
            }
            // After each, so that no more is made than may be matched.
            patterns::check_tokens(&within)?;
        }
        Ok(within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_needs_its_scope() {
        let (get, post, delete) = (&Method::GET, &Method::POST, &Method::DELETE);
        let (read, write) = (&[Scope::Read][..], &[Scope::Write][..]);
        for (method, path, scopes) in [
            (get, "/", &[][..]),
            (get, "/dashboard/main.js", &[]),
            (get, "/openapi.json", &[]),
            (get, "/v1/series", read),
            (get, "/v1/annotations", read),
            (post, "/render", read),
            (post, "/events/get_data", read),
            (get, "/no/such/path", read),
            (get, "//dashboard/", read),
            (get, "/v1/audit", &[Scope::Admin]),
            (post, "/v1/annotations", write),
            (delete, "/v1/annotations/1", &[Scope::Write, Scope::Admin]),
            (post, "/events/", write),
        ] {
            assert_eq!(needed(method, path), scopes, "{method} {path}");
        }
    }
}
