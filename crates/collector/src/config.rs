//! The `[collector]` section.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use listener::{Host, TokenError, Tokens};
use serde::Deserialize;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "collector.listen = {address} can be reached from other machines, and there are no tokens: \
         set collector.tokens_file, or collector.allow_anonymous_on_any_address = true if the network itself keeps strangers out"
    )]
    Open { address: SocketAddr },
    #[error("{key} must be at least 1")]
    Zero { key: &'static str },
    #[error(transparent)]
    Tokens(#[from] TokenError),
    #[error(transparent)]
    Listen(#[from] listener::Error),
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error("the task that puts jobs died")]
    PutterDied(#[source] tokio::task::JoinError),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub listen: SocketAddr,
    /// A file with a line `name secret` per client; without it anybody who reaches the address may send.
    pub tokens_file: Option<PathBuf>,
    /// Lets a collector without tokens listen on an address that is not loopback.
    pub allow_anonymous_on_any_address: bool,
    /// The hosts that it goes by besides loopback ones: what its clients call it, and those of pages whose beacons it takes.
    pub allowed_hosts: Vec<Host>,
    /// How long a request's events wait for those of others to share a job with, even while no other job is on its way.
    pub linger_ms: u64,
    /// A request's body must be here this long after its headers.
    pub body_timeout_ms: u64,
    /// A connection's next headers must be here after this time, else it is closed.
    pub header_timeout_ms: u64,
    pub connections_max: usize,
    /// Connections of one peer address; a proxy in front is one peer, and wants as many as `connections_max`.
    pub connections_per_peer_max: usize,
    /// Requests in progress for one token (or, without tokens, one peer address); 429 above it.
    pub requests_per_client_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7080)),
            tokens_file: None,
            allow_anonymous_on_any_address: false,
            allowed_hosts: Vec::new(),
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
    /// Reads the tokens, and refuses a collector that strangers could use.
    pub(crate) fn tokens(&self) -> Result<Tokens, Error> {
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
        let tokens = match &self.tokens_file {
            Some(path) => Tokens::read(path)?,
            None => Tokens::none(),
        };
        let open = tokens.are_none() && !listener::is_loopback(self.listen);
        if open && !self.allow_anonymous_on_any_address {
            return Err(Error::Open { address: self.listen });
        }
        Ok(tokens)
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
        let refusal = config.tokens().unwrap_err().to_string();
        assert!(refusal.contains("allow_anonymous_on_any_address"), "{refusal}");
        config.allow_anonymous_on_any_address = true;
        assert!(config.tokens().is_ok());
        assert!(Config::default().tokens().is_ok());
        assert!(
            Config {
                connections_max: 0,
                ..Config::default()
            }
            .tokens()
            .is_err()
        );
    }
}
