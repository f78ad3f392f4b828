//! The copy of a region's ledger to the server that the region moves to, in pieces, until both agree.
//!
//! Jobs that the old server has counted may be delivered again after the move, and clients may repeat requests under their keys: without
//! the ledger the new server would count them twice. Most of it is copied while the region counts on ([`copy_ledger`]), the rest while
//! nobody counts ([`finish_ledger`]), so that workers stand still for moments only.

use std::fmt::Write;
use std::time::Duration;

use model::{BatchId, Timestamp};
use mysql_async::prelude::Queryable;

use super::notes::RegionTotals;
use super::region::RegionalServer;
use crate::Error;

/// Most rows, of some 80 bytes, that are read and written at once.
const ROWS_PER_PIECE: usize = 10_000;

/// The age from which a second of the ledger is taken for complete: a transaction stamps its rows when it begins, and ends within 15 s.
/// Should one take longer after all, the comparison finds its rows missing.
const SETTLED_AFTER_MS: i64 = 60_000;

/// The last second of MariaDB's TIMESTAMP.
const TIMESTAMP_LAST_S: i64 = 2_147_483_647;

/// Longest wait for one piece.
const PIECE_LIMIT: Duration = Duration::from_secs(30);

/// Longest wait for the digest of one ledger: over a day of batches, some millions, it takes seconds.
const COMPARE_LIMIT: Duration = Duration::from_secs(600);

/// The ledger that both servers have after a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Number of batches.
    pub batches: u64,
    /// Number of flushes in the journal.
    pub flushes: u64,
    /// The region's running total.
    pub totals: RegionTotals,
}

/// Copies the batches that were counted long enough ago to be there as a whole, while the region counts on: most of the ledger, so that the
/// rest takes moments. `progress` hears of the number of batches copied so far. Returns until when, by the ledger's clock, for
/// [`finish_ledger`].
///
/// # Errors
/// A server that refused or did not answer.
pub async fn copy_ledger(
    from: &mut RegionalServer,
    to: &mut RegionalServer,
    progress: impl FnMut(u64),
) -> Result<Timestamp, Error> {
    let until = from.ledger_clock().await?.plus_ms(-SETTLED_AFTER_MS);
    copy_batches(from, to, i64::MIN, unix_s(until), progress).await?;
    Ok(until)
}

/// Copies the rest of the ledger, from `since` on or all of it, adding to what an earlier attempt has left, and compares
/// both. The fence must stand: nothing may be counted on either server meanwhile. `progress` hears of the number of batches copied so far.
/// Every step can be repeated, and none takes anything from the new server's ledger: a row too many does no harm, one too few counts twice.
///
/// # Errors
/// `LedgerDiffers` where the two are not the same afterwards, `Pruning` where a worker is pruning for too long, or a server that refused or
/// did not answer; a repetition without `since` sets it right.
pub async fn finish_ledger(
    from: &mut RegionalServer,
    to: &mut RegionalServer,
    since: Option<Timestamp>,
    progress: impl FnMut(u64),
) -> Result<Copied, Error> {
    // First: a row that is pruned after it was copied would be missing in the comparison. The lock lasts as long as the connection.
    from.hold_pruning().await?;
    copy_batches(from, to, since.map_or(i64::MIN, unix_s), i64::MAX, progress).await?;
    let mut after = 0;
    loop {
        let piece = from.flushes_after(after).await?;
        let Some(last) = piece.last() else { break };
        after = last.0;
        to.add_flushes(&piece).await?;
    }
    // The clock goes on from where it was, or the new server would prune by one that has nothing to do with the rows' stamps.
    to.set_ledger_clock(from.ledger_clock().await?).await?;
    let (totals, mark) = (from.own_totals().await?, from.mark().await?);
    to.set_own_totals(totals).await?;
    if let Some(mark) = &mark {
        to.set_mark(mark).await?;
    }
    // Compared as the servers have it, not as it was sent: `INSERT IGNORE` passes over rows without an error. Only from the oldest row of
    // the old server on: the new one may hold older rows, of an earlier attempt, which were pruned since.
    let oldest = from.oldest().await?;
    let (ours, theirs) = tokio::join!(from.digest(oldest), to.digest(oldest));
    let (ours, theirs) = (ours?, theirs?);
    let rest = (to.own_totals().await?, to.mark().await?);
    if ours != theirs || rest != (totals, mark) {
        return Err(Error::LedgerDiffers {
            from: from.server().to_string(),
            to: to.server().to_string(),
            batches: (ours.batches.0, theirs.batches.0),
        });
    }
    Ok(Copied {
        batches: ours.batches.0,
        flushes: ours.flushes.0,
        totals,
    })
}

