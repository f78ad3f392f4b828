//! `packing`: how fast closed days are packed beside load and late events, and what replication feels of it.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use clap::Args;
use model::{EventId, Shard};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use playground::counter;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::{Pid, Signal, kill_process};
use tokio_util::sync::CancellationToken;

use super::fill::{self, random_day};
use crate::events::names;
use crate::figures::{Durations, float, grouped, ms, per_s, table};
use crate::pipeline::{Pipeline, PipelineArguments};
use crate::sender::{self, Plan};

/// How often the lag is looked at.
const SAMPLE: Duration = Duration::from_millis(50);

/// From one transaction of late events to the next, and rows of each.
const LATE_INTERVAL: Duration = Duration::from_millis(100);
const LATE_ROWS: usize = 100;

const PACKED_LIMIT: Duration = Duration::from_secs(1_200);

#[derive(Debug, Args)]
pub(crate) struct Packing {
    #[arg(long, default_value_t = 2_000)]
    names: usize,
    #[arg(long, default_value_t = 2)]
    days: i64,
    /// Events per second meanwhile
    #[arg(long, default_value_t = 20_000)]
    rate: u32,
    /// How long the load is measured without packing
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    #[command(flatten)]
    pipeline: PipelineArguments,
}

/// Of one of the two phases.
struct Phase {
    lag: Durations,
    waits: u64,
    wait_ms: u64,
}

impl Packing {
    pub(crate) async fn run(self) -> Result<bool> {
        let pipeline = Pipeline::start(&self.pipeline).await?;
        pipeline.enlarge_centre().await?;
        let measured = self.measure(&pipeline).await;
        pipeline.finish(measured.is_ok()).await?;
        measured.map(|()| true)
    }

    async fn measure(&self, pipeline: &Pipeline) -> Result<()> {
        let mut conn = pipeline.description.central.root().connect().await?;
        let keeper = Keeper::of(pipeline)?;
        keeper.stop()?;
        let points = self.fill(&mut conn).await?;
        let stop = CancellationToken::new();
        let load = tokio::spawn(load(self.rate, pipeline.collectors(), stop.clone()));
        let late = tokio::spawn(late(self.late_target(pipeline).await?, stop.clone()));

        let alone = Duration::from_secs(self.seconds.into());
        let begun = Instant::now();
        let without = phase(&mut conn, async |_| Ok(begun.elapsed() >= alone)).await?;
        let longest_without = status(&mut conn, "Innodb_row_lock_time_max").await?;
        keeper.go_on()?;
        let begun = Instant::now();
        let with = phase(&mut conn, async |_| {
            ensure!(
                begun.elapsed() < PACKED_LIMIT,
                "not all was packed in {PACKED_LIMIT:?}"
            );
            // The last ones may be held by late rows until the next pass, in which little is packed.
            Ok(keeper.packed().await? >= points / 100 * 99)
        })
        .await?;
        let took = begun.elapsed();
        let longest = status(&mut conn, "Innodb_row_lock_time_max").await?;
        stop.cancel();
        load.await??;
        let late = late.await??;

        self.print(
            points,
            took,
            late,
            &[("without packing", without), ("while packing", with)],
        );
        println!(
            "longest wait for a row: {longest_without} ms before, {longest} ms in the end (the keeper never waits, so it was replication's)"
        );
        Ok(())
    }

    fn print(&self, points: u64, took: Duration, late: u64, phases: &[(&str, Phase)]) {
        println!(
            "{} minutes of {} names packed in {:.1} s beside {} events/s and {} late rows: {} points/s",
            grouped(float(points)),
            self.names,
            took.as_secs_f64(),
            grouped(self.rate.into()),
            grouped(float(late)),
            grouped(per_s(points, took))
        );
        let lines = phases.iter().map(|(what, phase)| {
            let mean = if phase.waits > 0 {
                float(phase.wait_ms) / float(phase.waits)
            } else {
                0.0
            };
            [
                (*what).to_owned(),
                ms(phase.lag.quantile(0.5)),
                ms(phase.lag.quantile(0.99)),
                ms(phase.lag.max()),
                phase.waits.to_string(),
                format!("{mean:.1} ms"),
            ]
        });
        let header = [
            "lag of the centre",
            "median",
            "p99",
            "max",
            "row waits",
            "mean wait",
        ];
        println!("\n{}", table(header, lines));
    }

    async fn fill(&self, conn: &mut Conn) -> Result<u64> {
        let begun = Instant::now();
        let mut rng = StdRng::seed_from_u64(4);
        let names = fill::names((0..self.names).map(|n| format!("history.{n}")));
        let mut points = 0;
        let next = || {
            let day = random_day(25.0, &mut rng)?;
            points += day.iter().filter(|&&count| count > 0).count() as u64;
            Ok(day)
        };
        fill::rows(conn, &names, 0..self.days, next).await?;
        println!(
            "filled {} minutes in {:.0} s",
            grouped(float(points)),
            begun.elapsed().as_secs_f64()
        );
        Ok(points)
    }

