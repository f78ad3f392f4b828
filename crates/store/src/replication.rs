//! Replication from the regions to the centre.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use crate::account::checked_word;
use crate::regional::REGION_BYTES_MAX;
use crate::{Account, Error, Server};

const STATEMENT_LIMIT: Duration = Duration::from_secs(30);

/// The source proves that it is alive this often, so that a cut link is noticed within twice this time.
const HEARTBEAT_S: u32 = 5;

/// Wait between two attempts to reach a source; with no limit on attempts (`master-retry-count=0`).
const CONNECT_RETRY_S: u32 = 5;

/// A region's MariaDB as the centre reaches it.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub region: String,
    pub host: String,
    pub port: u16,
}

/// Another centre that the regions feed, as this one reaches it.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Centre {
    pub name: String,
    pub host: String,
    pub port: u16,
}

/// One connection of `SHOW ALL SLAVES STATUS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceState {
    pub region: String,
    /// The thread that fetches the binlog: `Yes`, `No`, `Connecting` or `Preparing`.
    pub io_running: String,
    /// The thread that applies it: `Yes` or `No`.
    pub sql_running: String,
    /// The last error of either thread, empty if there is none.
    pub last_error: String,
}

impl SourceState {
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.io_running == "Yes" && self.sql_running == "Yes"
    }
}

/// Makes the centre a replica of `source`. A source that is set up with the same address stays untouched and is only started.
///
/// # Errors
/// A name, host or password that cannot be quoted, a source that cannot be reached or has another server's identity,
/// or a statement that failed.
pub async fn start_source(centre_admin: &Server, source: &Source, account: &Account) -> Result<(), Error> {
    let name = checked_word("region name", &source.region, REGION_BYTES_MAX)?;
    let host_is_plain = source
        .host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b".-:".contains(&b));
    if !host_is_plain {
        return Err(Error::Host {
            value: source.host.clone(),
        });
    }
    let (user, password) = account.checked()?;
    check_identity(centre_admin, source, account).await?;
    let mut conn = centre_admin.connect().await?;
    let run = async {
        if !address_is_set(&mut conn, source).await? {
            conn.query_drop(format!("STOP SLAVE '{name}'"))
                .await
                .or_else(ignore_unknown_connection)?;
            conn.query_drop(format!(
                "CHANGE MASTER '{name}' TO MASTER_HOST='{}', MASTER_PORT={}, MASTER_USER='{user}', \
                 MASTER_PASSWORD='{password}', MASTER_USE_GTID=slave_pos, MASTER_HEARTBEAT_PERIOD={HEARTBEAT_S}, \
                 MASTER_CONNECT_RETRY={CONNECT_RETRY_S}",
                source.host, source.port
            ))
            .await?;
        }
        conn.query_drop(format!("START SLAVE '{name}'")).await
    };
    centre_admin
        .limited("start replication", STATEMENT_LIMIT, run)
        .await
}

/// What must differ between any two servers: the centre skips what it believes to have applied already.
#[derive(Debug, Clone, Copy)]
struct Identity {
    server_id: u64,
    gtid_domain_id: u64,
}

impl Identity {
    async fn of(server: &Server) -> Result<Self, Error> {
        const SQL: &str = "SELECT @@server_id, @@gtid_domain_id";
        let mut conn = server.connect().await?;
        let row = server
            .limited(
                "read the server's identity",
                STATEMENT_LIMIT,
                conn.query_first(SQL),
            )
            .await?;
        let (server_id, gtid_domain_id) = row.ok_or(Error::Shape { what: SQL })?;
        Ok(Self {
            server_id,
            gtid_domain_id,
        })
    }
}

/// Refuses a source that shares its identity with the centre or with another source. One that cannot be reached now
/// was compared when it was added.
async fn check_identity(centre_admin: &Server, source: &Source, account: &Account) -> Result<(), Error> {
    let mut conn = centre_admin.connect().await?;
    let show = conn.query("SHOW ALL SLAVES STATUS");
    let rows: Vec<Row> = centre_admin
        .limited("read the sources", STATEMENT_LIMIT, show)
        .await?;
    let mut others = vec![("the centre".to_owned(), Identity::of(centre_admin).await?)];
    for row in rows
        .iter()
        .filter(|row| text(row, "Connection_name") != source.region)
    {
        let port = row.get("Master_Port").unwrap_or_default();
        let other = Source {
            region: text(row, "Connection_name"),
            host: text(row, "Master_Host"),
            port,
        };
        match Identity::of(&other.server(account)).await {
            Ok(identity) => others.push((other.region, identity)),
            Err(error) => tracing::warn!(region = other.region, %error, "a source could not be compared"),
        }
    }
    let new = Identity::of(&source.server(account)).await?;
    for (other, identity) in others {
        for (setting, value, its) in [
            ("server_id", new.server_id, identity.server_id),
            ("gtid_domain_id", new.gtid_domain_id, identity.gtid_domain_id),
        ] {
            if value == its {
                return Err(Error::SameIdentity {
                    one: source.region.clone(),
                    other,
                    setting,
                    value,
                });
            }
        }
    }
    Ok(())
}

/// Refuses a centre that shares its `server_id` with another one. One that does not answer now is not compared.
///
/// # Errors
/// `SameServerId`, or this centre did not answer.
pub async fn check_other_centre(
    centre_admin: &Server,
    other: &Centre,
    account: &Account,
) -> Result<(), Error> {
    let own = Identity::of(centre_admin).await?.server_id;
    match Identity::of(&Server::at(&other.host, other.port, account)).await {
        Ok(identity) if identity.server_id == own => Err(Error::SameServerId {
            other: other.name.clone(),
            value: own,
        }),
        Ok(_) => Ok(()),
        Err(error) => {
            tracing::warn!(centre = other.name, %error, "a centre could not be compared");
            Ok(())
        }
    }
}

impl Source {
    pub(crate) fn server(&self, account: &Account) -> Server {
        Server::at(&self.host, self.port, account)
    }
}

async fn address_is_set(conn: &mut Conn, source: &Source) -> Result<bool, mysql_async::Error> {
    let rows: Vec<Row> = conn.query("SHOW ALL SLAVES STATUS").await?;
    Ok(rows.iter().any(|row| {
        text(row, "Connection_name") == source.region
            && text(row, "Master_Host") == source.host
            && row.get::<u16, _>("Master_Port") == Some(source.port)
    }))
}

fn ignore_unknown_connection(error: mysql_async::Error) -> Result<(), mysql_async::Error> {
    const NO_SUCH_CONNECTION: u16 = 1617;
    match error {
        mysql_async::Error::Server(e) if e.code == NO_SUCH_CONNECTION => Ok(()),
        other => Err(other),
    }
}

/// The state of every source of the centre, by region.
///
/// # Errors
/// A lost connection, or an account without SLAVE MONITOR.
pub async fn source_states(conn: &mut Conn) -> Result<Vec<SourceState>, mysql_async::Error> {
    let rows: Vec<Row> = conn.query("SHOW ALL SLAVES STATUS").await?;
    Ok(rows
        .iter()
        .map(|row| SourceState {
            region: text(row, "Connection_name"),
            io_running: text(row, "Slave_IO_Running"),
            sql_running: text(row, "Slave_SQL_Running"),
            last_error: [text(row, "Last_IO_Error"), text(row, "Last_SQL_Error")].concat(),
        })
        .collect())
}

fn text(row: &Row, column: &str) -> String {
    row.get::<Option<String>, _>(column).flatten().unwrap_or_default()
}
