//! The roles: each runs until SIGTERM or Ctrl-C, finishes what it accepted, and ends.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::routing::get;
use axum::{Json, Router};
use clap::Args;
use listener::{Health, Host, Hosts};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::interrupts::stop_signal;

/// Upper bounds, in seconds, of the buckets of all `*_seconds` histograms.
const SECONDS_BUCKETS: [f64; 12] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
];

#[derive(Debug, Args)]
pub(crate) struct Collector {
    /// The region's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Listen here instead of at collector.listen: a second collector with the same configuration
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct Worker {
    /// The region's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Serve health and metrics here instead of at worker.listen
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The worker's name instead of worker.name; unique in its region
    #[arg(long)]
    name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Api {
    /// The centre's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Keeper {
    /// The centre's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Collector {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let config = Config::read(&self.config)?;
        let queue = config.file.section(config.queue, "queue")?;
        let mut collector = config.file.section(config.collector, "collector")?;
        collector.listen = self.listen.unwrap_or(collector.listen);
        Ok(collector::run(
            &collector,
            config.limits,
            &queue,
            metrics_recorder()?,
            stop_signal()?,
        )
        .await?)
    }
}

impl Worker {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let config = Config::read(&self.config)?;
        let region = config.file.section(config.region, "region")?;
        let queue = config.file.section(config.queue, "queue")?;
        let regional = config.file.section(config.regional, "regional")?;
        let mut worker = config.file.section(config.worker, "worker")?;
        worker.listen = self.listen.unwrap_or(worker.listen);
        worker.name = self.name.unwrap_or(worker.name);

        let health = Health::waiting_for(&worker::READINESS);
        let books = Router::new().route("/books", get(async || Json(queue::BOOKS.figures())));
        let health_server = serve_health(worker.listen, &worker.allowed_hosts, &health, books).await?;
        tracing::info!(region = region.name, worker = worker.name, "working");
        let outcome = worker::run(&worker, &region.name, &queue, regional, health, stop_signal()?).await;
        health_server.end().await?;
        Ok(outcome?)
    }
}

impl Keeper {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let config = Config::read(&self.config)?;
        let (centre, account) = config.members_as_keeper()?;
        let keeper = config.file.section(config.keeper, "keeper")?;
        let duties = keeper::Duties {
            centre,
            others: config.other_centre,
            account,
        };
        let health = Health::waiting_for(&keeper::READINESS);
        let health_server =
            serve_health(keeper.listen, &keeper.allowed_hosts, &health, Router::new()).await?;
        let outcome = keeper::run(&keeper, duties, health, stop_signal()?).await;
        health_server.end().await?;
        Ok(outcome?)
    }
}

impl Api {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let config = Config::read(&self.config)?;
        let central = config.members()?;
        let account = central.first().server.account()?;
        let other = |other: &store::OtherCentre| {
            Ok(api::Centre {
                members: other.members(&account)?,
                name: other.name.clone(),
            })
        };
        let others = config.other_centre.iter().map(other);
        let others = others.collect::<anyhow::Result<_>>()?;
        Ok(api::run(
            config.file.section(config.api, "api")?,
            config.limits,
            central,
            others,
            metrics_recorder()?,
            stop_signal()?,
        )
        .await?)
    }
}

/// The server of health and metrics, beside the work of a role that serves nothing else.
struct HealthServer {
    serving: tokio::task::JoinHandle<()>,
    /// Cancelled once the role has finished its work.
    worked: CancellationToken,
}

/// Serves health and metrics at `listen`, and the role's other routes, until [`HealthServer::end`].
async fn serve_health(
    listen: SocketAddr,
    allowed: &[Host],
    health: &Health,
    others: Router,
) -> anyhow::Result<HealthServer> {
    let routes = health
        .clone()
        .routes()
        .merge(listener::metrics(metrics_recorder()?));
    let routes = routes.merge(others);
    let listener = listener::bind(listen).await?;
    let worked = CancellationToken::new();
    let serving = tokio::spawn(listener::serve(
        listener,
        routes,
        Hosts::of(listen, allowed).into(),
        listener::Limits::default(),
        worked.clone(),
    ));
    Ok(HealthServer { serving, worked })
}

impl HealthServer {
    /// Stops serving. To be called after the role has stopped working, so that its last metrics can be read and it does not look dead
    /// while it finishes what it accepted.
    async fn end(self) -> anyhow::Result<()> {
        self.worked.cancel();
        Ok(self.serving.await?)
    }
}

/// Installs the recorder of all metrics of this process, once, and returns what renders them in Prometheus' text format.
fn metrics_recorder() -> anyhow::Result<PrometheusHandle> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)?;
    Ok(builder.install_recorder()?)
}
