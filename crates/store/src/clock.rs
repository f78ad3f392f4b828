//! Completeness: the watermark up to which a centre's counts are final, from the regions' claims and from the comparisons of their clocks.
//!
//! A worker claims, by its database's clock, that everything before an instant is counted. The claim travels behind its counts in the same
//! transaction, so at the centre it is as true as in the region. What it means by the centre's clock depends on how far the region's was
//! ahead when it was made. The keeper compares the two all the time, and notes the peak: the most that the region's clock was ahead while
//! claims from then may still be under way. A claim less the peak is never too late.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Day, Shards, Timestamp};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, QueryResult, TextProtocol};

pub(crate) use crate::source::SHOW_SOURCES;
use crate::source::source_state;

/// The peak where a claim was made by a clock that was never compared, in milliseconds: a century, which no clock is ahead.
pub const PEAK_NOT_KNOWN_MS: i64 = 3_155_760_000_000;

/// The greatest age of a comparison of two clocks, in milliseconds by the centre's clock. An older one says nothing: a clock may have been
/// set since.
pub const COMPARISON_MS_MAX: i64 = 30_000;

/// How far a comparison may lie ahead of the statement that reads it; if it lies further, the centre's clock was set back.
const COMPARISON_AHEAD_MS_MAX: i64 = 1_000;

/// How far a claim may be ahead of the centre's clock, once the peak is taken off: as much as clocks drift apart between two comparisons.
/// One that is further ahead was made by a clock that was set since.
const CLAIM_AHEAD_MS_MAX: i64 = 100;

/// One region's watermark at a centre, and the comparison of clocks that it rests on; by the centre's clock where nothing else is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegionClock {
    /// The region's watermark: every event that was acknowledged in the region before is counted. `None` where the region has not said
    /// so yet, or its clock was not compared with the centre's in the last [`COMPARISON_MS_MAX`].
    pub complete_until: Option<Timestamp>,
    /// Milliseconds that the region's database clock is ahead of the centre's; negative where it is behind. `None` where it was not
    /// compared lately.
    pub ahead_ms: Option<i64>,
    /// The instant of the last comparison; `None` for never.
    pub compared: Option<Timestamp>,
}

/// A region's latest claim, and the last comparison of its clock, in unix milliseconds. The claim is by the region's clock, the comparison
/// by the centre's.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Claim {
    complete_until_ms: i64,
    peak_ms: i64,
    ahead_ms: i64,
    compared_ms: i64,
    /// Until when the region was said to be complete before the peak rose, by the centre's clock; `i64::MIN` where that is not known.
    said_ms: i64,
}

impl Claim {
    /// The watermark that it means by the centre's clock, in unix milliseconds. What was said before is as true as it was then.
    fn until_ms(&self) -> i64 {
        self.complete_until_ms
            .saturating_sub(self.peak_ms)
            .max(self.said_ms)
    }
}

impl RegionClock {
    /// The region's clock as known at `now_ms` by the centre's clock. A claim counts only with a fresh comparison, with a peak that is
    /// known, and if it does not lie in the future: each of the three shows a clock that was set, and then nothing is said rather than too
    /// much.
    fn of(claim: Claim, now_ms: i64) -> Self {
        let age_ms = now_ms.saturating_sub(claim.compared_ms);
        let is_fresh = (-COMPARISON_AHEAD_MS_MAX..=COMPARISON_MS_MAX).contains(&age_ms);
        let complete_until_ms = claim.until_ms();
        let is_past = complete_until_ms <= now_ms.saturating_add(CLAIM_AHEAD_MS_MAX);
        let is_compared = claim.peak_ms < PEAK_NOT_KNOWN_MS;
        Self {
            complete_until: (is_fresh && is_past && is_compared)
                .then(|| Timestamp::from_unix_ms(complete_until_ms)),
            ahead_ms: is_fresh.then_some(claim.ahead_ms),
            compared: Some(Timestamp::from_unix_ms(claim.compared_ms)),
        }
    }
}

/// The regions that a server replicates from, each with whether all is applied that the server needs for its shards.
pub(crate) type Sources = BTreeMap<String, bool>;

/// Reads the clock of every region that this server replicates from, or has claims of, by region; in the snapshot of `conn`, if it has one.
pub(crate) async fn read(
    conn: &mut Conn,
    shards: Shards,
) -> Result<BTreeMap<String, RegionClock>, mysql_async::Error> {
    let mut answers = conn.query_iter(format!("{SHOW_SOURCES}; {CLAIMS}")).await?;
    let sources = sources(&mut answers, shards).await?;
    let claims = Claims::collect(&mut answers).await?;
    answers.drop_result().await?;
    Ok(claims.clocks(&sources, Duration::ZERO))
}

