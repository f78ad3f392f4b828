#![doc = include_str!("../README.md")]

mod admission;
mod annotations;
mod answer;
mod audit;
mod centres;
mod clients;
mod compression;
mod dashboard;
mod error;
mod events;
mod extract;
mod form;
mod graphite;
mod intake;
mod limits;
mod names;
mod openapi;
mod parameters;
mod patterns;
mod places;
mod range;
mod readiness;
mod reading;
mod refusal;
mod relation;
mod room;
mod routes;
mod series;
mod state;
pub mod status;
mod text;
mod troubles;
mod turns;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gate::Gate;
use listener::{Front, Health, Host, Hosts, Limits, Proxies, Tls, TlsFiles};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Deserialize;
use store::Members;
use tokio_util::sync::CancellationToken;

use crate::admission::Door;
use crate::centres::Centres;
pub use crate::centres::{BEHIND_MS_MAX, Centre};
pub use crate::error::Error;
use crate::names::loader::Loader;
use crate::state::Api;
use crate::troubles::{CERTIFICATE, NAMES_INDEX, TOKENS_FILE};

/// The table `[api]` of the configuration file. Unknown keys are refused; keys that are missing have their defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port to listen on; `127.0.0.1:7070` by default.
    pub listen: SocketAddr,
    /// Name of the preferred centre, that of `[central]`, in answers, logs and metrics; each other centre brings its own.
    pub centre: String,
    /// Connections of all peers at once; at least 1.
    pub connections_max: usize,
    /// Connections of one peer address; a proxy in front is one peer, and wants as many as `connections_max`.
    pub connections_per_peer_max: usize,
    /// Longest wait for a connection's next headers, in milliseconds; then it is closed.
    pub header_timeout_ms: u64,
    /// Longest time from an answer's beginning until its client has taken all of it, in milliseconds; then it is cut off.
    pub answer_timeout_ms: u64,
    /// The certificate to show; without it, requests and tokens can be read on the way.
    pub tls: Option<TlsFiles>,
    /// MiB of memory for the index of names, in which searches look; of more names, those that come later are found by their beginnings.
    pub names_index_mib: usize,
    /// A file of tokens, by whose scopes clients may read, write annotations and audit; without it anybody who reaches the address may.
    pub tokens_file: Option<PathBuf>,
    /// Whether an api without tokens may listen on an address that is not loopback, where whoever reaches it reads every count.
    pub allow_anonymous_on_any_address: bool,
    /// Hosts, besides loopback ones, under which requests may address the api; other values of the header `Host` are refused.
    pub allowed_hosts: Vec<Host>,
    /// Addresses of proxies in front, whose `X-Forwarded-For` says who a request is of.
    pub trusted_proxies: Vec<IpAddr>,
    /// Whether connections of these proxies begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7070)),
            centre: "central".to_owned(),
            connections_max: 1024,
            connections_per_peer_max: 512,
            header_timeout_ms: 15_000,
            answer_timeout_ms: 60_000,
            tls: None,
            names_index_mib: 256,
            tokens_file: None,
            allow_anonymous_on_any_address: false,
            allowed_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
        }
    }
}

impl Config {
    /// The listener's limits.
    ///
    /// # Errors
    /// `Zero` for a limit with which nothing could be served.
    fn limits(&self) -> Result<Limits, Error> {
        let limits = Limits {
            connections_max: self.connections_max,
            connections_per_peer_max: self.connections_per_peer_max,
            header_timeout: Duration::from_millis(self.header_timeout_ms),
            answer_timeout: Duration::from_millis(self.answer_timeout_ms),
        };
        match limits.zero() {
            None if self.names_index_mib == 0 => Err(Error::Zero {
                key: "names_index_mib",
            }),
            None => Ok(limits),
            Some(key) => Err(Error::Zero { key }),
        }
    }
}

/// Serves until `shutdown`, then lets requests in progress finish. `others` are asked where `central` cannot answer, in their order.
/// `metrics` renders what `/metrics` shows.
///
/// # Errors
/// `Zero` for a limit with which nothing could be served, `Open` for an address that strangers could read from, `Listen` where the
/// address is taken, `SameName` for two centres of one name, `Tokens` and `Store` where tokens or the password cannot be read. A
/// database that is away is no error: requests are refused until it is back.
pub async fn run(
    config: Config,
    limits: gate::Limits,
    central: Members,
    others: Vec<Centre>,
    metrics: PrometheusHandle,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let connections = config.limits()?;
    limits.log();
    let gate = Arc::new(Gate::open(config.tokens_file.as_deref())?);
    let tls = config.tls.as_ref().map(Tls::open).transpose()?.map(Arc::new);
    if gate.is_open() && !listener::is_loopback(config.listen) && !config.allow_anonymous_on_any_address {
        return Err(Error::Open {
            address: config.listen,
        });
    }
    let central = Centre {
        name: config.centre,
        members: central,
    };
    let centres = Centres::new(std::iter::once(central).chain(others))?;
    let hosts = Hosts::of(config.listen, &config.allowed_hosts);
    let front = Front {
        hosts: hosts.clone(),
        proxies: Proxies::new(&config.trusted_proxies, config.proxy_protocol),
        tls: tls.clone(),
    };
    let listener = listener::bind(config.listen).await?;
    let (loader, names) = Loader::new(config.names_index_mib << 20);
    let health = Health::waiting_for(&[readiness::CENTRAL_DATABASE]);
    let state = Api::new(
        centres.clone(),
        names,
        Door::new(gate.clone(), hosts),
        limits.fair,
    );
    let troubles = state.troubles.clone();
    let note = |part, error: Option<&dyn std::error::Error>| {
        health.warn(part, error);
        troubles.note(part, error);
    };
    let routes = routes::all(state).merge(health.clone().routes());
    let routes = routes.merge(gate::for_observers(listener::metrics(metrics), gate.clone()));
    let routes = routes::refusing_the_rest(routes);
    tracing::info!(address = %config.listen, "api is listening");
    tokio::join!(
        listener::serve(listener, routes, front, connections, shutdown.clone()),
        gate.watch(
            |error| note(TOKENS_FILE, error.map(|error| error as _)),
            shutdown.clone()
        ),
        Tls::watch_any(
            tls.as_deref(),
            |error| note(CERTIFICATE, error.map(|error| error as _)),
            shutdown.clone()
        ),
        loader.run(
            centres.clone(),
            |full| note(NAMES_INDEX, full.map(|full| full as _)),
            shutdown.clone()
        ),
        readiness::watch(centres, health.clone(), shutdown.clone()),
    );
    Ok(())
}
