//! A centre's MariaDB, as its keeper, or another centre's, reaches it.

use std::collections::BTreeMap;

use model::Instant;
use mysql_async::prelude::Queryable;

use crate::clock::{self, RegionClock};
use crate::gtid::positions;
use crate::link::Link;
use crate::source::{SourceState, source_states};
use crate::{Error, Server};

/// A centre's MariaDB: how far it is, and the keeper's notes. Connects when first asked, and anew after a failure. Can neither set up nor stop
/// replication.
pub struct Centre {
    pub(crate) link: Link,
}

impl Centre {
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self {
            link: Link::new(server),
        }
    }

    #[must_use]
    pub fn server(&self) -> &Server {
        self.link.server()
    }

    /// The server's clock.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn clock(&mut self) -> Result<Instant, Error> {
        self.link.clock().await
    }

    /// The last transaction of each domain that a centre has durably applied; `None` where it does not sync what it applies.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn applied(&mut self) -> Result<Option<BTreeMap<u32, u64>>, Error> {
        const SQL: &str = "SELECT @@innodb_flush_log_at_trx_commit, @@gtid_slave_pos";
        let row: Option<(u8, String)> = self
            .link
            .brief("read the position", async |conn| conn.query_first(SQL).await)
            .await?;
        let (flush, position) = row.ok_or(Error::Shape { what: SQL })?;
        let applied = positions(&position).ok_or(Error::Shape { what: SQL })?;
        Ok((flush == 1).then_some(applied))
    }

    /// The sources of this centre.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn sources(&mut self) -> Result<Vec<SourceState>, Error> {
        self.link
            .brief("read the sources", async |conn| source_states(conn).await)
            .await
    }

    /// The last transaction of each domain that this centre has applied, durably or not.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn positions(&mut self) -> Result<BTreeMap<u32, u64>, Error> {
        positions(&self.gtid_slave_pos().await?).ok_or(Error::Shape {
            what: "@@gtid_slave_pos",
        })
    }

    /// The same as the server writes it, as `1-1-100,2-2-50`.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn gtid_slave_pos(&mut self) -> Result<String, Error> {
        let position: Option<String> = self
            .link
            .brief("read the position", async |conn| {
                conn.query_first("SELECT @@gtid_slave_pos").await
            })
            .await?;
        Ok(position.unwrap_or_default())
    }

    /// When the region's newest claim that has reached this centre was made, by the region's clock.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn newest_claim(&mut self, region: &str) -> Result<Option<Instant>, Error> {
        const SQL: &str = "SELECT CAST(UNIX_TIMESTAMP(MAX(seenAt)) * 1000 AS SIGNED) \
                           FROM bigdata_0.RegionClock WHERE region = ?";
        let row: Option<Option<i64>> = self
            .link
            .brief("read a region's clock", async |conn| {
                conn.exec_first(SQL, (region,)).await
            })
            .await?;
        Ok(row.flatten().map(Instant::from_unix_ms))
    }

    /// What this centre knows of the clocks of the regions that it replicates from.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn clocks(&mut self) -> Result<BTreeMap<String, RegionClock>, Error> {
        self.link
            .brief("read the clocks", async |conn| clock::read(conn).await)
            .await
    }

    /// Regions whose totals cannot grow any more.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn saturated(&mut self) -> Result<Vec<String>, Error> {
        const SQL: &str = "SELECT region FROM bigdata_0.RegionTotal WHERE total = 18446744073709551615";
        self.link
            .brief("look for saturated sums", async |conn| conn.query(SQL).await)
            .await
    }
}
