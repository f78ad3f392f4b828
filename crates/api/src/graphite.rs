//! Graphite's paths, as Grafana's built-in data source asks for them: requests are handed to the crate `graphite`, and answered from the
//! same counts as all others.

mod functions;
mod reading;
mod render;

use axum::Router;
use axum::routing::get;

use crate::state::Api;

/// Version of Graphite that is answered for. Grafana asks for it to know which functions there are; the newest that it tells apart is
/// 1.1.
const VERSION: &str = "1.1.10";

/// The routes of rendering and of the functions; those of names and events stand with them.
pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/render", get(render::render).post(render::render))
        .route("/functions", get(functions::all))
        .route("/functions/{name}", get(functions::one))
        .route("/version", get(async || axum::Json(VERSION)))
}
