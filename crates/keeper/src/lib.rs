#![doc = include_str!("../README.md")]

mod agreement;
mod alarms;
mod audits;
mod binlogs;
mod certificates;
mod clients;
mod config;
mod findings;
pub mod offset;
mod packing;
mod retention;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use listener::Health;
use model::Timestamp;
use store::central::Central;
use store::upkeep::{self, Alarm};
use store::{Account, OtherCentre, Server, Source, SourceState};
use tokio_util::sync::CancellationToken;

use certificates::Certificates;
pub use config::Config;
use findings::Findings;
use packing::merging::Merger;

/// The parts of a keeper's readiness.
pub const READINESS: [&str; 1] = ["central database"];

/// The servers that the keeper looks after, beside the regions: those are the sources that its own centre has at the moment.
#[derive(Debug, Clone)]
pub struct Duties {
    /// Its own centre, under the housekeeping account.
    pub centre: Server,
    /// The other centres that the regions feed: binlogs are kept until these have applied them, too.
    pub others: Vec<OtherCentre>,
    /// The housekeeping account in every region and at other centres.
    pub account: Account,
}

/// Pause between two passes.
const PASS_INTERVAL: Duration = Duration::from_secs(2);

/// Time for which something must be wrong before it is an alarm: servers restart, and links break for a moment.
const GRACE: Duration = Duration::from_secs(10);

/// The keeper's loop over regions: clocks, binlogs and alarms.
struct Keeper {
    centre: upkeep::Centre,
    /// The same centre, as the api reads it.
    status: Central,
    /// The other centres, by name.
    others: Vec<(String, upkeep::Centre)>,
    regions: Vec<KeptRegion>,
    /// The centre's server, for the connections of new regions.
    server: Server,
    account: Account,
    /// Milliseconds that binlogs are kept after every centre has applied them.
    keep_ms: i64,
    /// The instant since when each alarm's reason is there, by region and kind.
    since: BTreeMap<(String, String), Instant>,
    /// EventTracker's own counts of what clients do.
    clients: clients::Counts,
    certificates: Certificates,
    health: Health,
    /// Whether the last pass failed, so that a failure is logged once.
    failing: bool,
}

/// A region, with connections of its own: regions are passed at once, and none waits for another's connection.
struct KeptRegion {
    source: Source,
    server: upkeep::RegionalServer,
    centre: upkeep::Centre,
}

/// Keeps the centre and its regions until `shutdown`. A server that cannot be reached is an alarm, not an end.
///
/// # Errors
/// `PasswordVariable` or `PasswordFile` for a password that cannot be read.
pub async fn run(
    config: &Config,
    duties: Duties,
    health: Health,
    shutdown: CancellationToken,
) -> Result<(), store::Error> {
    let Duties {
        centre,
        others,
        account,
    } = duties;
    let [audited, packed, merged, dropped] = [(); 4].map(|()| Findings::default());
    let merger = Merger::new(&centre);
    let mut keeper = Keeper {
        centre: upkeep::Centre::new(centre.clone()),
        status: Central::new(&centre)?,
        others: others
            .into_iter()
            .map(|other| {
                let server = other.server(&account);
                (other.name, upkeep::Centre::new(server))
            })
            .collect(),
        regions: Vec::new(),
        server: centre.clone(),
        account: account.clone(),
        keep_ms: i64::from(config.binlog_keep_hours) * 3_600_000,
        since: BTreeMap::new(),
        clients: clients::Counts::default(),
        certificates: Certificates::default(),
        health,
        failing: false,
    };
    let [audit_interval, pack_interval] =
        [config.audit_interval_s, config.pack_interval_s].map(|seconds| Duration::from_secs(seconds.into()));
    let findings = [&audited, &packed, &merged, &dropped];
    tokio::join!(
        audits::run(&centre, &account, audit_interval, &audited, &shutdown),
        packing::run(&centre, &merger, pack_interval, &packed, &shutdown),
        packing::anew::run(&centre, &shutdown),
        merger.run(upkeep::Centre::new(centre.clone()), &merged, &shutdown),
        async {
            if let Some(months) = config.keep_months {
                retention::run(&centre, months, &dropped, &shutdown).await;
            }
        },
        keeper.passes(&findings, &shutdown),
    );
    Ok(())
}

