//! A centre's MariaDB, as an operator's command reaches it: which regions it replicates from.

use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::account::checked_word;
use crate::link::Link;
use crate::regional::REGION_BYTES_MAX;
use crate::source::{Source, WILD_DO_TABLE};
use crate::{Account, Error, Server, upkeep};

/// Stopping a thread waits for the transaction that it is applying.
const STATEMENT_LIMIT: Duration = Duration::from_secs(30);

/// The source proves that it is alive this often, so that a cut link is noticed within twice this time.
const HEARTBEAT_S: u32 = 5;

/// Wait between two attempts to reach a source; with no limit on attempts (`master-retry-count=0`).
const CONNECT_RETRY_S: u32 = 5;

const NO_SUCH_CONNECTION: u16 = 1617;

/// A centre's MariaDB for an operator, who may do what a keeper may, and sets up replication and takes it down.
pub struct Centre {
    keepers: upkeep::Centre,
}

impl Centre {
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self {
            keepers: upkeep::Centre::new(server),
        }
    }

    #[must_use]
    pub fn server(&self) -> &Server {
        self.keepers.server()
    }

    /// What a keeper may do there, too.
    pub fn upkeep(&mut self) -> &mut upkeep::Centre {
        &mut self.keepers
    }

    pub(super) fn link(&mut self) -> &mut Link {
        &mut self.keepers.link
    }

    /// Lets the centre read `source` from its next start of replication, from where it is in each domain; the connection is
    /// created where there is none, and stopped where there is one. It never applies more than [`WILD_DO_TABLE`].
    ///
    /// # Errors
    /// A region, host or password that cannot be quoted; the server refused or did not answer.
    pub async fn point_at(&mut self, source: &Source, account: &Account) -> Result<(), Error> {
        source.checked_server(account)?;
        let (user, password) = account.checked()?;
        self.stop_replication(&source.region).await?;
        let Source { region, host, port } = source;
        let change = format!(
            "CHANGE MASTER '{region}' TO MASTER_HOST='{host}', MASTER_PORT={port}, MASTER_USER='{user}', \
             MASTER_PASSWORD='{password}', MASTER_USE_GTID=slave_pos, MASTER_HEARTBEAT_PERIOD={HEARTBEAT_S}, \
             MASTER_CONNECT_RETRY={CONNECT_RETRY_S}"
        );
        // The server takes a filter only for the connection that is the session's default.
        let filter = WILD_DO_TABLE.replace('\\', r"\\");
        let script = [
            change,
            format!("SET default_master_connection = '{region}'"),
            format!("SET GLOBAL replicate_wild_do_table = '{filter}'"),
            "SET default_master_connection = ''".to_owned(),
        ];
        self.link()
            .call("set up replication", STATEMENT_LIMIT, async |conn| {
                for statement in script {
                    conn.query_drop(statement).await?;
                }
                Ok(())
            })
            .await
    }

    /// # Errors
    /// The server refused or did not answer.
    pub async fn start_replication(&mut self, region: &str) -> Result<(), Error> {
        let name = checked_word("region name", region, REGION_BYTES_MAX)?;
        let start = format!("START SLAVE '{name}'");
        self.link()
            .call("start replication", STATEMENT_LIMIT, async |conn| {
                conn.query_drop(start).await
            })
            .await
    }

    /// Returns when both threads have ended; at once where there is no such connection.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn stop_replication(&mut self, region: &str) -> Result<(), Error> {
        let name = checked_word("region name", region, REGION_BYTES_MAX)?;
        let stop = format!("STOP SLAVE '{name}'");
        self.unless_unknown("stop replication", stop).await
    }

    /// Stops replication from the region for good. What was applied stays, and so does the position.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn end_replication(&mut self, region: &str) -> Result<(), Error> {
        self.stop_replication(region).await?;
        self.unless_unknown("end replication", format!("RESET SLAVE '{region}' ALL"))
            .await
    }

    async fn unless_unknown(&mut self, action: &'static str, statement: String) -> Result<(), Error> {
        self.link()
            .call(action, STATEMENT_LIMIT, async |conn: &mut Conn| {
                match conn.query_drop(statement).await {
                    Err(mysql_async::Error::Server(error)) if error.code == NO_SUCH_CONNECTION => Ok(()),
                    outcome => outcome,
                }
            })
            .await
    }
}
