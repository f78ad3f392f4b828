#![doc = include_str!("../README.md")]

mod admission;
mod body;
#[cfg(any(test, fuzzing))]
mod both_ways;
mod clients;
mod combiner;
mod config;
mod elements;
mod events;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod handler;
mod lanes;
mod limits;
mod names_budget;
mod pieces;
mod plain;
mod putter;
mod rate;
mod readers;
mod reply;
mod reporter;
mod request;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use listener::{Front, Health, Hosts, Limits, Proxies, Tls};
use tokio_util::sync::CancellationToken;

use clients::Clients;
use combiner::Combiner;
pub use config::{Config, Error};
use handler::Collector;
use putter::Putters;
use readers::Readers;
use reporter::Reporter;

/// Serves `POST /v1/events` until `shutdown`, then puts what was accepted into the queue and returns.
///
/// # Errors
/// A configuration that is unsafe or cannot work, tokens that cannot be read, an address that is taken, or a queue that only another
/// process can reach again.
pub async fn run(
    config: &Config,
    limits: gate::Limits,
    queue: &queue::Config,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let gate = Arc::new(config.gate()?);
    let tls = config.tls.as_ref().map(Tls::open).transpose()?.map(Arc::new);
    limits.log();
    if queue.jobs_max == 0 {
        return Err(Error::Zero {
            key: "queue.jobs_max",
        });
    }
    let health = Health::waiting_for(&["queue"]);
    let listener = listener::bind(config.listen).await?;
    let drained = CancellationToken::new();
    let combiner = Arc::new(Combiner::new(queue.jobs_max, limits.fair));
    let putters = Putters {
        combiner: combiner.clone(),
        linger: config.linger(),
        health: health.clone(),
        drained: drained.clone(),
        outage_told: AtomicBool::new(false),
    };
    let mut putting = putters.start(queue);
    let hosts = Hosts::of(config.listen, &config.allowed_hosts);
    let front = Front {
        hosts: hosts.clone(),
        proxies: Proxies::new(&config.trusted_proxies, config.proxy_protocol),
        tls: tls.clone(),
    };
    let clients = Arc::new(Clients::default());
    let reporter = Reporter::new(gate.clone(), clients.clone(), combiner.clone());
    let collector = Collector::new(
        config,
        limits,
        (gate.clone(), clients),
        hosts,
        combiner,
        Readers::new(handler::long_bodies().at_once_max).map_err(Error::Threads)?,
        shutdown.clone(),
    );
    tracing::info!(address = %config.listen, "collecting");
    let connections = Limits {
        connections_max: config.connections_max,
        connections_per_peer_max: config.connections_per_peer_max,
        header_timeout: config.header_timeout(),
        ..Limits::default()
    };
    let renewing = Tls::watch_any(
        tls.as_deref(),
        |trouble| reporter.certificate(trouble, &health),
        shutdown.clone(),
    );
    let watching = gate.watch(|refused| reporter.tokens_file(refused, &health), shutdown.clone());
    let shown = handler::books().merge(listener::metrics(metrics));
    let routes = handler::routes(Arc::new(collector))
        .merge(health.clone().routes())
        .merge(gate::for_observers(shown, gate.clone()));
    // The putters go on until the listener has ended: requests in progress wait for them, and answer only once their counts are on disk.
    let serving = async {
        let served = listener::serve(listener, routes, front, connections, shutdown.clone());
        tokio::join!(served, watching, renewing, reporter.report_until(&shutdown));
        reporter.report().await;
        drained.cancel();
    };
    tokio::select! {
        () = serving => {}
        ended = putting.give_up() => return ended,
    }
    putting.finish().await
}
