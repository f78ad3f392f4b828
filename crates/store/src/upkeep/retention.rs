//! Retention: the partitions of `EventDay`, and dropping the oldest of them.

use std::time::Duration;

use model::{Day, Shard};
use mysql_async::prelude::Queryable;

use super::Centre;
use crate::{Error, abandoned};

/// Longest wait for a change of partitions. Cutting a table for the first time copies it: some 50 MB/s, of tens of GB at most.
const COPY_LIMIT: Duration = Duration::from_secs(3_600);

/// Seconds that the end of a copy waits for readers of the table, while new ones wait behind it.
const READERS_WAIT_S: u32 = 10;

/// The lock held while partitions change: a copy that a keeper began goes on at the server when the keeper is restarted.
const LOCK: &str = "eventtracker.partitions";

/// The name of the partition without an end.
const REST: &str = "rest";

/// A partition of a shard's `EventDay`: a range of days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its name in MariaDB.
    pub name: String,
    /// The first day after it; `None` for the last one, which has no end.
    pub before: Option<Day>,
}

/// The extent and the size of a shard's packed days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedSize {
    /// The oldest packed day.
    pub oldest: Day,
    /// The newest packed day.
    pub newest: Day,
    /// Data and indexes, as InnoDB estimates them.
    pub bytes: u64,
}

/// The content of a partition that was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The first day after it.
    pub before: Day,
    /// Its oldest day, as `YYYY-MM-DD`; `None` for an empty partition.
    pub first: Option<String>,
    /// Number of its rows, one for each name and day.
    pub rows: u64,
    /// Sum of its counts, in decimal: it may be greater than 2^64.
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

    /// The size of a shard's packed days; `None` where no day is packed.
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

    /// Cuts partitions that end before each of `bounds`, which are in the order of days and later than those that exist. With `is_first`
    /// the table has no partitions yet, and is copied.
    ///
    /// # Errors
    /// `Partitioning` where another keeper is at it; a reader has the table; the server refused or did not answer.
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
        // A copy of an hour is worth a short wait at its end. The last partition holds little, so its cut is cheap to try again.
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

    /// Notes what a partition holds, and drops it. `before` is the first day after it.
    ///
    /// # Errors
    /// `Partitioning` where another keeper is at it; a reader has the table; the server refused or did not answer. The note may stand
    /// without the drop: the next attempt writes it anew.
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
        // Note, then drop. The api and audits look for the note after they have read the counts: so whoever misses the dropped days finds
        // the note, and nobody takes what is not there for zeros. A crash in between leaves days that are not shown; the next pass drops
        // them.
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

    /// Changes the partitions of a shard's table, waiting `wait_s` seconds for its readers: whoever waits keeps new readers waiting, too. A
    /// statement that takes too long is ended at the server.
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
        // An error closes the connection, which gives the lock back once the statement has ended. Where the server has not answered, the
        // statement may go on: it is ended here, or the next attempt would meet the lock for as long as the copy takes.
        if let (Err(error), Some(session)) = (&outcome, session)
            && !error.is_answer()
        {
            abandoned::end(self.server(), session, LOCK).await?;
        }
        outcome
    }
}
