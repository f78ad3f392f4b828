//! `history-load`: a month of minutes of many names through the pipeline, in the order of time under keys, until the centre
//! has all of it and every minute is equal.
//!
//! Counts are around a mean that a daily curve moves. Bodies are built before the clock starts. Each round has a pipeline of
//! its own, whose keeper packs closed days meanwhile, and is followed by VictoriaMetrics with the same points.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use crate::burst::delivery::{self, Delivery};
use crate::burst::{Place, await_total, check, record_usages, total};
use crate::figures::{float, grouped, per_s};
use crate::peers::{Outcome, VICTORIA, victoria};
use crate::pipeline::Pipeline;
use crate::points::History;
use crate::processes::{Meter, Usage};
use crate::report::Report;
use crate::workload::Sums;

const EXACT: &str = "points/s to the exact answer";

/// Longest wait for the exact answer after the last acknowledgement.
const EXACT_LIMIT: Duration = Duration::from_secs(600);

#[derive(Debug, Args)]
pub(crate) struct HistoryLoad {
    #[command(flatten)]
    shape: Shape,
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Shape {
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    names: u32,
    /// Complete days up to yesterday
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=400))]
    days: u32,
    /// Mean count per minute
    #[arg(long, default_value_t = 25.0)]
    mean: f64,
    /// Minutes of all names in one request
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1_440))]
    minutes_per_request: u32,
    /// Connections over all regions, each with one request at a time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    connections: u32,
}

struct Round {
    points: u64,
    acknowledged: Duration,
    exact: Duration,
    usages: Vec<Usage>,
}

impl HistoryLoad {
    /// Whether every minute was equal in every round.
    pub(crate) async fn run(self) -> Result<bool> {
        let mut report = Report::default();
        measure(&self.place, self.shape, self.rounds, &mut report).await?;
        report.print();
        Ok(report.is_good())
    }
}

impl Shape {
    pub(crate) fn of_days(days: u32) -> Self {
        Self {
            names: 200,
            days,
            mean: 25.0,
            minutes_per_request: 30,
            connections: 8,
        }
    }

    fn case(&self, regions: usize) -> String {
        format!(
            "{} names, {} days, {regions} region{}",
            self.names,
            self.days,
            if regions == 1 { "" } else { "s" }
        )
    }

    pub(crate) fn history(&self) -> Result<History> {
        History::generate(self.names, self.days, self.mean)
    }
}

pub(crate) async fn measure(place: &Place, shape: Shape, rounds: u32, report: &mut Report) -> Result<()> {
    for _ in 0..rounds {
        let history = shape.history()?;
        let pipeline = place.start().await?;
        let case = shape.case(pipeline.collectors().len());
        let round = load(&pipeline, &history, shape).await;
        pipeline.finish(round.is_ok()).await?;
        match round {
            Ok(round) => round.record(&case, report),
            Err(error) => {
                report.fault(&case, format!("{error:#}"));
                break;
            }
        }
        beside(&history, shape, &case, report).await?;
    }
    Ok(())
}

/// The same points into VictoriaMetrics.
async fn beside(history: &History, shape: Shape, case: &str, report: &mut Report) -> Result<()> {
    let minutes_per_request = usize::try_from(shape.minutes_per_request)?;
    let peer = format!("{VICTORIA}, {case}");
    match victoria::history(history, minutes_per_request).await {
        Ok(Outcome::Exact(took)) => report.record(&peer, EXACT, per_s(history.points, took)),
        Ok(Outcome::NotInstalled) => report.note(&format!("{VICTORIA}: not installed")),
        Err(error) => report.fault(&peer, format!("{error:#}")),
    }
    let reference = report.median(&peer, EXACT);
    report.compare(case, EXACT, VICTORIA, reference);
    Ok(())
}

async fn load(pipeline: &Pipeline, history: &History, shape: Shape) -> Result<Round> {
    let connections = usize::try_from(shape.connections)?;
    let bases = delivery::bases(pipeline, connections)?;
    let requests = history.requests(&bases, usize::try_from(shape.minutes_per_request)?);
    let delivery = Delivery::connect(&bases, requests, connections, true).await?;
    let mut centre = pipeline.description.central.root().connect().await?;
    let mut sums = Sums::new(history.first_unix_s, history.minutes, history.counts.clone());
    let wanted = total(&mut centre).await? + sums.total();

    let meter = Meter::start(&pipeline.description)?;
    let begun = Instant::now();
    delivery.run().await?;
    let acknowledged = begun.elapsed();
    await_total(&mut centre, wanted, EXACT_LIMIT).await?;
    let exact = begun.elapsed();
    let usages = meter.read();

    check::compare(&mut centre, &history.names, &mut sums).await?;
    Ok(Round {
        points: history.points,
        acknowledged,
        exact,
        usages,
    })
}

impl Round {
    fn record(&self, case: &str, report: &mut Report) {
        let rate = per_s(self.points, self.exact);
        println!(
            "{} points, {} points/s",
            grouped(float(self.points)),
            grouped(rate)
        );
        report.record(case, EXACT, rate);
        report.record(
            case,
            "points/s acknowledged",
            per_s(self.points, self.acknowledged),
        );
        record_usages(&self.usages, self.points, case, report);
    }
}
