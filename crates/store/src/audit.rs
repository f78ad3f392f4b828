//! The audit: counts are conserved. The sums that regions counted are those that arrived, and those that arrived are those that are stored.

mod sums;
mod totals;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use model::{Day, Shards, Timestamp};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use self::sums::Sums;
pub(crate) use self::sums::number;
use crate::clock::kept_since;
use crate::session::Session;
use crate::{Account, Error, Members, Place, held, upkeep};

/// Longest wait for all sums of one snapshot: two days of a few thousand names take seconds.
const SNAPSHOT_LIMIT: Duration = Duration::from_secs(300);

/// Seconds after which the server itself ends a statement: one that nobody waits for any more does not go on for ever.
const STATEMENT_S_MAX: u32 = 60;

/// Snapshots that are begun until those of all servers are of the same position, and the pause between them: servers apply the same binlogs
/// at the same time, so one that is never where the others are is far behind.
const SNAPSHOTS_MAX: u32 = 600;

/// Pause between two of them.
const SNAPSHOT_POLL: Duration = Duration::from_millis(100);

/// Most gaps that are listed; all are counted.
const GAPS_LISTED_MAX: usize = 100;

/// The range of a recent audit, to either side of now.
const DEFAULT_RANGE_MS: i64 = 2 * 86_400_000;

/// The period that an audit compares, `[from, until)`, widened to whole days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first instant.
    pub from: Timestamp,
    /// The end, which is not part of it.
    pub until: Timestamp,
}

impl Range {
    /// The last two days, and two days to come, for events from clocks that are ahead.
    #[must_use]
    pub fn recent(now: Timestamp) -> Self {
        Self {
            from: now.plus_ms(-DEFAULT_RANGE_MS),
            until: now.plus_ms(DEFAULT_RANGE_MS),
        }
    }
}

/// A minute whose sums differ, or a packed day whose totals are not the sums of its minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// First second of the minute or day.
    pub unix_s: i64,
    /// Whether it is a packed day, else a minute.
    pub is_day: bool,
    /// The sum by `RegionMinute`, over all regions; of a day, by the totals of those names that differ.
    pub counted: u128,
    /// The sum by `EventMinute`, `EventBlock` and `EventDay`, over all names; of a day, by the minutes of those names.
    pub stored: u128,
}

/// An audit's verdict on one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All sums agree.
    Equal,
    /// Something was lost or doubled: a sentence.
    Gap(String),
    /// The sums could not be compared: the reason, a sentence.
    NotKnown(String),
}

/// One region's totals, and the verdict on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionAudit {
    /// The region's name.
    pub region: String,
    /// The sum of `RegionMinute` at the centre.
    pub sum: u128,
    /// The region's running total as of its last flush that is at the centre.
    pub total: u64,
    /// Number of that flush.
    pub flushes: u64,
    /// Whether this centre replicates from it, and it was therefore asked itself.
    pub is_source: bool,
    /// The verdict on this region.
    pub verdict: Verdict,
}

impl RegionAudit {
    /// The totals of a region that has sent no counts yet.
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
    /// Number of minutes that were compared.
    pub compared: usize,
    /// The first gaps, days before minutes, each in the order of time.
    pub gaps: Vec<Gap>,
    /// Number of all gaps.
    pub gaps_total: usize,
    /// The regions' totals.
    pub regions: Vec<RegionAudit>,
    /// Counts that have reached their limit of 2^64 - 1 and no longer grow: database and number of counts.
    pub saturated: Vec<(String, u64)>,
}

impl Audit {
    /// Whether anything was lost or doubled.
    #[must_use]
    pub fn has_gap(&self) -> bool {
        self.gaps_total > 0
            || self
                .regions
                .iter()
                .any(|region| matches!(region.verdict, Verdict::Gap(_)))
    }