/// Copies the batches that were counted in the seconds `[from_s, until_s)`, in the order of time and id. Each piece begins after the last
/// row of the one before: an index dive, where an offset would read everything before it again.
async fn copy_batches(
    from: &mut RegionalServer,
    to: &mut RegionalServer,
    from_s: i64,
    until_s: i64,
    mut progress: impl FnMut(u64),
) -> Result<(), Error> {
    let (mut batches, mut after) = (0, (from_s.max(1), None));
    loop {
        let piece = from.batches_after(after, until_s).await?;
        let Some(last) = piece.last() else {
            return Ok(());
        };
        after = (last.counted_s, Some(last.id));
        to.add_batches(&piece).await?;
        batches += piece.len() as u64;
        progress(batches);
    }
}

fn unix_s(at: Timestamp) -> i64 {
    at.unix_ms().div_euclid(1000)
}

/// A row of the ledger; instants in whole unix seconds.
struct BatchRow {
    id: BatchId,
    accepted_s: i64,
    counted_s: i64,
    total: u64,
    content: Option<u64>,
}

/// A row of the journal of flushes: number, count, unix second.
type FlushRow = (u64, u64, i64);

/// The beginning of what has not been pruned. Another attempt's copy may hold older rows, which do no harm.
#[derive(Debug, Clone, Copy)]
struct Oldest {
    counted: Timestamp,
    flush: u64,
}

/// A digest of a ledger: the number of rows, and the sum of a hash of each, whatever their order.
#[derive(Debug, PartialEq, Eq)]
struct Digest {
    batches: (u64, String),
    flushes: (u64, String),
}

impl RegionalServer {
    /// The next piece of the ledger after a second and an id, up to the second `until_s`.
    async fn batches_after(
        &mut self,
        (counted_s, id): (i64, Option<BatchId>),
        until_s: i64,
    ) -> Result<Vec<BatchRow>, Error> {
        let id = id.map_or(0, |id| u128::from_be_bytes(*id.as_bytes()));
        // Without an id, all of the first second: no batch has the id 0.
        let sql = format!(
            "SELECT batchId, UNIX_TIMESTAMP(acceptedAt), UNIX_TIMESTAMP(countedAt), total, content \
             FROM eventtracker.CountedBatch \
             WHERE countedAt >= FROM_UNIXTIME({counted_s}) AND countedAt < FROM_UNIXTIME({}) \
             AND (countedAt > FROM_UNIXTIME({counted_s}) OR batchId > x'{id:032x}') \
             ORDER BY countedAt, batchId LIMIT {ROWS_PER_PIECE}",
            until_s.min(TIMESTAMP_LAST_S)
        );
        type Row = ([u8; 16], i64, i64, u64, Option<u64>);
        let rows: Vec<Row> = self
            .link()
            .call("read the ledger", PIECE_LIMIT, async |conn| conn.query(sql).await)
            .await?;
        let rows = rows
            .into_iter()
            .map(|(id, accepted_s, counted_s, total, content)| BatchRow {
                id: BatchId::from_bytes(id),
                accepted_s,
                counted_s,
                total,
                content,
            });
        Ok(rows.collect())
    }

