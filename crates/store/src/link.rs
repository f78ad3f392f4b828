//! Links: connections that last as long as their calls end well.

use std::time::Duration;

use model::Timestamp;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params};

use crate::limits::BRIEF_LIMIT;
use crate::{Error, Server};

/// A server, and the connection to it, which is made when first needed and anew after a failure.
pub(crate) struct Link {
    server: Server,
    /// Statements that each connection begins with, besides those of [`Server::connect`].
    setup: Vec<String>,
    conn: Option<Conn>,
}

impl Link {
    pub(crate) fn new(server: Server) -> Self {
        Self::with_setup(server, Vec::new())
    }

    pub(crate) fn with_setup(server: Server, setup: Vec<String>) -> Self {
        Self {
            server,
            setup,
            conn: None,
        }
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The session's number at the server, while there is a connection.
    pub(crate) fn session(&self) -> Option<u32> {
        self.conn.as_ref().map(Conn::id)
    }

    /// Goes on with a connection that somebody else has made.
    pub(crate) fn hold(&mut self, conn: Conn) {
        self.conn = Some(conn);
    }

    /// Ends the connection, and with it a transaction that is in progress.
    pub(crate) fn close(&mut self) {
        self.conn = None;
    }

    /// Makes one call within `limit`. The connection is kept after an answer, and dropped after anything else: nobody knows then what it was
    /// at, and the next call would read the answer to this one.
    ///
    /// # Errors
    /// `Query` where the server refused, `TimedOut` where it did not answer in time; or there is no connection to be had.
    pub(crate) async fn call<T>(
        &mut self,
        action: &'static str,
        limit: Duration,
        ask: impl AsyncFnOnce(&mut Conn) -> Result<T, mysql_async::Error>,
    ) -> Result<T, Error> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.server.connect_with(&self.setup).await?,
        };
        let answer = self.server.limited(action, limit, ask(&mut conn)).await?;
        self.conn = Some(conn);
        Ok(answer)
    }

    /// A [`Link::call`] that takes a moment.
    pub(crate) async fn brief<T>(
        &mut self,
        action: &'static str,
        ask: impl AsyncFnOnce(&mut Conn) -> Result<T, mysql_async::Error>,
    ) -> Result<T, Error> {
        self.call(action, BRIEF_LIMIT, ask).await
    }

    /// Runs one statement that takes a moment, with the parameters in `row`.
    pub(crate) async fn execute(
        &mut self,
        action: &'static str,
        sql: &str,
        row: impl Into<Params> + Send,
    ) -> Result<(), Error> {
        self.brief(action, async |conn| conn.exec_drop(sql, row).await)
            .await
    }

    /// The server's clock.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub(crate) async fn clock(&mut self) -> Result<Timestamp, Error> {
        const SQL: &str = "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)";
        let now_ms: Option<i64> = self
            .brief("read the clock", async |conn| conn.query_first(SQL).await)
            .await?;
        now_ms
            .map(Timestamp::from_unix_ms)
            .ok_or(Error::Shape { what: SQL })
    }

    /// Waits up to `wait_s` seconds for a lock of `GET_LOCK`, which lasts as long as this connection. Returns whether it was to be had.
    pub(crate) async fn lock(&mut self, name: &str, wait_s: u64) -> Result<bool, Error> {
        let sql = format!("SELECT GET_LOCK('{name}', {wait_s})");
        let limit = BRIEF_LIMIT + Duration::from_secs(wait_s);
        let held: Option<Option<u8>> = self
            .call("wait for others", limit, async |conn| conn.query_first(sql).await)
            .await?;
        Ok(held.flatten() == Some(1))
    }
}
