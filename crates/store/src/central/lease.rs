//! Leases: connections that are lent for one piece of work each.

#![expect(clippy::disallowed_methods, reason = "a connection is trusted for a moment")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::Shard;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::sync::Semaphore;

use super::{BRIEF_LIMIT, STATEMENT_S_MAX};
use crate::limits::{CONNECT, CONNECT_LIMIT};
use crate::session::{Place, Session};
use crate::{Error, Server};

/// Most connections at once: a few per core of the centre, which also applies every region's counts.
pub(super) const CONNECTIONS_MAX: usize = 8;

/// Most scans of most names at once: each keeps a core of the centre busy, and the other connections are for what is quick.
const BROAD_SCANS_MAX: usize = 2;

/// Longest wait for a connection while all are lent, and for a turn to scan.
const WAIT_LIMIT: Duration = Duration::from_secs(5);

/// The question which server it is.
const IDENTITY: &str = "SELECT CONCAT_WS(' ', @@hostname, @@port, @@server_id, @@datadir)";

/// TCP's keep-alive interval: a connection that is closed waits no longer than a few of these for a server that went silent.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// Time for which a connection that has just answered is used again without a ping: no server restarts so soon.
const TRUSTED_FOR: Duration = Duration::from_millis(500);

/// A pool of connections. Not `mysql_async::Pool`: that takes a connection back, as if it were clean, whose call was dropped halfway.
pub(super) struct Leases {
    server: Arc<Server>,
    /// A place for each connection.
    slots: Arc<Semaphore>,
    /// A place for each scan of most names.
    broad_scans: Arc<Semaphore>,
    /// Connections that are not lent.
    idle: Mutex<Vec<Idle>>,
}

/// What a connection leads to, and since when.
#[derive(Debug, Clone)]
pub(super) struct Connected {
    /// The instant when it was there.
    pub(super) at: Instant,
    /// The server at its other end, by what differs from any that takes its address over.
    pub(super) server: Arc<str>,
}

/// A connection that is not lent.
struct Idle {
    conn: Conn,
    connected: Connected,
    /// The instant when it was given back.
    since: Instant,
}

/// A connection for one piece of work. Dropping it closes the connection and ends its statement; only [`Lease::give_back`] keeps it.
pub(super) struct Lease {
    leases: Arc<Leases>,
    session: Session,
    connected: Connected,
}

impl Leases {
    pub(super) fn new(server: &Server) -> Result<Self, Error> {
        server.options(&[])?;
        Ok(Self {
            server: Arc::new(server.clone()),
            slots: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            broad_scans: Arc::new(Semaphore::new(BROAD_SCANS_MAX)),
            idle: Mutex::default(),
        })
    }

    /// A connection, which keeps the places that the work has taken.
    pub(super) async fn lease(self: &Arc<Self>, mut places: Vec<Place>) -> Result<Lease, Error> {
        let slot = self.place(&self.slots, "get a free connection").await?;
        let (conn, connected) = match self.take_idle().await {
            Some(idle) => idle,
            None => self.connect().await?,
        };
        places.push(slot);
        Ok(Lease {
            leases: Arc::clone(self),
            session: Session::new(Arc::clone(&self.server), conn, places),
            connected,
        })
    }

    /// The error of a server that is not asked, since it was found away.
    pub(super) fn away(&self) -> Error {
        Error::Away {
            server: self.server.to_string(),
        }
    }

    /// A turn to scan most names. To be had before a connection, so that nobody waits for a turn with one.
    pub(super) async fn turn_to_scan(&self) -> Result<Place, Error> {
        self.place(&self.broad_scans, "get a turn to scan names").await
    }

