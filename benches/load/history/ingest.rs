//! `ingest`: whether a centre that holds years takes events in as fast as one that is empty.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::fill::{self, Names, packed_day, random_day};
use super::packing::status;
use crate::centre::Centre;
use crate::events::names;
use crate::figures::{float, grouped, per_s};
use crate::pipeline::{Pipeline, PipelineArguments};
use crate::sender::{self, Plan};
use crate::throughput::arrive;

/// Different days to choose from: a page has a dozen.
const DIFFERENT_DAYS: usize = 5_000;

/// Pages that are always in the works.
const DIRTY_PAGES_MAX: u64 = 500;

const WRITTEN_LIMIT: Duration = Duration::from_secs(300);

const POLL: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(crate) struct Ingest {
    /// Names that have a history
    #[arg(long, default_value_t = 5_000)]
    names: usize,
    #[arg(long, default_value_t = 365)]
    days: i64,
    /// Events per second that are tried: more than the machine takes
    #[arg(long, default_value_t = 2_000_000)]
    rate: u32,
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Runs of each kind
    #[arg(long, default_value_t = 3)]
    runs: usize,
    #[command(flatten)]
    pipeline: PipelineArguments,
}

/// A history has been on disk for long when new events come.
async fn write_dirty_pages(conn: &mut Conn) -> Result<()> {
    const FAST: &str = "SET GLOBAL innodb_max_dirty_pages_pct = 0; SET GLOBAL innodb_io_capacity_max = 40000; \
                        SET GLOBAL innodb_io_capacity = 20000";
    const AS_BEFORE: &str = "SET GLOBAL innodb_max_dirty_pages_pct = DEFAULT; SET GLOBAL innodb_io_capacity = DEFAULT; \
                             SET GLOBAL innodb_io_capacity_max = 2000";
    conn.query_drop(FAST).await?;
    let begun = Instant::now();
    while status(conn, "Innodb_buffer_pool_pages_dirty").await? > DIRTY_PAGES_MAX {
        ensure!(
            begun.elapsed() < WRITTEN_LIMIT,
            "the history is not on disk after {WRITTEN_LIMIT:?}"
        );
        tokio::time::sleep(POLL).await;
    }
    Ok(conn.query_drop(AS_BEFORE).await?)
}

/// Packed days of so many names at the centre, written to disk.
pub(crate) async fn fill_history(pipeline: &Pipeline, names: usize, day_count: i64) -> Result<()> {
    let begun = Instant::now();
    let mut rng = StdRng::seed_from_u64(3);
    let mut days = Vec::new();
    for _ in 0..DIFFERENT_DAYS {
        days.push(packed_day(&random_day(25.0, &mut rng)?)?);
    }
    let root = pipeline.description.central.root();
    let ids = fill::names((0..names).map(|n| format!("history.{n}")));
    let (some, others): (Names, Names) = ids.into_iter().partition(|(shard, _)| shard.number() < 16);
    let fill = async |names: Names, seed: u64| {
        let mut rng = StdRng::seed_from_u64(seed);
        let next = || Ok(days[rng.random_range(0..days.len())].clone());
        fill::packed(&mut root.connect().await?, &names, 0..day_count, next).await
    };
    tokio::try_join!(fill(some, 4), fill(others, 5))?;
    let mut conn = root.connect().await?;
    write_dirty_pages(&mut conn).await?;
    println!(
        "filled {names} names with {day_count} days each in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

impl Ingest {
    pub(crate) async fn run(self) -> Result<bool> {
        let mut best = Vec::new();
        for is_filled in [false, true] {
            let pipeline = Pipeline::start(&self.pipeline).await?;
            pipeline.enlarge_centre().await?;
            if is_filled {
                fill_history(&pipeline, self.names, self.days).await?;
            }
            let mut rates = Vec::new();
            for _ in 0..self.runs {
                match self.rate(&pipeline).await? {
                    Some(rate) => rates.push(rate),
                    None => {
                        pipeline.finish(false).await?;
                        return Ok(false);
                    }
                }
            }
            pipeline.finish(true).await?;
            rates.sort_by(f64::total_cmp);
            let shown: Vec<String> = rates.iter().map(|&rate| grouped(rate)).collect();
            println!(
                "{}: {} events/s until equal at the centre",
                if is_filled { "with the history" } else { "empty" },
                shown.join(", ")
            );
            best.push(rates[rates.len() / 2]);
        }
        println!("ratio of the medians: {:.3}", best[1] / best[0]);
        Ok(true)
    }

    /// Events per second from the first that is sent until all are equal at the centre; `None` where they are not.
    async fn rate(&self, pipeline: &Pipeline) -> Result<Option<f64>> {
        let plan = Plan {
            events_per_s: self.rate,
            seconds: self.seconds,
            events_per_request: 1_000,
            keyed: false,
            names: names(self.names)?.into(),
        };
        let mut centre = Centre::of_names(pipeline, &plan.names).await?;
        let begun = Instant::now();
        let sent = sender::send(plan, pipeline.collectors()).await?;
        let arrival = arrive(&mut centre, &sent).await?;
        let took = arrival.at() - begun;
        let equal = arrival.print(&sent.ledger);
        println!("{} events", grouped(float(sent.events)));
        Ok(equal.then(|| per_s(sent.events, took)))
    }
}
