//! Partitions of `EventDay`, and dropping the oldest of them.

use std::time::Duration;

use model::{Day, Shard};
use mysql_async::prelude::Queryable;

use super::Centre;
use crate::{Error, abandoned};

/// Cutting a table into partitions for the first time copies it: some 50 MB/s, of tens of GB at most.
const COPY_LIMIT: Duration = Duration::from_secs(3_600);

/// How long the end of a copy waits for readers of the table, while new ones wait behind it.
const READERS_WAIT_S: u32 = 10;

/// Held while partitions change: a copy that a keeper began goes on at the server when the keeper is restarted.
const LOCK: &str = "eventtracker.partitions";

/// The partition without an end.
const REST: &str = "rest";

/// A range of days of one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    pub name: String,
    /// The first day after it; `None` of the last one, which has no end.
    pub before: Option<Day>,
}

/// How much a shard's packed days are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedSize {
    pub oldest: Day,
    pub newest: Day,
    pub bytes: u64,
}

/// What was dropped with a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    pub before: Day,
    /// Its oldest day; `None` of an empty partition.
    pub first: Option<String>,
    pub rows: u64,
    /// Sum of the counts.
    pub total: String,
}

impl Centre {
    /// A shard's partitions in the order of days; none where the table has no partitions.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn partitions(&mut self, shard: Shard) -> Result<Vec<Partition>, Error> {
        let sql = format!(
            "SELECT PARTITION_NAME, UNIX_TIMESTAMP(CAST(NULLIF(TRIM(CHAR(39) FROM PARTITION_DESCRIPTION), 'MAXVALUE') AS DATE)) \
             FROM information_schema.PARTITIONS \
             WHERE TABLE_SCHEMA = '{shard}' AND TABLE_NAME = 'EventDay' AND PARTITION_NAME IS NOT NULL \
             ORDER BY PARTITION_ORDINAL_POSITION"
        );
        let rows: Vec<(String, Option<i64>)> = self
            .link
            .brief("read the partitions", async |conn| conn.query(sql).await)
            .await?;
        let partition = |(name, before): (String, Option<i64>)| Partition {
            name,
            before: before.map(Day::containing),
        };
        Ok(rows.into_iter().map(partition).collect())
    }

    /// `None` where no day is packed.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn packed_size(&mut self, shard: Shard) -> Result<Option<PackedSize>, Error> {
        let sql = format!(
            "SELECT UNIX_TIMESTAMP(MIN(day)), UNIX_TIMESTAMP(MAX(day)), \
             (SELECT CAST(SUM(data_length + index_length) AS UNSIGNED) FROM information_schema.TABLES \
              WHERE TABLE_SCHEMA = '{shard}' AND TABLE_NAME = 'EventDay') FROM {shard}.EventDay"
        );
        type Row = (Option<i64>, Option<i64>, Option<u64>);
        let row: Option<Row> = self
            .link
            .brief("read the size of packed days", async |conn| {
                conn.query_first(sql).await
            })
            .await?;
        Ok(row.and_then(|(oldest, newest, bytes)| {
            Some(PackedSize {
                oldest: Day::containing(oldest?),
                newest: Day::containing(newest?),
                bytes: bytes?,
            })
        }))
    }

    /// Ends a partition before each of `bounds`, in the order of days and later than those that exist. The table is copied if it
    /// had no partitions.
    ///
    /// # Errors
    /// The server refused or did not answer; a reader has the table.
    pub async fn cut_partitions(
        &mut self,
        shard: Shard,
        bounds: &[Day],
        is_first: bool,
    ) -> Result<(), Error> {
        let name = |day: &Day| format!("before_{}", day.to_string().replace('-', ""));
        let cut = bounds
            .iter()
            .map(|day| format!("PARTITION {} VALUES LESS THAN ('{day}')", name(day)));
        let cut = cut.chain([format!("PARTITION {REST} VALUES LESS THAN (MAXVALUE)")]);
        let cut = cut.collect::<Vec<_>>().join(", ");
        let (how, wait_s) = if is_first {
            (
                format!("PARTITION BY RANGE COLUMNS (day) ({cut})"),
                READERS_WAIT_S,
            )
        } else {
            (format!("REORGANIZE PARTITION {REST} INTO ({cut})"), 0)
        };
        self.alter(shard, "cut packed days into partitions", &how, wait_s)
            .await
    }

    /// Notes what a partition holds, and drops it.
    ///
    /// # Errors
    /// The server refused or did not answer; a reader has the table.
    pub async fn drop_partition(&mut self, shard: Shard, name: &str, before: Day) -> Result<Dropped, Error> {
        let held = format!(
            "SET STATEMENT max_statement_time = {} FOR SELECT CAST(MIN(day) AS CHAR), COUNT(*), CAST(COALESCE(SUM(total), 0) AS CHAR) \
             FROM {shard}.EventDay PARTITION ({name})",
            COPY_LIMIT.as_secs()
        );
        let row: Option<(Option<String>, u64, String)> = self
            .link
            .call("look at a partition", COPY_LIMIT, async |conn| {
                conn.query_first(held).await
            })
            .await?;
        let (first, rows, total) = row.ok_or(Error::Shape { what: "a sum" })?;
        let dropped = Dropped {
            before,
            first,
            rows,
            total,
        };
        // First, so that nobody takes what is not there for zeros.
        const NOTE: &str = "INSERT INTO eventtracker.DroppedDays (shard, beforeDay, firstDay, rowCount, total, droppedAt) \
                            VALUES (?, ?, ?, ?, ?, SYSDATE()) ON DUPLICATE KEY UPDATE firstDay = VALUES(firstDay), \
                            rowCount = VALUES(rowCount), total = VALUES(total), droppedAt = VALUES(droppedAt)";
        let note = (
            shard.number(),
            before.to_string(),
            &dropped.first,
            rows,
            &dropped.total,
        );
        if rows > 0 {
            self.link.execute("note what is dropped", NOTE, note).await?;
        }
        let how = format!("DROP PARTITION {name}");
        self.alter(shard, "drop a partition", &how, 0).await?;
        Ok(dropped)
    }

    /// A table that a reader has open is left alone, unless the work was long: who waits keeps new readers waiting, too. What
    /// takes too long is ended at the server.
    async fn alter(
        &mut self,
        shard: Shard,
        action: &'static str,
        how: &str,
        wait_s: u32,
    ) -> Result<(), Error> {
        if !self.link.lock(LOCK, 0).await? {
            return Err(Error::Partitioning {
                server: self.server().to_string(),
            });
        }
        let session = self.link.session();
        let sql =
            format!("SET STATEMENT lock_wait_timeout = {wait_s} FOR ALTER TABLE {shard}.EventDay {how}");
        let outcome = self
            .link
            .call(action, COPY_LIMIT, async |conn| {
                conn.query_drop(sql).await?;
                conn.query_drop(format!("DO RELEASE_LOCK('{LOCK}')")).await
            })
            .await;
        // An error closes the connection, which gives the lock back.
        if let (Err(error), Some(session)) = (&outcome, session)
            && !error.is_answer()
        {
            abandoned::end(self.server(), session, LOCK).await?;
        }
        outcome
    }
}
