//! `posts`: single-event POSTs, each connection sending its next once it has the answer, to one collector.
//!
//! The rate stands beside that of a bare listener which answers 204 to the same requests, the latency on one connection
//! beside a bare put of the same job into a beanstalkd of its own, and beside a write and `fdatasync`. All references are
//! measured in each round. What was acknowledged must be at the centre at the end.

mod closed_loop;
mod references;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use self::closed_loop::{Answered, Load};
use self::references::BareListener;
use crate::burst::{await_total, total};
use crate::events::{Name, names};
use crate::figures::{Durations, float};
use crate::pipeline::{Pipeline, PipelineArguments};
use crate::report::Report;

const RATE: &str = "requests/s";
const MEDIAN: &str = "median ms";
const P99: &str = "p99 ms";

const PUT: &str = "bare put of the same job";
const SYNC: &str = "write and fdatasync of 4 kB";

/// Longest wait until everything acknowledged is at the centre.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(60);

const NAMES: usize = 1_000;

/// Above the most connections that are measured: what is limited here is not the measured thing.
const CONNECTIONS_MAX: i64 = 4_096;

#[derive(Debug, Args)]
pub(crate) struct Posts {
    /// How long each number of connections is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256,1024")]
    connections: Vec<usize>,
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    #[command(flatten)]
    pipeline: PipelineArguments,
}

/// What a round is measured with.
struct Bench {
    /// Base address of the collector.
    collector: String,
    listener: BareListener,
    /// Address of a beanstalkd that nobody else uses.
    beanstalkd: String,
    dir: PathBuf,
    names: Vec<Name>,
}

impl Posts {
    /// Whether all that was acknowledged is at the centre.
    pub(crate) async fn run(self) -> Result<bool> {
        let mut report = Report::default();
        measure(
            &self.pipeline,
            &self.connections,
            self.seconds,
            self.rounds,
            &mut report,
        )
        .await?;
        report.print();
        Ok(report.is_good())
    }
}

pub(crate) async fn measure(
    pipeline: &PipelineArguments,
    connections: &[usize],
    seconds: u32,
    rounds: u32,
    report: &mut Report,
) -> Result<()> {
    references::allow_open_files()?;
    let pipeline = Pipeline::start_with(pipeline, without_shares()).await?;
    let servers = Pipeline::start_bare_servers().await?;
    let measured = all_rounds(&pipeline, &servers, connections, seconds, rounds, report).await;
    servers.finish(true).await?;
    pipeline.finish(measured.is_ok() && report.is_good()).await?;
    measured
}

/// All connections come from one address.
fn without_shares() -> toml::Table {
    let limits = [
        "connections_max",
        "connections_per_peer_max",
        "requests_per_client_max",
    ];
    let limits = limits.map(|key| (key.to_owned(), toml::Value::Integer(CONNECTIONS_MAX)));
    toml::Table::from_iter([("collector".to_owned(), toml::Table::from_iter(limits).into())])
}

async fn all_rounds(
    pipeline: &Pipeline,
    servers: &Pipeline,
    connections: &[usize],
    seconds: u32,
    rounds: u32,
    report: &mut Report,
) -> Result<()> {
    let first_region = pipeline.collectors().into_iter().next();
    let bench = Bench {
        collector: first_region
            .and_then(|urls| urls.into_iter().next())
            .context("there is no collector")?,
        listener: BareListener::start()?,
        beanstalkd: servers
            .description
            .regions
            .values()
            .next()
            .context("there is no region")?
            .beanstalkd
            .clone(),
        dir: servers.dir()?.to_owned(),
        names: names(NAMES)?,
    };
    let mut centre = pipeline.description.central.root().connect().await?;
    let mut wanted = total(&mut centre).await?;
    for round in 1..=rounds {
        println!("round {round}");
        wanted += bench.round(connections, seconds, report).await?;
    }
    bench.listener.stop()?;
    if let Err(error) = await_total(&mut centre, wanted, ARRIVAL_LIMIT).await {
        report.fault("at the centre", format!("{error:#}"));
    }
    compare(connections, report);
    Ok(())
}

impl Bench {
    /// How many events were acknowledged.
    async fn round(&self, connections: &[usize], seconds: u32, report: &mut Report) -> Result<u64> {
        let name = self.names.first().context("there is no name")?;
        record(
            PUT,
            &references::put(&self.beanstalkd, &references::job(name)?).await?,
            report,
        );
        record(SYNC, &references::sync(&self.dir).await?, report);
        let mut acknowledged = 0;
        for &connections in connections {
            let load = |base: &str, status| Load {
                base: base.to_owned(),
                connections,
                time: Duration::from_secs(seconds.into()),
                status,
            };
            let bare = load(&self.listener.base, 204).run(&self.names).await?;
            record_load(&bare_case(connections), &bare, report);
            let answered = load(&self.collector, 202).run(&self.names).await?;
            record_load(&case(connections), &answered, report);
            acknowledged += answered.answers;
        }
        Ok(acknowledged)
    }
}

fn case(connections: usize) -> String {
    format!("{connections} connections")
}

fn bare_case(connections: usize) -> String {
    format!("bare listener, {connections} connections")
}

fn record_load(case: &str, answered: &Answered, report: &mut Report) {
    report.record(case, RATE, answered.rate());
    record(case, &answered.latencies, report);
    report.record(case, "requests refused", float(answered.refused));
}

fn record(case: &str, durations: &Durations, report: &mut Report) {
    let ms = |quantile| durations.quantile(quantile).as_secs_f64() * 1_000.0;
    report.record(case, MEDIAN, ms(0.5));
    report.record(case, P99, ms(0.99));
}

fn compare(connections: &[usize], report: &mut Report) {
    for &connections in connections {
        let bare = bare_case(connections);
        let rate = report.median(&bare, RATE);
        report.compare(&case(connections), RATE, "bare listener", rate);
        // What one waits for alone is the disk; what many wait for is their number.
        let reference = if connections == 1 { PUT } else { bare.as_str() };
        let median = report.median(reference, MEDIAN);
        report.compare(&case(connections), MEDIAN, reference, median);
    }
    let sync = report.median(SYNC, MEDIAN);
    report.compare(PUT, MEDIAN, SYNC, sync);
}
