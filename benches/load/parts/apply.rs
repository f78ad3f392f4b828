//! The centre's apply: flushes that wait in its relay log, from the applier's start until the total shows the last, beside
//! the same rows as upserts into a table like its own. The centre has the memory and log of a deployed one.

use std::time::{Duration, Instant};

use anyhow::Result;
use mysql_async::prelude::Queryable;

use super::flushes::{ROWS_PER_FLUSH, Worker, rows};
use crate::burst::{await_total, total};
use crate::events::Row;
use crate::figures::per_s;
use crate::pipeline::Pipeline;
use crate::reference::transaction;
use crate::report::Report;

const FLUSHES: usize = 10;

/// Longest wait until all is applied.
const APPLIED_LIMIT: Duration = Duration::from_secs(120);

const CASE: &str = "central apply";
const BARE: &str = "bare upserts";
const RATE: &str = "rows/s";

pub(crate) async fn measure(rounds: u32, report: &mut Report) -> Result<()> {
    let servers = Pipeline::start_bare_servers().await?;
    let measured = all_rounds(&servers, rounds, report).await;
    servers.finish(measured.is_ok()).await?;
    measured
}

async fn all_rounds(servers: &Pipeline, rounds: u32, report: &mut Report) -> Result<()> {
    servers.enlarge_centre().await?;
    let mut worker = Worker::new(servers)?;
    let mut centre = servers.description.central.root().connect().await?;
    centre.query_drop("CREATE DATABASE reference").await?;
    centre
        .query_drop("CREATE TABLE reference.EventMinute LIKE bigdata_0.EventMinute")
        .await?;
    for _ in 0..rounds {
        let flushes: Vec<Vec<Row>> = (0..FLUSHES).map(|_| rows()).collect::<Result<_>>()?;
        let sum: u64 = flushes.iter().flatten().map(|row| row.2).sum();
        let rows = u64::try_from(FLUSHES * ROWS_PER_FLUSH)?;

        let wanted = total(&mut centre).await? + sum;
        centre.query_drop("STOP ALL SLAVES SQL_THREAD").await?;
        for flush in &flushes {
            worker.commit(flush).await?;
        }
        let begun = Instant::now();
        centre.query_drop("START ALL SLAVES SQL_THREAD").await?;
        await_total(&mut centre, wanted, APPLIED_LIMIT).await?;
        report.record(CASE, RATE, per_s(rows, begun.elapsed()));

        let transactions: Vec<_> = flushes.iter().map(|flush| transaction(flush)).collect();
        let begun = Instant::now();
        for transaction in &transactions {
            centre.query_drop(transaction.sql.as_str()).await?;
        }
        report.record(BARE, RATE, per_s(rows, begun.elapsed()));
    }
    let reference = report.median(BARE, RATE);
    report.compare(CASE, RATE, BARE, reference);
    Ok(())
}
