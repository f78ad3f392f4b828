//! What the keeper asks of regions and centres, and what it notes at its own.

use std::collections::BTreeMap;
use std::time::Duration;

use model::Instant;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params};

use crate::{Error, RegionClock, Server, central};

/// Longest wait for one answer: nothing asked here takes long, and a server that hangs must not hold up the others' turn.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// A region's or a centre's MariaDB, as the keeper or an operator's command reaches it. Connects when first asked, and anew
/// after a failure.
pub struct Post {
    server: Server,
    conn: Option<Conn>,
    /// Where its binlog files start, which does not change. Forgotten with a failure: another server may answer next.
    starts: BTreeMap<String, u64>,
}

/// One of a region's binlog files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinlogFile {
    pub name: String,
    /// The sequence number of the last transaction before it; 0 for none, `None` where the server does not say.
    pub starts_after: Option<u64>,
}

/// A region's binlog, oldest file first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binlog {
    pub gtid_domain: u32,
    pub files: Vec<BinlogFile>,
}

/// The peak where a claim was made by a clock that was never compared: a century, which no clock is ahead.
pub const PEAK_NOT_KNOWN_MS: i64 = 3_155_760_000_000;

/// How far a region's clock was ahead of the centre's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    /// When last compared.
    pub ahead_ms: i64,
    /// The most since `peak_at`, which is by the region's clock.
    pub peak_ms: i64,
    pub peak_at: Instant,
}

/// Something that an operator should look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alarm {
    /// Empty for the centre itself.
    pub region: String,
    /// One word, the same for the same kind of trouble.
    pub kind: String,
    pub sentence: String,
}

