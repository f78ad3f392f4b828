//! A region's commit: a worker's flush with its ledger, beside the same rows as one statement into a BLACKHOLE table, both
//! into a binlog that is synced with each transaction.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mysql_async::prelude::Queryable;

use super::flushes::{ROWS_PER_FLUSH, Worker, rows};
use crate::figures::per_s;
use crate::pipeline::Pipeline;
use crate::report::Report;

/// Of each kind, in turn, in each round.
const FLUSHES: u32 = 10;

const CASE: &str = "regional commit";
const BARE: &str = "bare multi-row insert";
const RATE: &str = "rows/s";

pub(crate) async fn measure(rounds: u32, report: &mut Report) -> Result<()> {
    let servers = Pipeline::start_bare_servers().await?;
    let measured = all_rounds(&servers, rounds, report).await;
    servers.finish(measured.is_ok()).await?;
    measured
}

async fn all_rounds(servers: &Pipeline, rounds: u32, report: &mut Report) -> Result<()> {
    let mut worker = Worker::new(servers)?;
    let region = servers.description.regions.values().next();
    let region = region.context("there is no region")?.mariadb.root();
    let mut bare = region.connect().await?;
    // The centre does not replicate it.
    bare.query_drop("CREATE DATABASE reference").await?;
    bare.query_drop("CREATE TABLE reference.EventMinute LIKE bigdata_0.EventMinute")
        .await?;
    // Connects.
    worker.commit(&rows()?).await?;
    for _ in 0..rounds {
        let (mut committed, mut inserted) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..FLUSHES {
            let rows = rows()?;
            let begun = Instant::now();
            worker.commit(&rows).await?;
            committed += begun.elapsed();
            let begun = Instant::now();
            bare.query_drop(insert(&rows)).await?;
            inserted += begun.elapsed();
        }
        let rows = u64::from(FLUSHES) * u64::try_from(ROWS_PER_FLUSH)?;
        report.record(CASE, RATE, per_s(rows, committed));
        report.record(BARE, RATE, per_s(rows, inserted));
    }
    let reference = report.median(BARE, RATE);
    report.compare(CASE, RATE, BARE, reference);
    Ok(())
}

/// One statement, which is a transaction.
fn insert(rows: &[crate::events::Row]) -> String {
    let values = rows
        .iter()
        .map(|(id, minute, count)| format!("({id},{},{count})", minute.digits()));
    format!(
        "INSERT INTO reference.EventMinute VALUES {} ON DUPLICATE KEY UPDATE count = count + VALUES(count)",
        values.collect::<Vec<_>>().join(",")
    )
}
