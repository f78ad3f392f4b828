//! The routes that every role serves: `/healthz`, `/readyz` and `/metrics`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;

/// The readiness of a role: named parts, each ready or with the reason why not. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Parts>>);

#[derive(Debug, Default)]
struct Parts {
    /// Each part, with the reason why it is not ready.
    reasons: BTreeMap<&'static str, Option<String>>,
    /// What is wrong with a part that is ready all the same.
    warnings: BTreeMap<&'static str, String>,
}

impl Health {
    /// The readiness of a role that is ready once every one of `parts` has been reported ready.
    #[must_use]
    pub fn waiting_for(parts: &[&'static str]) -> Self {
        let reasons = parts
            .iter()
            .map(|&part| (part, Some("starting".to_owned())))
            .collect();
        Self(Arc::new(Mutex::new(Parts {
            reasons,
            ..Parts::default()
        })))
    }

    /// Reports a part ready.
    pub fn ready(&self, part: &'static str) {
        self.set(part, None);
    }

    /// Reports a part not ready. The reason is the error with all its causes.
    pub fn not_ready(&self, part: &'static str, error: &dyn std::error::Error) {
        self.set(part, Some(with_causes(error)));
    }

    /// Reports what is wrong with a part that works on all the same, or that nothing is any more.
    pub fn warn(&self, part: &'static str, error: Option<&dyn std::error::Error>) {
        let mut parts = self.lock();
        match error {
            Some(error) => parts.warnings.insert(part, with_causes(error)),
            None => parts.warnings.remove(part),
        };
    }

    /// The parts that are not ready, with their reasons.
    #[must_use]
    pub fn reasons(&self) -> BTreeMap<&'static str, String> {
        let parts = self.lock();
        parts
            .reasons
            .iter()
            .filter_map(|(&part, reason)| reason.clone().map(|r| (part, r)))
            .collect()
    }

    /// The two routes that every role serves to everybody: `/healthz` (200 as long as the process answers) and `/readyz` (200, or 503
    /// with the reasons).
    pub fn routes(self) -> Router {
        Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(readyz).with_state(self))
    }

    fn set(&self, part: &'static str, reason: Option<String>) {
        self.lock().reasons.insert(part, reason);
    }

    fn lock(&self) -> MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error with all its causes, in one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

/// The route `/metrics` (Prometheus' text format) of a role.
pub fn metrics(metrics: PrometheusHandle) -> Router {
    Router::new().route("/metrics", get(render_metrics).with_state(metrics))
}

/// The answer to `/readyz`: 200 `{"ready":true,"reasons":{}}`, or 503 with the reason of each part that is not ready; `warnings` where
/// something is wrong with a part that works on.
async fn readyz(State(health): State<Health>) -> Response {
    let reasons = health.reasons();
    let status = if reasons.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut body = serde_json::json!({ "ready": reasons.is_empty(), "reasons": reasons });
    let warnings = &health.lock().warnings;
    if !warnings.is_empty() {
        body["warnings"] = serde_json::json!(warnings);
    }
    (status, Json(body)).into_response()
}

/// The metrics in Prometheus' text format, version 0.0.4.
async fn render_metrics(State(metrics): State<PrometheusHandle>) -> Response {
    metrics.run_upkeep();
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        metrics.render(),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_every_part_is() {
        let health = Health::waiting_for(&["queue", "database"]);
        health.ready("queue");
        health.not_ready("database", &std::io::Error::other("connection refused"));
        assert_eq!(
            health.reasons().get("database").map(String::as_str),
            Some("connection refused")
        );
        health.ready("database");
        assert!(health.reasons().is_empty());
        health.warn("tokens_file", Some(&std::io::Error::other("cannot be read")));
        assert!(health.reasons().is_empty(), "it works on");
        assert_eq!(health.lock().warnings["tokens_file"], "cannot be read");
        health.warn("tokens_file", None);
        assert!(health.lock().warnings.is_empty());
    }
}
