//! `throughput`: sends at a rate, compares every name and minute, and shows the price.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use playground::counter;

use crate::centre::Centre;
use crate::events::names;
use crate::figures::{float, grouped, ms, per_s};
use crate::ledger::{Differences, Ledger};
use crate::pipeline::{Pipeline, PipelineArguments};
use crate::processes::{self, Meter, Usage};
use crate::reference::{self, Load};
use crate::sender::{self, Plan, Sent};

/// Longest wait until everything acknowledged is at the centre.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(120);

/// Pause between two comparisons while events are on their way: how exactly their arrival is timed.
const COMPARISON_PAUSE: Duration = Duration::from_millis(100);

/// Three flushes: what was counted twice would have arrived, too.
const SETTLED_AFTER: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(crate) struct Throughput {
    /// Events per second over all regions
    #[arg(long, default_value_t = 60_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: u32,
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Different names
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    names: u32,
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    events_per_request: u32,
    /// Send each request with an idempotency key, and again until it is acknowledged
    #[arg(long)]
    keyed: bool,
    /// Leave out the servers' own speed
    #[arg(long)]
    no_reference: bool,
    #[command(flatten)]
    pipeline: PipelineArguments,
}

/// What the pipeline did with the load.
struct Measured {
    sent: Sent,
    arrival: Arrival,
    usages: Vec<Usage>,
    jobs: u64,
    rows: u64,
}

/// How the centre's rows came to equal the ledger, or did not.
pub(crate) struct Arrival {
    differences: Differences,
    /// From the last acknowledgement to the snapshot that was compared last.
    after: Duration,
    taken: Instant,
}

impl Throughput {
    /// Whether all was counted exactly once, within the memory that the roles may take.
    pub(crate) async fn run(self) -> Result<bool> {
        let pipeline = Pipeline::start(&self.pipeline).await?;
        let plan = Plan {
            events_per_s: self.rate,
            seconds: self.seconds,
            events_per_request: self.events_per_request,
            keyed: self.keyed,
            names: names(usize::try_from(self.names)?)?.into(),
        };
        let regions = u32::try_from(pipeline.description.regions.len())?;
        println!(
            "{} events/s for {} s in requests of {}{} to {regions} regions, {} names",
            grouped(self.rate.into()),
            self.seconds,
            self.events_per_request,
            if self.keyed { " with keys" } else { "" },
            self.names
        );
        let measured = measure(&pipeline, plan.clone()).await;
        let good = measured.as_ref().is_ok_and(Measured::print);
        pipeline.finish(good).await?;
        let measured = measured?;
        if !self.no_reference {
            let load = Load {
                names: plan.names,
                events: measured.sent.events,
                took: measured.sent.took(),
                regions,
                jobs: measured.jobs,
                rows: measured.rows,
                processor: processes::pipeline_processor(&measured.usages),
            };
            reference::measure(&load).await?.print(&load);
        }
        Ok(good)
    }
}

async fn measure(pipeline: &Pipeline, plan: Plan) -> Result<Measured> {
    let mut centre = Centre::connect(pipeline, &plan.names).await?;
    let (jobs_before, rows_before) = (jobs_put(pipeline).await?, centre.rows_written().await?);
    let meter = Meter::start(&pipeline.description)?;
    let sent = sender::send(plan, pipeline.collectors()).await?;
    let mut arrival = arrive(&mut centre, &sent).await?;
    let usages = meter.read();
    let rows = centre.rows_written().await?.saturating_sub(rows_before);
    // A collector that was restarted has forgotten some.
    let jobs = jobs_put(pipeline).await?.saturating_sub(jobs_before);
    if arrival.differences.are_none() {
        tokio::time::sleep(SETTLED_AFTER).await;
        arrival.differences = sent.ledger.compare(&centre.read().await?.rows);
    }
    Ok(Measured {
        sent,
        arrival,
        usages,
        jobs,
        rows,
    })
}

/// Compares until nothing differs, until there is too much of something, or until the limit.
pub(crate) async fn arrive(centre: &mut Centre, sent: &Sent) -> Result<Arrival> {
    loop {
        let snapshot = centre.read().await?;
        let differences = sent.ledger.compare(&snapshot.rows);
        let after = snapshot.taken - sent.last_acknowledged;
        if differences.are_none() || differences.surplus() > 0 || after > ARRIVAL_LIMIT {
            return Ok(Arrival {
                differences,
                after,
                taken: snapshot.taken,
            });
        }
        tokio::time::sleep(COMPARISON_PAUSE).await;
    }
}

/// Jobs that the collectors have put since they started.
async fn jobs_put(pipeline: &Pipeline) -> Result<u64> {
    let client = pipeline.client()?;
    let mut jobs = 0;
    for url in pipeline.collectors().iter().flatten() {
        let text = client.get(format!("{url}/metrics")).send().await?.text().await?;
        jobs += counter(&text, "collector_jobs_put_total").context(text.clone())?;
    }
    Ok(jobs)
}

impl Measured {
    fn print(&self) -> bool {
        let Sent {
            events,
            late,
            answered,
            answers,
            ..
        } = &self.sent;
        let requests: u64 = answers.values().sum();
        let took = self.sent.took();
        println!(
            "\nacknowledged {} events in {:.1} s: {} events/s",
            grouped(float(*events)),
            took.as_secs_f64(),
            grouped(per_s(*events, took))
        );
        let answers: Vec<String> = answers
            .iter()
            .map(|(label, count)| format!("{label}: {count}"))
            .collect();
        println!("{requests} requests; answers by status: {}", answers.join(", "));
        println!("sent late:    {late}");
        println!("answered in:  {answered}");
        let correct = self.arrival.print(&self.sent.ledger);
        processes::print(&self.usages, *events);
        correct && *events > 0 && self.usages.iter().all(Usage::is_good)
    }
}

impl Arrival {
    /// When all was there.
    pub(crate) fn at(&self) -> Instant {
        self.taken
    }

    pub(crate) fn print(&self, ledger: &Ledger) -> bool {
        let after = ms(self.after);
        let equal = self.differences.are_none();
        if equal {
            println!(
                "equal: all {} (name, minute) at the centre, {after} after the last acknowledgement",
                ledger.rows()
            );
        } else {
            println!(
                "NOT EQUAL {after} after the last acknowledgement: {}",
                self.differences
            );
        }
        equal
    }
}
