//! Sessions: connections whose statement ends with whoever waits for it.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, ServerError};
use tokio::runtime::Handle;

use crate::{Error, Server};

/// Longest wait for the end of a statement, which the server reports in milliseconds, unless it is away itself.
const END_LIMIT: Duration = Duration::from_secs(3);

/// Pause between two questions whether it has ended.
const END_POLL: Duration = Duration::from_millis(10);

/// A permit of a limit on concurrency: one of the calls that may run at once. It is given back when its last clone is dropped, and a session
/// that is abandoned keeps its own until the server has ended the statement: a limit counts what the server does, not who waits.
pub type Place = Arc<dyn Any + Send + Sync>;

/// A connection for one piece of work, and the places that it takes. Dropped before it is over, because a client has left or
/// something failed, it ends its statement at the server, and gives the places back after that.
pub(crate) struct Session {
    conn: Conn,
    work: Work,
}

/// The work that a session is for. It is apart from the connection, so that a session can be taken apart when it is over.
struct Work {
    server: Arc<Server>,
    /// The session's number at the server, for `KILL`.
    connection_id: u32,
    places: Vec<Place>,
    is_over: bool,
}

impl Session {
    pub(crate) fn new(server: Arc<Server>, conn: Conn, places: Vec<Place>) -> Self {
        let work = Work {
            server,
            connection_id: conn.id(),
            places,
            is_over: false,
        };
        Self { conn, work }
    }

    pub(crate) fn server(&self) -> &Server {
        &self.work.server
    }

    /// Asks something within `limit`. After an error the session must be dropped.
    ///
    /// # Errors
    /// `Query` where the server refused, `TimedOut` where it did not answer in time.
    pub(crate) async fn call<T>(
        &mut self,
        action: &'static str,
        limit: Duration,
        ask: impl AsyncFnOnce(&mut Conn) -> Result<T, mysql_async::Error>,
    ) -> Result<T, Error> {
        let asked = ask(&mut self.conn);
        self.work.server.limited(action, limit, asked).await
    }

    /// The connection, after a call that ended well: nothing runs on it.
    pub(crate) fn over(self) -> Conn {
        let Self { conn, mut work } = self;
        work.is_over = true;
        conn
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        // Without a runtime nobody waits for places either.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (server, places) = (Arc::clone(&self.server), std::mem::take(&mut self.places));
        let connection_id = self.connection_id;
        runtime.spawn(async move {
            metrics::counter!("store_statements_abandoned_total").increment(1);
            // First the end at the server, then the places: the next call must not find the server busy with this one.
            if let Err(error) = end(&server, connection_id).await {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, connection_id, "an abandoned statement may go on");
            }
            drop(places);
        });
    }
}

/// Ends a connection, and returns once the server does not know it any more.
async fn end(server: &Server, connection_id: u32) -> Result<(), Error> {
    let options = server.options(&[])?;
    let end = async {
        let mut conn = Conn::new(options).await?;
        match conn.query_drop(format!("KILL {connection_id}")).await {
            Err(error) if !is_unknown(&error) => return Err(error),
            _ => {}
        }
        let count = format!("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = {connection_id}");
        while conn.query_first(&count).await? != Some(0) {
            tokio::time::sleep(END_POLL).await;
        }
        conn.disconnect().await
    };
    server.limited("end a statement", END_LIMIT, end).await
}

/// Whether the connection was gone already.
fn is_unknown(error: &mysql_async::Error) -> bool {
    const NO_SUCH_THREAD: u16 = 1094;
    matches!(
        error,
        mysql_async::Error::Server(ServerError {
            code: NO_SUCH_THREAD,
            ..
        })
    )
}
