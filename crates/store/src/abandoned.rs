//! Statements that nobody waits for any more. A server goes on with a statement whose client has left, so a long one is ended there, through
//! a second connection.

use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::{Error, Server};

/// Longest wait for the end of a statement: an index that is half built is dropped in seconds.
const END_LIMIT: Duration = Duration::from_secs(30);

/// Pause between two questions whether the statement has ended.
const ASKED_EVERY: Duration = Duration::from_millis(50);

/// Ends the session that holds `lock`, if it is still `session`, and returns when its statement has ended. The lock shows that the
/// session is the one that is meant: session numbers begin anew when a server restarts.
///
/// # Errors
/// `StillRuns` where the server refused, did not answer, or has not ended it in time.
pub(crate) async fn end(server: &Server, session: u32, lock: &str) -> Result<(), Error> {
    let still_runs = |source| Error::StillRuns {
        server: server.to_string(),
        session,
        source: Box::new(source),
    };
    let mut conn = server.connect().await.map_err(still_runs)?;
    server
        .limited(
            "end a statement that was given up",
            END_LIMIT,
            kill(&mut conn, session, lock),
        )
        .await
        .map_err(still_runs)
}

/// Ends the session, and waits until it has given the lock back, which it does after its last statement.
async fn kill(conn: &mut Conn, session: u32, lock: &str) -> Result<(), mysql_async::Error> {
    const NO_SUCH_SESSION: u16 = 1094;
    if holder(conn, lock).await? != Some(session) {
        return Ok(());
    }
    match conn.query_drop(format!("KILL {session}")).await {
        Err(mysql_async::Error::Server(error)) if error.code == NO_SUCH_SESSION => {}
        outcome => outcome?,
    }
    while holder(conn, lock).await? == Some(session) {
        tokio::time::sleep(ASKED_EVERY).await;
    }
    Ok(())
}

/// The session that holds a lock of `GET_LOCK`; the server gives the lock back after the session's last statement.
pub(crate) async fn holder(conn: &mut Conn, lock: &str) -> Result<Option<u32>, mysql_async::Error> {
    let holder: Option<Option<u32>> = conn.query_first(format!("SELECT IS_USED_LOCK('{lock}')")).await?;
    Ok(holder.flatten())
}
