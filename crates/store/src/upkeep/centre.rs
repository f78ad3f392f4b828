//! A centre's MariaDB, as its keeper, or another centre's, reaches it.

use std::collections::BTreeMap;

use model::{Shards, Timestamp};
use mysql_async::prelude::Queryable;

use crate::clock::{self, RegionClock};
use crate::gtid::positions;
use crate::link::Link;
use crate::source::{SourceState, source_states};
use crate::{Error, Held, Server, held};

/// A centre's MariaDB: its positions, and the keeper's notes. It is connected to when first needed, and anew after a failure. Can neither
/// set up nor stop replication.
pub struct Centre {
    pub(crate) link: Link,
}

impl Centre {
    /// A connection that is made when first needed.
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self {
            link: Link::new(server),
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

    /// The sequence number of the last transaction of each GTID domain that the centre has durably applied; `None` where it does not sync
    /// what it applies (`innodb_flush_log_at_trx_commit` other than 1), and a crash could take it back.
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

    /// The sources of this centre, with the state of replication from each.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn sources(&mut self) -> Result<Vec<SourceState>, Error> {
        self.link
            .brief("read the sources", async |conn| source_states(conn).await)
            .await
    }

    /// Lets this centre read on from a region, where its reading has ended.
    ///
    /// # Errors
    /// The server refused, as where it has no such source, or did not answer.
    pub async fn read_on(&mut self, region: &str) -> Result<(), Error> {
        const SQL: &str = "CALL bigdata_0.read_on(?)";
        self.link.execute("read on from a region", SQL, (region,)).await
    }

    /// The shards that this server has; none where it has not said so yet.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn held(&mut self) -> Result<Held, Error> {
        self.link
            .brief("read which shards it has", async |conn| held::read(conn).await)
            .await
            .map(Option::unwrap_or_default)
    }

    /// The sequence number of the last transaction of each GTID domain that this centre has applied, durably or not.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn positions(&mut self) -> Result<BTreeMap<u32, u64>, Error> {
        positions(&self.gtid_slave_pos().await?).ok_or(Error::Shape {
            what: "@@gtid_slave_pos",
        })
    }

    /// The centre's GTID position as the server writes it, such as `1-1-100,2-2-50`.
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

    /// The region's claims that have reached this centre, by the region's clock: the latest instant that one of them was made at or speaks
    /// of, and the latest until when one of them says that everything is counted.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn newest_claim(&mut self, region: &str) -> Result<Option<(Timestamp, Timestamp)>, Error> {
        const SQL: &str = "SELECT CAST(UNIX_TIMESTAMP(GREATEST(MAX(seenAt), MAX(completeUntil))) * 1000 AS SIGNED), \
                           CAST(UNIX_TIMESTAMP(MAX(completeUntil)) * 1000 AS SIGNED) \
                           FROM bigdata_0.RegionClock WHERE region = ? AND worker <> ''";
        let row: Option<(Option<i64>, Option<i64>)> = self
            .link
            .brief("read a region's clock", async |conn| {
                conn.exec_first(SQL, (region,)).await
            })
            .await?;
        let at = |ms: Option<i64>| ms.map(Timestamp::from_unix_ms);
        Ok(row.and_then(|(made, until)| at(made).zip(at(until))))
    }

    /// The watermark and the clock of every region that this server replicates from, by region, whatever is applied of it.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn clocks(&mut self) -> Result<BTreeMap<String, RegionClock>, Error> {
        self.link
            .brief("read the clocks", async |conn| {
                clock::read(conn, Shards::NONE).await
            })
            .await
    }

    /// The regions whose running totals have reached their limit of 2^64 - 1 and no longer grow.
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
