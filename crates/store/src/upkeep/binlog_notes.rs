//! The keeper's notes on regions' binlog files: the instant at which every centre had reached each of them.

use std::collections::BTreeMap;

use model::Timestamp;
use mysql_async::prelude::Queryable;

use super::Centre;
use crate::Error;

impl Centre {
    /// The instant, by file, at which every centre had reached the start of each of a region's binlog files.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn reached(&mut self, region: &str) -> Result<BTreeMap<String, Timestamp>, Error> {
        const SQL: &str = "SELECT file, CAST(UNIX_TIMESTAMP(reachedAt) * 1000 AS SIGNED) \
                           FROM eventtracker.RegionBinlog WHERE region = ?";
        let rows: Vec<(String, i64)> = self
            .link
            .brief("read the binlogs' notes", async |conn| {
                conn.exec(SQL, (region,)).await
            })
            .await?;
        let noted = rows.into_iter();
        Ok(noted
            .map(|(file, ms)| (file, Timestamp::from_unix_ms(ms)))
            .collect())
    }

    /// Notes that every centre has reached the start of a file. An earlier note stays.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn note_reached(&mut self, region: &str, file: &str, at: Timestamp) -> Result<(), Error> {
        const SQL: &str = "INSERT INTO eventtracker.RegionBinlog (region, file, reachedAt) VALUES (?, ?, FROM_UNIXTIME(? / 1000)) \
                           ON DUPLICATE KEY UPDATE file = file";
        self.link
            .execute("note a binlog file", SQL, (region, file, at.unix_ms()))
            .await
    }

    /// Forgets a file that the region does not have any more.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn forget_file(&mut self, region: &str, file: &str) -> Result<(), Error> {
        const SQL: &str = "DELETE FROM eventtracker.RegionBinlog WHERE region = ? AND file = ?";
        self.link
            .execute("forget a binlog file", SQL, (region, file))
            .await
    }
}
