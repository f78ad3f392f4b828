//! The centres' answers over HTTP: series, names, and the state of regions and shards.
//!
//! Knows nothing of the queue and calls no region: whatever it says of a region has come with that region's counts.
//! Promises that the sums of one answer are exact and of one moment at one centre, that no series lacks what an earlier one
//! had while a centre is left that can have it, and that an answer is refused with a remedy rather than cut short.

mod answer;
mod audit;
mod buckets;
mod centres;
mod graphite;
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
use store::Server;
use tokio_util::sync::CancellationToken;

use crate::centres::Centres;
pub use crate::centres::{BEHIND_MS_MAX, Centre};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub listen: SocketAddr,
    /// What the preferred centre, that of `[central]`, is called among others.
    #[serde(default = "default_centre")]
    pub centre: String,
}

fn default_centre() -> String {
    "central".to_owned()
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the API cannot start")]
    Listen(#[from] listener::Error),
    #[error(
        "two centres are called '{0}': give each [[other_centre]] a name of its own; api.centre is that of [central]"
    )]
    SameName(String),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Serves until `shutdown`, then lets requests in progress finish. `others` are asked where `central` cannot answer, the first before the next.
///
/// # Errors
/// `Listen` where the address is taken, `SameName` for two centres of one name, `Store` where the password cannot be read. A database that is away is no error: requests are refused until it is back.
pub async fn run(
    config: Config,
    central: Server,
    others: Vec<Centre>,
    metrics: PrometheusHandle,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let central = Centre {
        name: config.centre,
        server: central,
    };
    let centres = Centres::new(std::iter::once(central).chain(others))?;
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
