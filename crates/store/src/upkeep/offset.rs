//! Clock offsets: how far regions' clocks were ahead of the centre's, as the keeper notes it.

use model::Timestamp;
use mysql_async::prelude::Queryable;

use super::Centre;
use crate::Error;
use crate::clock::PEAK_NOT_KNOWN_MS;

/// How far a region's clock was ahead of the centre's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    /// Milliseconds that it was ahead when last compared; negative where it was behind.
    pub ahead_ms: i64,
    /// The most milliseconds that it was ahead while claims that may still be under way were made; `PEAK_NOT_KNOWN_MS` where a claim
    /// was made by a clock that was never compared.
    pub peak_ms: i64,
    /// The instant of that comparison, or of that claim, by the region's clock.
    pub peak_at: Timestamp,
}

impl Centre {
    /// The offset that is noted of a region's clock.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn offset(&mut self, region: &str) -> Result<Option<Offset>, Error> {
        const SQL: &str = "SELECT aheadMs, peakMs, CAST(UNIX_TIMESTAMP(peakAt) * 1000 AS SIGNED) \
                           FROM eventtracker.ClockOffset WHERE region = ?";
        let row: Option<(i64, i64, i64)> = self
            .link
            .brief("read a clock's offset", async |conn| {
                conn.exec_first(SQL, (region,)).await
            })
            .await?;
        Ok(row.map(|(ahead_ms, peak_ms, peak_at_ms)| Offset {
            ahead_ms,
            peak_ms,
            peak_at: Timestamp::from_unix_ms(peak_at_ms),
        }))
    }

    /// Notes an offset in place of `before`, from which it was made, unless somebody else has noted another meanwhile: a compare-and-set.
    /// A keeper that has compared the clock of a server which the region has left must not overwrite the new server's.
    ///
    /// What was said of the region's claims before stays said, unless its clock `was_set` since the last comparison.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn note_offset(
        &mut self,
        region: &str,
        before: Option<Offset>,
        offset: Offset,
        was_set: bool,
    ) -> Result<(), Error> {
        // Not IGNORE, which hides every other error, too: the region's completeness rests on this row.
        const FIRST: &str = "INSERT INTO eventtracker.ClockOffset (aheadMs, peakMs, peakAt, measuredAt, region) \
                             VALUES (?, ?, FROM_UNIXTIME(? / 1000), SYSDATE(3), ?) \
                             ON DUPLICATE KEY UPDATE region = region";
        // What readers made of the region's claims with the peak as it was, and what had been said before; not what lies ahead of the
        // centre's clock, or has no peak that is known, which nobody was told. The lock keeps a claim from coming in between, which would
        // be read with the old peak.
        const NEXT: &str = "UPDATE eventtracker.ClockOffset AS o \
                            SET saidUntil = IF(? OR peakMs >= ?, NULL, NULLIF(GREATEST( \
                                IF(saidUntil <= SYSDATE(3) + INTERVAL 0.1 SECOND, saidUntil, FROM_UNIXTIME(1)), \
                                COALESCE((SELECT MAX(completeUntil) - INTERVAL o.peakMs * 1000 MICROSECOND AS said \
                                          FROM bigdata_0.RegionClock WHERE region = o.region \
                                          HAVING said BETWEEN FROM_UNIXTIME(1) AND SYSDATE(3) + INTERVAL 0.1 SECOND \
                                          LOCK IN SHARE MODE), FROM_UNIXTIME(1))), FROM_UNIXTIME(1))), \
                            aheadMs = ?, peakMs = ?, peakAt = FROM_UNIXTIME(? / 1000), measuredAt = SYSDATE(3) \
                            WHERE region = ? AND peakMs = ? AND peakAt = FROM_UNIXTIME(? / 1000)";
        let (ahead_ms, peak_ms, peak_at_ms) = (offset.ahead_ms, offset.peak_ms, offset.peak_at.unix_ms());
        match before {
            None => {
                let row = (ahead_ms, peak_ms, peak_at_ms, region);
                self.link.execute("note a clock's offset", FIRST, row).await
            }
            Some(before) => {
                let known = (before.peak_ms, before.peak_at.unix_ms());
                let row = (
                    was_set,
                    PEAK_NOT_KNOWN_MS,
                    ahead_ms,
                    peak_ms,
                    peak_at_ms,
                    region,
                    known.0,
                    known.1,
                );
                self.link.execute("note a clock's offset", NEXT, row).await
            }
        }
    }
}
