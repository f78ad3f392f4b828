//! The accept loop: connections within limits, each served until it ends or the role shuts down.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::beginnings::Beginnings;
use crate::connection::{ConnectionService, introduced};
use crate::hosts::Hosts;
use crate::linger::Lingerers;
use crate::network::network;
use crate::proxies::Proxies;
use crate::{Shares, Tls};

/// Longest time that a shutdown waits for requests in progress.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// Pause after a failed accept (out of file descriptors, say), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a role cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}: is another program using this port?")]
    Bind {
        /// The address to listen on, as configured.
        address: SocketAddr,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
}

/// The limits within which a role serves HTTP.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most connections at once; further ones wait in the kernel's backlog.
    pub connections_max: usize,
    /// Most connections of one peer address, or network of 64 bits of IPv6; further ones are closed at once. A proxy in front is one peer.
    pub connections_per_peer_max: usize,
    /// Longest wait for a handshake, and for a request's headers, hence also for an idle connection's next request.
    pub header_timeout: Duration,
    /// Longest time from an answer's beginning until its client has taken it in; slower clients are cut off, however steadily
    /// they read.
    pub answer_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            connections_per_peer_max: 512,
            header_timeout: Duration::from_secs(15),
            answer_timeout: Duration::from_secs(60),
        }
    }
}

impl Limits {
    /// The key, in a role's section, of the first limit that is zero, with which nothing could be served.
    #[must_use]
    pub fn zero(&self) -> Option<&'static str> {
        [
            ("connections_max", self.connections_max == 0),
            ("connections_per_peer_max", self.connections_per_peer_max == 0),
            ("header_timeout_ms", self.header_timeout.is_zero()),
            ("answer_timeout_ms", self.answer_timeout.is_zero()),
        ]
        .into_iter()
        .find_map(|(key, is_zero)| is_zero.then_some(key))
    }
}

/// Listens on `address`; connections wait in the kernel's backlog until `serve` accepts them.
///
/// # Errors
/// `Bind` where the address is taken or not this machine's.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|source| Error::Bind { address, source })
}

/// How a role is reached: the hosts that it goes by, the proxies in front of it, and whether what is said is encrypted.
#[derive(Debug, Clone)]
pub struct Front {
    /// The hosts that requests may be for.
    pub hosts: Hosts,
    /// The proxies whose word counts on whom a request is of.
    pub proxies: Proxies,
    /// The certificate to show; without one, what is said can be read on the way.
    pub tls: Option<Arc<Tls>>,
}

impl From<Hosts> for Front {
    /// A role without proxies in front, and without TLS.
    fn from(hosts: Hosts) -> Self {
        Self {
            hosts,
            proxies: Proxies::default(),
            tls: None,
        }
    }
}

/// Serves `routes` to requests that come by `front` until `shutdown`, then accepts nothing more and lets requests in progress finish, for
/// 30 seconds at most. Handlers find the client's address in `ConnectInfo<SocketAddr>`; its port is 0 where a proxy has not said it.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    front: Front,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let routes = TowerToHyperService::new(routes);
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let peers = Shares::new(limits.connections_per_peer_max);
    let (lingerers, connections) = (Lingerers::default(), TaskTracker::new());
    let beginnings = Beginnings::new(connections.clone());
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, peer, slot)) => {
                metrics::counter!("http_connections_total").increment(1);
                // A proxy is many clients. Those that it names at the beginning of a connection have shares of their own.
                let (client, share) = match front.proxies.trusts(peer.ip()) {
                    true => (peer, None),
                    false => match peers.take(network(peer.ip())) {
                        Some(share) => ((network(peer.ip()), 0).into(), Some(share)),
                        None => {
                            metrics::counter!("http_connections_refused_total").increment(1);
                            continue;
                        }
                    },
                };
                let service = ConnectionService::new(routes.clone(), front.clone(), lingerers.clone(), peer);
                let connection = introduced(stream, service, peers.clone(), limits, shutdown.clone());
                beginnings.add(client, async move {
                    connection.await;
                    drop((share, slot));
                });
            }
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Closed before the wait for requests in progress: who connects now is refused, instead of waiting in a backlog that nobody serves.
    drop(listener);
    connections.close();
    if tokio::time::timeout(DRAIN_LIMIT, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            left = connections.len(),
            "shutdown left connections with requests in progress"
        );
    }
}

/// The next connection and its slot. The slot comes first: without one, the connection stays in the kernel's backlog.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = slots
        .clone()
        .acquire_owned()
        .await
        .map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, slot))
}
