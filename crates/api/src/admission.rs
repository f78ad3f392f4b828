//! Who may ask for what: the token of every request is looked at before its handler is.

#![expect(clippy::disallowed_methods, reason = "tokens expire")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gate::{Attempts, Caller, Denied, Gate, Scope, TooManyAttempts, View};
use listener::Hosts;
use model::{Client, EventName, Glob, Timestamp};

use crate::refusal::Refusal;
use crate::state::Api;

/// The methods that a page of another origin may use.
const METHODS: &str = "GET, POST, DELETE";

/// Reasons for which a request is not let in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    TooManyAttempts(#[from] TooManyAttempts),
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
            Self::TooManyAttempts(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::ForeignPage | Self::ForeignName { .. } | Self::ForeignAnnotation => StatusCode::FORBIDDEN,
        }
    }
}

/// The door of the api: its tokens, and where its own pages are.
pub(crate) struct Door {
    gate: Arc<Gate>,
    attempts: Attempts,
    hosts: Hosts,
}

impl Door {
    pub(crate) fn new(gate: Arc<Gate>, hosts: Hosts) -> Self {
        Self {
            gate,
            attempts: Attempts::default(),
            hosts,
        }
    }

    /// The caller of a request, if it may do what needs `scope`.
    ///
    /// # Errors
    /// `Denied`, `TooManyAttempts`; `ForeignPage` for what another site's page writes where there are no tokens.
    fn admit(&self, peer: SocketAddr, headers: &HeaderMap, scope: Scope) -> Result<Caller, Error> {
        let now = Timestamp::from(SystemTime::now());
        let caller = self.gate.caller(headers, now);
        if caller == Err(Denied::Unknown) {
            self.attempts.count(peer.ip(), now)?;
        }
        let caller = caller?;
        caller.may(scope)?;
        if self.hosts.is_of_foreign_page(headers) {
            caller.may_be_of_page(headers)?;
            if caller == Caller::Anonymous && scope == Scope::Write {
                return Err(Error::ForeignPage);
            }
        }
        Ok(caller)
    }
}

/// The scope that a request needs; `None` for the page itself and the description of the api, which tell of no count.
fn needed(method: &Method, path: &str) -> Option<Scope> {
    match path {
        "/" | "/openapi.json" => None,
        _ if path.starts_with("/dashboard/") => None,
        "/v1/audit" => Some(Scope::Admin),
        // Graphite's other paths take a posted form for a question.
        "/events/" => Some(Scope::Write),
        _ if path.starts_with("/v1/") && *method != Method::GET && *method != Method::HEAD => {
            Some(Scope::Write)
        }
        _ => Some(Scope::Read),
    }
}

/// Lets a request in with its [`Caller`], or refuses it.
pub(crate) async fn admitted(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let door = &api.door;
    if let Some(answer) = door.gate.preflight(request.method(), request.headers(), METHODS) {
        return answer;
    }
    let caller = match needed(request.method(), request.uri().path()) {
        None => Ok(Caller::Anonymous),
        Some(scope) => door.admit(peer, request.headers(), scope),
    };
    if door.gate.is_open() {
        // Nobody needs a token, and no page of another origin may use one.
        return match caller {
            Ok(caller) => answered(caller, request, next).await,
            Err(error) => Refusal::from(error).into_response(),
        };
    }
    let headers = request.headers().clone();
    let mut response = match caller {
        Ok(caller) => answered(caller, std::mem::take(&mut request), next).await,
        Err(error) => Refusal::from(error).into_response(),
    };
    door.gate.answer_page(&headers, &mut response);
    response
}

async fn answered(caller: Caller, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Asker(caller));
    next.run(request).await
}

/// The caller of a request that was let in.
#[derive(Debug, Clone)]
pub(crate) struct Asker(pub(crate) Caller);

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
        self.0.view()
    }

    /// The caller's name; `None` for one without a token.
    pub(crate) fn client(&self) -> Option<&Client> {
        match &self.0 {
            Caller::Anonymous => None,
            Caller::Token(token) => Some(&token.name),
        }
    }

    /// Whether the caller may do what needs the scope `admin`.
    pub(crate) fn is_admin(&self) -> bool {
        self.0.may(Scope::Admin).is_ok()
    }

    /// Checks that the caller may read a name.
    ///
    /// # Errors
    /// `ForeignName`.
    pub(crate) fn may_read(&self, name: &str) -> Result<(), Error> {
        match &self.0 {
            Caller::Token(token) if !token.view.has(name) => Err(Error::ForeignName {
                client: token.name.to_string(),
                name: name.chars().take(model::NAME_BYTES_MAX).collect(),
                prefixes: token.view.prefixes().unwrap_or_default().join(" or "),
            }),
            _ => Ok(()),
        }
    }

    /// What the caller may read of `patterns`: a pattern is cut to the names that it may read.
    ///
    /// # Errors
    /// `ForeignName` for a name that is given as a whole and is not one of those.
    pub(crate) fn within(&self, patterns: Vec<Glob>) -> Result<Vec<Glob>, Error> {
        let Caller::Token(token) = &self.0 else {
            return Ok(patterns);
        };
        let within = |pattern: Glob| match pattern.literal() {
            // A text that is no name was never counted, whoever asks.
            Some(name) if EventName::new(name).is_ok() => self.may_read(name).map(|()| pattern),
            _ => Ok(token.view.within(pattern)),
        };
        patterns.into_iter().map(within).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_needs_its_scope() {
        let (get, post, delete) = (&Method::GET, &Method::POST, &Method::DELETE);
        for (method, path, scope) in [
            (get, "/", None),
            (get, "/dashboard/main.js", None),
            (get, "/openapi.json", None),
            (get, "/v1/series", Some(Scope::Read)),
            (get, "/v1/annotations", Some(Scope::Read)),
            (post, "/render", Some(Scope::Read)),
            (post, "/events/get_data", Some(Scope::Read)),
            (get, "/no/such/path", Some(Scope::Read)),
            (get, "//dashboard/", Some(Scope::Read)),
            (get, "/v1/audit", Some(Scope::Admin)),
            (post, "/v1/annotations", Some(Scope::Write)),
            (delete, "/v1/annotations/1", Some(Scope::Write)),
            (post, "/events/", Some(Scope::Write)),
        ] {
            assert_eq!(needed(method, path), scope, "{method} {path}");
        }
    }
}