impl Keeper {
    async fn passes(&mut self, findings: &[&Findings], shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            if let Err(error) = self.pass(findings).await {
                self.failed(&error);
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(PASS_INTERVAL) => {}
            }
        }
    }

    /// Makes one pass over all regions, and notes the alarms that stand.
    async fn pass(&mut self, findings: &[&Findings]) -> Result<(), store::Error> {
        self.follow_sources().await?;
        let mut alarms = Vec::new();
        // Once for all regions: a position does not fall while its centre runs, and one that rises meanwhile lets a file stay for a pass
        // longer.
        let applied = self.applied(&mut alarms).await?;
        let passes = self
            .regions
            .iter_mut()
            .map(|region| region.pass(applied.as_deref(), self.keep_ms));
        let mut unreachable = BTreeMap::new();
        for (region, outcome) in join_all(passes).await {
            match outcome {
                Ok(None) => {}
                Ok(Some(why)) => alarms.push(alarms::alarm(
                    &region,
                    "purge",
                    format!("its binlog is not purged, so its disk fills: {why}"),
                )),
                Err(error) => {
                    unreachable.insert(region, error.with_causes());
                }
            }
        }
        let status = self.status.status().await?;
        let now = self.centre.clock().await?;
        tell_clocks(&status);
        alarms.extend(alarms::standing(&status, &unreachable, now));
        alarms.extend(findings.iter().flat_map(|findings| findings.get()));
        for region in self.centre.saturated().await? {
            let sentence =
                "its total of all counts is at its limit of 2^64 - 1 and no longer grows".to_owned();
            alarms.push(alarms::alarm(&region, "saturated", sentence));
        }
        alarms.extend(alarms::of_keys(&self.centre.keys_reused().await?));
        alarms.extend(self.clients.alarms(self.centre.own_counts().await?, now));
        alarms.extend(self.of_certificates(now).await);
        let alarms = self.lasting(alarms::joined(alarms));
        self.centre.note_alarms(&alarms).await?;
        self.health.ready(READINESS[0]);
        if std::mem::take(&mut self.failing) {
            tracing::info!("the central database answers again");
        }
        Ok(())
    }

    /// The alarms about the certificates of all databases.
    async fn of_certificates(&mut self, now: Timestamp) -> Vec<Alarm> {
        let regions = self
            .regions
            .iter()
            .map(|region| (region.source.region.as_str(), region.server.server()));
        let others = self.others.iter().map(|(_, other)| ("", other.server()));
        let databases: Vec<_> = regions
            .chain(others)
            .chain([("", self.centre.server())])
            .collect();
        self.certificates.alarms(&databases, now).await
    }

    /// Follows the centre's sources: regions come, go and move to other servers while the keeper runs. A region that has not changed keeps
    /// its connections.
    async fn follow_sources(&mut self) -> Result<(), store::Error> {
        let sources = self.centre.sources().await?;
        let mut known = std::mem::take(&mut self.regions);
        for state in sources {
            if state.was_cut_short() {
                self.read_on(&state).await;
            }
            let region = match known.iter().position(|region| region.source == state.source) {
                Some(at) => known.swap_remove(at),
                None => KeptRegion {
                    server: upkeep::RegionalServer::new(state.source.server(&self.account)),
                    source: state.source,
                    centre: upkeep::Centre::new(self.server.clone()),
                },
            };
            self.regions.push(region);
        }
        Ok(())
    }

    /// What else ended reading is left to the operator: a region that has lost transactions would later be read as if it had not.
    async fn read_on(&mut self, state: &SourceState) {
        let region = &state.source.region;
        match self.centre.read_on(region).await {
            Ok(()) => tracing::info!(region, error = state.last_error, "the centre reads on"),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(region, error, "the centre does not read on");
            }
        }
    }

    /// The positions that every configured centre has durably applied; `None`, with an alarm, if one cannot be asked or does not sync what
    /// it applies.
    async fn applied(
        &mut self,
        alarms: &mut Vec<Alarm>,
    ) -> Result<Option<Vec<BTreeMap<u32, u64>>>, store::Error> {
        let own = self.centre.applied().await?;
        let mut missing = own
            .is_none()
            .then(|| "this centre does not sync what it applies".to_owned());
        let mut applied: Vec<_> = own.into_iter().collect();
        for (name, other) in &mut self.others {
            match other.applied().await {
                Ok(Some(positions)) => applied.push(positions),
                Ok(None) => missing = Some(format!("centre {name} does not sync what it applies")),
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::debug!(error, name, "a centre does not answer");
                    missing = Some(format!("centre {name} does not answer"));
                }
            }
        }
        Ok(match missing {
            None => Some(applied),
            Some(why) => {
                let sentence = format!("no region's binlog is purged, so their disks fill: {why}");
                alarms.push(alarms::alarm("", "purge", sentence));
                None
            }
        })
    }

    /// The alarms whose reason has been there for [`GRACE`].
    #[expect(clippy::disallowed_methods, reason = "turns are paced by time")]
    fn lasting(&mut self, alarms: Vec<Alarm>) -> Vec<Alarm> {
        let now = Instant::now();
        let key = |alarm: &Alarm| (alarm.region.clone(), alarm.kind.clone());
        for (region, kind) in self.since.keys() {
            metrics::gauge!("keeper_alarm", "region" => region.clone(), "kind" => kind.clone()).set(0);
        }
        self.since = alarms
            .iter()
            .map(|alarm| (key(alarm), self.since.get(&key(alarm)).copied().unwrap_or(now)))
            .collect();
        let lasting = |alarm: &Alarm| {
            self.since
                .get(&key(alarm))
                .is_some_and(|&since| now - since >= GRACE)
        };
        for alarm in &alarms {
            let labels = [("region", alarm.region.clone()), ("kind", alarm.kind.clone())];
            metrics::gauge!("keeper_alarm", &labels).set(if lasting(alarm) { 1 } else { 0 });
        }
        alarms.into_iter().filter(lasting).collect()
    }

    fn failed(&mut self, error: &store::Error) {
        self.health.not_ready(READINESS[0], error);
        metrics::counter!("keeper_failures_total").increment(1);
        if !std::mem::replace(&mut self.failing, true) {
            let cause: &dyn std::error::Error = error;
            tracing::warn!(cause, "the central database does not answer: nothing is kept");
        }
    }
}

