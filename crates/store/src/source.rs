//! Replication from the regions to a centre, as the centre shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use model::{Shard, Shards};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Row};

use crate::account::checked_word;
use crate::gtid::positions;
use crate::regional::REGION_BYTES_MAX;
use crate::server::DEFAULT_PORT;
use crate::{Account, CentralServer, Error, Members, Server};

/// The tables of a region that a centre applies, as MariaDB's `replicate_wild_do_table`: the outbox, and neither ledger nor accounts.
pub const WILD_DO_TABLE: &str = r"bigdata\_%.%";

/// The tables of shard 0's database that every server of a centre applies, whichever shards it has: the regions' clocks and sums, and names.
const EVERYWHERE: [&str; 3] = [
    r"bigdata\_0.Region%",
    r"bigdata\_0.EventTags",
    r"bigdata\_0.KeyReuse",
];

/// The patterns of `replicate_wild_do_table` at a server with these shards. Each names its shard exactly: `bigdata\_1%.%` would match 10 to
/// 19, too.
#[must_use]
pub fn wild_do_tables(shards: Shards) -> Vec<String> {
    if shards == Shards::ALL {
        return vec![WILD_DO_TABLE.to_owned()];
    }
    // What stands for all tables of shard 0 stands for these, too.
    let has_first = shards.iter().any(|shard| shard.number() == 0);
    let everywhere = EVERYWHERE
        .iter()
        .filter(|_| !has_first)
        .map(|&pattern| pattern.to_owned());
    let of_shard = |shard: Shard| format!(r"bigdata\_{}.%", shard.number());
    everywhere.chain(shards.iter().map(of_shard)).collect()
}

/// A replication source: a region's MariaDB, as the centre reaches it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The region's name, which is also the replication connection's.
    pub region: String,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The authorities' file for encrypted connections, as in [`Server::tls_ca`]. The centre's MariaDB reads it, too.
    #[serde(default)]
    pub tls_ca: Option<PathBuf>,
}

/// Another centre that the regions feed, as this one reaches it.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherCentre {
    /// The name that alarms call it by.
    pub name: String,
    /// Host name or address of its MariaDB, where it is one server.
    pub host: Option<String>,
    /// TCP port; 3306 by default.
    pub port: Option<u16>,
    /// The authorities' file for encrypted connections, as in [`Server::tls_ca`].
    pub tls_ca: Option<PathBuf>,
    /// Its servers, where it has several: `[[other_centre.server]]`, with the keys of `[[central_server]]`.
    #[serde(default)]
    pub server: Vec<CentralServer>,
}

impl OtherCentre {
    /// The centre's servers under `account`.
    ///
    /// # Errors
    /// `OtherCentre` where it has no address, or two; as of [`Members::of`].
    pub fn members(&self, account: &Account) -> Result<Members, Error> {
        let Self { name, tls_ca, .. } = self;
        let wrong = |what| Error::OtherCentre {
            name: name.clone(),
            what,
        };
        let has_address = self.host.is_some() || self.port.is_some();
        match (&self.host, self.server.as_slice()) {
            (None, []) => Err(wrong("no host")),
            (_, [_, ..]) if has_address => Err(wrong("an address and servers")),
            (host, servers) => {
                let host = host.as_deref().unwrap_or_default();
                let port = self.port.unwrap_or(DEFAULT_PORT);
                Members::of(&Server::at(host, port, tls_ca.as_deref(), account), servers)
            }
        }
    }
}

/// The state of replication from one source: a row of `SHOW ALL SLAVES STATUS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceState {
    /// The source, as replication was set up with it. It has authorities only where the server's name is verified by them.
    pub source: Source,
    /// State of the thread that fetches the binlog: `Yes`, `No`, `Connecting` or `Preparing`.
    pub io_running: String,
    /// State of the thread that applies it: `Yes` or `No`.
    pub sql_running: String,
    /// The last error of either thread, empty if there is none.
    pub last_error: String,
    /// The tables of the source that are applied, as `replicate_wild_do_table` has it; empty for all.
    pub wild_do_table: String,
    /// The source's `server_id`; 0 before it was first reached.
    pub server_id: u64,
    /// Sequence number of the last transaction of each GTID domain that was received, applied or not.
    pub received: BTreeMap<u32, u64>,
}