    /// Whether every region could be compared.
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
        let at = Timestamp::from_unix_ms(self.unix_s.saturating_mul(1000));
        let Self { counted, stored, .. } = self;
        if self.is_day {
            return write!(
                f,
                "packed day {}: totals that are not the sums of their minutes: {counted} against {stored}",
                Day::containing(self.unix_s)
            );
        }
        let (difference, outcome) = if counted > stored {
            (counted - stored, "missing")
        } else {
            (stored - counted, "too many")
        };
        write!(
            f,
            "minute {at}: regions counted {counted}, names hold {stored}: {difference} {outcome}"
        )
    }
}

/// Compares, on one snapshot of a centre: per minute what regions counted with what names hold, and per region its running
/// total with the sum of its minutes. Regions are not asked. Of several servers, the snapshots are of the same position, and their sums
/// are added up. A call whose future is dropped ends at the servers, too, and keeps its `place` until then.
///
/// # Errors
/// A server refused or did not answer; `Apart` where servers were not at one position in time.
pub async fn audit_centre(centre: &Members, range: Range, place: Option<Place>) -> Result<Audit, Error> {
    let mut sessions = Vec::new();
    for member in centre.iter() {
        let conn = member.server.connect().await?;
        let server = Arc::new(member.server.clone());
        sessions.push((
            Session::new(server, conn, place.iter().cloned().collect()),
            member.shards,
        ));
    }
    let held = begin_at_one_position(&mut sessions).await?;
    let servers = sessions.iter().zip(held);
    let servers = servers.map(|((_, configured), held)| (*configured, held));
    let assigned = held::assign(Shards::ALL, servers)?;
    let parts = sessions
        .iter_mut()
        .zip(assigned)
        .map(async |((session, _), shards)| {
            session
                .call("audit", SNAPSHOT_LIMIT, async |conn| {
                    of_snapshot(conn, range, shards).await
                })
                .await
        });
    let parts = try_join_all(parts).await?;
    for (session, _) in sessions {
        drop(session.over());
    }
    Ok(Part::joined(parts))
}

/// Begins a snapshot at each server, so that all are of the same flushes of every region: counts that came by a flush which another server
/// has not applied yet would be missing there. Returns the shards that each says that it has in them.
async fn begin_at_one_position(sessions: &mut [(Session, Shards)]) -> Result<Vec<Shards>, Error> {
    let is_several = sessions.len() > 1;
    for _ in 0..SNAPSHOTS_MAX {
        let begun = sessions.iter_mut().map(async |(session, _)| {
            session
                .call("begin a snapshot", SNAPSHOT_LIMIT, async |conn| {
                    begin(conn, is_several).await
                })
                .await
        });
        let (positions, held): (Vec<_>, Vec<_>) = try_join_all(begun).await?.into_iter().unzip();
        if positions.iter().all(|position| *position == positions[0]) {
            return Ok(held);
        }
        tokio::time::sleep(SNAPSHOT_POLL).await;
    }
    Err(Error::Apart {
        seconds: (SNAPSHOTS_MAX * SNAPSHOT_POLL).as_secs(),
    })
}

/// The regions' last flushes and totals, by name.
type Flushes = Vec<(String, u64, u64)>;

/// Begins a snapshot, instead of one that was begun before, and reads, of one of several servers, its position and the shards that it has.
async fn begin(conn: &mut Conn, is_several: bool) -> Result<(Flushes, Shards), mysql_async::Error> {
    const POSITION: &str = "SELECT region, flushes, total FROM bigdata_0.RegionTotal ORDER BY region";
    conn.query_drop(format!("SET max_statement_time = {STATEMENT_S_MAX}"))
        .await?;
    conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .await?;
    conn.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        .await?;
    if !is_several {
        return Ok((Flushes::new(), Shards::ALL));
    }
    let position = conn.query(POSITION).await?;
    Ok((position, held::read(conn).await?.unwrap_or_default().whole))
}

