//! What a soak did, and what came of it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use playground::Description;

use super::traffic::{Figures, Traffic};
use super::world::World;
use crate::ledger::Difference;

/// Resident MiB, and the largest process of each kind.
pub(crate) type Memory = BTreeMap<&'static str, u64>;

pub(crate) struct Report {
    minutes: u64,
    seed: u64,
    regions: String,
    not_run: Option<String>,
    pub(crate) rounds: u32,
    pub(crate) moved: Vec<&'static str>,
    pub(crate) audits: u32,
    /// Sums of all counts at the last comparison: stored, and acknowledged.
    pub(crate) counted: (u64, u64),
    /// By kind.
    faults: BTreeMap<String, u32>,
    longest_recovery: Duration,
    /// What had happened in the round before it.
    faults_before: String,
    memory_start: Memory,
    pub(crate) memory_end: Memory,
    pub(crate) difference: Option<Difference>,
    /// The failpoints and branches that no process came to.
    pub(crate) not_reached: Vec<String>,
}

impl Report {
    pub(crate) fn begin(minutes: u64, seed: u64, world: &World) -> Self {
        Self {
            minutes,
            seed,
            regions: format!(
                "{} (the clock of us is {:+} s off)",
                world.regions.join(", "),
                world.off_s
            ),
            not_run: world.disks.missing().map(str::to_owned),
            rounds: 0,
            moved: Vec::new(),
            audits: 0,
            counted: (0, 0),
            faults: BTreeMap::new(),
            longest_recovery: Duration::ZERO,
            faults_before: String::new(),
            memory_start: memory(&world.rig.description()),
            memory_end: Memory::new(),
            difference: None,
            not_reached: Vec::new(),
        }
    }

    /// After a round with faults of these kinds.
    pub(crate) fn recovered_after(&mut self, recovery: Duration, kinds: &[String]) {
        if recovery > self.longest_recovery {
            self.longest_recovery = recovery;
            self.faults_before = kinds.join(", ");
        }
        for kind in kinds {
            *self.faults.entry(kind.clone()).or_default() += 1;
        }
    }

    pub(crate) fn is_good(&self, traffic: &Traffic) -> bool {
        self.difference.is_none() && traffic.truth.violation().is_none() && traffic.truth.silent().is_empty()
    }

    fn faults_total(&self) -> u32 {
        self.faults.values().sum()
    }

    pub(crate) fn progress(&self, traffic: &Traffic, passed: Duration) -> String {
        format!(
            "{:5.1} min: round {}, {} faults, {} events acknowledged, {} answers checked, longest recovery {:.1} s{}",
            passed.as_secs_f64() / 60.0,
            self.rounds,
            self.faults_total(),
            count(&traffic.figures().acknowledged),
            answers(traffic),
            self.longest_recovery.as_secs_f64(),
            if self.is_good(traffic) { "" } else { ": NOT EXACT" }
        )
    }

    pub(crate) fn text(&self, traffic: &Traffic, passed: Duration) -> String {
        let minutes = passed.as_secs_f64() / 60.0;
        let mut lines = vec![
            (
                "soak",
                format!("{minutes:.1} of {} min, seed {}", self.minutes, self.seed),
            ),
            ("regions", self.regions.clone()),
        ];
        lines.extend(sent(traffic.figures()));
        lines.push((
            "faults",
            format!("{} in {} rounds", self.faults_total(), self.rounds),
        ));
        lines.extend(self.faults.iter().map(|(kind, n)| ("", format!("{n:4} {kind}"))));
        lines.extend(self.moved.iter().map(|how| ("moved", (*how).to_owned())));
        lines.extend(
            self.not_run
                .iter()
                .map(|why| ("NOT RUN", format!("full disks: {why}"))),
        );
        if !self.not_reached.is_empty() {
            lines.push(("never reached", self.not_reached.join(", ")));
        }
        lines.extend(self.verdict(traffic));
        let mut text = String::new();
        for (what, value) in lines {
            writeln!(text, "{what:<18} {value}").unwrap();
        }
        text
    }

    fn verdict(&self, traffic: &Traffic) -> Vec<(&'static str, String)> {
        let (lost, doubled) = self.difference.as_ref().map_or((0, 0), |d| (d.lost, d.doubled));
        let readers = traffic.truth.answers().into_iter();
        let readers =
            readers.map(|(reader, (answers, claims))| format!("{reader} {answers} ({claims} with a claim)"));
        let checked = format!(
            "{}; {} audits equal",
            readers.collect::<Vec<_>>().join(", "),
            self.audits
        );
        let (stored, acknowledged) = self.counted;
        let mut lines = vec![
            (
                "counted",
                format!(
                    "{stored}, of which {acknowledged} were acknowledged; the others are what was in doubt"
                ),
            ),
            ("lost", format!("{lost} counts")),
            ("doubled", format!("{doubled} counts")),
            ("answers checked", checked),
        ];
        lines.extend(
            traffic
                .truth
                .violation()
                .map(|violation| ("WRONG ANSWER", violation)),
        );
        lines.extend(self.difference.as_ref().map(|d| ("NOT EXACT", d.to_string())));
        lines.push((
            "longest recovery",
            format!(
                "{:.1} s, from a round's last fault until all is complete; that round had {}",
                self.longest_recovery.as_secs_f64(),
                self.faults_before
            ),
        ));
        let memory = self.memory_start.iter().map(|(role, start)| {
            let end = self.memory_end.get(role).copied().unwrap_or(0);
            format!("{role} {start} → {end}")
        });
        lines.push(("memory, MiB", memory.collect::<Vec<_>>().join(", ")));
        lines
    }
}

fn sent(figures: &Figures) -> [(&'static str, String); 3] {
    [
        (
            "events sent",
            format!(
                "{} with keys, {} without; {} keyed requests repeated after their 202",
                count(&figures.events_keyed),
                count(&figures.events_unkeyed),
                count(&figures.repeated)
            ),
        ),
        ("acknowledged", count(&figures.acknowledged).to_string()),
        (
            "refused",
            format!(
                "{} requests; {} without a key are in doubt",
                count(&figures.refused),
                count(&figures.doubtful)
            ),
        ),
    ]
}

fn count(figure: &AtomicU64) -> u64 {
    figure.load(Ordering::Relaxed)
}

pub(crate) fn memory(description: &Description) -> Memory {
    let mut memory = Memory::new();
    let mut add = |role, pid: u32| {
        let mib: &mut u64 = memory.entry(role).or_default();
        *mib = (*mib).max(resident_mib(pid));
    };
    for region in description.regions.values() {
        region
            .pids
            .collector
            .all()
            .iter()
            .for_each(|&pid| add("collector", pid));
        region
            .pids
            .worker
            .all()
            .iter()
            .for_each(|&pid| add("worker", pid));
        add("beanstalkd", region.pids.beanstalkd);
        add("regional MariaDB", region.mariadb.pid);
    }
    add("central MariaDB", description.central.pid);
    description.pids.api.iter().for_each(|&pid| add("api", pid));
    description.pids.keeper.iter().for_each(|&pid| add("keeper", pid));
    memory
}

/// Answers that said until when they are complete.
fn answers(traffic: &Traffic) -> u64 {
    traffic.truth.answers().values().map(|(_, claims)| claims).sum()
}

/// 0 of a process that is just being restarted.
fn resident_mib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0).div_ceil(1024)
}
