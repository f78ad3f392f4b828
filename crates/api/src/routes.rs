//! Which path is answered by what, and what holds for every request.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::centres::Centres;
use crate::intake::Intake;
use crate::names::Names;
use crate::refusal::Refusal;
use crate::room::Room;
use crate::writers::Writers;
use crate::{annotations, audit, dashboard, events, graphite, names, openapi, relation, series, status};

/// From the request's headers to the answer's first byte: one slow database call and its wait for a connection fit in.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) centres: Centres,
    pub(crate) points: Room,
    pub(crate) intake: Intake,
    pub(crate) audits: Arc<Semaphore>,
    pub(crate) names: Names,
    /// A permit for each search in progress.
    searches: Arc<Semaphore>,
    /// A permit for each evaluation in progress that takes more than a moment.
    evaluations: Arc<Semaphore>,
    pub(crate) writers: Arc<Writers>,
}

/// Searches through names at once: each keeps a core busy, mostly for some milliseconds.
const SEARCHES_MAX: usize = 2;

/// Evaluations of targets at once: each keeps a core busy, for two seconds at worst.
const EVALUATIONS_MAX: usize = 2;

/// Longest wait for a turn.
const TURN_WAIT_LIMIT: Duration = Duration::from_secs(5);

impl Api {
    pub(crate) async fn searching<T: Send + 'static>(
        &self,
        search: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        in_turn(self.turn_to_search().await?, search).await
    }

    pub(crate) async fn turn_to_search(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        turn(&self.searches).await
    }

    pub(crate) async fn evaluating<T: Send + 'static>(
        &self,
        evaluation: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        in_turn(turn(&self.evaluations).await?, evaluation).await
    }
}

async fn turn(turns: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Refusal> {
    let turn = Arc::clone(turns).acquire_owned();
    match tokio::time::timeout(TURN_WAIT_LIMIT, turn).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(Refusal::TookTooLong),
    }
}

/// Does what takes a core a while, in turn, where it holds nobody else up. The turn is given back when the work ends, even if nobody
/// waits for it any more.
pub(crate) async fn in_turn<T: Send + 'static>(
    turn: OwnedSemaphorePermit,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let work = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(turn);
        done
    });
    work.await.map_err(Refusal::Died)
}

pub(crate) fn all(centres: Centres, names: Names, writers: Writers) -> Router {
    let audits = Arc::new(Semaphore::new(1));
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
        .with_state(Api {
            centres,
            points: Room::new(),
            intake: Intake::new(),
            audits,
            names,
            searches: Arc::new(Semaphore::new(SEARCHES_MAX)),
            evaluations: Arc::new(Semaphore::new(EVALUATIONS_MAX)),
            writers: Arc::new(writers),
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
    // Unknown paths share a label: a client must not be able to make metrics.
    let route = match request.extensions().get::<MatchedPath>() {
        Some(path) => path.as_str().to_owned(),
        None => "other".to_owned(),
    };
    let began = std::time::Instant::now();
    let response = match tokio::time::timeout(REQUEST_LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            tracing::warn!(%route, limit_s = REQUEST_LIMIT.as_secs(), "gave up on a request");
            Refusal::TookTooLong.into_response()
        }
    };
    let status = response.status().as_u16().to_string();
    metrics::counter!("api_requests_total", "route" => route.clone(), "status" => status).increment(1);
    metrics::histogram!("api_request_seconds", "route" => route).record(began.elapsed().as_secs_f64());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_waits_for_its_turn_and_not_for_ever() {
        let turns = Arc::new(Semaphore::new(1));
        let taken = turn(&turns).await.unwrap();
        assert!(matches!(turn(&turns).await, Err(Refusal::TookTooLong)));
        assert_eq!(in_turn(taken, || 7).await.unwrap(), 7);
        let died = in_turn(turn(&turns).await.unwrap(), || panic!("on purpose")).await;
        assert!(matches!(died, Err::<(), _>(Refusal::Died(_))));
        assert!(turn(&turns).await.is_ok());
    }
}
