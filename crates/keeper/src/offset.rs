//! Clock offsets: how far a region's clock is ahead of the centre's. The keeper notes it at every pass, and `region switch` once for the new
//! server.

use model::Timestamp;
use store::Error;
use store::upkeep::{self, Offset, PEAK_NOT_KNOWN_MS};

/// Number of comparisons in one pass: the one that took the least time counts.
const SAMPLES: usize = 3;

/// Milliseconds after the region's clock fell back for which its older claims may still be under way within the region.
const SETTLED_AFTER_MS: i64 = 60_000;

/// Most milliseconds that a claim may lie ahead of the region's own clock. One that lies further ahead was made by a clock that has been set
/// back since.
const CLAIM_AHEAD_MS_MAX: i64 = 1_000;

/// Longest comparison that is used, in milliseconds: one that took longer would hold the region's watermark back by as much.
const ROUND_TRIP_MS_MAX: i64 = 1_000;

/// A comparison of a region's clock with a centre's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    /// The most milliseconds that the region's may be ahead.
    pub ahead_ms: i64,
    /// The least.
    pub least_ms: i64,
    /// The region's reading.
    pub there: Timestamp,
}

/// Compares two clocks; `None` where every comparison took too long, or the centre's clock was set back meanwhile.
///
/// The region is asked after the centre, so the time that its answer took is counted as if its clock were ahead: an estimate that is wrong
/// holds the watermark back, and never lets it promise too much.
///
/// # Errors
/// One of the two refused or did not answer.
pub async fn compare(
    centre: &mut upkeep::Centre,
    region: &mut upkeep::RegionalServer,
) -> Result<Option<Comparison>, Error> {
    let mut best: Option<(i64, Comparison)> = None;
    for _ in 0..SAMPLES {
        let before = centre.clock().await?;
        let there = region.clock().await?;
        let round_trip_ms = centre.clock().await?.ms_since(before);
        if best.is_none_or(|(least_ms, ..)| round_trip_ms < least_ms) {
            // Both are cut to milliseconds.
            let ahead_ms = there.ms_since(before) + 1;
            let least_ms = ahead_ms - round_trip_ms - 2;
            best = Some((
                round_trip_ms,
                Comparison {
                    ahead_ms,
                    least_ms,
                    there,
                },
            ));
        }
    }
    Ok(best
        .filter(|&(round_trip_ms, ..)| (0..=ROUND_TRIP_MS_MAX).contains(&round_trip_ms))
        .map(|(_, comparison)| comparison))
}

/// The offset to note after a comparison: `noted` is the last one, `newest_claim` the region's latest claims at the centre (the latest instant
/// in one, and the latest until when one says that everything is counted), `ahead_ms` and `there` are the comparison. The peak stays until
/// every claim made under it has been followed by younger ones, which say more. A claim that no noted peak explains was made by a clock that
/// nobody compared: until it has been followed, nothing is known.
#[must_use]
pub fn next(
    noted: Option<Offset>,
    newest_claim: Option<(Timestamp, Timestamp)>,
    ahead_ms: i64,
    there: Timestamp,
) -> Offset {
    let known_ms = noted.map_or(ahead_ms, |noted| noted.peak_ms.max(ahead_ms));
    if let Some((claim, _)) = newest_claim
        && ahead_ms.saturating_add(claim.ms_since(there)) > known_ms.saturating_add(CLAIM_AHEAD_MS_MAX)
    {
        return Offset {
            ahead_ms,
            peak_ms: PEAK_NOT_KNOWN_MS,
            peak_at: claim,
        };
    }
    let peak = noted.filter(|noted| {
        let is_settled =
            newest_claim.is_some_and(|(_, until)| until.ms_since(noted.peak_at) > SETTLED_AFTER_MS);
        noted.peak_ms > ahead_ms && !is_settled
    });
    Offset {
        ahead_ms,
        peak_ms: peak.map_or(ahead_ms, |noted| noted.peak_ms),
        peak_at: peak.map_or(there, |noted| noted.peak_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(ms: i64) -> Option<(Timestamp, Timestamp)> {
        let at = Timestamp::from_unix_ms(ms);
        Some((at, at))
    }

    #[test]
    fn a_claim_by_a_clock_that_nobody_compared_says_nothing_until_it_is_followed() {
        let at = Timestamp::from_unix_ms;
        let fine = next(None, claim(999_000), 5, at(1_000_000));
        assert_eq!(fine.peak_ms, 5);
        // The keeper was away while the clock was 90 s ahead; the last claim of then is 60 s ahead of now.
        let unknown = at(1_100_000);
        let unexplained = next(Some(fine), Some((unknown, unknown)), 0, at(1_040_000));
        assert_eq!(
            (unexplained.peak_ms, unexplained.peak_at),
            (PEAK_NOT_KNOWN_MS, unknown)
        );
        let still = next(Some(unexplained), claim(1_150_000), 0, at(1_151_000));
        assert_eq!(still.peak_ms, PEAK_NOT_KNOWN_MS);
        let followed = next(Some(still), claim(1_160_001), 0, at(1_161_000));
        assert_eq!(followed.peak_ms, 0);
    }

    /// A claim of before the clock was set back stays in its row, under the instants of those that say less.
    #[test]
    fn a_peak_outlives_a_claim_that_nothing_has_followed() {
        let at = Timestamp::from_unix_ms;
        let first = next(None, None, 20_000, at(1_020_000));
        let still = next(
            Some(first),
            Some((at(1_120_000), at(1_019_000))),
            0,
            at(1_121_000),
        );
        assert_eq!(still.peak_ms, 20_000);
        let followed = next(
            Some(still),
            Some((at(1_181_000), at(1_080_001))),
            0,
            at(1_181_000),
        );
        assert_eq!(followed.peak_ms, 0);
    }

    #[test]
    fn a_peak_outlives_the_claims_made_under_it() {
        let at = Timestamp::from_unix_ms;
        let first = next(None, None, 90_000, at(1_000_000));
        assert_eq!((first.peak_ms, first.peak_at), (90_000, at(1_000_000)));
        let corrected = next(Some(first), claim(1_000_500), 0, at(910_000));
        assert_eq!((corrected.ahead_ms, corrected.peak_ms), (0, 90_000));
        let later = next(Some(corrected), claim(1_060_001), 0, at(1_061_000));
        assert_eq!((later.peak_ms, later.peak_at), (0, at(1_061_000)));
        let again = next(Some(later), claim(1_070_000), 7, at(1_071_000));
        assert_eq!((again.peak_ms, again.peak_at), (7, at(1_071_000)));
    }
}
