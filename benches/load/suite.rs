//! `suite`: all comparisons, each in rounds, as one table per group and as JSON.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use crate::burst::{self, EXACT, Place, Shape};
use crate::growth;
use crate::history_load;
use crate::parts;
use crate::peers;
use crate::posts;
use crate::report::Report;

/// What `--quick` leaves of the events.
const QUICK_SHARE: u64 = 10;

const EVENTS: u64 = 10_000_000;

/// What all other bursts are compared with.
const BASE: Shape = Shape {
    events: EVENTS,
    events_per_request: 10_000,
    connections: 8,
    names: 1_000,
    minutes: 5,
    keyed: false,
};

const NAMES: [u32; 3] = [10_000, 100_000, 1_000_000];

const CONNECTIONS: [u32; 2] = [2, 32];

const POST_SECONDS: u32 = 5;
const POST_CONNECTIONS: [usize; 5] = [1, 16, 64, 256, 1_024];

const PEERS_NAMES: [u32; 3] = [1_000, 10_000, 100_000];

/// Names that have a year of history.
const HISTORY_NAMES: usize = 5_000;

const HISTORY_DAYS: u32 = 30;

#[derive(Debug, Args)]
pub(crate) struct Suite {
    /// Groups to measure, instead of all
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Group>,
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// One round, with a tenth of the events
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
    /// Where all figures go
    #[arg(long, default_value = "target/bench.json", value_name = "FILE")]
    json: PathBuf,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// End to end: events a request, keys, names, connections
    A,
    /// Single-event requests
    B,
    /// Jobs to rows
    C,
    /// Regional commit
    D,
    /// Central apply
    E,
    /// Growth with names, and with a year of history
    F,
    /// VictoriaMetrics and PostgreSQL
    G,
    /// A month of history
    H,
}

impl Group {
    fn title(self) -> &'static str {
        match self {
            Self::A => "a: end to end, every count verified",
            Self::B => "b: single-event requests",
            Self::C => "c: jobs to rows, on one core",
            Self::D => "d: regional commit",
            Self::E => "e: central apply",
            Self::F => "f: growth with names and with a year of history",
            Self::G => "g: peers with the same events",
            Self::H => "h: a month of history, every minute verified",
        }
    }
}

impl Suite {
    /// Whether nothing was wrong in any group.
    pub(crate) async fn run(self) -> Result<bool> {
        let mut groups = Map::new();
        let mut good = true;
        for &group in Group::value_variants() {
            if !self.only.is_empty() && !self.only.contains(&group) {
                continue;
            }
            println!("\n== {}", group.title());
            let mut report = Report::default();
            // One that cannot be measured does not take the others' figures with it.
            if let Err(error) = self.measure(group, &mut report).await {
                report.fault(group.title(), format!("{error:#}"));
            }
            println!("\n{}", group.title());
            report.print();
            good &= report.is_good();
            groups.insert(group.title().to_owned(), report.json());
            // After each group, since all take hours.
            self.write(&groups)?;
        }
        println!("all figures: {}", self.json.display());
        Ok(good)
    }

    async fn measure(&self, group: Group, report: &mut Report) -> Result<()> {
        match group {
            Group::A => self.bursts(report).await,
            Group::B => {
                let seconds = if self.quick { 1 } else { POST_SECONDS };
                let pipeline = &self.place.pipeline;
                posts::measure(pipeline, &POST_CONNECTIONS, seconds, self.rounds(), report).await
            }
            Group::C => parts::decode::measure(self.rounds(), report).await,
            Group::D => parts::commit::measure(self.rounds(), report).await,
            Group::E => parts::apply::measure(self.rounds(), report).await,
            Group::F => {
                let history = if self.quick {
                    HISTORY_NAMES / 10
                } else {
                    HISTORY_NAMES
                };
                growth::measure(&self.place, self.base(), history, self.rounds(), report).await
            }
            Group::G => {
                let events = self.shrunk(EVENTS);
                peers::measure(&self.place, events, &PEERS_NAMES, self.rounds(), report).await
            }
            Group::H => {
                let days = if self.quick {
                    HISTORY_DAYS / 10
                } else {
                    HISTORY_DAYS
                };
                let shape = history_load::Shape::of_days(days);
                history_load::measure(&self.place, shape, self.rounds(), report).await
            }
        }
    }

    fn rounds(&self) -> u32 {
        if self.quick { 1 } else { self.rounds }
    }

    fn shrunk(&self, events: u64) -> u64 {
        if self.quick { events / QUICK_SHARE } else { events }
    }

    fn base(&self) -> Shape {
        Shape {
            events: self.shrunk(EVENTS),
            ..BASE
        }
    }

    async fn bursts(&self, report: &mut Report) -> Result<()> {
        let base = self.base();
        for shape in burst_shapes(base) {
            burst::case(&self.place, shape, self.rounds(), report).await?;
            if shape != base {
                let reference = report.median(&base.case(), EXACT);
                report.compare(&shape.case(), EXACT, &base.case(), reference);
            }
        }
        Ok(())
    }

    fn write(&self, groups: &Map<String, Value>) -> Result<()> {
        let all = json!({
            "unix_s": model::Timestamp::from(SystemTime::now()).unix_ms() / 1000,
            "processors": std::thread::available_parallelism()?.get(),
            "rounds": self.rounds(),
            "groups": groups,
        });
        let path = root().join(&self.json);
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        std::fs::write(&path, serde_json::to_string_pretty(&all)? + "\n")
            .with_context(|| format!("failed to write {}", path.display()))
    }
}

/// The workspace, while cargo runs a benchmark in its package's directory.
fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Each shape once, the base first.
fn burst_shapes(base: Shape) -> Vec<Shape> {
    // A tenth of the events where each waits for the disk a hundred times as often.
    let sizes = [(10_000, 1), (1_000, 1), (100, 10)].map(|(events_per_request, part)| Shape {
        events: base.events / part,
        events_per_request,
        ..base
    });
    let keyed = sizes.map(|shape| Shape { keyed: true, ..shape });
    let names = NAMES.map(|names| Shape { names, ..base });
    let connections = CONNECTIONS.map(|connections| Shape { connections, ..base });
    let smaller_on_more = Shape {
        events_per_request: 1_000,
        connections: 32,
        ..base
    };
    let mut shapes = sizes.to_vec();
    shapes.extend(keyed);
    shapes.extend(names);
    shapes.extend(connections);
    shapes.push(smaller_on_more);
    shapes
}
