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

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use listener::Health;
use model::{Shards, Timestamp};
use store::central::Central;
use store::upkeep::{self, Alarm};
use store::{Account, Held, Member, Members, OtherCentre, Source, SourceState};
use tokio_util::sync::CancellationToken;

use certificates::Certificates;
pub use config::Config;
use findings::Findings;
use packing::merging::Merger;

/// The parts of a keeper's readiness.
pub const READINESS: [&str; 1] = ["central database"];

/// The servers that the keeper looks after, beside the regions: those are the sources that each server has at the moment.
#[derive(Debug, Clone)]
pub struct Duties {
    /// The servers of its own centre, under the housekeeping account.
    pub centre: Members,
    /// The other centres that the regions feed: binlogs are kept until all of their servers have applied them, too.
    pub others: Vec<OtherCentre>,
    /// The housekeeping account in every region and at other centres.
    pub account: Account,
}

/// Pause between two passes.
const PASS_INTERVAL: Duration = Duration::from_secs(2);

/// Time for which something must be wrong before it is an alarm: servers restart, and links break for a moment.
const GRACE: Duration = Duration::from_secs(10);

/// One server's loop over regions: clocks, binlogs and alarms.
struct Keeper {
    centre: upkeep::Centre,
    /// The same server, as the api reads it.
    status: Central,
    /// The other servers of its centre, and those of other centres, each as sentences name it.
    others: Vec<(String, upkeep::Centre)>,
    regions: Vec<KeptRegion>,
    /// The server, and its shards by the configuration.
    member: Member,
    /// The shards that it keeps: those that it had when it was last asked.
    kept: Shards,
    account: Account,
    /// Milliseconds that binlogs are kept after every centre has applied them.
    keep_ms: i64,
    /// The instant since when each alarm's reason is there, by region and kind.
    since: BTreeMap<(String, String), Instant>,
    /// EventTracker's own counts of what clients do.
    clients: clients::Counts,
    certificates: Certificates,
    state: State,
    /// Whether the last pass failed, so that a failure is logged once.
    failing: bool,
}

/// The state of all servers, of which each has a loop: the keeper is ready where none fails.
#[derive(Clone)]
struct State {
    health: Health,
    /// The servers whose last pass succeeded.
    well: Arc<Mutex<BTreeSet<String>>>,
    servers: usize,
}

/// A region, with connections of its own: regions are passed at once, and none waits for another's connection.
struct KeptRegion {
    source: Source,
    server: upkeep::RegionalServer,
    centre: upkeep::Centre,
    /// The centre's server as metrics name it.
    label: String,
}

/// Keeps the centre and its regions until `shutdown`. A server that cannot be reached is an alarm, not an end.
///
/// # Errors
/// `PasswordVariable` or `PasswordFile` for a password that cannot be read, `OtherCentre` or `Members` for another centre of which it is not
/// said where it is.
pub async fn run(
    config: &Config,
    duties: Duties,
    health: Health,
    shutdown: CancellationToken,
) -> Result<(), store::Error> {
    let audited = Findings::default();
    let state = State {
        health,
        well: Arc::default(),
        servers: duties.centre.iter().count(),
    };
    let mut keepers = Vec::new();
    for (at, member) in duties.centre.iter().enumerate() {
        let keeper = Keeper::new(config, &duties, member, state.clone())?;
        // One server tells of what is found out about all.
        keepers.push((keeper, (at == 0).then_some(&audited)));
    }
    let keep = keepers.into_iter().map(async |(mut keeper, audited)| {
        while !shutdown.is_cancelled() {
            keeper.keep(config, audited, &shutdown).await;
        }
    });
    let audit_interval = Duration::from_secs(config.audit_interval_s.into());
    tokio::join!(
        audits::run(
            &duties.centre,
            &duties.account,
            audit_interval,
            &audited,
            &shutdown
        ),
        join_all(keep),
    );
    Ok(())
}

impl State {
    /// Notes whether a server's pass failed.
    fn passed(&self, server: &str, outcome: Result<(), &store::Error>) {
        let mut well = self.well.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => {
                well.insert(server.to_owned());
                if well.len() == self.servers {
                    self.health.ready(READINESS[0]);
                }
            }
            Err(error) => {
                well.remove(server);
                self.health.not_ready(READINESS[0], error);
            }
        }
    }
}

impl Keeper {
    fn new(config: &Config, duties: &Duties, member: &Member, state: State) -> Result<Self, store::Error> {
        let beside = duties
            .centre
            .beside(member.name(), &duties.others, &duties.account)?;
        Ok(Self {
            centre: upkeep::Centre::new(member.server.clone()),
            status: Central::new(&Members::from(member.clone()))?,
            others: beside
                .into_iter()
                .map(|(name, server)| (name, upkeep::Centre::new(server)))
                .collect(),
            regions: Vec::new(),
            member: member.clone(),
            kept: member.shards,
            account: duties.account.clone(),
            keep_ms: i64::from(config.binlog_keep_hours) * 3_600_000,
            since: BTreeMap::new(),
            clients: clients::Counts::default(),
            certificates: Certificates::default(),
            state,
            failing: false,
        })
    }

