//! `burst`: as many events as fit at once, from the first byte sent until the centre's answer is exact.
//!
//! All bodies are built before the clock starts. The clock stops at the last 202 (acknowledged), and when the sum of
//! `RegionTotal`, which is written in the counts' own transactions, has grown by what was sent (exact). After the clock every
//! name and minute is compared as an analyst reads them; a difference fails the run.

pub(crate) mod check;
pub(crate) mod delivery;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::figures::{float, grouped, per_million, per_s};
use crate::pipeline::{Pipeline, PipelineArguments};
use crate::processes::{Meter, Usage, pipeline_processor};
use crate::report::Report;
use crate::workload::Workload;

pub(crate) const EXACT: &str = "events/s to the exact answer";

/// Longest wait for the exact answer after the last acknowledgement.
const EXACT_LIMIT: Duration = Duration::from_secs(180);

/// Pause between two questions for the total: how exactly the end is timed.
const TOTAL_PAUSE: Duration = Duration::from_millis(20);

/// The sum of all that the centre has counted.
const TOTAL_SQL: &str = "SELECT CAST(COALESCE(SUM(total), 0) AS UNSIGNED) FROM bigdata_0.RegionTotal";

/// Rows above which each round has a pipeline of its own, so that none finds larger tables than the one before.
const ROWS_PER_PIPELINE_MAX: u64 = 1_000_000;

#[derive(Debug, Args)]
pub(crate) struct Burst {
    #[command(flatten)]
    shape: Shape,
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    #[command(flatten)]
    place: Place,
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub(crate) struct Shape {
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) events: u64,
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) events_per_request: u32,
    /// Connections over all regions, each with one request at a time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=512))]
    pub(crate) connections: u32,
    /// Different names
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) names: u32,
    /// Minutes up to now that the events lie in
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_440))]
    pub(crate) minutes: u32,
    /// Send each request with an idempotency key
    #[arg(long)]
    pub(crate) keyed: bool,
}

/// Where it is sent to.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Give the centre the memory and log of a deployed one, instead of a playground's
    #[arg(long)]
    deployed_centre: bool,
    #[command(flatten)]
    pub(crate) pipeline: PipelineArguments,
}

/// What one round took.
#[derive(Debug)]
struct Round {
    acknowledged: Duration,
    exact: Duration,
    repeated: u64,
    usages: Vec<Usage>,
}

impl Burst {
    /// Whether every round counted every event once.
    pub(crate) async fn run(self) -> Result<bool> {
        let mut report = Report::default();
        case(&self.place, self.shape, self.rounds, &mut report).await?;
        report.print();
        Ok(report.is_good())
    }
}

impl Shape {
    /// How the reports call it.
    pub(crate) fn case(&self) -> String {
        format!(
            "{} names, {} a request{}, {} connections",
            grouped(self.names.into()),
            grouped(self.events_per_request.into()),
            if self.keyed { " keyed" } else { "" },
            self.connections
        )
    }

    pub(crate) fn workload(&self) -> Result<Workload> {
        Workload::new(self.names, self.events, self.minutes)
    }
}

impl Place {
    pub(crate) async fn start(&self) -> Result<Pipeline> {
        let pipeline = Pipeline::start(&self.pipeline).await?;
        if self.deployed_centre && pipeline.is_fresh() {
            pipeline.enlarge_centre().await?;
        }
        Ok(pipeline)
    }
}

/// All rounds of one shape. The first one that fails is the last.
pub(crate) async fn case(place: &Place, shape: Shape, rounds: u32, report: &mut Report) -> Result<()> {
    let case = shape.case();
    println!("\n{case}: {} events", grouped(float(shape.events)));
    let rows = u64::from(shape.names) * u64::from(shape.minutes);
    let together = if rows > ROWS_PER_PIPELINE_MAX { 1 } else { rounds };
    for _ in 0..rounds / together {
        let pipeline = place.start().await?;
        let mut good = true;
        for _ in 0..together {
            good = one(&pipeline, &shape.workload()?, shape, &case, report).await;
            if !good {
                break;
            }
        }
        pipeline.finish(good).await?;
        if !good {
            break;
        }
    }
    Ok(())
}

