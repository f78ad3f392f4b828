//! Which path is answered by what, and what holds for every request.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Semaphore;

use crate::centres::Centres;
use crate::refusal::Refusal;
use crate::{audit, graphite, names, series, status};

/// From the request's headers to the answer's first byte: one slow database call and its wait for a connection fit in.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) centres: Centres,
    /// A permit for each point of a series held in memory, until its answer is sent.
    pub(crate) points: Arc<Semaphore>,
    pub(crate) audits: Arc<Semaphore>,
}

pub(crate) fn all(centres: Centres) -> Router {
    let audits = Arc::new(Semaphore::new(1));
    let points = Arc::new(Semaphore::new(series::POINTS_HELD_MAX));
    Router::new()
        .route("/v1/series", get(series::get))
        .route("/v1/names", get(names::get))
        .route("/v1/status", get(status::get))
        .route("/v1/audit", get(audit::get))
        .merge(graphite::routes())
        .with_state(Api {
            centres,
            points,
            audits,
        })
}

/// Answers other paths and methods, and measures and limits every request.
pub(crate) fn refusing_the_rest(routes: Router) -> Router {
    routes
        .fallback(async || Refusal::NoSuchPath)
        .method_not_allowed_fallback(async || Refusal::Method)
        .layer(from_fn(measured_and_limited))
}

async fn measured_and_limited(request: Request, next: Next) -> Response {
    let route = route_label(request.uri().path());
    let began = std::time::Instant::now();
    let response = match tokio::time::timeout(REQUEST_LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            tracing::warn!(route, limit_s = REQUEST_LIMIT.as_secs(), "gave up on a request");
            Refusal::TookTooLong.into_response()
        }
    };
    let status = response.status().as_u16().to_string();
    metrics::counter!("api_requests_total", "route" => route, "status" => status).increment(1);
    metrics::histogram!("api_request_seconds", "route" => route).record(began.elapsed().as_secs_f64());
    response
}

/// Unknown paths share a label: a client must not be able to make metrics.
fn route_label(path: &str) -> &'static str {
    const ROUTES: [&str; 10] = [
        "/v1/series",
        "/v1/names",
        "/v1/status",
        "/v1/audit",
        "/render",
        "/functions",
        "/version",
        "/healthz",
        "/readyz",
        "/metrics",
    ];
    ROUTES.into_iter().find(|&route| route == path).unwrap_or("other")
}