    /// Adds rows to the ledger; those that are there already stay.
    async fn add_batches(&mut self, rows: &[BatchRow]) -> Result<(), Error> {
        let mut sql =
            "INSERT IGNORE INTO eventtracker.CountedBatch (batchId, acceptedAt, countedAt, total, content) VALUES "
                .to_owned();
        for (at, row) in rows.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let id = u128::from_be_bytes(*row.id.as_bytes());
            let (accepted_s, counted_s, total) = (row.accepted_s, row.counted_s, row.total);
            let content = row
                .content
                .map_or_else(|| "NULL".to_owned(), |hash| hash.to_string());
            write!(
                sql,
                "{comma}(x'{id:032x}',FROM_UNIXTIME({accepted_s}),FROM_UNIXTIME({counted_s}),{total},{content})"
            )
            .expect("writing into a String cannot fail");
        }
        self.unlogged("write the ledger", sql).await
    }

    /// The next piece of the journal after a flush.
    async fn flushes_after(&mut self, after: u64) -> Result<Vec<FlushRow>, Error> {
        let sql = format!(
            "SELECT number, count, UNIX_TIMESTAMP(countedAt) FROM eventtracker.CountedFlush \
             WHERE number > {after} ORDER BY number LIMIT {ROWS_PER_PIECE}"
        );
        self.link()
            .call("read the flushes", PIECE_LIMIT, async |conn| {
                conn.query(sql).await
            })
            .await
    }

    /// Adds rows to the journal; those that are there already stay.
    async fn add_flushes(&mut self, rows: &[FlushRow]) -> Result<(), Error> {
        let values = rows
            .iter()
            .map(|(number, count, s)| format!("({number},{count},FROM_UNIXTIME({s}))"));
        let values = values.collect::<Vec<_>>().join(",");
        let sql = format!(
            "INSERT IGNORE INTO eventtracker.CountedFlush (number, count, countedAt) VALUES {values}"
        );
        self.unlogged("write the flushes", sql).await
    }

    /// A region's own running total; zero where it has counted nothing.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn own_totals(&mut self) -> Result<RegionTotals, Error> {
        const SQL: &str = "SELECT total, flushes FROM eventtracker.CountedTotal WHERE id = 1";
        let row: Option<(u64, u64)> = self
            .link()
            .brief("read the totals", async |conn| conn.query_first(SQL).await)
            .await?;
        let (total, flushes) = row.unwrap_or_default();
        Ok(RegionTotals { total, flushes })
    }

    /// Lets a region's running total go on from `totals`, if it is not further already.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn set_own_totals(&mut self, totals: RegionTotals) -> Result<(), Error> {
        let RegionTotals { total, flushes } = totals;
        let sql = format!(
            "INSERT INTO eventtracker.CountedTotal (id, total, flushes) VALUES (1,{total},{flushes}) \
             ON DUPLICATE KEY UPDATE total = GREATEST(total, VALUES(total)), flushes = GREATEST(flushes, VALUES(flushes))"
        );
        self.unlogged("write the totals", sql).await
    }

    /// The ledger's clock, by which its rows are stamped.
    async fn ledger_clock(&mut self) -> Result<Timestamp, Error> {
        const SQL: &str = "SELECT CAST(UNIX_TIMESTAMP(reached) * 1000 AS SIGNED) FROM eventtracker.LedgerClock WHERE id = 1";
        let reached_ms: Option<i64> = self
            .link()
            .brief("read the ledger's clock", async |conn| {
                conn.query_first(SQL).await
            })
            .await?;
        reached_ms
            .map(Timestamp::from_unix_ms)
            .ok_or_else(|| Error::NoLedgerClock {
                server: self.server().to_string(),
            })
    }

    /// Lets the ledger's clock go on from `reached`, by which its rows are stamped, whatever it showed before: nothing was counted by that.
    async fn set_ledger_clock(&mut self, reached: Timestamp) -> Result<(), Error> {
        let sql = format!(
            "UPDATE eventtracker.LedgerClock SET reached = FROM_UNIXTIME({:.3}), seenAt = CURRENT_TIMESTAMP(3) WHERE id = 1",
            reached.unix_s()
        );
        self.unlogged("set the ledger's clock", sql).await
    }

    /// The queue's low-water mark: process and job number.
    async fn mark(&mut self) -> Result<Option<(String, u64)>, Error> {
        const SQL: &str = "SELECT process, lowest FROM eventtracker.TubeMark WHERE id = 1";
        self.link()
            .brief("read the queue's mark", async |conn| conn.query_first(SQL).await)
            .await
    }

    async fn set_mark(&mut self, mark: &(String, u64)) -> Result<(), Error> {
        const SQL: &str = "INSERT INTO eventtracker.TubeMark (id, process, lowest) VALUES (1, ?, ?) \
                           ON DUPLICATE KEY UPDATE process = VALUES(process), lowest = VALUES(lowest)";
        self.link()
            .brief("write the queue's mark", async |conn| {
                conn.query_drop("SET SESSION sql_log_bin = 0").await?;
                conn.exec_drop(SQL, mark).await
            })
            .await
    }

    /// The oldest batch and flush of the ledger.
    async fn oldest(&mut self) -> Result<Oldest, Error> {
        const SQL: &str = "SELECT UNIX_TIMESTAMP(COALESCE((SELECT MIN(countedAt) FROM eventtracker.CountedBatch), SYSDATE())), \
                           COALESCE((SELECT MIN(number) FROM eventtracker.CountedFlush), 18446744073709551615)";
        let row: Option<(i64, u64)> = self
            .link()
            .call("look for the oldest batch", PIECE_LIMIT, async |conn| {
                conn.query_first(SQL).await
            })
            .await?;
        let (counted_s, flush) = row.ok_or(Error::Shape { what: SQL })?;
        Ok(Oldest {
            counted: Timestamp::from_unix_ms(counted_s.saturating_mul(1000)),
            flush,
        })
    }

    /// The digest of the ledger from `oldest` on: of each row 60 bits of an MD5, added up, so that the order of the rows does not matter.
    async fn digest(&mut self, oldest: Oldest) -> Result<Digest, Error> {
        let hash = |columns: &str| {
            format!(
                "COUNT(*), CAST(COALESCE(SUM(CAST(CONV(LEFT(MD5(CONCAT_WS('-', {columns})), 15), 16, 10) AS UNSIGNED)), 0) AS CHAR)"
            )
        };
        let batches = format!(
            "SELECT {} FROM eventtracker.CountedBatch WHERE countedAt >= FROM_UNIXTIME({})",
            hash(
                "HEX(batchId), UNIX_TIMESTAMP(acceptedAt), UNIX_TIMESTAMP(countedAt), total, IFNULL(content, 'NULL')"
            ),
            unix_s(oldest.counted)
        );
        let flushes = format!(
            "SELECT {} FROM eventtracker.CountedFlush WHERE number >= {}",
            hash("number, count, UNIX_TIMESTAMP(countedAt)"),
            oldest.flush
        );
        let sums = self
            .link()
            .call("compare the ledger", COMPARE_LIMIT, async |conn| {
                // The server is not to go on when nobody waits any more.
                conn.query_drop(format!(
                    "SET SESSION max_statement_time = {}",
                    COMPARE_LIMIT.as_secs()
                ))
                .await?;
                let batches: Option<(u64, String)> = conn.query_first(batches).await?;
                let flushes: Option<(u64, String)> = conn.query_first(flushes).await?;
                Ok(batches.zip(flushes))
            })
            .await?;
        let (batches, flushes) = sums.ok_or(Error::Shape { what: "COUNT(*)" })?;
        Ok(Digest { batches, flushes })
    }

    /// Runs a statement outside of the binlog: the ledger stays in the region, and no centre has a use for it.
    async fn unlogged(&mut self, action: &'static str, statement: String) -> Result<(), Error> {
        self.link()
            .call(action, PIECE_LIMIT, async |conn| {
                conn.query_drop("SET SESSION sql_log_bin = 0").await?;
                conn.query_drop(statement).await
            })
            .await
    }
}
