//! GTID positions: places in the binlogs of all domains (MariaDB's Global Transaction IDs, `domain-server-sequence`).

use std::collections::BTreeMap;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

/// The sequence number of each domain in a GTID position such as `1-1-100,2-2-50`; `None` for a text that is none. A part of it is never
/// returned: a domain that is missing would mean that nothing was written or applied in it.
pub(crate) fn positions(text: &str) -> Option<BTreeMap<u32, u64>> {
    let gtids = text.split(',').filter(|gtid| !gtid.trim().is_empty());
    gtids
        .map(|gtid| {
            let mut parts = gtid.trim().split('-');
            let domain = parts.next()?.parse().ok()?;
            let sequence = parts.nth(1)?.parse().ok()?;
            Some((domain, sequence))
        })
        .collect()
}

/// A transaction of a region's binlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gtid {
    /// GTID domain.
    pub domain: u32,
    /// The server that wrote it.
    pub server_id: u64,
    /// Its number in the domain.
    pub sequence: u64,
}

impl std::fmt::Display for Gtid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server_id, self.sequence)
    }
}

/// Begins a transaction in which the server commits nothing of any region, and reads the last transaction of each domain that it has. What it
/// applies meanwhile waits for the rows of its position.
pub(crate) async fn hold(conn: &mut Conn) -> Result<BTreeMap<u32, Gtid>, mysql_async::Error> {
    conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .await?;
    conn.query_drop("START TRANSACTION").await?;
    read(conn, "LOCK IN SHARE MODE").await
}

/// Reads the last transaction of each domain that the server has, as of the snapshot of `conn` or with a lock: MariaDB notes it in the
/// transaction of the counts, where the tables for that are InnoDB's.
pub(crate) async fn read(conn: &mut Conn, lock: &str) -> Result<BTreeMap<u32, Gtid>, mysql_async::Error> {
    const TABLES: &str = "SELECT TABLE_NAME FROM information_schema.TABLES \
                          WHERE TABLE_SCHEMA = 'mysql' AND TABLE_NAME LIKE 'gtid\\_slave\\_pos%'";
    let tables: Vec<String> = conn.query(TABLES).await?;
    let mut rows = Vec::<(u32, u64, u64, u64)>::new();
    for table in tables {
        let of_table = format!("SELECT domain_id, sub_id, server_id, seq_no FROM mysql.{table} {lock}");
        rows.extend(conn.query::<(u32, u64, u64, u64), _>(of_table).await?);
    }
    // Of each domain the newest row is its position.
    rows.sort_unstable();
    let gtid = |(domain, _, server_id, sequence)| {
        (
            domain,
            Gtid {
                domain,
                server_id,
                sequence,
            },
        )
    };
    Ok(rows.into_iter().map(gtid).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_has_a_number_for_each_domain() {
        let both = BTreeMap::from([(1, 100), (2, 50)]);
        assert_eq!(positions("1-1-100, 2-7-50\n"), Some(both));
        assert_eq!(positions(""), Some(BTreeMap::new()));
        for text in ["1-1", "1-1-100,x", "1-1-100;2-2-50", "NULL"] {
            assert_eq!(positions(text), None, "{text}");
        }
    }
}
