//! The accounts that the roles use, each with the least rights that its work needs.

use std::time::Duration;

use model::Shard;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::{Account, Error, Server, tls};

/// Longest wait for one statement.
const STATEMENT_LIMIT: Duration = Duration::from_secs(30);

/// Seconds that the server waits for others: less than [`STATEMENT_LIMIT`], so that it does not set a password after that was given up.
const LOCK_WAIT_S: u32 = 20;

/// Seconds that an analyst's query may run.
const ANALYST_STATEMENT_S_MAX: u32 = 300;

/// Sessions of an analysts' account at once: a tenth of the centre's, so that the api always finds one.
const ANALYST_SESSIONS_MAX: u32 = 20;

/// The role that an analyst's account has: see `schema/central/analysts_role.sql`, and `init_connect` in
/// `deploy/mariadb-central.cnf`.
const ANALYSTS: &str = "eventtracker_analysts";

/// The views that analysts may read, in database `eventtracker`.
const ANALYSTS_VIEWS: [&str; 8] = [
    "event_minutes",
    "event_days",
    "named_minutes",
    "named_days",
    "event_tags",
    "region_minutes",
    "alarms",
    "region_health",
];

/// The tables that analysts may read: days that are not kept any more, for the procedures to refuse them; what the views of health show;
/// annotations.
const ANALYSTS_TABLES: [&str; 4] = ["DroppedDays", "Alarm", "ClockOffset", "Annotation"];

/// The role that may start replication, for the procedure that the keeper calls: see `schema/central/read_on.sql`.
const READER: &str = "eventtracker_reader";

/// The action whose failure needs a remedy.
const GRANT_ROLE: &str = "grant role eventtracker_analysts (its creator can; where that account is gone, drop the role and repeat)";

/// An account's role, which decides its rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// In a region: writes counts and the ledger.
    Worker,
    /// In a region: reads the binlog for the centre.
    Replication,
    /// At the centre: reads everything, and the state of replication; writes annotations.
    Api,
    /// At the centre: reads counts and names, and calls procedures, all within limits.
    Analyst,
    /// In a region: for the keeper of a centre, which reads clock, totals and ledger and purges applied binlogs, and for
    /// `region switch`, which moves the ledger to another server: it can add to it and cannot take from it.
    RegionalKeeper,
    /// At the centre: for its keeper, which packs days, audits and takes notes, and for other centres' keepers, which ask how far it is.
    CentralKeeper,
}

/// Gives the account the analysts' role, with which its sessions begin. One that has it already keeps it: only the role's
/// creator could grant it, and a later administrator may be another.
async fn join_analysts(conn: &mut Conn, user: &str) -> Result<(), mysql_async::Error> {
    for host in ["localhost", "%"] {
        let account = format!("'{user}'@'{host}'");
        let has_it: Option<u8> = conn
            .exec_first(
                "SELECT 1 FROM mysql.roles_mapping WHERE User = ? AND Host = ? AND Role = ?",
                (user, host, ANALYSTS),
            )
            .await?;
        if has_it.is_none() {
            conn.query_drop(format!("GRANT {ANALYSTS} TO {account}")).await?;
        }
        conn.query_drop(format!("SET DEFAULT ROLE {ANALYSTS} FOR {account}"))
            .await?;
    }
    Ok(())
}

/// The keeper's rights on the tables of each shard: it moves counts from one table to the next. The last three, with which the keeper only
/// changes partitions, are what dropping a partition takes.
const KEEPERS_SHARD_TABLES: [(&str, &str); 3] = [
    ("EventBlock", "DELETE"),
    ("EventMinute", "INSERT, UPDATE, DELETE"),
    ("EventDay", "INSERT, UPDATE, ALTER, CREATE, DROP"),
];

/// The right to let the centre read on, and what the procedure that does it needs.
fn reading_on(account: &str) -> [String; 3] {
    let call = |who| format!("GRANT EXECUTE ON PROCEDURE bigdata_0.read_on TO {who}");
    let start = format!("GRANT REPLICATION SLAVE ADMIN ON *.* TO {READER}");
    [start, call(READER), call(account)]
}

