//! When the machine stood still: the host of a virtual one takes its cores away whenever a share is used up, for 5 to 14 ms at a time, and what
//! waits then waits for nobody on this machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How long a watch sleeps.
const PAUSE: Duration = Duration::from_millis(1);

/// How late a watch is woken at least where its core stands still. On an idle machine it is late by 0.1 ms (99th percentile).
const STALL_MIN: Duration = Duration::from_millis(2);

/// `SCHED_RR`, as sched(7) has it.
const GOES_FIRST: &str = "2";

/// From when until when.
type Stall = (Instant, Instant);

/// A thread on each core, which is woken every millisecond.
pub(super) struct Watches {
    cores: Vec<JoinHandle<rustix::io::Result<Vec<Stall>>>>,
    ended: Arc<AtomicBool>,
}

impl Watches {
    /// Begins to watch; on no core if this process waits for others, and cannot tell them from a host.
    pub(super) fn begin() -> Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let mine = sched_getaffinity(None)?;
        let goes_first = goes_first()?;
        let watched = (0..CpuSet::MAX_CPU).filter(|&core| goes_first && mine.is_set(core));
        let cores = watched.map(|core| {
            let ended = ended.clone();
            std::thread::spawn(move || watch(core, &ended))
        });
        Ok(Self {
            cores: cores.collect(),
            ended,
        })
    }

    /// When all cores stood still at once.
    pub(super) fn end(self) -> Result<Vec<Stall>> {
        self.ended.store(true, Ordering::Relaxed);
        let of_core = |watch: JoinHandle<_>| -> Result<Vec<Stall>> {
            let stalls: rustix::io::Result<_> = watch.join().ok().context("a watch panicked")?;
            Ok(stalls?)
        };
        let of_cores = self.cores.into_iter().map(of_core).collect::<Result<Vec<_>>>()?;
        Ok(of_cores
            .into_iter()
            .reduce(|one, other| in_both(&one, &other))
            .unwrap_or_default())
    }
}

/// Whether this process waits for nobody who computes.
fn goes_first() -> Result<bool> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // Behind the name, which may hold spaces: proc(5) counts it as the second, and the policy as the 41st.
    let (_, fields) = stat.rsplit_once(") ").context("a process without a name")?;
    Ok(fields.split(' ').nth(41 - 3) == Some(GOES_FIRST))
}

fn watch(core: usize, ended: &AtomicBool) -> rustix::io::Result<Vec<Stall>> {
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only)?;
    let mut stalls = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let due = Instant::now() + PAUSE;
        std::thread::sleep(PAUSE);
        let woken = Instant::now();
        if woken.duration_since(due) >= STALL_MIN {
            stalls.push((due, woken));
        }
    }
    Ok(stalls)
}

fn in_both(one: &[Stall], other: &[Stall]) -> Vec<Stall> {
    let both = |a: &Stall, b: &Stall| (a.0.max(b.0), a.1.min(b.1));
    let pairs = one.iter().flat_map(|a| other.iter().map(move |b| both(a, b)));
    pairs.filter(|stall| stall.0 < stall.1).collect()
}

/// How long the machine stood still between two moments.
pub(super) fn stood_still(stalls: &[Stall], from: Instant, until: Instant) -> Duration {
    let within = stalls
        .iter()
        .map(|stall| stall.1.min(until).saturating_duration_since(stall.0.max(from)));
    within.sum()
}

/// Time for which the host has run others on the machine's cores so far, of all cores together.
pub(super) fn taken_by_host() -> Result<Duration> {
    /// As proc(5) counts it: a hundredth of a second.
    const TICK: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string("/proc/stat")?;
    let ticks = stat
        .split_whitespace()
        .nth(8)
        .context("a kernel that does not count what its host takes")?;
    Ok(TICK * ticks.parse()?)
}