/// Audits a centre as [`audit_centre`] does, and then asks every source of the centre, under `account`, for the flushes that lie between its
/// own total and the one at the centre. A region that is no source any more is judged by its sums at the centre.
///
/// # Errors
/// As of [`audit_centre`]. A region that does not answer is not known.
pub async fn audit(centre: &Members, account: &Account, range: Range) -> Result<Audit, Error> {
    let mut audit = audit_centre(centre, range, None).await?;
    // All servers have the same sources, or their positions would have differed.
    let first = centre.first().server.clone();
    for state in upkeep::Centre::new(first).sources().await? {
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
        // After the centre: a region is always further, and what lies between is in its journal, so nothing has to stand still.
        if region.verdict == Verdict::Equal {
            region.verdict = match totals::read(&source.server(account), region.flushes).await {
                Ok(totals) => totals::verdict(region, &totals),
                Err(error) => Verdict::NotKnown(error.with_causes()),
            };
        }
    }
    Ok(audit)
}

/// One server's part of an audit.
struct Part {
    sums: Sums,
    regions: Vec<RegionAudit>,
    kept_since: Option<Day>,
}

/// Sums up one server's shards in its snapshot, and ends that: counts that move from minutes to days meanwhile are in exactly one place.
async fn of_snapshot(conn: &mut Conn, range: Range, shards: Shards) -> Result<Part, mysql_async::Error> {
    let sums = Sums::read(conn, range, shards).await?;
    let regions = regions(conn).await?;
    conn.query_drop("COMMIT").await?;
    // What retention drops under a snapshot is missing in it, and was noted before.
    let kept_since = kept_since(conn).await?;
    Ok(Part {
        sums,
        regions,
        kept_since,
    })
}

impl Part {
    /// The outcome over all servers. What regions counted is the same at each, as they are at one position.
    fn joined(parts: Vec<Self>) -> Audit {
        let kept_since = parts.iter().filter_map(|part| part.kept_since).max();
        let mut sums = Sums::default();
        let mut regions = Vec::<RegionAudit>::new();
        for part in parts {
            sums.add_server(part.sums);
            for region in part.regions {
                match regions.iter_mut().find(|known| known.region == region.region) {
                    None => regions.push(region),
                    Some(known) if known.verdict == Verdict::Equal => known.verdict = region.verdict,
                    Some(_) => {}
                }
            }
        }
        if let Some(day) = kept_since {
            sums.forget_before(day);
        }
        let gaps: Vec<Gap> = sums.gaps().collect();
        Audit {
            compared: sums.minutes.len(),
            gaps_total: gaps.len(),
            gaps: gaps.into_iter().take(GAPS_LISTED_MAX).collect(),
            regions,
            saturated: sums.saturated,
        }
    }
}

/// Each region's running total at the centre against the sum of its minutes there.
async fn regions(conn: &mut Conn) -> Result<Vec<RegionAudit>, mysql_async::Error> {
    const SQL: &str = "SELECT region, CAST(sum AS CHAR), total, flushes FROM \
                       (SELECT region, SUM(count) AS sum FROM bigdata_0.RegionMinute GROUP BY region \
                        UNION SELECT region, 0 FROM bigdata_0.RegionTotal \
                        WHERE region NOT IN (SELECT region FROM bigdata_0.RegionMinute)) sums \
                       LEFT JOIN bigdata_0.RegionTotal USING (region) ORDER BY region";
    let rows: Vec<(String, String, Option<u64>, Option<u64>)> = conn.query(SQL).await?;
    let audits = rows.into_iter().map(|(region, sum, total, flushes)| {
        let sum = number(&sum)?;
        let verdict = match total {
            None => Verdict::NotKnown("its running total comes with its next count".to_owned()),
            Some(total) if sum == u128::from(total) => Verdict::Equal,
            Some(total) => Verdict::Gap(format!(
                "its minutes at the centre sum up to {sum}, but it had counted {total} by then"
            )),
        };
        Ok(RegionAudit {
            region,
            sum,
            total: total.unwrap_or(0),
            flushes: flushes.unwrap_or(0),
            is_source: false,
            verdict,
        })
    });
    audits.collect()
}
