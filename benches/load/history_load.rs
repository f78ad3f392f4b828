//! `history-load`: a month of minutes of many names through the pipeline, in the order of time under keys, until the centre
//! has all of it and every minute is equal.
//!
//! Counts are around a mean that a daily curve moves. Bodies are built before the clock starts. Each round has a pipeline of
//! its own, whose keeper packs closed days meanwhile, and is followed by VictoriaMetrics with the same points.

use std::f64::consts::TAU;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use clap::Args;
use model::{Day, MINUTES_PER_DAY};
use rand::SeedableRng;
use rand::distr::Distribution;
use rand::rngs::StdRng;
use rand_distr::Poisson;

use crate::burst::delivery::{self, Delivery, Request};
use crate::burst::{Place, await_total, check, record_usages, total};
use crate::events::{Name, names};
use crate::figures::{float, grouped, per_s};
use crate::peers::{Outcome, VICTORIA, victoria};
use crate::pipeline::Pipeline;
use crate::processes::{Meter, Usage};
use crate::report::Report;
use crate::workload::Sums;

const EXACT: &str = "points/s to the exact answer";

/// How far the mean goes up and down within a day, as a part of it.
const CURVE: f64 = 0.6;

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

/// Counts name by name, minute by minute.
pub(crate) struct History {
    pub(crate) names: Vec<Name>,
    pub(crate) first_unix_s: i64,
    pub(crate) minutes: usize,
    pub(crate) counts: Vec<u64>,
    pub(crate) points: u64,
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
        let minutes_per_day = u32::try_from(MINUTES_PER_DAY)?;
        let means = (0..minutes_per_day).map(|minute| {
            let part = f64::from(minute) / f64::from(minutes_per_day);
            Poisson::new(self.mean * (1.0 - CURVE * (TAU * part).cos()))
        });
        let means: Vec<Poisson<f64>> = means.collect::<Result<_, _>>()?;
        let minutes = MINUTES_PER_DAY * usize::try_from(self.days)?;
        let mut rng = StdRng::seed_from_u64(rand::random());
        let names = names(usize::try_from(self.names)?)?;
        let mut counts = Vec::with_capacity(names.len() * minutes);
        for _ in &names {
            for mean in means.iter().cycle().take(minutes) {
                counts.push(format!("{:.0}", mean.sample(&mut rng)).parse()?);
            }
        }
        let today = Day::containing(model::Instant::from(SystemTime::now()).unix_ms() / 1000);
        Ok(History {
            names,
            first_unix_s: today.unix_s() - 86_400 * i64::from(self.days),
            minutes,
            points: counts.iter().filter(|&&count| count > 0).count() as u64,
            counts,
        })
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

impl History {
    pub(crate) fn end_unix_s(&self) -> i64 {
        self.times()
            .last()
            .map_or(self.first_unix_s, |unix_s| unix_s + 60)
    }

    fn times(&self) -> Vec<i64> {
        (self.first_unix_s..).step_by(60).take(self.minutes).collect()
    }

    /// In Influx's line protocol, with times in milliseconds.
    pub(crate) fn influx(&self, minutes_per_request: usize) -> Vec<Vec<u8>> {
        let heads: Vec<String> = self
            .names
            .iter()
            .map(|name| format!("events,name={} count=", name.name))
            .collect();
        let mut requests = Vec::new();
        for (number, minutes) in self.times().chunks(minutes_per_request).enumerate() {
            let mut body = String::new();
            for (minute, unix_s) in (number * minutes_per_request..).zip(minutes) {
                for (name, head) in heads.iter().enumerate() {
                    let count = self.counts[name * self.minutes + minute];
                    if count > 0 {
                        body += &format!("{head}{count} {unix_s}000\n");
                    }
                }
            }
            requests.push(body.into_bytes());
        }
        requests
    }

    /// By collector, each in the order of time.
    fn requests(&self, bases: &[String], minutes_per_request: usize) -> Vec<Vec<Request>> {
        let heads: Vec<String> = self
            .names
            .iter()
            .map(|name| format!(r#"{{"name":"{}","count":"#, name.name))
            .collect();
        let run = self.names.first().map_or("", |name| name.name.as_str());
        let mut queues: Vec<Vec<Request>> = bases.iter().map(|_| Vec::new()).collect();
        for (number, minutes) in self.times().chunks(minutes_per_request).enumerate() {
            let mut body = String::new();
            let mut events = 0;
            for (minute, unix_s) in (number * minutes_per_request..).zip(minutes) {
                for (name, head) in heads.iter().enumerate() {
                    let count = self.counts[name * self.minutes + minute];
                    if count > 0 {
                        body += &format!("{head}{count},\"timestamp\":{unix_s}}}\n");
                        events += 1;
                    }
                }
            }
            if events > 0 {
                let at = number % bases.len();
                let key = format!("{run}/{number}");
                queues[at].push(Request::new(&bases[at], Some(&key), body.as_bytes(), events));
            }
        }
        queues
    }
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
