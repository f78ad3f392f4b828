//! The `[collector]` section of the configuration.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use gate::{FileError, Gate};
use listener::{Host, TlsError, TlsFiles};
use serde::Deserialize;

/// Why a collector cannot start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Anybody who reaches the network could send, and nothing says that this is wanted.
    #[error(
        "collector.listen = {address} can be reached from other machines, and there are no tokens: \
         set collector.tokens_file, or collector.allow_anonymous_on_any_address = true if the network itself keeps strangers out"
    )]
    Open {
        /// The address to listen on, as configured.
        address: SocketAddr,
    },
    /// A limit or timeout is 0, with which nothing could be received.
    #[error("{key} must be at least 1")]
    Zero {
        /// The setting, with its section.
        key: &'static str,
    },
    /// The tokens file cannot be used.
    #[error(transparent)]
    Tokens(#[from] FileError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] listener::Error),
    /// Only another process can use the queue again.
    #[error(transparent)]
    Queue(#[from] queue::Error),
    /// No thread can be started.
    #[error("bodies cannot be read: no thread can be started")]
    Threads(#[source] std::io::Error),
    /// The task that puts jobs panicked.
    #[error("the task that puts jobs died")]
    PutterDied(#[source] tokio::task::JoinError),
}

/// The `[collector]` section. What is not given has its default.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The address to serve HTTP on.
    pub listen: SocketAddr,
    /// The certificate to show; without it, requests and tokens can be read on the way.
    pub tls: Option<TlsFiles>,
    /// A file of tokens, of which those with the scope `write` may send; without it anybody who reaches the address may.
    pub tokens_file: Option<PathBuf>,
    /// Whether a collector without tokens may listen on an address that is not loopback.
    pub allow_anonymous_on_any_address: bool,
    /// The hosts that the collector goes by besides loopback ones: those its clients use, and those of pages whose beacons it takes.
    pub allowed_hosts: Vec<Host>,
    /// Addresses of proxies in front, whose `X-Forwarded-For` says who a request is of.
    pub trusted_proxies: Vec<IpAddr>,
    /// Whether connections of these proxies begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Milliseconds that a request's events wait for those of others to share a job with, even while no other job is on its way.
    pub linger_ms: u64,
    /// Milliseconds after its headers within which a request's body must be here.
    pub body_timeout_ms: u64,
    /// Milliseconds within which a connection's next headers must be here, else it is closed.
    pub header_timeout_ms: u64,
    /// Most connections at once; further ones wait in the kernel's backlog.
    pub connections_max: usize,
    /// Most connections of one peer address; a proxy in front is one peer, and wants as many as `connections_max`.
    pub connections_per_peer_max: usize,
    /// Most requests in progress for one token (or, without tokens, one peer address); 429 above it.
    pub requests_per_client_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7080)),
            tls: None,
            tokens_file: None,
            allow_anonymous_on_any_address: false,
            allowed_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            linger_ms: 0,
            body_timeout_ms: 10_000,
            header_timeout_ms: 15_000,
            connections_max: 1024,
            connections_per_peer_max: 512,
            requests_per_client_max: 256,
        }
    }
}

impl Config {
    /// Checks the settings and opens the gate.
    ///
    /// # Errors
    /// A limit of 0, tokens that cannot be read, or a collector that strangers could use.
    pub(crate) fn gate(&self) -> Result<Gate, Error> {
        for (key, value) in [
            ("collector.body_timeout_ms", self.body_timeout_ms),
            ("collector.header_timeout_ms", self.header_timeout_ms),
            ("collector.connections_max", self.connections_max as u64),
            (
                "collector.requests_per_client_max",
                self.requests_per_client_max as u64,
            ),
            (
                "collector.connections_per_peer_max",
                self.connections_per_peer_max as u64,
            ),
        ] {
            if value == 0 {
                return Err(Error::Zero { key });
            }
        }
        let gate = Gate::open(self.tokens_file.as_deref())?;
        let is_open = gate.is_open() && !listener::is_loopback(self.listen);
        if is_open && !self.allow_anonymous_on_any_address {
            return Err(Error::Open { address: self.listen });
        }
        Ok(gate)
    }

    pub(crate) fn linger(&self) -> Duration {
        Duration::from_millis(self.linger_ms)
    }

    pub(crate) fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }

    pub(crate) fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_address_needs_tokens_or_a_word() {
        let mut config = Config {
            listen: SocketAddr::from(([0, 0, 0, 0], 7080)),
            ..Config::default()
        };
        let refusal = config.gate().unwrap_err().to_string();
        assert!(refusal.contains("allow_anonymous_on_any_address"), "{refusal}");
        config.allow_anonymous_on_any_address = true;
        assert!(config.gate().is_ok());
        assert!(Config::default().gate().is_ok());
        assert!(
            Config {
                connections_max: 0,
                ..Config::default()
            }
            .gate()
            .is_err()
        );
    }
}
