#![doc = include_str!("../README.md")]

mod admission;
mod body;
#[cfg(any(test, fuzzing))]
mod both_ways;
mod combiner;
mod config;
mod elements;
mod events;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod handler;
mod limits;
mod pieces;
mod plain;
mod putter;
mod reply;
mod request;

use std::sync::Arc;

use listener::{Health, Hosts, Limits};
use tokio_util::sync::CancellationToken;

use combiner::Combiner;
pub use config::{Config, Error};
use handler::Collector;

/// Serves `POST /v1/events` until `shutdown`, then puts what was accepted into the queue and returns.
///
/// # Errors
/// A configuration that is unsafe or cannot work, tokens that cannot be read, an address that is taken, or a queue that only another
/// process can reach again.
pub async fn run(
    config: &Config,
    queue: &queue::Config,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let tokens = config.tokens()?;
    if queue.jobs_max == 0 {
        return Err(Error::Zero {
            key: "queue.jobs_max",
        });
    }
    let health = Health::waiting_for(&["queue"]);
    let listener = listener::bind(config.listen).await?;
    let drained = CancellationToken::new();
    let combiner = Arc::new(Combiner::new(queue.jobs_max));
    let mut putting = tokio::spawn(putter::put_jobs(
        combiner.clone(),
        queue::Producer::new(queue),
        config.linger(),
        health.clone(),
        drained.clone(),
    ));
    let hosts = Hosts::of(config.listen, &config.allowed_hosts);
    let collector = Collector::new(config, tokens, hosts.clone(), combiner, shutdown.clone());
    tracing::info!(address = %config.listen, "collecting");
    let limits = Limits {
        connections_max: config.connections_max,
        connections_per_peer_max: config.connections_per_peer_max,
        header_timeout: config.header_timeout(),
        ..Limits::default()
    };
    let routes = handler::routes(Arc::new(collector)).merge(health.routes(metrics));
    // The putter goes on until the listener has ended: requests in progress wait for it, and answer only once their counts are on disk.
    tokio::select! {
        () = listener::serve(listener, routes, hosts, limits, shutdown) => drained.cancel(),
        // The putter ends by itself only where another process must take over.
        ended = &mut putting => return Ok(ended.map_err(Error::PutterDied)??),
    }
    Ok(putting.await.map_err(Error::PutterDied)??)
}