impl SourceState {
    /// Whether both threads run.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.io_running == "Yes" && self.sql_running == "Yes"
    }

    /// Whether reading has ended in the middle of an event: the region's disk was full, or its power was cut, while it wrote the event. The
    /// server does not read on by itself, and can as soon as the disk has room, or another file follows.
    #[must_use]
    pub fn was_cut_short(&self) -> bool {
        self.io_running == "No"
            && self
                .last_error
                .contains("binlog truncated in the middle of event")
    }

    /// Whether exactly what a server with these shards needs of the outbox is applied. Option files that say so twice make a list of it.
    #[must_use]
    pub fn is_limited_to(&self, shards: Shards) -> bool {
        let expected = wild_do_tables(shards);
        self.patterns() == expected.iter().map(String::as_str).collect()
    }

    /// Whether whatever a server with these shards needs is applied, and maybe more.
    #[must_use]
    pub fn has_all_of(&self, shards: Shards) -> bool {
        let patterns = self.patterns();
        let of_shard = |shard: Shard| wild_do_tables(shard.into());
        let needed: BTreeSet<String> = shards.iter().flat_map(of_shard).collect();
        self.wild_do_table.is_empty()
            || patterns.contains(WILD_DO_TABLE)
            || needed.iter().all(|pattern| {
                let of_first = pattern.starts_with(r"bigdata\_0.") && patterns.contains(r"bigdata\_0.%");
                of_first || patterns.contains(pattern.as_str())
            })
    }

    fn patterns(&self) -> BTreeSet<&str> {
        self.wild_do_table.split(',').map(str::trim).collect()
    }
}

impl Source {
    /// The region's server under `account`, where region, host and the authorities' file can stand in statements.
    ///
    /// # Errors
    /// `Word`, `Host` or `AuthoritiesPath` for what cannot be quoted.
    pub fn checked_server(&self, account: &Account) -> Result<Server, Error> {
        checked_word("region name", &self.region, REGION_BYTES_MAX)?;
        let host_is_plain = self
            .host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-:".contains(&b));
        if !host_is_plain || self.host.is_empty() {
            return Err(Error::Host {
                value: self.host.clone(),
            });
        }
        self.quotable_tls_ca()?;
        Ok(self.server(account))
    }

    /// The path of the authorities' file, fit to stand between quotes in a statement; empty without one.
    pub(crate) fn quotable_tls_ca(&self) -> Result<&str, Error> {
        let Some(path) = &self.tls_ca else {
            return Ok("");
        };
        let is_plain = |text: &&str| text.starts_with('/') && !text.contains(['\'', '"', '\\']);
        path.to_str()
            .filter(is_plain)
            .ok_or_else(|| Error::AuthoritiesPath {
                value: path.display().to_string(),
            })
    }

    /// The region's server under `account`.
    #[must_use]
    pub fn server(&self, account: &Account) -> Server {
        Server::at(&self.host, self.port, self.tls_ca.as_deref(), account)
    }

    /// Whether replication is as this source says: from the same address and, where this has authorities, verified by them. One without leaves
    /// it to the operator whether replication is encrypted.
    #[must_use]
    pub fn is_kept_by(&self, set_up: &Self) -> bool {
        self.is_at_same_place(set_up) && (self.tls_ca.is_none() || self.tls_ca == set_up.tls_ca)
    }

    /// Whether another source is the same region at the same address, encrypted or not.
    #[must_use]
    pub fn is_at_same_place(&self, other: &Self) -> bool {
        self.region == other.region && self.host == other.host && self.port == other.port
    }

