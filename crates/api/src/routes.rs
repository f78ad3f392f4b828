//! The routes, and what holds for every request.

#![expect(clippy::disallowed_methods, reason = "requests are measured")]

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};

use crate::compression::{self, Places};
use crate::limits::REQUEST_LIMIT;
use crate::refusal::Refusal;
use crate::state::Api;
use crate::{
    admission, annotations, audit, dashboard, events, graphite, names, openapi, relation, series, status,
    turns,
};

/// All routes of the api. Each has to be in `openapi.json`, which a test checks.
pub(crate) fn all(api: Api) -> Router {
    Router::new()
        .route("/v1/series", get(series::get))
        .route("/v1/names", get(names::get))
        .route("/metrics/find", get(names::find).post(names::find))
        .route("/metrics/expand", get(names::expand).post(names::expand))
        .route(
            "/metrics/index.json",
            get(names::index_json).post(names::index_json),
        )
        .route("/tags", get(names::tags))
        .route(
            "/tags/autoComplete/tags",
            get(names::complete_tags).post(names::complete_tags),
        )
        .route(
            "/tags/autoComplete/values",
            get(names::complete_values).post(names::complete_values),
        )
        .route("/openapi.json", get(openapi::get))
        .route("/v1/relation", get(relation::get))
        .route("/v1/status", get(status::get))
        .route("/v1/audit", get(audit::get))
        .route("/v1/annotations", get(annotations::get).post(annotations::post))
        .route("/v1/annotations/{id}", delete(annotations::delete))
        .route("/events/get_data", get(events::get_data).post(events::get_data))
        .route("/events/", post(events::post))
        .merge(dashboard::routes())
        .merge(graphite::routes())
        // Before the layers, so that it is within them: a browser's question whether a page may ask is answered there.
        .method_not_allowed_fallback(async || Refusal::Method)
        .layer(compression::layer())
        .layer(from_fn_with_state(Places::new(), compression::limited))
        .layer(from_fn_with_state(api.clone(), admission::admitted))
        .with_state(api)
}

/// Adds answers for other paths and methods, and measures and limits every request.
pub(crate) fn refusing_the_rest(routes: Router) -> Router {
    routes
        .fallback(async || Refusal::NoSuchPath)
        .method_not_allowed_fallback(async || Refusal::Method)
        .layer(from_fn(measured_and_limited))
}

async fn measured_and_limited(request: Request, next: Next) -> Response {
    // Unknown paths share a label: else a client could create as many metrics as it likes.
    let route = match request.extensions().get::<MatchedPath>() {
        Some(path) => path.as_str().to_owned(),
        None => "other".to_owned(),
    };
    let began = std::time::Instant::now();
    let response = match tokio::time::timeout(REQUEST_LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            tracing::warn!(%route, limit_s = REQUEST_LIMIT.as_secs(), "gave up on a request");
            Refusal::from(turns::Error::TookTooLong).into_response()
        }
    };
    let status = response.status().as_u16().to_string();
    metrics::counter!("api_requests_total", "route" => route.clone(), "status" => status).increment(1);
    metrics::histogram!("api_request_seconds", "route" => route).record(began.elapsed().as_secs_f64());
    response
}
