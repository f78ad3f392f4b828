//! `cut`: one region's link to the centre is cut under load; how long until all is complete again, and whether all is exact.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use clap::Args;
use mysql_async::Row;
use mysql_async::prelude::Queryable;
use playground::{Database, Link, Relay};
use serde::Deserialize;

use crate::centre::Centre;
use crate::events::names;
use crate::figures::{float, grouped};
use crate::pipeline::{Pipeline, PipelineArguments};
use crate::sender::{self, Plan};
use crate::throughput::arrive;

/// Load before the cut, and after it: longer than any recovery worth the name.
const BEFORE: Duration = Duration::from_secs(10);
const AFTER: Duration = Duration::from_secs(120);

/// Pause between two questions for the clock.
const POLL_PAUSE: Duration = Duration::from_millis(100);

/// A clock that follows the present is closer to it: a flush, its way, and a second of rounding.
const LAG_S_MAX: f64 = 3.0;

#[derive(Debug, Args)]
pub(crate) struct Cut {
    /// How long the link is cut
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=120))]
    minutes: u32,
    /// Events per second over all regions
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    rate: u32,
    /// Different names
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    names: u32,
    #[command(flatten)]
    pipeline: PipelineArguments,
}

/// When the centre had everything again, from the link's return on.
struct Recovery {
    /// All that was acknowledged before the link's return.
    complete: Duration,
    /// The clock follows the present.
    current: Duration,
}

impl Cut {
    /// Whether all was counted exactly once.
    pub(crate) async fn run(self) -> Result<bool> {
        let (pipeline, relay) = Pipeline::start_with_link(&self.pipeline).await?;
        let outcome = self.measure(&pipeline, &relay).await;
        pipeline.finish(*outcome.as_ref().unwrap_or(&false)).await?;
        outcome
    }

    async fn measure(&self, pipeline: &Pipeline, relay: &Relay) -> Result<bool> {
        let (region, parts) = pipeline
            .description
            .regions
            .first_key_value()
            .context("there is no region")?;
        let cut = Duration::from_secs(60 * u64::from(self.minutes));
        let plan = Plan {
            events_per_s: self.rate,
            seconds: u32::try_from((BEFORE + cut + AFTER).as_secs())?,
            events_per_request: 500,
            keyed: false,
            names: names(usize::try_from(self.names)?)?.into(),
        };
        println!(
            "{} events/s to {} regions, {} names; the link of {region} is cut for {} min",
            grouped(self.rate.into()),
            pipeline.description.regions.len(),
            self.names,
            self.minutes
        );
        let mut centre = Centre::connect(pipeline, &plan.names).await?;
        let sending = tokio::spawn(sender::send(plan, pipeline.collectors()));
        tokio::time::sleep(BEFORE).await;
        let binlog_before = binlog_bytes(&parts.mariadb).await?;
        relay.set(Link::Cut);
        tokio::time::sleep(cut).await;
        let waiting = binlog_bytes(&parts.mariadb).await?.saturating_sub(binlog_before);
        let rows_before = centre.rows_written().await?;
        relay.set(Link::Open);
        let recovery = recover(&pipeline.description.api).await?;
        let rows = centre.rows_written().await?.saturating_sub(rows_before);
        println!(
            "waiting in the region's binlog: {} MiB\ncomplete again after {:.1} s, {:.3} of the cut; {} rows/s written at the centre meanwhile\n\
             complete until the present after {:.1} s",
            waiting >> 20,
            recovery.complete.as_secs_f64(),
            recovery.complete.as_secs_f64() / cut.as_secs_f64(),
            grouped(float(rows) / recovery.current.as_secs_f64()),
            recovery.current.as_secs_f64()
        );
        let sent = sending.await??;
        let arrival = arrive(&mut centre, &sent).await?;
        println!(
            "acknowledged {} events; answers by status: {:?}",
            grouped(float(sent.events)),
            sent.answers
        );
        Ok(arrival.print(&sent.ledger))
    }
}

/// Asks until the clock has passed the link's return, and until it follows the present.
async fn recover(api: &str) -> Result<Recovery> {
    #[derive(Deserialize)]
    struct Status {
        complete_until: Option<f64>,
    }
    let now_s = || {
        Ok::<_, anyhow::Error>(
            SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)?
                .as_secs_f64(),
        )
    };
    let (returned, returned_s) = (Instant::now(), now_s()?);
    let (client, url) = (http_client::of_own(None)?.build()?, format!("{api}/v1/status"));
    let mut complete = None;
    while returned.elapsed() < AFTER {
        let status: Status = client.get(&url).send().await?.json().await?;
        let until_s = status.complete_until.unwrap_or(0.0);
        if until_s > returned_s {
            complete.get_or_insert(returned.elapsed());
        }
        if let Some(complete) = complete
            && now_s()? - until_s < LAG_S_MAX
        {
            return Ok(Recovery {
                complete,
                current: returned.elapsed(),
            });
        }
        tokio::time::sleep(POLL_PAUSE).await;
    }
    bail!("not complete {} s after the link's return", AFTER.as_secs())
}

async fn binlog_bytes(region: &Database) -> Result<u64> {
    let mut conn = region.root().connect().await?;
    let files: Vec<Row> = conn.query("SHOW BINARY LOGS").await?;
    let sizes = files.iter().map(|file| file.get::<u64, _>(1).unwrap_or(0));
    Ok(sizes.sum())
}