    /// Host and port, with a colon between them.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// The state of every source of the centre, by region.
///
/// # Errors
/// A lost connection, or an account without SLAVE MONITOR.
pub(crate) async fn source_states(conn: &mut Conn) -> Result<Vec<SourceState>, mysql_async::Error> {
    let rows: Vec<Row> = conn.query(SHOW_SOURCES).await?;
    rows.iter().map(source_state).collect()
}

/// The question for the state of every source.
pub(crate) const SHOW_SOURCES: &str = "SHOW ALL SLAVES STATUS";

/// The state that a row of [`SHOW_SOURCES`] shows.
///
/// # Errors
/// A server that names its columns or writes its positions otherwise: a column that is not read would pass for an empty one.
pub(crate) fn source_state(row: &Row) -> Result<SourceState, mysql_async::Error> {
    let unknown = || DriverError::FromRow { row: row.clone() };
    let text = |column: &str| match row.get_opt::<Option<String>, _>(column) {
        Some(Ok(text)) => Ok(text.unwrap_or_default()),
        _ => Err(unknown()),
    };
    // The error quotes the statement that failed, perhaps with the bytes of a block.
    let error = |column: &str| match row.get_opt::<Option<Vec<u8>>, _>(column) {
        Some(Ok(text)) => Ok(printable(&text.unwrap_or_default())),
        _ => Err(unknown()),
    };
    let number = |column: &str| match row.get_opt::<u64, _>(column) {
        Some(Ok(number)) => Ok(number),
        _ => Err(unknown()),
    };
    Ok(SourceState {
        source: Source {
            region: text("Connection_name")?,
            host: text("Master_Host")?,
            port: u16::try_from(number("Master_Port")?).map_err(|_| unknown())?,
            tls_ca: (text("Master_SSL_Allowed")? == "Yes" && text("Master_SSL_Verify_Server_Cert")? == "Yes")
                .then(|| text("Master_SSL_CA_File"))
                .transpose()?
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
        },
        io_running: text("Slave_IO_Running")?,
        sql_running: text("Slave_SQL_Running")?,
        last_error: [error("Last_IO_Error")?, error("Last_SQL_Error")?].concat(),
        wild_do_table: text("Replicate_Wild_Do_Table")?,
        server_id: number("Master_Server_Id")?,
        received: positions(&text("Gtid_IO_Pos")?).ok_or_else(unknown)?,
    })
}

/// The text up to the first byte that no sentence has.
fn printable(text: &[u8]) -> String {
    let is_other = |byte: &u8| !matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t');
    let end = text.iter().position(is_other).unwrap_or(text.len());
    let ellipsis = if end < text.len() { "…" } else { "" };
    text[..end]
        .iter()
        .map(|&byte| char::from(byte))
        .collect::<String>()
        + ellipsis
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_shown_as_far_as_it_can_be_read() {
        assert_eq!(printable(b"Error 'full' on query."), "Error 'full' on query.");
        assert_eq!(
            printable(b"INSERT (_binary'\x21\x00\xff'"),
            "INSERT (_binary'!\u{2026}"
        );
        assert_eq!(printable(b""), "");
    }

    #[test]
    fn a_source_without_authorities_leaves_encryption_to_the_operator() {
        let source = |port, tls_ca: Option<&str>| Source {
            region: "eu".to_owned(),
            host: "db".to_owned(),
            port,
            tls_ca: tls_ca.map(PathBuf::from),
        };
        let (plain, encrypted) = (source(1, None), source(1, Some("/ca.pem")));
        assert!(plain.is_kept_by(&encrypted) && plain.is_kept_by(&plain) && encrypted.is_kept_by(&encrypted));
        assert!(!encrypted.is_kept_by(&plain) && !encrypted.is_kept_by(&source(1, Some("/other.pem"))));
        assert!(!plain.is_kept_by(&source(2, None)));
    }
}