/// The latest claim of each region, `None` where its clock was never compared, and the time by the centre's clock when it was read, in unix
/// milliseconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Claims(BTreeMap<String, (Option<Claim>, i64)>);

/// Reads the answer to [`SHOW_SOURCES`] at a server with these shards.
pub(crate) async fn sources(
    answers: &mut QueryResult<'_, '_, TextProtocol>,
    shards: Shards,
) -> Result<Sources, mysql_async::Error> {
    let rows: Vec<mysql_async::Row> = answers.collect().await?;
    let source = |row| {
        let state = source_state(row)?;
        let has_all = state.has_all_of(shards);
        Ok((state.source.region, has_all))
    };
    rows.iter().map(source).collect()
}

/// The first day that retention has not dropped; `None` where it never dropped any.
pub(crate) async fn kept_since(conn: &mut Conn) -> Result<Option<Day>, mysql_async::Error> {
    let since: Option<Option<i64>> = conn.query_first(KEPT_SINCE).await?;
    Ok(since.flatten().map(Day::containing))
}

/// The question for the first day that is kept.
pub(crate) const KEPT_SINCE: &str = "SELECT UNIX_TIMESTAMP(MAX(beforeDay)) FROM eventtracker.DroppedDays";

/// The question for the latest claims: every claim is about the whole of its region, whichever worker made it.
pub(crate) const CLAIMS: &str = "SELECT region, CAST(UNIX_TIMESTAMP(completeUntil) * 1000 AS SIGNED), peakMs, aheadMs, \
                      CAST(UNIX_TIMESTAMP(measuredAt) * 1000 AS SIGNED), \
                      CAST(UNIX_TIMESTAMP(saidUntil) * 1000 AS SIGNED), \
                      CAST(UNIX_TIMESTAMP(CURRENT_TIMESTAMP(3)) * 1000 AS SIGNED) \
                      FROM bigdata_0.RegionClock LEFT JOIN eventtracker.ClockOffset USING (region)";

impl Claims {
    /// Reads the answers to [`CLAIMS`].
    pub(crate) async fn collect(
        answers: &mut QueryResult<'_, '_, TextProtocol>,
    ) -> Result<Self, mysql_async::Error> {
        type Row = (
            String,
            i64,
            Option<i64>,
            Option<i64>,
            Option<i64>,
            Option<i64>,
            i64,
        );
        let mut claims = BTreeMap::<String, (Option<Claim>, i64)>::new();
        for (region, complete_until_ms, peak_ms, ahead_ms, compared_ms, said_ms, now_ms) in
            answers.collect::<Row>().await?
        {
            let (Some(peak_ms), Some(ahead_ms), Some(compared_ms)) = (peak_ms, ahead_ms, compared_ms) else {
                claims.insert(region, (None, now_ms));
                continue;
            };
            // One that lies ahead was said by a centre's clock that was set back since.
            let said_ms = said_ms.filter(|&said_ms| said_ms <= now_ms.saturating_add(CLAIM_AHEAD_MS_MAX));
            let claim = Claim {
                complete_until_ms,
                peak_ms,
                ahead_ms,
                compared_ms,
                said_ms: said_ms.unwrap_or(i64::MIN),
            };
            let (latest, _) = claims.entry(region).or_insert((Some(claim), now_ms));
            if let Some(latest) = latest {
                latest.complete_until_ms = latest.complete_until_ms.max(complete_until_ms);
            }
        }
        Ok(Self(claims))
    }

    /// Whether none of `others` is later.
    pub(crate) fn cover(&self, others: &Self) -> bool {
        let until_ms = |claims: &Self, region: &String| {
            let (claim, _) = claims.0.get(region)?;
            claim.as_ref().map(Claim::until_ms)
        };
        others
            .0
            .keys()
            .all(|region| until_ms(self, region) >= until_ms(others, region))
    }

    /// The clocks of the regions in `sources`, and of all that have claimed something, so long after the claims were read.
    pub(crate) fn clocks(&self, sources: &Sources, age: Duration) -> BTreeMap<String, RegionClock> {
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        // Every source, also one that has claimed nothing: a region that is not known must hold the whole back. And every region of which
        // there are claims: a centre that was just restored has counts of regions that it does not replicate from yet, and lacks others.
        let clock = |region: &String| {
            let clock = self.0.get(region);
            let clock = clock
                .and_then(|&(claim, read_ms)| Some(RegionClock::of(claim?, read_ms.saturating_add(age_ms))));
            let mut clock = clock.unwrap_or_default();
            // What is passed over will be missing, whatever the region claims.
            let has_all = sources.get(region).copied().unwrap_or(true);
            clock.complete_until = clock.complete_until.filter(|_| has_all);
            (region.clone(), clock)
        };
        sources.keys().chain(self.0.keys()).map(clock).collect()
    }

