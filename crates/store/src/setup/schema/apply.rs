//! The schema put in place on a server that others use meanwhile.

#![expect(clippy::disallowed_methods, reason = "waits are limited by time")]

use std::future::Future;
use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::Site;
use crate::{Error, Server, abandoned};

/// The lock of the session that applies the schema: two at once would build the same index twice.
const LOCK: &str = "eventtracker.schema";

/// Seconds to wait for it: a command that was stopped is gone as soon as the server notices.
const LOCK_WAIT_S: u64 = 2;

/// Longest wait for the answer about the lock.
const LOCK_LIMIT: Duration = Duration::from_secs(5);

/// Seconds that a statement waits for those who have its table open, while new readers and replication wait behind it: less than the
/// 20 s that the api waits for counts. Not much less, since the end of a long index waits so long, too, and is lost if it waits in vain.
const IN_USE_WAIT_S: u32 = 10;

/// Pause between two attempts: those who waited behind the first have the table for as long.
const IN_USE_PAUSE: Duration = Duration::from_secs(10);

/// Interval at which the caller hears of what is waited for.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// The time that one statement of the schema may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Longest run of a statement, after which it is ended at the server.
    pub running: Duration,
    /// Longest wait for a table that is in use, after which the statement is not tried again.
    pub in_use: Duration,
}

impl Patience {
    /// The patience for a server with history: an index over a hundred GB takes an hour or two; two queries of analysts, one after
    /// the other, take ten minutes.
    pub const UPGRADE: Self = Self {
        running: Duration::from_secs(6 * 3_600),
        in_use: Duration::from_secs(600),
    };

    /// The patience for a server that was just set up.
    pub const EMPTY: Self = Self {
        running: Duration::from_secs(60),
        in_use: Duration::from_secs(60),
    };
}

/// A statement that has not ended yet.
#[derive(Debug, Clone, Copy)]
pub struct Waiting<'a> {
    /// The line of it that says what it changes.
    pub statement: &'a str,
    /// Time since the first attempt began.
    pub waited: Duration,
    /// Whether its table was in use, so that it is tried again.
    pub is_in_use: bool,
}

/// Puts every database, table, view and procedure in place. Tables that are there stay as they are; views and procedures,
/// which hold nothing, are put there anew. `progress` hears of what takes long.
///
/// `admin` needs the right to create them and, in a region, to switch off its binlog:
/// a region's schema must not travel to the centre.
///
/// # Errors
/// `Applying` where another call is at it; `InUse` where a table was in use for longer than `patience` has; `Stopped` when `stop` came
/// first; or the first statement failed. A repetition goes on from there. The server has ended the statement by then, unless the error is
/// `StillRuns`.
pub async fn apply(
    admin: &Server,
    site: Site,
    patience: Patience,
    progress: impl FnMut(Waiting<'_>),
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let mut conn = admin.connect().await?;
    hold(admin, &mut conn).await?;
    super::expect_known_form(admin, &mut conn, site).await?;
    let session = conn.id();
    let statements = Statements {
        admin,
        conn,
        patience,
        progress,
    };
    let outcome = tokio::select! {
        outcome = statements.run(site) => outcome,
        () = stop => Err(Error::Stopped { server: admin.to_string() }),
    };
    match &outcome {
        Ok(()) => {}
        // The server has refused the statement, so it has ended it.
        Err(error) if error.is_answer() => {}
        // An ALTER TABLE goes on when its client has left, and a repetition of the call would meet its lock.
        Err(_) => abandoned::end(admin, session, LOCK).await?,
    }
    outcome
}

/// Keeps other calls away from this server while `conn` lasts.
async fn hold(admin: &Server, conn: &mut Conn) -> Result<(), Error> {
    let ask = async {
        let held: Option<Option<u8>> = conn
            .query_first(format!("SELECT GET_LOCK('{LOCK}', {LOCK_WAIT_S})"))
            .await?;
        if held.flatten() == Some(1) {
            return Ok(None);
        }
        Ok(Some(abandoned::holder(conn, LOCK).await?))
    };
    match admin.limited("wait for others", LOCK_LIMIT, ask).await? {
        None => Ok(()),
        Some(holder) => Err(Error::Applying {
            server: admin.to_string(),
            session: holder.map_or("that has just ended".to_owned(), |session| session.to_string()),
        }),
    }
}

/// The statements of a schema, on the session that holds the lock.
struct Statements<'a, P> {
    admin: &'a Server,
    conn: Conn,
    patience: Patience,
    progress: P,
}

impl<P: FnMut(Waiting<'_>)> Statements<'_, P> {
    /// Runs all of them: databases before their tables, tables before their upgrades, views, which need the upgraded columns, then; and
    /// what says that all of it is there last.
    async fn run(mut self, site: Site) -> Result<(), Error> {
        let setup = format!("SET sql_log_bin = 0, lock_wait_timeout = {IN_USE_WAIT_S}");
        for statement in std::iter::once(setup)
            .chain(site.databases())
            .chain(site.tables())
            .chain(site.upgrades())
            .chain(site.views())
            .chain(site.marks())
        {
            self.apply(&statement).await?;
        }
        Ok(())
    }

    /// Tries a statement until its table is not in use. Each of them can be repeated.
    async fn apply(&mut self, statement: &str) -> Result<(), Error> {
        let begun = Instant::now();
        loop {
            match self.attempt(statement, begun).await {
                Err(error) if error.is_in_use() && begun.elapsed() < self.patience.in_use => {}
                Err(error) if error.is_in_use() => {
                    return Err(Error::InUse {
                        server: self.admin.to_string(),
                        statement: title(statement).to_owned(),
                        waited: begun.elapsed(),
                        source: Box::new(error),
                    });
                }
                outcome => return outcome,
            }
            (self.progress)(Waiting {
                statement: title(statement),
                waited: begun.elapsed(),
                is_in_use: true,
            });
            tokio::time::sleep(IN_USE_PAUSE).await;
        }
    }

    /// Runs a statement once, and tells of it while it runs.
    async fn attempt(&mut self, statement: &str, begun: Instant) -> Result<(), Error> {
        let call = self.admin.limited(
            "apply the schema",
            self.patience.running,
            self.conn.query_drop(statement),
        );
        tokio::pin!(call);
        loop {
            tokio::select! {
                outcome = &mut call => return outcome,
                () = tokio::time::sleep(TOLD_EVERY) => (self.progress)(Waiting {
                    statement: title(statement),
                    waited: begun.elapsed(),
                    is_in_use: false,
                }),
            }
        }
    }
}

/// The line that says what a statement changes: of a compound statement, the `ALTER TABLE` in it.
fn title(statement: &str) -> &str {
    let lines = || statement.lines().map(str::trim);
    lines()
        .find(|line| line.starts_with("ALTER TABLE"))
        .or_else(|| lines().find(|line| !line.is_empty() && !line.starts_with("--")))
        .unwrap_or(statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_says_what_is_changed() {
        for site in [Site::Regional, Site::Central] {
            for statement in site.upgrades() {
                let title = title(&statement);
                assert!(
                    title.starts_with("ALTER TABLE ") || title.starts_with("INSERT "),
                    "{title}"
                );
            }
        }
        assert_eq!(title("-- why\nCREATE TABLE a (\n  b INT)"), "CREATE TABLE a (");
    }
}
