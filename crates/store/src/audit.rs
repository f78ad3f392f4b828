//! The conservation of counts: what regions counted is what arrived, and what arrived is what is stored.

mod totals;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use model::{Instant, Minute, Shard};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::{Account, Error, Post, Server};

/// Longest wait for all sums of one snapshot: two days of a few thousand names take seconds.
const SNAPSHOT_LIMIT: Duration = Duration::from_secs(300);

/// When the server itself ends a statement: one that nobody waits for any more does not go on for ever.
const STATEMENT_S_MAX: u32 = 60;

/// Gaps that are listed; all are counted.
const GAPS_LISTED_MAX: usize = 100;

/// What is looked at when nobody says otherwise.
const DEFAULT_RANGE_MS: i64 = 2 * 86_400_000;

const SATURATED: u64 = u64::MAX;

/// `[from, until)`, in whole minutes; days of which a part is packed are compared as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub from: Instant,
    pub until: Instant,
}

impl Range {
    /// The last two days, and what lies ahead.
    #[must_use]
    pub fn recent(now: Instant) -> Self {
        Self {
            from: now.plus_ms(-DEFAULT_RANGE_MS),
            until: now.plus_ms(DEFAULT_RANGE_MS),
        }
    }
}

/// A minute, or a packed day, whose sums differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// First second.
    pub unix_s: i64,
    pub is_day: bool,
    /// By `RegionMinute`, summed over the regions.
    pub counted: u128,
    /// By `EventMinute` and `EventDay`, summed over the names.
    pub stored: u128,
}

/// What an audit says of one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Equal,
    /// Something was lost or doubled: a sentence.
    Gap(String),
    /// Why it cannot be said.
    NotKnown(String),
}

/// One region's totals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionAudit {
    pub region: String,
    /// The sum of `RegionMinute` at the centre.
    pub sum: u128,
    /// The region's running total as of its last flush that is at the centre.
    pub total: u64,
    /// Number of that flush.
    pub flushes: u64,
    /// Whether this centre replicates from it, and it was therefore asked itself.
    pub is_source: bool,
    pub verdict: Verdict,
}

impl RegionAudit {
    /// Of a region that has sent no counts yet.
    fn silent(region: &str) -> Self {
        Self {
            region: region.to_owned(),
            sum: 0,
            total: 0,
            flushes: 0,
            is_source: false,
            verdict: Verdict::Equal,
        }
    }
}

/// The outcome of one audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Minutes and packed days that were compared.
    pub compared: usize,
    /// The first of the gaps.
    pub gaps: Vec<Gap>,
    pub gaps_total: usize,
    pub regions: Vec<RegionAudit>,
    /// Counts that have reached their limit and no longer grow: database and number of rows.
    pub saturated: Vec<(String, u64)>,
}

impl Audit {
    #[must_use]
    pub fn has_gap(&self) -> bool {
        self.gaps_total > 0
            || self
                .regions
                .iter()
                .any(|region| matches!(region.verdict, Verdict::Gap(_)))
    }

    #[must_use]
    pub fn is_known(&self) -> bool {
        !self
            .regions
            .iter()
            .any(|region| matches!(region.verdict, Verdict::NotKnown(_)))
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Instant::from_unix_ms(self.unix_s.saturating_mul(1000));
        let what = if self.is_day { "day" } else { "minute" };
        let (difference, outcome) = if self.counted > self.stored {
            (self.counted - self.stored, "missing")
        } else {
            (self.stored - self.counted, "too many")
        };
        write!(
            f,
            "{what} {at}: regions counted {}, names hold {}: {difference} {outcome}",
            self.counted, self.stored
        )
    }
}

