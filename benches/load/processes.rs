//! What each process of the pipeline takes of the machine, as the kernel counts it.

use std::time::Duration;

use anyhow::{Context, Result};
use playground::Description;

use crate::figures::{per_million, table};

/// The unit of times in `/proc/PID/stat`: 1/100 s on every Linux, whatever the kernel's own clock.
const TICK: Duration = Duration::from_millis(10);

/// What a collector or a worker may take, however many events come.
const ROLE_MIB_MAX: u64 = 128;

#[derive(Debug)]
struct Process {
    name: String,
    pid: u32,
    /// A collector or a worker.
    has_memory_limit: bool,
    processor_before: Duration,
}

/// Measures from its making until [`Meter::read`].
#[derive(Debug)]
pub(crate) struct Meter(Vec<Process>);

#[derive(Debug)]
pub(crate) struct Usage {
    name: String,
    has_memory_limit: bool,
    pub(crate) processor: Duration,
    /// Highest so far in the process's whole life.
    peak_mib: u64,
}

impl Meter {
    /// Every process of the pipeline, and last this one, which sends.
    pub(crate) fn start(description: &Description) -> Result<Self> {
        let mut processes = Vec::new();
        let mut watch = |name: &str, pid, has_memory_limit| -> Result<()> {
            processes.push(Process {
                name: name.to_owned(),
                pid,
                has_memory_limit,
                processor_before: processor(pid)?,
            });
            Ok(())
        };
        for (region, parts) in &description.regions {
            for (role, pids) in [
                ("collector", &parts.pids.collector),
                ("worker", &parts.pids.worker),
            ] {
                for &pid in pids.all() {
                    watch(&format!("{region} {role}"), pid, true)?;
                }
            }
            watch(&format!("{region} beanstalkd"), parts.pids.beanstalkd, false)?;
            watch(&format!("{region} MariaDB"), parts.mariadb.pid, false)?;
        }
        watch("central MariaDB", description.central.pid, false)?;
        if let Some(pid) = description.pids.api {
            watch("api", pid, false)?;
        }
        watch("(this sender)", std::process::id(), false)?;
        Ok(Self(processes))
    }

    /// # Errors
    /// A process that ended meanwhile, which none should.
    pub(crate) fn read(&self) -> Result<Vec<Usage>> {
        let usage = |process: &Process| {
            let now = processor(process.pid).with_context(|| format!("{} has ended", process.name))?;
            Ok(Usage {
                name: process.name.clone(),
                has_memory_limit: process.has_memory_limit,
                processor: now.saturating_sub(process.processor_before),
                peak_mib: peak_mib(process.pid)?,
            })
        };
        self.0.iter().map(usage).collect()
    }
}

impl Usage {
    pub(crate) fn fits_memory(&self) -> bool {
        !self.has_memory_limit || self.peak_mib < ROLE_MIB_MAX
    }
}

/// The pipeline's processor time, without this process's.
pub(crate) fn pipeline_processor(usages: &[Usage]) -> Duration {
    let pipeline = usages.split_last().map_or(usages, |(_, pipeline)| pipeline);
    pipeline.iter().map(|usage| usage.processor).sum()
}

pub(crate) fn print(usages: &[Usage], events: u64) {
    let seconds = |processor: Duration| format!("{:.2}", processor.as_secs_f64());
    let price = |processor| format!("{:.2}", per_million(processor, events));
    let rows = usages.iter().map(|usage| {
        let mark = if usage.fits_memory() {
            String::new()
        } else {
            format!(" (should stay under {ROLE_MIB_MAX})")
        };
        let peak = usage.peak_mib;
        [
            usage.name.clone(),
            seconds(usage.processor),
            price(usage.processor),
            format!("{peak}{mark}"),
        ]
    });
    let whole = pipeline_processor(usages);
    let sum = [
        "whole pipeline".to_owned(),
        seconds(whole),
        price(whole),
        String::new(),
    ];
    let header = ["process", "processor s", "s per million events", "peak MiB"];
    println!("\n{}", table(header, rows.chain([sum])));
    let largest = usages.iter().filter(|usage| usage.has_memory_limit);
    let largest_mib = largest.map(|usage| usage.peak_mib).max().unwrap_or_default();
    println!("largest collector or worker: {largest_mib} MiB, should stay under {ROLE_MIB_MAX}");
}

/// Processor time of all threads of a process, those that ended included.
pub(crate) fn processor(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    // The second field is the program's name in brackets, which may hold anything.
    let (_, fields) = text.rsplit_once(')').context("a process without a name")?;
    let mut times = fields.split_whitespace().skip(11);
    let mut ticks = || -> Result<u32> {
        Ok(times
            .next()
            .with_context(|| format!("{path} is too short"))?
            .parse()?)
    };
    let (user, system) = (ticks()?, ticks()?);
    Ok(TICK * (user + system))
}

fn peak_mib(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = line
        .and_then(|rest| rest.split_whitespace().next())
        .with_context(|| format!("{path} has no VmHWM"))?
        .parse()?;
    Ok(kib.div_ceil(1024))
}