impl Post {
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self {
            server,
            conn: None,
            starts: BTreeMap::new(),
        }
    }

    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The server's clock.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn clock(&mut self) -> Result<Instant, Error> {
        const SQL: &str = "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)";
        let now_ms: Option<i64> = self
            .call("read the clock", async |conn| conn.query_first(SQL).await)
            .await?;
        now_ms
            .map(Instant::from_unix_ms)
            .ok_or(Error::Shape { what: SQL })
    }

    /// A region's binlog files.
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
        let binlog = self.call("read the binlog's files", ask).await?;
        let starts = binlog.files.iter();
        self.starts = starts
            .filter_map(|file| Some((file.name.clone(), file.starts_after?)))
            .collect();
        Ok(binlog)
    }

    /// The last transaction of `domain` in the region's binlog; 0 for none.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn last_written(&mut self, domain: u32) -> Result<u64, Error> {
        const SQL: &str = "SELECT @@gtid_binlog_pos";
        let position: Option<String> = self
            .call("read the binlog's position", async |conn| {
                conn.query_first(SQL).await
            })
            .await?;
        let positions = position.as_deref().and_then(positions);
        let positions = positions.ok_or(Error::Shape { what: SQL })?;
        Ok(positions.get(&domain).copied().unwrap_or(0))
    }

    /// Removes the region's binlog files before `file`.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn purge_to(&mut self, file: &str) -> Result<(), Error> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if !file.bytes().all(is_plain) {
            return Err(Error::Shape {
                what: "SHOW BINARY LOGS",
            });
        }
        // The server takes no parameter here.
        self.call("purge binlogs", async |conn| {
            conn.query_drop(format!("PURGE BINARY LOGS TO '{file}'")).await
        })
        .await
    }

    /// The last transaction of each domain that a centre has durably applied; `None` where it does not sync what it applies.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn applied(&mut self) -> Result<Option<BTreeMap<u32, u64>>, Error> {
        const SQL: &str = "SELECT @@innodb_flush_log_at_trx_commit, @@gtid_slave_pos";
        let row: Option<(u8, String)> = self
            .call("read the position", async |conn| conn.query_first(SQL).await)
            .await?;
        let (flush, position) = row.ok_or(Error::Shape { what: SQL })?;
        let applied = positions(&position).ok_or(Error::Shape { what: SQL })?;
        Ok((flush == 1).then_some(applied))
    }

    /// What is noted of a region's clock.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn offset(&mut self, region: &str) -> Result<Option<Offset>, Error> {
        const SQL: &str = "SELECT aheadMs, peakMs, CAST(UNIX_TIMESTAMP(peakAt) * 1000 AS SIGNED) \
                           FROM eventtracker.ClockOffset WHERE region = ?";
        let row: Option<(i64, i64, i64)> = self
            .call("read a clock's offset", async |conn| {
                conn.exec_first(SQL, (region,)).await
            })
            .await?;
        Ok(row.map(|(ahead_ms, peak_ms, peak_at_ms)| Offset {
            ahead_ms,
            peak_ms,
            peak_at: Instant::from_unix_ms(peak_at_ms),
        }))
    }

    /// When the region's newest claim that has reached this centre was made, by the region's clock.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn newest_claim(&mut self, region: &str) -> Result<Option<Instant>, Error> {
        const SQL: &str = "SELECT CAST(UNIX_TIMESTAMP(MAX(seenAt)) * 1000 AS SIGNED) \
                           FROM bigdata_0.RegionClock WHERE region = ?";
        let row: Option<Option<i64>> = self
            .call("read a region's clock", async |conn| {
                conn.exec_first(SQL, (region,)).await
            })
            .await?;
        Ok(row.flatten().map(Instant::from_unix_ms))
    }

    /// Notes an offset in place of the one that it was made from, unless somebody else has noted another meanwhile.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn note_offset(
        &mut self,
        region: &str,
        before: Option<Offset>,
        offset: Offset,
    ) -> Result<(), Error> {
        // Not IGNORE, which hides every other error, too: the region's completeness rests on this row.
        const FIRST: &str = "INSERT INTO eventtracker.ClockOffset (aheadMs, peakMs, peakAt, measuredAt, region) \
                             VALUES (?, ?, FROM_UNIXTIME(? / 1000), SYSDATE(3), ?) \
                             ON DUPLICATE KEY UPDATE region = region";
        const NEXT: &str = "UPDATE eventtracker.ClockOffset \
                            SET aheadMs = ?, peakMs = ?, peakAt = FROM_UNIXTIME(? / 1000), measuredAt = SYSDATE(3) \
                            WHERE region = ? AND peakMs = ? AND peakAt = FROM_UNIXTIME(? / 1000)";
        let (ahead_ms, peak_ms, peak_at_ms) = (offset.ahead_ms, offset.peak_ms, offset.peak_at.unix_ms());
        match before {
            None => {
                let row = (ahead_ms, peak_ms, peak_at_ms, region);
                self.execute("note a clock's offset", FIRST, row).await
            }
            Some(before) => {
                let known = (before.peak_ms, before.peak_at.unix_ms());
                let row = (ahead_ms, peak_ms, peak_at_ms, region, known.0, known.1);
                self.execute("note a clock's offset", NEXT, row).await
            }
        }
    }

    /// What this centre knows of the clocks of the regions that it replicates from.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn clocks(&mut self) -> Result<BTreeMap<String, RegionClock>, Error> {
        self.call("read the clocks", async |conn| central::clocks(conn).await)
            .await
    }

    /// When every centre had reached the start of each of a region's files.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn reached(&mut self, region: &str) -> Result<BTreeMap<String, Instant>, Error> {
        const SQL: &str = "SELECT file, CAST(UNIX_TIMESTAMP(reachedAt) * 1000 AS SIGNED) \
                           FROM eventtracker.RegionBinlog WHERE region = ?";
        let rows: Vec<(String, i64)> = self
            .call("read the binlogs' notes", async |conn| {
                conn.exec(SQL, (region,)).await
            })
            .await?;
        let noted = rows.into_iter();
        Ok(noted
            .map(|(file, ms)| (file, Instant::from_unix_ms(ms)))
            .collect())
    }

    /// # Errors
    /// The server refused or did not answer.
    pub async fn note_reached(&mut self, region: &str, file: &str, at: Instant) -> Result<(), Error> {
        const SQL: &str = "INSERT INTO eventtracker.RegionBinlog (region, file, reachedAt) VALUES (?, ?, FROM_UNIXTIME(? / 1000)) \
                           ON DUPLICATE KEY UPDATE file = file";
        self.execute("note a binlog file", SQL, (region, file, at.unix_ms()))
            .await
    }

    /// # Errors
    /// The server refused or did not answer.
    pub async fn forget_file(&mut self, region: &str, file: &str) -> Result<(), Error> {
        const SQL: &str = "DELETE FROM eventtracker.RegionBinlog WHERE region = ? AND file = ?";
        self.execute("forget a binlog file", SQL, (region, file)).await
    }

    /// Regions whose totals cannot grow any more.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn saturated(&mut self) -> Result<Vec<String>, Error> {
        const SQL: &str = "SELECT region FROM bigdata_0.RegionTotal WHERE total = 18446744073709551615";
        self.call("look for saturated sums", async |conn| conn.query(SQL).await)
            .await
    }

    /// Makes `alarms` what stands at this centre. One that stood already keeps the instant since when.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn note_alarms(&mut self, alarms: &[Alarm]) -> Result<(), Error> {
        const NOTE: &str = "INSERT INTO eventtracker.Alarm (region, kind, sentence, since) VALUES (?, ?, ?, SYSDATE(3)) \
                            ON DUPLICATE KEY UPDATE sentence = VALUES(sentence)";
        const FORGET: &str = "DELETE FROM eventtracker.Alarm WHERE region = ? AND kind = ?";
        let standing: Vec<(String, String)> = self
            .call("read the alarms", async |conn| {
                conn.query("SELECT region, kind FROM eventtracker.Alarm").await
            })
            .await?;
        for (region, kind) in standing {
            if !alarms
                .iter()
                .any(|alarm| alarm.region == region && alarm.kind == kind)
            {
                self.execute("forget an alarm", FORGET, (region, kind)).await?;
            }
        }
        for Alarm {
            region,
            kind,
            sentence,
        } in alarms
        {
            let sentence: String = sentence.chars().take(1000).collect();
            self.execute("note an alarm", NOTE, (region, kind, sentence))
                .await?;
        }
        Ok(())
    }

    /// The number of the session at the server, while there is one.
    pub(crate) fn session(&self) -> Option<u32> {
        self.conn.as_ref().map(Conn::id)
    }

    pub(crate) async fn execute(
        &mut self,
        action: &'static str,
        sql: &str,
        row: impl Into<Params> + Send,
    ) -> Result<(), Error> {
        self.call(action, async |conn| conn.exec_drop(sql, row).await)
            .await
    }

    pub(crate) async fn call<T>(
        &mut self,
        action: &'static str,
        ask: impl AsyncFnOnce(&mut Conn) -> Result<T, mysql_async::Error>,
    ) -> Result<T, Error> {
        self.call_within(CALL_LIMIT, action, ask).await
    }

    /// For what takes longer than [`CALL_LIMIT`].
    pub(crate) async fn call_within<T>(
        &mut self,
        limit: Duration,
        action: &'static str,
        ask: impl AsyncFnOnce(&mut Conn) -> Result<T, mysql_async::Error>,
    ) -> Result<T, Error> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.server.connect().await?,
        };
        let answer = self.server.limited(action, limit, ask(&mut conn)).await?;
        self.conn = Some(conn);
        Ok(answer)
    }
}

/// The sequence number of each domain in a GTID position such as `1-1-100,2-2-50`; `None` for what is none, since less than all
/// of it would mean that nothing was written or applied in a domain.
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

/// The last transaction of `domain` before a binlog file; `None` for a position that cannot be read.
fn starts_after_of(position: &str, domain: u32) -> Option<u64> {
    Some(positions(position)?.get(&domain).copied().unwrap_or(0))
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

    #[test]
    fn a_file_whose_position_cannot_be_read_begins_nowhere() {
        assert_eq!(starts_after_of("2-7-50", 2), Some(50));
        assert_eq!(starts_after_of("", 2), Some(0));
        assert_eq!(starts_after_of("1-1-100,2-7-50", 2), Some(50));
        assert_eq!(starts_after_of("1-1-100", 2), Some(0));
        assert_eq!(starts_after_of("2-7", 2), None);
    }
}