    async fn place(&self, places: &Arc<Semaphore>, action: &'static str) -> Result<Place, Error> {
        match tokio::time::timeout(WAIT_LIMIT, Arc::clone(places).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Arc::new(permit)),
            _ => Err(Error::Busy {
                action,
                server: self.server.to_string(),
                limit: WAIT_LIMIT,
            }),
        }
    }

    /// An idle connection that still answers. One that does not means that the server went away, and the others with it.
    async fn take_idle(&self) -> Option<(Conn, Connected)> {
        let Idle {
            mut conn,
            connected,
            since,
        } = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        if since.elapsed() < TRUSTED_FOR {
            return Some((conn, connected));
        }
        match self.server.limited("ping", BRIEF_LIMIT, conn.ping()).await {
            Ok(()) => Some((conn, connected)),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "closing idle connections");
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
                None
            }
        }
    }

    async fn connect(&self) -> Result<(Conn, Connected), Error> {
        let setup = [
            format!("SET max_statement_time = {STATEMENT_S_MAX}"),
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ".to_owned(),
        ];
        let options = self.server.options(&setup)?.tcp_keepalive(Some(TCP_KEEPALIVE));
        let connect = async {
            let mut conn = Conn::new(options).await?;
            let server: Option<String> = conn.query_first(IDENTITY).await?;
            // For speed alone: who asks for counts will say what is wrong with them.
            let opened = conn.query_drop(open_tables()).await;
            if let Err(error @ mysql_async::Error::Server(_)) = opened {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(error, "tables are opened when they are asked for");
            }
            Ok((conn, server.unwrap_or_default()))
        };
        let (conn, server) = self.server.limited(CONNECT, CONNECT_LIMIT, connect).await?;
        let connected = Connected {
            at: Instant::now(),
            server: server.into(),
        };
        Ok((conn, connected))
    }
}

/// The statement that opens the tables of counts: the first to do so after the server's start waits some half a millisecond for each, and so
/// would the first questions. Where one of them is just changed it waits for nobody.
fn open_tables() -> String {
    let tables = ["EventDay", "EventMinute", "EventBlock"];
    let table = |shard: Shard| tables.map(|table| format!("SELECT 1 FROM {shard}.{table} WHERE FALSE"));
    let tables: Vec<String> = Shard::all().flat_map(table).collect();
    let tables = tables.join(" UNION ALL ");
    format!("SET STATEMENT lock_wait_timeout = 0, max_statement_time = 1 FOR {tables}")
}

impl Lease {
    /// Makes a call, as [`Session::call`] does.
    pub(super) async fn call<T>(
        &mut self,
        action: &'static str,
        limit: Duration,
        ask: impl AsyncFnOnce(&mut Conn) -> Result<T, mysql_async::Error>,
    ) -> Result<T, Error> {
        self.session.call(action, limit, ask).await
    }

    pub(super) fn server(&self) -> &Server {
        self.session.server()
    }

    pub(super) fn connected(&self) -> Connected {
        self.connected.clone()
    }

    /// Ends the transaction that it is in.
    pub(super) async fn end_transaction(&mut self) -> Result<(), Error> {
        let end = async |conn: &mut Conn| conn.query_drop("COMMIT").await;
        self.call("end a snapshot", BRIEF_LIMIT, end).await
    }

    /// Gives the connection back for the next piece of work: only after a call that ended well, and outside of a transaction.
    pub(super) fn give_back(self) {
        self.leases
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Idle {
                conn: self.session.over(),
                connected: self.connected,
                since: Instant::now(),
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_for_a_turn_to_scan_holds_no_connection() {
        const LONGER_THAN_A_FREE_TURN: Duration = Duration::from_millis(20);
        let server = Server {
            name: None,
            socket: None,
            host: "127.0.0.1".to_owned(),
            port: 1,
            user: "nobody".to_owned(),
            password: None,
            tls_ca: None,
        };
        let leases = Leases::new(&server).unwrap();
        let mut turns = Vec::new();
        for _ in 0..BROAD_SCANS_MAX {
            turns.push(leases.turn_to_scan().await.unwrap());
        }
        let waiting = tokio::time::timeout(LONGER_THAN_A_FREE_TURN, leases.turn_to_scan());
        assert!(waiting.await.is_err());
        assert_eq!(leases.slots.available_permits(), CONNECTIONS_MAX);
        turns.pop();
        turns.push(leases.turn_to_scan().await.unwrap());
    }
}
