//! The past as it was counted: how an answer knows, without asking, that nothing was added to a day.
//!
//! Each flush adds its counts to its region's total and to the region's sums of minutes, in one transaction. A total less the sums of the
//! last hours is what was ever counted for minutes before these: while two snapshots agree on that, nothing was added to the minutes before,
//! not by a late event either. So a day that was whole in its row at a snapshot after the first of them has every count that the second has.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::Instant;

use model::{Day, EventId, Extent};
use mysql_async::{QueryResult, TextProtocol};

use super::counts::{Counted, Grain, Wanted};
use super::kept_day::{KeptDay, Sight};
use super::lease::Connected;
use super::{Shared, days};
use crate::clock::complete_until;

/// The question for the past, as of a snapshot: what each region has counted for minutes before the beginning of the hour before this
/// one, and nothing for no region. A total at its limit says nothing.
pub(super) const SQL: &str = "SELECT '', UNIX_TIMESTAMP() DIV 3600 * 3600 - 3600, '0' UNION ALL \
     SELECT region, UNIX_TIMESTAMP() DIV 3600 * 3600 - 3600, \
     IF(total = 18446744073709551615, NULL, CAST(CAST(total AS DECIMAL(30)) - COALESCE( \
     (SELECT SUM(count) FROM bigdata_0.RegionMinute AS recent WHERE recent.region = RegionTotal.region \
     AND createDate >= FROM_UNIXTIME(UNIX_TIMESTAMP() DIV 3600 * 3600 - 3600)), 0) AS CHAR)) FROM bigdata_0.RegionTotal";

/// What all regions have counted for minutes before an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Past {
    /// The instant, in unix seconds.
    before_s: i64,
    /// Each region's sum, as a decimal number.
    sums: BTreeMap<String, String>,
}

/// A past that did not change lately, at a server.
#[derive(Debug)]
pub(super) struct Settled {
    past: Past,
    server: Arc<str>,
    /// An instant after the first snapshot that had it.
    pub(super) since: Instant,
}

/// Reads the answer to [`SQL`]; `None` where it does not say what was counted.
pub(super) async fn collect(
    answers: &mut QueryResult<'_, '_, TextProtocol>,
) -> Result<Option<Past>, mysql_async::Error> {
    let rows: Vec<(String, i64, Option<String>)> = answers.collect().await?;
    let before_s = rows.iter().map(|row| row.1).min();
    let sums: Option<_> = rows
        .into_iter()
        .map(|(region, _, sum)| Some((region, sum?)))
        .collect();
    Ok(before_s.zip(sums).map(|(before_s, sums)| Past { before_s, sums }))
}

impl Settled {
    /// The past of a snapshot of `server` that was read just before `now`, after that of an earlier or later one.
    pub(super) fn after(past: Past, server: &Arc<str>, other: Option<&Self>, now: Instant) -> Self {
        let since = other
            .filter(|other| other.past == past && other.server == *server)
            .map_or(now, |other| other.since);
        let server = Arc::clone(server);
        Self { past, server, since }
    }

    /// Whether it has all of the minutes before `unix_s`.
    pub(super) fn has(&self, unix_s: i64) -> bool {
        unix_s <= self.past.before_s
    }
}

/// What a reading has seen of days that are in memory.
#[derive(Default)]
pub(super) struct Seen {
    /// Days whose row is as it is kept, and whether the wanted minutes had no other counts; not all, if they are many.
    pub(super) days: Vec<SeenDay>,
    /// The first day of which there were counts that are not in memory.
    pub(super) stirred: Option<Day>,
}

/// A day whose row is as it is kept.
pub(super) struct SeenDay {
    /// The day, which the cache may let go meanwhile.
    pub(super) kept: Weak<KeptDay>,
    pub(super) minutes: Range<usize>,
    pub(super) is_whole: bool,
}

impl Shared {
    /// Hands over all counts that are `wanted`, if each of their days is known without asking, and returns of when they are. Else hands over
    /// nothing.
    pub(super) async fn remembered(
        &self,
        wanted: &[Wanted<'_>],
        each: &mut (impl FnMut(usize, EventId, Counted<'_>) + Send),
    ) -> Option<Extent> {
        let (read, past) = self.claims.latest()?;
        let sources = self.sources.known(&read.connected)?;
        // Last: it looks at each name.
        if days::are_too_many(wanted) {
            return None;
        }
        let mut standing = Vec::new();
        for wanted in wanted {
            let last = Day::from(wanted.minutes.1);
            if wanted.grain == Grain::Day || !past.has(last.end_unix_s()) {
                return None;
            }
            standing.push(self.days.standing(wanted, &read.connected, past.since)?);
        }
        let mut kept_since = read.kept_since;
        for (at, (wanted, standing)) in wanted.iter().zip(standing).enumerate() {
            kept_since = kept_since.max(standing.kept_since);
            let of = (wanted.minutes, wanted.grain);
            days::hand_over(&standing.days, of, |id, counted| each(at, id, counted)).await;
        }
        metrics::counter!("store_readings_remembered_total").increment(1);
        Some(Extent {
            complete_until: complete_until(&read.clocks(&sources)),
            kept_since,
        })
    }

    /// Notes what was `seen` in a snapshot that began at `begun` or after it, and in which `kept_since` was the first day that is kept.
    pub(super) fn note_seen(
        &self,
        seen: Seen,
        begun: Instant,
        connected: &Connected,
        kept_since: Option<Day>,
    ) {
        // First: what is seen of these days here must not be missing in an answer out of memory.
        if let Some(day) = seen.stirred {
            self.claims.stir(day);
        }
        for day in seen.days {
            let sight = Sight {
                asked: begun,
                server: Arc::clone(&connected.server),
                minutes: day.minutes,
                kept_since,
            };
            if let Some(kept) = day.kept.upgrade() {
                kept.see(day.is_whole.then_some(sight));
            }
        }
    }
}
