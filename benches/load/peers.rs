//! `peers`: the same events into EventTracker, VictoriaMetrics and PostgreSQL, each until its answer per name and minute is
//! exact, and what the peers lose when they are killed half a second after they acknowledged the last.
//!
//! One after the other, each with the machine to itself and with empty tables. What EventTracker loses when it is killed is
//! a promise, which `tests/pipeline` holds it to. A peer that is not installed is reported so.

mod postgres;
pub(crate) mod victoria;

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::burst::{self, EXACT, Place, Shape};
use crate::figures::{float, grouped, per_s};
use crate::report::Report;
use crate::workload::{Sums, Workload};

/// Writers at once, as many as the burst has connections.
const CONNECTIONS: usize = 8;

/// From the last acknowledgement to the kill.
const KILLED_AFTER: Duration = Duration::from_millis(500);

pub(crate) const VICTORIA: &str = "VictoriaMetrics";
const POSTGRES: &str = "PostgreSQL COPY";
const LOST: &str = "share lost by kill -9";

#[derive(Debug, Args)]
pub(crate) struct Peers {
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    events: u64,
    /// Different names, of one comparison each
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000")]
    names: Vec<u32>,
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    #[command(flatten)]
    place: Place,
}

/// What a peer made of a workload.
pub(crate) enum Outcome {
    /// From the first event until the exact answer.
    Exact(Duration),
    NotInstalled,
}

impl Peers {
    /// Whether every answer was exact.
    pub(crate) async fn run(self) -> Result<bool> {
        let mut report = Report::default();
        measure(&self.place, self.events, &self.names, self.rounds, &mut report).await?;
        report.print();
        Ok(report.is_good())
    }
}

pub(crate) async fn measure(
    place: &Place,
    events: u64,
    names: &[u32],
    rounds: u32,
    report: &mut Report,
) -> Result<()> {
    for &names in names {
        let shape = Shape {
            events,
            events_per_request: 10_000,
            connections: u32::try_from(CONNECTIONS)?,
            names,
            minutes: 5,
            keyed: false,
        };
        println!("\n{}: {} events", shape.case(), grouped(float(events)));
        for _ in 0..rounds {
            round(place, shape, report).await?;
        }
        let case = shape.case();
        for peer in [VICTORIA, POSTGRES] {
            let reference = report.median(&of_peer(&case, peer), EXACT);
            report.compare(&case, EXACT, peer, reference);
        }
    }
    Ok(())
}

fn of_peer(case: &str, peer: &str) -> String {
    format!("{peer}, {case}")
}

/// A failure of one does not keep the others from being measured.
async fn round(place: &Place, shape: Shape, report: &mut Report) -> Result<()> {
    let workload = shape.workload()?;
    let case = shape.case();
    let pipeline = place.start().await?;
    let good = burst::one(&pipeline, &workload, shape, &case, report).await;
    pipeline.finish(good).await?;
    let exact = victoria::exact(&workload, shape).await;
    record(
        &case,
        VICTORIA,
        &workload,
        exact,
        victoria::lost(&workload, shape).await,
        report,
    );
    let exact = postgres::exact(&workload, shape).await;
    record(
        &case,
        POSTGRES,
        &workload,
        exact,
        postgres::lost(&workload, shape).await,
        report,
    );
    Ok(())
}

fn record(
    case: &str,
    peer: &str,
    workload: &Workload,
    exact: Result<Outcome>,
    lost: Result<Option<f64>>,
    report: &mut Report,
) {
    let case = of_peer(case, peer);
    match exact {
        Ok(Outcome::NotInstalled) => report.note(&format!("{peer}: not installed")),
        Ok(Outcome::Exact(took)) => {
            let rate = per_s(workload.events, took);
            println!("{peer}: {} events/s", grouped(rate));
            report.record(&case, EXACT, rate);
        }
        Err(error) => report.fault(&case, format!("{error:#}")),
    }
    match lost {
        Ok(Some(share)) => report.record(&case, LOST, share),
        Ok(None) => {}
        Err(error) => report.fault(&case, format!("{error:#}")),
    }
}

/// The events as text, so many to a request.
fn render(
    workload: &Workload,
    shape: Shape,
    mut line: impl FnMut(&mut Vec<u8>, crate::workload::Event) -> Result<()>,
) -> Result<Vec<Vec<u8>>> {
    let per_request = usize::try_from(shape.events_per_request)?;
    let mut events = workload.events().peekable();
    let mut requests = Vec::new();
    while events.peek().is_some() {
        let mut text = Vec::new();
        for event in events.by_ref().take(per_request) {
            line(&mut text, event)?;
        }
        requests.push(text);
    }
    Ok(requests)
}

/// Sums as a peer answers them.
type Answers = Vec<(String, i64, u64)>;

fn compare(answers: &[(String, i64, u64)], workload: &Workload, sums: &mut Sums) -> Result<()> {
    let names = workload.names.iter().map(|name| name.name.as_str());
    let indexes: HashMap<&str, usize> = names.zip(0..).collect();
    for (name, unix_s, count) in answers {
        let &name = indexes
            .get(name.as_str())
            .with_context(|| format!("nobody has sent {name}"))?;
        sums.take(name, *unix_s, *count)?;
    }
    let (minutes, counts) = sums.left();
    ensure!(
        minutes == 0,
        "{counts} counts of {minutes} names and minutes are missing"
    );
    Ok(())
}

/// Which part of the sum is not found any more.
fn share_lost(sums: &Sums, found: u64) -> f64 {
    float(sums.total().saturating_sub(found)) / float(sums.total())
}
