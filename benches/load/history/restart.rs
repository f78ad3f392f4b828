//! The first questions after a restart, when nothing is in memory but what a server loads itself.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use mysql_async::prelude::Queryable;

use super::reads::{Bench, CASES, POLL, READY_LIMIT, Store, start_api};
use super::victoria::Victoria;
use crate::figures::{Durations, ms, table};
use crate::pipeline::Pipeline;

/// Questions of each kind after a restart.
const FIRST_REQUESTS: usize = 10;

/// The first questions after MariaDB and the api, and VictoriaMetrics, were started again: each for another name.
pub(super) async fn measure(
    bench: &Bench,
    pipeline: &Pipeline,
    victoria: Option<&mut Victoria>,
) -> Result<()> {
    restart_centre(pipeline).await?;
    let (_api, _) = start_api(pipeline, &bench.client).await?;
    let has_victoria = victoria.is_some();
    if let Some(victoria) = victoria {
        victoria.crash(&bench.client).await?;
    }
    let mut lines = Vec::new();
    for (at, case) in CASES.iter().enumerate() {
        let mut line = [case.what, "-", "-"].map(str::to_owned);
        for (cell, store) in line[1..].iter_mut().zip([Store::Packed, Store::Victoria]) {
            if store == Store::Victoria && !has_victoria {
                continue;
            }
            let mut durations = Durations::new()?;
            for number in at * FIRST_REQUESTS..(at + 1) * FIRST_REQUESTS {
                let url = bench.url(case, store, number).context("the store is there")?;
                let begun = Instant::now();
                let answer = bench.client.get(url).send().await?.error_for_status()?;
                answer.bytes().await?;
                durations.record(begun.elapsed());
            }
            *cell = format!("{} / {}", ms(durations.quantile(0.5)), ms(durations.max()));
        }
        lines.push(line);
    }
    println!(
        "\nafter a restart, median and longest of the first {FIRST_REQUESTS} questions, each for another name"
    );
    println!("{}", table(["", "packed", "VictoriaMetrics"], lines));
    Ok(())
}

/// The playground starts it again, with nothing in its memory but what it loads itself.
async fn restart_centre(pipeline: &Pipeline) -> Result<()> {
    let mut conn = pipeline.description.central.root().connect().await?;
    conn.query_drop("SHUTDOWN").await?;
    let begun = Instant::now();
    // It is the same server as long as it answers.
    while is_up(pipeline).await {
        ensure!(begun.elapsed() < READY_LIMIT, "MariaDB did not end");
        tokio::time::sleep(POLL).await;
    }
    while !is_up(pipeline).await {
        ensure!(begun.elapsed() < 2 * READY_LIMIT, "MariaDB did not start again");
        tokio::time::sleep(POLL).await;
    }
    pipeline.enlarge_centre().await
}

async fn is_up(pipeline: &Pipeline) -> bool {
    pipeline.description.central.root().connect().await.is_ok()
}