    /// Where late rows are written, and for whom.
    async fn late_target(&self, pipeline: &Pipeline) -> Result<(Conn, Vec<EventId>, i64)> {
        let region = pipeline
            .description
            .regions
            .values()
            .next()
            .context("there is no region")?;
        let ids = (0..self.names)
            .map(|n| EventId::of(&format!("history.{n}")))
            .collect();
        Ok((region.mariadb.root().connect().await?, ids, self.days))
    }
}

/// Late events for the days that are packed, as a worker would write them into its outbox.
async fn late((mut conn, ids, days): (Conn, Vec<EventId>, i64), stop: CancellationToken) -> Result<u64> {
    let mut rng = StdRng::seed_from_u64(5);
    let mut written = 0;
    let first = fill::day(0).unix_s();
    while !stop.is_cancelled() {
        let mut rows: Vec<(EventId, i64)> = (0..LATE_ROWS)
            .map(|_| {
                let id = ids[rng.random_range(0..ids.len())];
                (id, first + 60 * rng.random_range(0..1_440 * days))
            })
            .collect();
        rows.sort_unstable();
        let mut script = "START TRANSACTION; ".to_owned();
        for of_shard in rows.chunk_by(|a, b| Shard::of(a.0) == Shard::of(b.0)) {
            let shard = Shard::of(of_shard[0].0);
            let values: Vec<String> = of_shard
                .iter()
                .map(|(id, at)| format!("({id},FROM_UNIXTIME({at}),1)"))
                .collect();
            script += &format!(
                "INSERT INTO {shard}.EventMinute VALUES {} ON DUPLICATE KEY UPDATE count = count + VALUES(count); ",
                values.join(",")
            );
        }
        script += "COMMIT";
        conn.query_drop(script).await?;
        written += LATE_ROWS as u64;
        tokio::time::sleep(LATE_INTERVAL).await;
    }
    Ok(written)
}

async fn load(rate: u32, collectors: Vec<Vec<String>>, stop: CancellationToken) -> Result<()> {
    let names: std::sync::Arc<[_]> = names(1_000)?.into();
    while !stop.is_cancelled() {
        let plan = Plan {
            events_per_s: rate,
            seconds: 5,
            events_per_request: 500,
            keyed: false,
            names: names.clone(),
        };
        sender::send(plan, collectors.clone()).await?;
    }
    Ok(())
}

/// Looks at the lag until `is_over`.
async fn phase(conn: &mut Conn, is_over: impl AsyncFn(&mut Conn) -> Result<bool>) -> Result<Phase> {
    let mut lag = Durations::new()?;
    let before = (
        status(conn, "Innodb_row_lock_waits").await?,
        status(conn, "Innodb_row_lock_time").await?,
    );
    while !is_over(conn).await? {
        lag.record(clock_lag(conn).await?);
        tokio::time::sleep(SAMPLE).await;
    }
    Ok(Phase {
        lag,
        waits: status(conn, "Innodb_row_lock_waits").await? - before.0,
        wait_ms: status(conn, "Innodb_row_lock_time").await? - before.1,
    })
}

/// How far the slowest region's newest claim at the centre is behind the present.
async fn clock_lag(conn: &mut Conn) -> Result<Duration> {
    const SQL: &str = "SELECT CAST(MIN(latest) * 1000000 AS SIGNED) FROM \
                       (SELECT UNIX_TIMESTAMP(MAX(completeUntil)) AS latest FROM bigdata_0.RegionClock GROUP BY region) clocks";
    let claimed_us: Option<i64> = conn.query_first::<Option<i64>, _>(SQL).await?.flatten();
    let claimed_us = u64::try_from(claimed_us.context("no region has claimed anything")?)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(now.saturating_sub(Duration::from_micros(claimed_us)))
}

pub(super) async fn status(conn: &mut Conn, variable: &str) -> Result<u64> {
    let row: Option<(String, u64)> = conn
        .query_first(format!("SHOW GLOBAL STATUS LIKE '{variable}'"))
        .await?;
    Ok(row
        .with_context(|| format!("the centre does not count {variable}"))?
        .1)
}

struct Keeper {
    pid: Pid,
    metrics: String,
    client: reqwest::Client,
}

impl Keeper {
    fn of(pipeline: &Pipeline) -> Result<Self> {
        let description = &pipeline.description;
        let pid = description.pids.keeper.context("there is no keeper")?;
        Ok(Self {
            pid: i32::try_from(pid)
                .ok()
                .and_then(Pid::from_raw)
                .context("no pid")?,
            metrics: format!("http://127.0.0.1:{}/metrics", description.central.port + 1),
            client: pipeline.client()?,
        })
    }

    fn stop(&self) -> Result<()> {
        Ok(kill_process(self.pid, Signal::STOP)?)
    }

    fn go_on(&self) -> Result<()> {
        Ok(kill_process(self.pid, Signal::CONT)?)
    }

    async fn packed(&self) -> Result<u64> {
        let text = self.client.get(&self.metrics).send().await?.text().await?;
        Ok(counter(&text, "keeper_packed_minutes_total")?)
    }
}
