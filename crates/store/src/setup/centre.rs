//! A centre's MariaDB, as an operator's command reaches it: the regions that it replicates from.

use std::time::Duration;

use model::Shards;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::account::checked_word;
use crate::link::Link;
use crate::regional::REGION_BYTES_MAX;
use crate::source::{Source, wild_do_tables};
use crate::{Account, Error, Member, Server, upkeep};

/// Longest wait for one statement: stopping a thread waits for the transaction that it is applying.
const STATEMENT_LIMIT: Duration = Duration::from_secs(30);

/// Seconds between a source's proofs that it is alive: a cut link is noticed within twice this time.
const HEARTBEAT_S: u32 = 5;

/// Seconds between two attempts to reach a source. There is no limit on attempts (`master-retry-count=0`).
const CONNECT_RETRY_S: u32 = 5;

const NO_SUCH_CONNECTION: u16 = 1617;

/// A centre's MariaDB for an operator, who may do what a keeper may, and sets up replication and takes it down.
pub struct Centre {
    upkeep: upkeep::Centre,
    /// The shards that it has, and applies.
    shards: Shards,
}

impl Centre {
    /// A connection that is made when first needed, and anew after a failure.
    #[must_use]
    pub fn new(member: Member) -> Self {
        Self {
            upkeep: upkeep::Centre::new(member.server),
            shards: member.shards,
        }
    }

    /// The shards that it has.
    #[must_use]
    pub fn shards(&self) -> Shards {
        self.shards
    }

    pub(super) fn set_shards(&mut self, shards: Shards) {
        self.shards = shards;
    }

    /// The server and the account that it is reached by.
    #[must_use]
    pub fn server(&self) -> &Server {
        self.upkeep.server()
    }

    /// The keeper's calls, over the same connection.
    pub fn upkeep(&mut self) -> &mut upkeep::Centre {
        &mut self.upkeep
    }

    pub(super) fn link(&mut self) -> &mut Link {
        &mut self.upkeep.link
    }

    /// Points replication of a region at `source`, from its next start, and from the position that the centre has in each GTID domain. The
    /// connection is created where there is none, and stopped where there is one. It never applies more than what its shards need of
    /// [`WILD_DO_TABLE`](crate::setup::WILD_DO_TABLE).
    ///
    /// # Errors
    /// `Word`, `Host`, `AuthoritiesPath` or `PasswordText` for what cannot be quoted; the server refused or did not answer.
    pub async fn point_at(&mut self, source: &Source, account: &Account) -> Result<(), Error> {
        source.checked_server(account)?;
        let (user, password) = account.checked()?;
        self.stop_replication(&source.region).await?;
        let Source {
            region, host, port, ..
        } = source;
        // Encryption that an operator has set up by hand stays: it is never taken back by what is left out.
        let tls = match source.quotable_tls_ca()? {
            "" => String::new(),
            ca => format!(", MASTER_SSL=1, MASTER_SSL_CA='{ca}', MASTER_SSL_VERIFY_SERVER_CERT=1"),
        };
        let change = format!(
            "CHANGE MASTER '{region}' TO MASTER_HOST='{host}', MASTER_PORT={port}, MASTER_USER='{user}', \
             MASTER_PASSWORD='{password}', MASTER_USE_GTID=slave_pos, MASTER_HEARTBEAT_PERIOD={HEARTBEAT_S}, \
             MASTER_CONNECT_RETRY={CONNECT_RETRY_S}{tls}"
        );
        // The server takes a filter only for the connection that is the session's default.
        let filter = wild_do_tables(self.shards).join(",").replace('\\', r"\\");
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

    /// Starts replication from the region. Returns when its threads are started, not when they have reached the source.
    ///
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

    /// Stops replication from the region. Returns when both threads have ended; at once where there is no such connection.
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

    /// Runs a statement about a replication connection, which need not be there.
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