    /// One region's, until so many milliseconds.
    #[cfg(test)]
    pub(crate) fn until(complete_until_ms: i64) -> Self {
        let claim = Claim {
            complete_until_ms,
            peak_ms: 0,
            ahead_ms: 0,
            compared_ms: 0,
            said_ms: i64::MIN,
        };
        Self(BTreeMap::from([("eu".to_owned(), (Some(claim), 0))]))
    }
}

/// The centre's watermark, until when everything is complete: the least of all regions' watermarks, by the centre's clock. `None` while one
/// of them is not known, or there is no region.
#[must_use]
pub fn complete_until(clocks: &BTreeMap<String, RegionClock>) -> Option<Timestamp> {
    let known: Option<Vec<Timestamp>> = clocks.values().map(|clock| clock.complete_until).collect();
    known?.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_comparison_says_nothing() {
        let claim = |complete_until_ms, compared_ms| Claim {
            complete_until_ms,
            peak_ms: 500,
            ahead_ms: 400,
            compared_ms,
            said_ms: i64::MIN,
        };
        let known = |claim, now_ms| {
            let clock = RegionClock::of(claim, now_ms);
            (clock.complete_until.map(Timestamp::unix_ms), clock.ahead_ms)
        };
        assert_eq!(known(claim(99_500, 99_000), 100_000), (Some(99_000), Some(400)));
        assert_eq!(known(claim(99_500, 70_000), 100_000), (Some(99_000), Some(400)));
        assert_eq!(known(claim(99_500, 69_999), 100_000), (None, None));
        // The centre's clock was set back.
        assert_eq!(known(claim(99_500, 101_001), 100_000), (None, None));
        // The region's clock was set forward, and not compared since.
        assert_eq!(known(claim(190_000, 99_000), 100_000), (None, Some(400)));
    }

    #[test]
    fn a_peak_that_rises_takes_nothing_back() {
        let claim = |peak_ms, said_ms| Claim {
            complete_until_ms: 99_500,
            peak_ms,
            ahead_ms: 0,
            compared_ms: 100_000,
            said_ms,
        };
        let until = |claim| {
            RegionClock::of(claim, 100_000)
                .complete_until
                .map(Timestamp::unix_ms)
        };
        assert_eq!(until(claim(500, i64::MIN)), Some(99_000));
        assert_eq!(until(claim(700, 99_000)), Some(99_000));
        assert_eq!(until(claim(400, 99_000)), Some(99_100));
        assert_eq!(until(claim(PEAK_NOT_KNOWN_MS, 99_000)), None);
    }

    #[test]
    fn a_region_that_has_claimed_counts_whether_it_is_a_source_or_not() {
        let claims = Claims::until(5);
        let of = |sources: &[&str]| {
            let sources = sources.iter().map(|&region| (region.to_owned(), true));
            complete_until(&claims.clocks(&sources.collect(), Duration::ZERO)).map(Timestamp::unix_ms)
        };
        assert_eq!((of(&["eu"]), of(&[])), (Some(5), Some(5)));
        assert_eq!(of(&["us"]), None);
        let not_compared = Claims(BTreeMap::from([("us".to_owned(), (None, 0))]));
        assert!(claims.cover(&Claims::default()) && not_compared.cover(&not_compared));
        assert!(!not_compared.cover(&claims) && !claims.cover(&Claims::until(6)));
        let passed_over = Sources::from([("eu".to_owned(), false)]);
        assert_eq!(complete_until(&claims.clocks(&passed_over, Duration::ZERO)), None);
        let clocks = not_compared.clocks(&Sources::new(), Duration::ZERO);
        assert_eq!(
            clocks.into_iter().collect::<Vec<_>>(),
            [("us".to_owned(), RegionClock::default())]
        );
    }

    #[test]
    fn one_region_that_is_not_known_holds_all_back() {
        let clock = |ms: Option<i64>| RegionClock {
            complete_until: ms.map(Timestamp::from_unix_ms),
            ..RegionClock::default()
        };
        let of = |regions: &[(&str, Option<i64>)]| {
            let clocks = regions.iter().map(|&(region, ms)| (region.to_owned(), clock(ms)));
            complete_until(&clocks.collect()).map(Timestamp::unix_ms)
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("eu", Some(5)), ("us", Some(3))]), Some(3));
        assert_eq!(of(&[("eu", Some(5)), ("us", None)]), None);
    }
}