/// Compares, on one snapshot of `centre`: per minute what regions counted with what names hold, and per region its running
/// total with the sum of its minutes. Regions are not asked.
///
/// # Errors
/// The centre refused or did not answer.
pub async fn audit_centre(centre: &Server, range: Range) -> Result<Audit, Error> {
    let mut conn = centre.connect().await?;
    let audited = centre
        .limited("audit", SNAPSHOT_LIMIT, of_snapshot(&mut conn, range))
        .await?;
    Ok(audited)
}

/// As [`audit_centre`], and then asks every source of the centre for what lies between its own total and the one at the
/// centre. A region that is no source any more is judged by its sums at the centre.
///
/// # Errors
/// The centre refused or did not answer. A region that does not is not known.
pub async fn audit(centre: &Server, account: &Account, range: Range) -> Result<Audit, Error> {
    let mut audit = audit_centre(centre, range).await?;
    for state in Post::new(centre.clone()).sources().await? {
        let source = state.source;
        let at = match audit
            .regions
            .iter()
            .position(|audit| audit.region == source.region)
        {
            Some(at) => at,
            None => {
                audit.regions.push(RegionAudit::silent(&source.region));
                audit.regions.len() - 1
            }
        };
        let region = &mut audit.regions[at];
        region.is_source = true;
        if region.verdict == Verdict::Equal {
            region.verdict = match totals::read(&source.server(account), region.flushes).await {
                Ok(totals) => totals::verdict(region, &totals),
                Err(error) => Verdict::NotKnown(error.with_causes()),
            };
        }
    }
    Ok(audit)
}

async fn of_snapshot(conn: &mut Conn, range: Range) -> Result<Audit, mysql_async::Error> {
    conn.query_drop(format!("SET max_statement_time = {STATEMENT_S_MAX}"))
        .await?;
    conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .await?;
    conn.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        .await?;
    let mut sums = Sums::read(conn, range).await?;
    let regions = regions(conn).await?;
    conn.query_drop("COMMIT").await?;
    sums.fold_packed_days();
    let gaps: Vec<Gap> = sums.gaps().collect();
    Ok(Audit {
        compared: sums.minutes.len() + sums.days.len(),
        gaps_total: gaps.len(),
        gaps: gaps.into_iter().take(GAPS_LISTED_MAX).collect(),
        regions,
        saturated: sums.saturated,
    })
}

/// Counted and stored.
type Pair = (u128, u128);

#[derive(Debug, Default)]
struct Sums {
    minutes: BTreeMap<i64, Pair>,
    days: BTreeMap<i64, Pair>,
    saturated: Vec<(String, u64)>,
}

impl Sums {
    async fn read(conn: &mut Conn, range: Range) -> Result<Self, mysql_async::Error> {
        let mut sums = Self::default();
        let second = |at: Instant| at.unix_ms().div_euclid(1000);
        // Whole days, so that packed ones are seen with all of their minutes.
        let from = second(range.from).div_euclid(86_400) * 86_400;
        let until = (second(range.until) + 86_399).div_euclid(86_400) * 86_400;
        let limits = (from.max(Minute::FIRST.unix_s()), until.min(Minute::LAST.unix_s()));
        let counted = "SELECT UNIX_TIMESTAMP(createDate), CAST(SUM(count) AS CHAR) FROM bigdata_0.RegionMinute \
                       WHERE createDate >= FROM_UNIXTIME(?) AND createDate < FROM_UNIXTIME(?) GROUP BY createDate";
        for (unix_s, sum) in conn.exec::<(i64, String), _, _>(counted, limits).await? {
            sums.minutes.entry(unix_s).or_default().0 = number(&sum);
        }
        for shard in Shard::all() {
            let stored = format!(
                "SELECT UNIX_TIMESTAMP(createDate), CAST(SUM(count) AS CHAR), CAST(SUM(count = {SATURATED}) AS UNSIGNED) \
                 FROM {shard}.EventMinute \
                 WHERE createDate >= FROM_UNIXTIME(?) AND createDate < FROM_UNIXTIME(?) GROUP BY createDate"
            );
            let mut saturated = 0;
            for (unix_s, sum, full) in conn.exec::<(i64, String, u64), _, _>(stored, limits).await? {
                sums.minutes.entry(unix_s).or_default().1 += number(&sum);
                saturated += full;
            }
            if saturated > 0 {
                sums.saturated.push((shard.to_string(), saturated));
            }
            let packed = format!(
                "SELECT UNIX_TIMESTAMP(day), CAST(SUM(total) AS CHAR) FROM {shard}.EventDay \
                 WHERE day >= DATE(FROM_UNIXTIME(?)) AND day < DATE(FROM_UNIXTIME(?)) GROUP BY day"
            );
            for (unix_s, sum) in conn.exec::<(i64, String), _, _>(packed, limits).await? {
                sums.days.entry(unix_s).or_default().1 += number(&sum);
            }
        }
        Ok(sums)
    }

