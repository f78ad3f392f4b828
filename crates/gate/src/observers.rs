//! Who may look at a role's metrics and books.

#![expect(clippy::disallowed_methods, reason = "tokens expire")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderValue;
use axum::http::header::WWW_AUTHENTICATE;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use model::Timestamp;

use crate::{Caller, Denied, Gate, Scope};

impl Caller {
    /// Checks that the caller may look at what a role shows of all clients: one who may read every name, or administrates.
    ///
    /// # Errors
    /// `Scope` for any other token.
    pub fn may_observe(&self) -> Result<(), Denied> {
        match self {
            Self::Token(token) if token.view.is_all() && token.may(Scope::Read) => Ok(()),
            _ => self.may(Scope::Admin),
        }
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let body = Json(serde_json::json!({ "error": self.to_string() }));
        let mut response = (self.status(), body).into_response();
        if self.status() == axum::http::StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

/// The routes, for who may observe.
pub fn for_observers(routes: Router, gate: Arc<Gate>) -> Router {
    if gate.is_open() {
        return routes;
    }
    routes.layer(from_fn_with_state(gate, observed))
}

async fn observed(
    State(gate): State<Arc<Gate>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let caller = gate.caller(request.headers(), peer.ip(), Timestamp::from(SystemTime::now()));
    match caller.and_then(|caller| caller.may_observe()) {
        Ok(()) => next.run(request).await,
        Err(denied) => denied.into_response(),
    }
}
