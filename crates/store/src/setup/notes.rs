//! A centre's notes on a region, beside its counts.

use mysql_async::prelude::Queryable;

use super::Centre;
use crate::account::checked_word;
use crate::clock::{COMPARISON_MS_MAX, PEAK_NOT_KNOWN_MS};
use crate::queue::{QueueState, queues};
use crate::regional::REGION_BYTES_MAX;
use crate::upkeep::Offset;
use crate::{Error, Source};

/// A region's running total of all counts, and the number of flushes that it is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RegionTotals {
    /// Sum of all counts; saturates.
    pub total: u64,
    /// Number of flushes that counted something.
    pub flushes: u64,
}

impl Centre {
    /// A region's running total as of its last flush that is at this centre; zero where there is none.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn totals_of(&mut self, region: &str) -> Result<RegionTotals, Error> {
        const SQL: &str = "SELECT total, flushes FROM bigdata_0.RegionTotal WHERE region = ?";
        let row: Option<(u64, u64)> = self
            .link()
            .brief("read a region's total", async |conn| {
                conn.exec_first(SQL, (region,)).await
            })
            .await?;
        let (total, flushes) = row.unwrap_or_default();
        Ok(RegionTotals { total, flushes })
    }

    /// The last word of a region's queue that has reached this centre.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn queue_of(&mut self, region: &str) -> Result<Option<QueueState>, Error> {
        let queues = self
            .link()
            .brief("read the queues' states", async |conn| queues(conn).await)
            .await?;
        Ok(queues.into_iter().find(|queue| queue.region == region))
    }

    /// Notes that these regions belong to the centre, whatever becomes of the attempts to reach them: nothing is complete without them. The
    /// note is a claim that no worker made, of an instant before any that is counted.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn expect(&mut self, sources: &[Source]) -> Result<(), Error> {
        const SQL: &str = "INSERT IGNORE INTO bigdata_0.RegionClock (region, worker, completeUntil, seenAt) \
                           VALUES (?, '', '2000-01-01 00:00:00', '2000-01-01 00:00:00')";
        for source in sources {
            let region = checked_word("region name", &source.region, REGION_BYTES_MAX)?;
            self.link().execute("note a region", SQL, (region,)).await?;
        }
        Ok(())
    }

    /// Restates the region's claims of completeness, which were made by the clock of the server that it leaves, as if the clock of the new
    /// server had made them. `offset` is the new clock's. Nothing of the region may be applied meanwhile: a claim by the new clock would
    /// be moved, too. Where the old clock was not compared lately, its claims are worth nothing and are deleted. The notes about the old
    /// server's binlog files are deleted, too.
    ///
    /// # Errors
    /// The server refused or did not answer: all of it happened, or nothing.
    pub async fn restate(&mut self, region: &str, offset: Offset) -> Result<(), Error> {
        const LOCK: &str = "SELECT peakMs FROM eventtracker.ClockOffset WHERE region = ? FOR UPDATE";
        const CLAIMS: &str = "UPDATE bigdata_0.RegionClock JOIN eventtracker.ClockOffset USING (region) \
                              SET completeUntil = completeUntil + INTERVAL (? - peakMs) * 1000 MICROSECOND, \
                              seenAt = seenAt + INTERVAL (? - peakMs) * 1000 MICROSECOND WHERE region = ?";
        const UNKNOWN: &str = "DELETE FROM bigdata_0.RegionClock WHERE region = ? \
                               AND region NOT IN (SELECT region FROM eventtracker.ClockOffset WHERE peakMs < ? AND \
                               1000 * (UNIX_TIMESTAMP(CURRENT_TIMESTAMP(3)) - UNIX_TIMESTAMP(measuredAt)) <= ?)";
        // What was said of the region stays said.
        const OFFSET: &str = "INSERT INTO eventtracker.ClockOffset (region, aheadMs, peakMs, peakAt, measuredAt) \
                              VALUES (?, ?, ?, FROM_UNIXTIME(? / 1000), SYSDATE(3)) \
                              ON DUPLICATE KEY UPDATE aheadMs = VALUES(aheadMs), peakMs = VALUES(peakMs), peakAt = VALUES(peakAt), \
                              measuredAt = VALUES(measuredAt)";
        self.link()
            .brief("restate a region's clock", async |conn| {
                conn.query_drop("START TRANSACTION").await?;
                // As the keeper locks them, which may note an offset just now.
                conn.exec_drop(LOCK, (region,)).await?;
                // Both read the old clock's offset, so it is replaced last.
                conn.exec_drop(UNKNOWN, (region, PEAK_NOT_KNOWN_MS, COMPARISON_MS_MAX))
                    .await?;
                conn.exec_drop(CLAIMS, (offset.peak_ms, offset.peak_ms, region))
                    .await?;
                let row = (region, offset.ahead_ms, offset.peak_ms, offset.peak_at.unix_ms());
                conn.exec_drop(OFFSET, row).await?;
                conn.query_drop("COMMIT").await
            })
            .await?;
        self.forget_files(region).await
    }

    /// Forgets the notes about a region's binlog files.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn forget_files(&mut self, region: &str) -> Result<(), Error> {
        const SQL: &str = "DELETE FROM eventtracker.RegionBinlog WHERE region = ?";
        self.link()
            .execute("forget the binlog files", SQL, (region,))
            .await
    }

    /// Forgets everything of a region that is no source any more, except its counts and their sums. Returns how many rows that were.
    ///
    /// # Errors
    /// The server refused or did not answer: all of it is forgotten, or nothing.
    pub async fn forget_region(&mut self, region: &str) -> Result<u64, Error> {
        // In the order in which the keeper locks two of them.
        const TABLES: [&str; 5] = [
            "eventtracker.ClockOffset",
            "bigdata_0.RegionClock",
            "bigdata_0.RegionStatus",
            "eventtracker.RegionBinlog",
            "eventtracker.Alarm",
        ];
        self.link()
            .brief("forget a region", async |conn| {
                conn.query_drop("START TRANSACTION").await?;
                let mut forgotten = 0;
                for table in TABLES {
                    let forget = format!("DELETE FROM {table} WHERE region = ?");
                    conn.exec_drop(forget, (region,)).await?;
                    forgotten += conn.affected_rows();
                }
                conn.query_drop("COMMIT").await?;
                Ok(forgotten)
            })
            .await
    }
}