/// One round into the report; whether it was good.
pub(crate) async fn one(
    pipeline: &Pipeline,
    workload: &Workload,
    shape: Shape,
    case: &str,
    report: &mut Report,
) -> bool {
    match round(pipeline, workload, shape).await {
        Ok(round) => {
            round.record(workload.events, case, report);
            true
        }
        Err(error) => {
            report.fault(case, format!("{error:#}"));
            false
        }
    }
}

async fn round(pipeline: &Pipeline, workload: &Workload, shape: Shape) -> Result<Round> {
    let mut sums = workload.sums()?;
    let delivery = delivery::prepare(pipeline, workload, shape).await?;
    let mut centre = pipeline.description.central.root().connect().await?;
    let wanted = total(&mut centre).await? + sums.total();

    let meter = Meter::start(&pipeline.description)?;
    let begun = Instant::now();
    let repeated = delivery.run().await?;
    let acknowledged = begun.elapsed();
    await_total(&mut centre, wanted, EXACT_LIMIT).await?;
    let exact = begun.elapsed();
    let usages = meter.read();

    check::compare(&mut centre, &workload.names, &mut sums).await?;
    if let Some(ended) = usages.iter().find(|usage| usage.has_ended()) {
        anyhow::bail!("{} ended during the run", ended.name());
    }
    Ok(Round {
        acknowledged,
        exact,
        repeated,
        usages,
    })
}

/// Everything that the centre has counted.
pub(crate) async fn total(centre: &mut Conn) -> Result<u64> {
    sum(centre, TOTAL_SQL).await
}

async fn sum(centre: &mut Conn, sql: &str) -> Result<u64> {
    centre.query_first(sql).await?.context("the centre has no sum")
}

/// Waits until the centre has counted as much as that.
///
/// # Errors
/// Less within the limit, or more.
pub(crate) async fn await_total(centre: &mut Conn, wanted: u64, limit: Duration) -> Result<()> {
    await_sum(centre, (TOTAL_SQL, TOTAL_PAUSE), wanted, limit).await
}

/// The same of what a statement sums up, which is asked again after a pause.
///
/// # Errors
/// Less within the limit, or more.
pub(crate) async fn await_sum(
    centre: &mut Conn,
    (sql, pause): (&str, Duration),
    wanted: u64,
    limit: Duration,
) -> Result<()> {
    let begun = Instant::now();
    loop {
        let total = sum(centre, sql).await?;
        ensure!(
            total <= wanted,
            "the centre has counted {} too many",
            total - wanted
        );
        if total == wanted {
            return Ok(());
        }
        ensure!(
            begun.elapsed() < limit,
            "{} counts are not at the centre {limit:?} after the last acknowledgement",
            wanted - total
        );
        tokio::time::sleep(pause).await;
    }
}

impl Round {
    fn record(&self, events: u64, case: &str, report: &mut Report) {
        let rate = per_s(events, self.exact);
        println!("{} events/s", grouped(rate));
        report.record(case, EXACT, rate);
        report.record(case, "events/s acknowledged", per_s(events, self.acknowledged));
        let behind = self.exact.saturating_sub(self.acknowledged);
        report.record(case, "s behind after the last 202", behind.as_secs_f64());
        report.record(case, "requests repeated", float(self.repeated));
        record_usages(&self.usages, events, case, report);
    }
}

/// Processor time by kind of process, and the memory of those that have a limit.
pub(crate) fn record_usages(usages: &[Usage], events: u64, case: &str, report: &mut Report) {
    let mut kinds: Vec<&str> = usages.iter().map(Usage::kind).collect();
    // Those of one region follow each other, not those of one kind.
    kinds.sort_unstable();
    kinds.dedup();
    let price = |processor| per_million(processor, events);
    let whole = price(pipeline_processor(usages));
    report.record(case, "processor s per million", whole);
    for kind in kinds {
        let of_kind = || usages.iter().filter(|usage| usage.kind() == kind);
        let processor = of_kind().map(Usage::processor).sum();
        report.record(
            case,
            &format!("processor s per million: {kind}"),
            price(processor),
        );
        let peak = of_kind().map(Usage::peak_mib).max().unwrap_or_default();
        report.record(case, &format!("peak MiB: {kind}"), float(peak));
    }
}
