//! Jobs to rows: reading jobs and summing what they count, as a worker does between two flushes, on one core.

use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use model::{BatchId, Minute, MinuteCounts};
use queue::{Counts, JobPacker};
use serde::de::IgnoredAny;

use crate::figures::{float, grouped, per_s};
use crate::report::Report;
use crate::workload::Workload;

const EVENTS: u64 = 2_000_000;

const NAMES: [u32; 2] = [1_000, 100_000];

const MINUTES: u32 = 5;

/// As a worker's flush.
const ROWS_MAX: usize = 20_000;

/// 8 connections with 10,000 events each.
const EVENTS_GATHERED: usize = 80_000;

const EVENTS_RATE: &str = "events/s";
const BYTES_RATE: &str = "MB/s";

struct Took {
    rows: Duration,
    bare: Duration,
}

pub(crate) async fn measure(rounds: u32, report: &mut Report) -> Result<()> {
    for names in NAMES {
        let case = format!("jobs to rows, {} names", grouped(names.into()));
        let bare = format!("{case}, bytes through serde_json alone");
        let jobs = jobs(&Workload::new(names, EVENTS, MINUTES)?)?;
        let bytes: usize = jobs.iter().map(String::len).sum();
        let mb = float(u64::try_from(bytes)?) / 1e6;
        println!("{case}: {} jobs, {mb:.0} MB", jobs.len());
        // On a thread of its own, so that nothing else runs on it.
        let took = tokio::task::spawn_blocking(move || {
            let round = |_| {
                Ok(Took {
                    rows: rows(&jobs)?,
                    bare: read(&jobs)?,
                })
            };
            (0..rounds).map(round).collect::<Result<Vec<_>>>()
        });
        for took in took.await?? {
            report.record(&case, EVENTS_RATE, per_s(EVENTS, took.rows));
            report.record(&case, BYTES_RATE, mb / took.rows.as_secs_f64());
            report.record(&bare, BYTES_RATE, mb / took.bare.as_secs_f64());
        }
        let reference = report.median(&bare, BYTES_RATE);
        report.compare(&case, BYTES_RATE, "serde_json alone", reference);
    }
    Ok(())
}

/// Jobs, as a collector under load puts them: sums over the requests of some connections.
fn jobs(workload: &Workload) -> Result<Vec<String>> {
    let mut packer = JobPacker::new(|| BatchId::from_bytes(rand::random()));
    let mut counts = Counts::default();
    for (at, event) in workload.events().enumerate() {
        let name = &workload.names[event.name].name;
        let unix_s = workload.first_unix_s() + i64::try_from(event.second)?;
        counts.add(
            name,
            Minute::from_unix_s(unix_s.div_euclid(60) * 60)?,
            event.count,
        );
        if (at + 1) % EVENTS_GATHERED == 0 {
            packer.add(std::mem::take(&mut counts));
        }
    }
    packer.add(counts);
    let now = SystemTime::now().into();
    Ok(packer.finish().iter().map(|job| job.encode(now)).collect())
}

fn rows(jobs: &[String]) -> Result<Duration> {
    let begun = Instant::now();
    let (mut counts, mut ids) = (MinuteCounts::default(), queue::EventIds::default());
    for job in jobs {
        for batch in queue::decode(job.as_bytes(), &mut ids)?.batches {
            for (id, minute, count) in batch.counts {
                counts.add(id, minute, count);
            }
        }
        if counts.len() >= ROWS_MAX {
            black_box(std::mem::take(&mut counts).sorted());
        }
    }
    black_box(counts.sorted());
    Ok(begun.elapsed())
}

fn read(jobs: &[String]) -> Result<Duration> {
    let begun = Instant::now();
    for job in jobs {
        black_box(serde_json::from_str::<IgnoredAny>(job)?);
    }
    Ok(begun.elapsed())
}
