//! Connections that are lent for one piece of work each.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, DriverError, FromRowError, Params};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{BRIEF_LIMIT, STATEMENT_S_MAX};
use crate::{Error, Server};

/// Connections at once: a few per core of the centre, which also applies every region's counts.
pub(super) const CONNECTIONS_MAX: usize = 8;

/// Longest wait for a connection while all are lent.
const WAIT_LIMIT: Duration = Duration::from_secs(5);

/// Longest wait for a new connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A closed connection waits no longer than a few of these for a server that went silent.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// Prepared statements per connection: one for each of 32 shards, and the others.
const STATEMENTS_PREPARED_MAX: usize = 48;

/// Not `mysql_async::Pool`: that takes a connection back, as if it were clean, whose call was dropped halfway.
pub(super) struct Leases {
    server: Server,
    slots: Semaphore,
    idle: Mutex<Vec<Conn>>,
}

/// A connection for one piece of work. Dropping it closes the connection; only [`Lease::give_back`] keeps it.
pub(super) struct Lease<'a> {
    leases: &'a Leases,
    conn: Conn,
    _slot: SemaphorePermit<'a>,
}

impl Leases {
    pub(super) fn new(server: &Server) -> Result<Self, Error> {
        server.options(&[])?;
        Ok(Self {
            server: server.clone(),
            slots: Semaphore::new(CONNECTIONS_MAX),
            idle: Mutex::default(),
        })
    }

    pub(super) async fn lease(&self) -> Result<Lease<'_>, Error> {
        let Ok(Ok(slot)) = tokio::time::timeout(WAIT_LIMIT, self.slots.acquire()).await else {
            let server = self.server.to_string();
            return Err(Error::TimedOut {
                action: "get a free connection",
                server,
                limit: WAIT_LIMIT,
            });
        };
        let conn = match self.take_idle().await {
            Some(conn) => conn,
            None => self.connect().await?,
        };
        Ok(Lease {
            leases: self,
            conn,
            _slot: slot,
        })
    }

    /// An idle connection that still answers. One that does not means that the server went away, and the others with it.
    async fn take_idle(&self) -> Option<Conn> {
        let mut conn = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        match self.server.limited("ping", BRIEF_LIMIT, conn.ping()).await {
            Ok(()) => Some(conn),
            Err(error) => {
                tracing::warn!(%error, "closing idle connections");
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
                None
            }
        }
    }

    async fn connect(&self) -> Result<Conn, Error> {
        let setup = [
            format!("SET max_statement_time = {STATEMENT_S_MAX}"),
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ".to_owned(),
        ];
        let options = self
            .server
            .options(&setup)?
            .stmt_cache_size(STATEMENTS_PREPARED_MAX)
            .tcp_keepalive(Some(TCP_KEEPALIVE));
        self.server
            .limited("connect", CONNECT_LIMIT, Conn::new(options))
            .await
    }
}

impl Lease<'_> {
    pub(super) fn parts(&mut self) -> (&Server, &mut Conn) {
        (&self.leases.server, &mut self.conn)
    }

    /// For the next piece of work: only after a call that ended well and outside of a transaction.
    pub(super) fn give_back(self) {
        self.leases
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(self.conn);
    }
}

/// Runs a prepared statement and hands over one row after the other.
pub(super) async fn for_each_row<T: FromRow>(
    conn: &mut Conn,
    sql: &str,
    params: impl Into<Params> + Send,
    mut each: impl FnMut(T) + Send,
) -> Result<(), mysql_async::Error> {
    let mut unexpected = None;
    let rows = conn.exec_iter(sql, params).await?;
    rows.for_each_and_drop(|row| match mysql_async::from_row_opt(row) {
        Ok(row) => each(row),
        Err(FromRowError(row)) => unexpected = Some(row),
    })
    .await?;
    unexpected.map_or(Ok(()), |row| Err(DriverError::FromRow { row }.into()))
}
