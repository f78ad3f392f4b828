//! A region's MariaDB, as the keeper of a centre reaches it.

use std::collections::BTreeMap;

use model::Timestamp;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::gtid::positions;
use crate::link::Link;
use crate::{Error, Server};

/// A region's MariaDB: its clock and its binlog. It is connected to when first needed, and anew after a failure.
pub struct RegionalServer {
    pub(crate) link: Link,
    /// The start of each binlog file that was asked for before, which does not change. Forgotten with a failure: another server may answer
    /// next.
    starts: BTreeMap<String, u64>,
}

/// One of a region's binlog files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinlogFile {
    /// Its name, without a directory.
    pub name: String,
    /// The sequence number of the last transaction before it in the region's domain; 0 for none, `None` where the server does not say.
    pub starts_after: Option<u64>,
}

/// A region's binlog, oldest file first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binlog {
    /// The server's `gtid_domain_id`.
    pub gtid_domain: u32,
    /// Its files, oldest first.
    pub files: Vec<BinlogFile>,
}

impl RegionalServer {
    /// A connection that is made when first needed.
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self {
            link: Link::new(server),
            starts: BTreeMap::new(),
        }
    }

    /// The server and the account that it is reached by.
    #[must_use]
    pub fn server(&self) -> &Server {
        self.link.server()
    }

    /// The server's clock, to the millisecond.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn clock(&mut self) -> Result<Timestamp, Error> {
        self.link.clock().await
    }

    /// The region's binlog: its files and where each of them starts.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn binlog(&mut self) -> Result<Binlog, Error> {
        let known = std::mem::take(&mut self.starts);
        let ask = async |conn: &mut Conn| {
            let gtid_domain = conn.query_first("SELECT @@gtid_domain_id").await?.unwrap_or(0);
            let names: Vec<(String, u64)> = conn.query("SHOW BINARY LOGS").await?;
            let mut files = Vec::new();
            for (name, _) in names {
                /// The first position in a file.
                const START: &str = "SELECT BINLOG_GTID_POS(?, 4)";
                let mut starts_after = known.get(&name).copied();
                if starts_after.is_none() {
                    let position: Option<Option<String>> = conn.exec_first(START, (&name,)).await?;
                    starts_after = position
                        .flatten()
                        .and_then(|text| starts_after_of(&text, gtid_domain));
                }
                files.push(BinlogFile { name, starts_after });
            }
            Ok(Binlog { gtid_domain, files })
        };
        let binlog = self.link.brief("read the binlog's files", ask).await?;
        let starts = binlog.files.iter();
        self.starts = starts
            .filter_map(|file| Some((file.name.clone(), file.starts_after?)))
            .collect();
        Ok(binlog)
    }

    /// The sequence number of the last transaction of `domain` in the region's binlog; 0 for none.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn last_written(&mut self, domain: u32) -> Result<u64, Error> {
        const SQL: &str = "SELECT @@gtid_binlog_pos";
        let position: Option<String> = self
            .link
            .brief("read the binlog's position", async |conn| {
                conn.query_first(SQL).await
            })
            .await?;
        let positions = position.as_deref().and_then(positions);
        let positions = positions.ok_or(Error::Shape { what: SQL })?;
        Ok(positions.get(&domain).copied().unwrap_or(0))
    }

    /// Purges the region's binlog files before `file`, which cannot be undone.
    ///
    /// # Errors
    /// `Shape` for a name that is no file's; the server refused or did not answer, also where `file` is gone already.
    pub async fn purge_to(&mut self, file: &str) -> Result<(), Error> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if !file.bytes().all(is_plain) {
            return Err(Error::Shape {
                what: "SHOW BINARY LOGS",
            });
        }
        // The server takes no parameter here.
        self.link
            .brief("purge binlogs", async |conn| {
                conn.query_drop(format!("PURGE BINARY LOGS TO '{file}'")).await
            })
            .await
    }
}

/// The sequence number of the last transaction of `domain` before a binlog file; `None` for a position that cannot be read.
fn starts_after_of(position: &str, domain: u32) -> Option<u64> {
    Some(positions(position)?.get(&domain).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_whose_position_cannot_be_read_begins_nowhere() {
        assert_eq!(starts_after_of("2-7-50", 2), Some(50));
        assert_eq!(starts_after_of("", 2), Some(0));
        assert_eq!(starts_after_of("1-1-100,2-7-50", 2), Some(50));
        assert_eq!(starts_after_of("1-1-100", 2), Some(0));
        assert_eq!(starts_after_of("2-7", 2), None);
    }
}
