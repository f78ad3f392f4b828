//! The centres' answers over HTTP: series, names, and the state of regions and shards.
//!
//! Knows nothing of the queue and calls no region: whatever it says of a region has come with that region's counts.
//! Promises that the sums of one answer are exact and of one moment at one centre, that no later answer lacks what an
//! earlier one had, and that an answer is refused with a remedy rather than cut short.

mod answer;
mod audit;
mod buckets;
mod centres;
mod names;
mod parameters;
mod readiness;
mod refusal;
mod routes;
mod series;
mod status;
mod time_expression;

use std::net::SocketAddr;

use listener::{Health, Limits};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::centres::Centres;
pub use crate::centres::{BEHIND_MS_MAX, Centre};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub listen: SocketAddr,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the API cannot start")]
    Listen(#[from] listener::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Serves until `shutdown`, then lets requests in progress finish. `centres` come in the order in which they are preferred.
///
/// # Errors
/// `Listen` where the address is taken, `Store` where the password cannot be read. A database that is away is no error: requests are refused until it is back.
pub async fn run(
    config: Config,
    centres: Vec<Centre>,
    metrics: PrometheusHandle,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let centres = Centres::new(centres)?;
    let listener = listener::bind(config.listen).await?;
    let health = Health::waiting_for(&[readiness::CENTRAL_DATABASE]);
    let routes = routes::all(centres.clone()).merge(health.clone().routes(metrics));
    let routes = routes::refusing_the_rest(routes);
    tracing::info!(address = %config.listen, "api is listening");
    tokio::join!(
        listener::serve(listener, routes, Limits::default(), shutdown.clone()),
        readiness::watch(centres, health, shutdown),
    );
    Ok(())
}