    /// Keeps the server until `shutdown`, or until it has other shards than before, and tells of what was found in audits if it is told.
    async fn keep(&mut self, config: &Config, audited: Option<&Findings>, shutdown: &CancellationToken) {
        let [packed, merged, dropped] = [(); 3].map(|()| Findings::default());
        let shutdown = &shutdown.child_token();
        let member = Member {
            server: self.member.server.clone(),
            shards: self.kept,
        };
        let merger = Merger::new(&member);
        let pack_interval = Duration::from_secs(config.pack_interval_s.into());
        let findings: Vec<&Findings> = audited.into_iter().chain([&packed, &merged, &dropped]).collect();
        tokio::join!(
            packing::run(&member, &merger, pack_interval, &packed, shutdown),
            packing::anew::run(&member, shutdown),
            merger.run(upkeep::Centre::new(member.server.clone()), &merged, shutdown),
            async {
                if let Some(months) = config.keep_months {
                    retention::run(&member.server, months, &dropped, shutdown).await;
                }
            },
            self.passes(&findings, shutdown),
        );
    }

    /// The shards that the server has: all, where it is the only one, since none can have moved then.
    async fn held(&mut self) -> Result<Held, store::Error> {
        if self.member.name().is_empty() {
            let (applied, whole) = (Shards::ALL, Shards::ALL);
            return Ok(Held { applied, whole });
        }
        self.centre.held().await
    }

    /// The server as metrics name it.
    fn label(&self) -> String {
        label(&self.member)
    }

    async fn passes(&mut self, findings: &[&Findings], shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            match self.pass(findings).await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::info!(server = self.label(), shards = %self.kept, "keeps other shards than before");
                    // All that is at work for the shards of before ends, and begins anew.
                    shutdown.cancel();
                }
                Err(error) => self.failed(&error),
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(PASS_INTERVAL) => {}
            }
        }
    }

    /// Makes one pass over all regions, and notes the alarms that stand.
    ///
    /// Returns false where the server has other shards than those that are kept.
    async fn pass(&mut self, findings: &[&Findings]) -> Result<bool, store::Error> {
        let held = self.held().await?;
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
        tell_clocks(&status, &self.label());
        alarms.extend(alarms::standing(&status, held.applied, &unreachable, now));
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
        self.state.passed(self.member.name(), Ok(()));
        if std::mem::take(&mut self.failing) {
            tracing::info!(server = self.label(), "the central database answers again");
        }
        Ok(std::mem::replace(&mut self.kept, held.whole) == held.whole)
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
                    centre: upkeep::Centre::new(self.member.server.clone()),
                    label: label(&self.member),
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

    /// The positions that every server of every configured centre has durably applied; `None`, with an alarm, if one cannot be asked or does
    /// not sync what it applies.
    async fn applied(
        &mut self,
        alarms: &mut Vec<Alarm>,
    ) -> Result<Option<Vec<BTreeMap<u32, u64>>>, store::Error> {
        let own = self.centre.applied().await?;
        let mut missing = own
            .is_none()
            .then(|| "this server does not sync what it applies".to_owned());
        let mut applied: Vec<_> = own.into_iter().collect();
        for (name, other) in &mut self.others {
            match other.applied().await {
                Ok(Some(positions)) => applied.push(positions),
                Ok(None) => missing = Some(format!("{name} does not sync what it applies")),
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::debug!(error, name, "it does not answer");
                    missing = Some(format!("{name} does not answer"));
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
        let gauge = |region: &str, kind: &str, value: i32| {
            let labels = [
                ("server", self.label()),
                ("region", region.to_owned()),
                ("kind", kind.to_owned()),
            ];
            metrics::gauge!("keeper_alarm", &labels).set(value);
        };
        for (region, kind) in self.since.keys() {
            gauge(region, kind, 0);
        }
        let since: BTreeMap<_, _> = alarms
            .iter()
            .map(|alarm| (key(alarm), self.since.get(&key(alarm)).copied().unwrap_or(now)))
            .collect();
        let lasting = |alarm: &Alarm| since.get(&key(alarm)).is_some_and(|&since| now - since >= GRACE);
        for alarm in &alarms {
            gauge(&alarm.region, &alarm.kind, if lasting(alarm) { 1 } else { 0 });
        }
        let alarms = alarms.into_iter().filter(lasting).collect();
        self.since = since;
        alarms
    }

    fn failed(&mut self, error: &store::Error) {
        self.state.passed(self.member.name(), Err(error));
        metrics::counter!("keeper_failures_total").increment(1);
        if !std::mem::replace(&mut self.failing, true) {
            let cause: &dyn std::error::Error = error;
            tracing::warn!(
                cause,
                server = self.label(),
                "the central database does not answer: nothing is kept"
            );
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
        let labels = [
            ("server", self.label.clone()),
            ("region", self.source.region.clone()),
        ];
        metrics::gauge!("keeper_region_clock_ahead_seconds", &labels).set(ahead_s);
        Ok(Some(comparison.ahead_ms))
    }
}

/// A server as metrics name it.
fn label(member: &Member) -> String {
    match member.name() {
        "" => "central".to_owned(),
        name => name.to_owned(),
    }
}

/// Sets the metrics of a server's watermarks: until when each region, and the whole, is complete, in unix seconds. One that is not known
/// keeps its last figure.
fn tell_clocks(status: &store::central::Status, server: &str) {
    for (region, clock) in &status.clocks {
        if let Some(until) = clock.complete_until {
            let labels = [("server", server.to_owned()), ("region", region.clone())];
            metrics::gauge!("keeper_region_complete_until_seconds", &labels).set(until.unix_s());
        }
    }
    if let Some(until) = store::complete_until(&status.clocks) {
        metrics::gauge!("keeper_complete_until_seconds", "server" => server.to_owned()).set(until.unix_s());
    }
}
