//! A link between two servers that can be cut, silenced and slowed: a TCP relay.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Bytes that are passed on at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// Pieces that a slowed link passes in a second.
const PIECES_PER_S: u32 = 20;

/// Pause after a connection could not be taken: the process is out of descriptors for a moment.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The state of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Everything is passed on.
    Open,
    /// Every connection ends, and every new one at once.
    Cut,
    /// Connections stay, and nothing is passed on, as in a network that drops packets.
    Silent,
    /// A limit holds for each direction of each connection.
    Slow {
        /// Bytes per second that are passed on at most.
        bytes_per_s: u32,
    },
}

/// A TCP relay that passes connections on to one server, until it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    link: watch::Sender<Link>,
}

impl Relay {
    /// Listens on a free port of loopback, for connections to `server`; the link is open.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("failed to listen for a relay")?;
        let address = listener.local_addr().context("a relay has no address")?;
        let (link, state) = watch::channel(Link::Open);
        tokio::spawn(serve(listener, server, state));
        Ok(Self { address, link })
    }

    /// The address that clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the link's state, also for connections that are there.
    pub fn set(&self, link: Link) {
        self.link.send_replace(link);
    }
}

async fn serve(listener: TcpListener, server: SocketAddr, mut link: watch::Receiver<Link>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // The relay was dropped.
            Err(_) = link.wait_for(|_| false) => return,
        };
        match accepted {
            Ok((client, _)) => {
                tokio::spawn(pass_on(client, server, link.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a relay could not take a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Passes one connection on, until either end closes it, or the link is cut.
async fn pass_on(client: TcpStream, server: SocketAddr, mut link: watch::Receiver<Link>) {
    if *link.borrow() == Link::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, link.clone()) => {}
        () = pump(from_server, to_client, link.clone()) => {}
        _ = link.wait_for(|&link| link == Link::Cut) => {}
    }
}

/// Passes bytes on in one direction, as the link's state has it.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut link: watch::Receiver<Link>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let Ok(state) = link
            .wait_for(|&link| link != Link::Silent)
            .await
            .map(|link| *link)
        else {
            return;
        };
        let most = match state {
            Link::Slow { bytes_per_s } => {
                tokio::time::sleep(Duration::from_secs(1) / PIECES_PER_S).await;
                usize::try_from(bytes_per_s / PIECES_PER_S).unwrap_or(CHUNK_BYTES)
            }
            _ => CHUNK_BYTES,
        };
        let length = match from.read(&mut chunk[..most.clamp(1, CHUNK_BYTES)]).await {
            Ok(length @ 1..) => length,
            _ => return,
        };
        // What was read while the link was open may still wait here for the end of a silence.
        if link.wait_for(|&link| link != Link::Silent).await.is_err()
            || to.write_all(&chunk[..length]).await.is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGER_THAN_LOOPBACK_TAKES: Duration = Duration::from_millis(50);

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mut from, mut to) = stream.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from, &mut to).await });
            }
        });
        address
    }

    async fn echoes(stream: &mut TcpStream) -> bool {
        let mut byte = [0];
        stream.write_all(b"x").await.is_ok() && stream.read_exact(&mut byte).await.is_ok()
    }

    #[tokio::test]
    async fn a_link_is_open_silent_slow_and_cut() {
        let relay = Relay::start(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(relay.address()).await.unwrap();
        assert!(echoes(&mut stream).await);
        relay.set(Link::Silent);
        let silence = tokio::time::timeout(LONGER_THAN_LOOPBACK_TAKES, echoes(&mut stream)).await;
        assert!(silence.is_err());
        relay.set(Link::Slow { bytes_per_s: 40 });
        // The byte that was sent into the silence comes now.
        stream.read_exact(&mut [0]).await.unwrap();
        assert!(echoes(&mut stream).await);
        relay.set(Link::Cut);
        assert!(!echoes(&mut stream).await);
        let mut refused = TcpStream::connect(relay.address()).await.unwrap();
        assert!(!echoes(&mut refused).await);
        relay.set(Link::Open);
        let mut again = TcpStream::connect(relay.address()).await.unwrap();
        assert!(echoes(&mut again).await);
    }
}
