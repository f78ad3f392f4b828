//! Graphite's paths: what Grafana's built-in data source asks, handed to the crate `graphite` and answered from the same counts.

mod functions;
mod reading;
mod render;

use axum::Router;
use axum::routing::get;

use crate::state::Api;

/// What Grafana asks to know which functions there are; its newest question is of 1.1.
const VERSION: &str = "1.1.10";

pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/render", get(render::render).post(render::render))
        .route("/functions", get(functions::all))
        .route("/functions/{name}", get(functions::one))
        .route("/version", get(async || axum::Json(VERSION)))
}