impl Role {
    /// Creates the account on `admin`'s server, or sets its password and rights anew. Where `admin` has authorities, who comes by host and
    /// port has to encrypt.
    ///
    /// # Errors
    /// `PasswordVariable`, `PasswordFile` or `PasswordText` for a password that cannot be read or quoted; `NoCertificate` where the server
    /// cannot encrypt and should; the server refused or did not answer.
    pub async fn ensure(self, account: &Account, admin: &Server) -> Result<(), Error> {
        let (user, password) = account.checked()?;
        if admin.tls_ca.is_some() {
            tls::check_certificate(admin).await?;
        }
        let mut conn = admin.connect().await?;
        let mut statements = vec![format!("SET sql_log_bin = 0, lock_wait_timeout = {LOCK_WAIT_S}")];
        for (host, has_to_encrypt) in [("localhost", false), ("%", admin.tls_ca.is_some())] {
            let at = format!("'{user}'@'{host}'");
            // Without authorities, what an operator has required by hand stays.
            let require = if has_to_encrypt { " REQUIRE SSL" } else { "" };
            statements.push(format!("CREATE USER IF NOT EXISTS {at}"));
            statements.push(format!(
                "ALTER USER {at} IDENTIFIED BY '{password}'{require}{}",
                self.limits()
            ));
            statements.extend(self.grants(&at));
        }
        for statement in statements {
            admin
                .limited("set up an account", STATEMENT_LIMIT, conn.query_drop(statement))
                .await?;
        }
        if self == Self::Analyst {
            let join = join_analysts(&mut conn, user);
            admin.limited(GRANT_ROLE, STATEMENT_LIMIT, join).await?;
        }
        Ok(())
    }

    /// The account's limits, as `ALTER USER` takes them.
    fn limits(self) -> String {
        match self {
            Self::Analyst => format!(
                " WITH MAX_STATEMENT_TIME {ANALYST_STATEMENT_S_MAX} MAX_USER_CONNECTIONS {ANALYST_SESSIONS_MAX}"
            ),
            Self::Worker | Self::Replication | Self::Api | Self::RegionalKeeper | Self::CentralKeeper => {
                String::new()
            }
        }
    }

    /// The statements that give the role's rights to an account.
    fn grants(self, account: &str) -> Vec<String> {
        // An operator can give the role to accounts of persons, too; and the views, which it owns, read by its rights.
        let account = if self == Self::Analyst { ANALYSTS } else { account };
        let per_shard = |rights: &str| -> Vec<String> {
            Shard::all()
                .map(|shard| format!("GRANT {rights} ON {shard}.* TO {account}"))
                .collect()
        };
        let on_tables = |tables: &[(&str, &str)]| -> Vec<String> {
            let grant = |(table, rights)| format!("GRANT {rights} ON eventtracker.{table} TO {account}");
            tables.iter().copied().map(grant).collect()
        };
        match self {
            Self::Worker => {
                let mut grants = per_shard("INSERT, UPDATE, SELECT");
                grants.extend(on_tables(&[
                    ("CountedBatch", "INSERT, SELECT, DELETE"),
                    ("CountedFlush", "INSERT, SELECT, DELETE"),
                    ("CountedTotal", "INSERT, UPDATE, SELECT"),
                    ("LedgerClock", "UPDATE, SELECT"),
                    ("TubeMark", "INSERT, UPDATE, SELECT"),
                    ("RegionMoved", "SELECT"),
                ]));
                grants
            }
            Self::Replication => vec![format!("GRANT REPLICATION SLAVE ON *.* TO {account}")],
            Self::Api => {
                let mut grants = per_shard("SELECT");
                grants.push(format!("GRANT SLAVE MONITOR ON *.* TO {account}"));
                grants.extend(on_tables(&[("*", "SELECT"), ("Annotation", "INSERT, DELETE")]));
                grants
            }
            Self::RegionalKeeper => {
                // The tables of the outbox hold nothing; without a right to them, they cannot be seen.
                let mut grants = per_shard("SELECT");
                grants.push(format!("GRANT BINLOG ADMIN, BINLOG MONITOR ON *.* TO {account}"));
                grants.extend(on_tables(&[
                    ("*", "SELECT"),
                    ("CountedBatch", "INSERT"),
                    ("CountedFlush", "INSERT"),
                    ("CountedTotal", "INSERT, UPDATE"),
                    ("LedgerClock", "UPDATE"),
                    ("TubeMark", "INSERT, UPDATE"),
                    ("RegionMoved", "INSERT, UPDATE"),
                ]));
                grants
            }
            Self::CentralKeeper => {
                let mut grants = per_shard("SELECT");
                for (table, rights) in KEEPERS_SHARD_TABLES {
                    let grant = |shard: Shard| format!("GRANT {rights} ON {shard}.{table} TO {account}");
                    grants.extend(Shard::all().map(grant));
                }
                grants.push(format!("GRANT SLAVE MONITOR ON *.* TO {account}"));
                grants.extend(reading_on(account));
                grants.extend(on_tables(&[("*", "INSERT, UPDATE, DELETE, SELECT")]));
                grants
            }
            Self::Analyst => {
                let mut grants = per_shard("SELECT");
                for view in ANALYSTS_VIEWS {
                    grants.push(format!(
                        "GRANT SELECT, SHOW VIEW ON eventtracker.{view} TO {account}"
                    ));
                }
                for table in ANALYSTS_TABLES {
                    grants.push(format!("GRANT SELECT ON eventtracker.{table} TO {account}"));
                }
                grants.push(format!("GRANT EXECUTE ON eventtracker.* TO {account}"));
                grants
            }
        }
    }
}
