//! What each process of the pipeline takes of the machine, as the kernel counts it.

use std::time::Duration;

use anyhow::{Context, Result};
use playground::Description;

use crate::figures::{per_million, table};

/// The unit of times in `/proc/PID/stat`: 1/100 s on every Linux, whatever the kernel's own clock.
const TICK: Duration = Duration::from_millis(10);

/// What a collector or a worker may take, however many events and names come; the limit of their units.
const ROLE_MIB_MAX: u64 = 512;

#[derive(Debug)]
struct Process {
    name: String,
    kind: &'static str,
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
    kind: &'static str,
    has_memory_limit: bool,
    /// `None` of a process that ended during the run, which none should.
    taken: Option<Taken>,
}

#[derive(Debug)]
struct Taken {
    processor: Duration,
    /// Highest so far in the process's whole life.
    peak_mib: u64,
}

impl Meter {
    /// Every process of the pipeline, and last this one, which sends.
    pub(crate) fn start(description: &Description) -> Result<Self> {
        let mut processes = Vec::new();
        let mut watch = |name: &str, kind, pid, has_memory_limit| -> Result<()> {
            processes.push(Process {
                name: name.to_owned(),
                kind,
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
                    watch(&format!("{region} {role}"), role, pid, true)?;
                }
            }
            let beanstalkd = parts.pids.beanstalkd;
            watch(&format!("{region} beanstalkd"), "beanstalkd", beanstalkd, false)?;
            let mariadb = parts.mariadb.pid;
            watch(&format!("{region} MariaDB"), "regional MariaDB", mariadb, false)?;
        }
        watch(
            "central MariaDB",
            "central MariaDB",
            description.central.pid,
            false,
        )?;
        for (role, pid) in [("api", description.pids.api), ("keeper", description.pids.keeper)] {
            if let Some(pid) = pid {
                watch(role, role, pid, false)?;
            }
        }
        watch("(this sender)", "(this sender)", std::process::id(), false)?;
        Ok(Self(processes))
    }

    pub(crate) fn read(&self) -> Vec<Usage> {
        let usage = |process: &Process| Usage {
            name: process.name.clone(),
            kind: process.kind,
            has_memory_limit: process.has_memory_limit,
            taken: process.taken().ok(),
        };
        self.0.iter().map(usage).collect()
    }
}

impl Process {
    fn taken(&self) -> Result<Taken> {
        Ok(Taken {
            processor: processor(self.pid)?.saturating_sub(self.processor_before),
            peak_mib: peak_mib(self.pid)?,
        })
    }
}

impl Usage {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The same for the processes of all regions that do the same.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.taken.is_none()
    }

    pub(crate) fn processor(&self) -> Duration {
        self.taken
            .as_ref()
            .map_or(Duration::ZERO, |taken| taken.processor)
    }

    pub(crate) fn peak_mib(&self) -> u64 {
        self.taken.as_ref().map_or(0, |taken| taken.peak_mib)
    }

    /// Whether it lived and kept within the memory that it may take.
    pub(crate) fn is_good(&self) -> bool {
        self.fault().is_none()
    }

    fn fault(&self) -> Option<String> {
        match &self.taken {
            None => Some("ENDED during the run".to_owned()),
            Some(taken) if self.has_memory_limit && taken.peak_mib >= ROLE_MIB_MAX => {
                Some(format!("TOO MUCH, should stay under {ROLE_MIB_MAX}"))
            }
            Some(_) => None,
        }
    }
}

/// The pipeline's processor time, without this process's.
pub(crate) fn pipeline_processor(usages: &[Usage]) -> Duration {
    let pipeline = usages.split_last().map_or(usages, |(_, pipeline)| pipeline);
    let taken = pipeline.iter().filter_map(|usage| usage.taken.as_ref());
    taken.map(|taken| taken.processor).sum()
}

pub(crate) fn print(usages: &[Usage], events: u64) {
    let seconds = |processor: Duration| format!("{:.2}", processor.as_secs_f64());
    let price = |processor| format!("{:.2}", per_million(processor, events));
    let rows = usages.iter().map(|usage| {
        let show = |what: &dyn Fn(&Taken) -> String| usage.taken.as_ref().map_or_else(String::new, what);
        [
            usage.name.clone(),
            show(&|taken| seconds(taken.processor)),
            show(&|taken| price(taken.processor)),
            show(&|taken| taken.peak_mib.to_string()),
            usage.fault().unwrap_or_default(),
        ]
    });
    let whole = pipeline_processor(usages);
    let sum = [
        "whole pipeline".to_owned(),
        seconds(whole),
        price(whole),
        String::new(),
        String::new(),
    ];
    let header = ["process", "processor s", "s per million events", "peak MiB", ""];
    println!("\n{}", table(header, rows.chain([sum])));
    let roles = usages.iter().filter(|usage| usage.has_memory_limit);
    let peaks = roles.filter_map(|usage| usage.taken.as_ref().map(|taken| taken.peak_mib));
    println!(
        "largest collector or worker: {} MiB, should stay under {ROLE_MIB_MAX}",
        peaks.max().unwrap_or_default()
    );
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

pub(crate) fn peak_mib(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = line
        .and_then(|rest| rest.split_whitespace().next())
        .with_context(|| format!("{path} has no VmHWM"))?
        .parse()?;
    Ok(kib.div_ceil(1024))
}