impl KeptRegion {
    /// Compares the region's clock and keeps its binlog. Returns its name, and why its binlog is not purged where clocks do not agree.
    async fn pass(
        &mut self,
        applied: Option<&[BTreeMap<u32, u64>]>,
        keep_ms: i64,
    ) -> (String, Result<Option<String>, store::Error>) {
        let outcome = self.compare_and_purge(applied, keep_ms).await;
        (self.source.region.clone(), outcome)
    }

    async fn compare_and_purge(
        &mut self,
        applied: Option<&[BTreeMap<u32, u64>]>,
        keep_ms: i64,
    ) -> Result<Option<String>, store::Error> {
        // The clock before the comparison: if it is set in between, the comparison shows it, and nothing is purged by it.
        let now = self.centre.clock().await?;
        // A comparison that failed for the network's slowness says nothing, and nothing is purged in this pass.
        let (Some(ahead_ms), Some(applied)) = (self.compare_clocks().await?, applied) else {
            return Ok(None);
        };
        let region = &self.source.region;
        if !agreement::agrees(ahead_ms) {
            return Ok(Some(agreement::apart_by(region, ahead_ms)));
        }
        binlogs::keep(&mut self.centre, &mut self.server, region, applied, keep_ms, now).await?;
        Ok(None)
    }

    /// Compares the region's clock with the centre's, and notes the offset. Returns how many milliseconds it is ahead; `None` where the
    /// network was too slow for a comparison.
    async fn compare_clocks(&mut self) -> Result<Option<i64>, store::Error> {
        let Some(comparison) = offset::compare(&mut self.centre, &mut self.server).await? else {
            return Ok(None);
        };
        let noted = self.centre.offset(&self.source.region).await?;
        let newest_claim = self.centre.newest_claim(&self.source.region).await?;
        let next = offset::next(noted, newest_claim, comparison.ahead_ms, comparison.there);
        // A clock that was set since makes what was said untrue; a comparison that took longer does not.
        let was_set = noted.is_some_and(|noted| comparison.least_ms > noted.peak_ms);
        self.centre
            .note_offset(&self.source.region, noted, next, was_set)
            .await?;
        let ahead_s = model::Timestamp::from_unix_ms(comparison.ahead_ms).unix_s();
        metrics::gauge!("keeper_region_clock_ahead_seconds", "region" => self.source.region.clone())
            .set(ahead_s);
        Ok(Some(comparison.ahead_ms))
    }
}

/// Sets the metrics of watermarks: until when each region, and the whole, is complete, in unix seconds. One that is not known keeps its last
/// figure.
fn tell_clocks(status: &store::central::Status) {
    for (region, clock) in &status.clocks {
        if let Some(until) = clock.complete_until {
            metrics::gauge!("keeper_region_complete_until_seconds", "region" => region.clone())
                .set(until.unix_s());
        }
    }
    if let Some(until) = store::complete_until(&status.clocks) {
        metrics::gauge!("keeper_complete_until_seconds").set(until.unix_s());
    }
}