    /// Of a packed day only the total is compared, with what is not packed yet added to it.
    fn fold_packed_days(&mut self) {
        let minutes = std::mem::take(&mut self.minutes);
        for (unix_s, pair) in minutes {
            let day = unix_s.div_euclid(86_400) * 86_400;
            match self.days.get_mut(&day) {
                Some(sums) => {
                    sums.0 += pair.0;
                    sums.1 += pair.1;
                }
                None => {
                    self.minutes.insert(unix_s, pair);
                }
            }
        }
    }

    fn gaps(&self) -> impl Iterator<Item = Gap> + '_ {
        let gap = |is_day| {
            move |(&unix_s, &(counted, stored)): (&i64, &Pair)| {
                (counted != stored).then_some(Gap {
                    unix_s,
                    is_day,
                    counted,
                    stored,
                })
            }
        };
        let days = self.days.iter().filter_map(gap(true));
        days.chain(self.minutes.iter().filter_map(gap(false)))
    }
}

fn number(text: &str) -> u128 {
    text.parse().unwrap_or_default()
}

async fn regions(conn: &mut Conn) -> Result<Vec<RegionAudit>, mysql_async::Error> {
    const SQL: &str = "SELECT region, CAST(sum AS CHAR), total, flushes FROM \
                       (SELECT region, SUM(count) AS sum FROM bigdata_0.RegionMinute GROUP BY region \
                        UNION SELECT region, 0 FROM bigdata_0.RegionTotal \
                        WHERE region NOT IN (SELECT region FROM bigdata_0.RegionMinute)) sums \
                       LEFT JOIN bigdata_0.RegionTotal USING (region) ORDER BY region";
    let rows: Vec<(String, String, Option<u64>, Option<u64>)> = conn.query(SQL).await?;
    let audits = rows.into_iter().map(|(region, sum, total, flushes)| {
        let sum = number(&sum);
        let verdict = match total {
            None => Verdict::NotKnown("its running total comes with its next count".to_owned()),
            Some(total) if sum == u128::from(total) => Verdict::Equal,
            Some(total) => Verdict::Gap(format!(
                "its minutes at the centre sum up to {sum}, but it had counted {total} by then"
            )),
        };
        RegionAudit {
            region,
            sum,
            total: total.unwrap_or(0),
            flushes: flushes.unwrap_or(0),
            is_source: false,
            verdict,
        }
    });
    Ok(audits.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_day_is_compared_as_a_whole() {
        let mut sums = Sums {
            minutes: BTreeMap::from([(0, (5, 0)), (60, (7, 2)), (86_400, (3, 3)), (86_460, (4, 5))]),
            days: BTreeMap::from([(0, (0, 10))]),
            saturated: Vec::new(),
        };
        sums.fold_packed_days();
        let gaps: Vec<String> = sums.gaps().map(|gap| gap.to_string()).collect();
        assert_eq!(
            gaps,
            ["minute 1970-01-02T00:01:00.000Z: regions counted 4, names hold 5: 1 too many"]
        );
    }
}
