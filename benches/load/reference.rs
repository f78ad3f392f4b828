//! What the bare servers do alone, on the same machine a moment later, and what share of it the pipeline used.
//!
//! *Queue*: puts of the run's average job on one connection, each synced to disk. The share says how far the collector's
//! packing keeps the queue from its limit. *Centre*: upserts into a table like `EventMinute`, first of the sums that
//! workers write (one transaction per region and second), then of every event as a row of its own, 1,000 to a statement:
//! the naive way, with neither HTTP nor queue nor regions. The first share says how busy replication was; the ratios to
//! the second say how much more the pipeline takes in, and at what price, than the database alone would.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use model::{BatchId, Minute, MinuteCounts};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use queue::{Counts, JobPacker, Producer};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::events::{Name, Row, random_event};
use crate::figures::{float, grouped, per_million, per_s, table};
use crate::pipeline::Pipeline;
use crate::processes::processor;

/// About a second of puts.
const PUTS: u32 = 2_000;

/// A few seconds of upserts.
const UPSERTED_ROWS_MIN: usize = 200_000;

const ROWS_PER_STATEMENT: usize = 1_000;

/// What the pipeline did.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) names: Arc<[Name]>,
    pub(crate) events: u64,
    pub(crate) took: Duration,
    pub(crate) regions: u32,
    pub(crate) jobs: u64,
    /// Written at the centre.
    pub(crate) rows: u64,
    /// Of all the pipeline's processes.
    pub(crate) processor: Duration,
}

/// What the servers do alone.
#[derive(Debug)]
pub(crate) struct Alone {
    puts_per_s: f64,
    job_bytes: usize,
    sums: Upserts,
    events: Upserts,
}

pub(crate) struct Transaction {
    pub(crate) sql: String,
    rows: usize,
}

#[derive(Debug)]
struct Upserts {
    rows: u64,
    took: Duration,
    processor: Duration,
}

pub(crate) async fn measure(load: &Load) -> Result<Alone> {
    let servers = Pipeline::start_bare_servers().await?;
    let description = &servers.description;
    let beanstalkd = description.regions.values().next().map(|r| r.beanstalkd.as_str());
    let job = average_job(load)?;
    let puts_per_s = put(beanstalkd.unwrap_or_default(), &job).await?;

    let mut conn = description.central.root().connect().await?;
    conn.query_drop("CREATE DATABASE reference").await?;
    conn.query_drop("CREATE TABLE reference.EventMinute LIKE bigdata_0.EventMinute")
        .await?;
    let pid = description.central.pid;
    let sums = upsert(&mut conn, pid, &sums_by_flush(load)?).await?;
    conn.query_drop("TRUNCATE reference.EventMinute").await?;
    let events = upsert(&mut conn, pid, &events_by_statement(load)?).await?;
    drop(conn);
    servers.finish(true).await?;
    Ok(Alone {
        puts_per_s,
        job_bytes: job.len(),
        sums,
        events,
    })
}

/// A job with as many events as one of the run's had on average.
fn average_job(load: &Load) -> Result<String> {
    let mut rng = StdRng::seed_from_u64(0);
    let mut counts = Counts::default();
    for _ in 0..load.events / load.jobs.max(1) {
        let (name, at, count) = random_event(&load.names, &mut rng);
        counts.add(&name.name, Minute::containing(at)?, count);
    }
    first_job(counts)
}

/// The first of the jobs that a collector would put.
pub(crate) fn first_job(counts: Counts) -> Result<String> {
    let mut packer = JobPacker::new(|| BatchId::from_bytes([0; 16]));
    packer.add(counts);
    let jobs = packer.finish();
    let job = jobs.first().context("nothing counts, so there is no job")?;
    Ok(job.encode(SystemTime::now().into()))
}

/// Puts per second.
async fn put(address: &str, job: &str) -> Result<f64> {
    let mut producer = Producer::new(&queue::Config {
        address: address.parse()?,
        jobs_max: u64::from(PUTS) + 1,
        allow_plain_text: false,
    });
    // Connects.
    producer.put(job).await?;
    let begun = Instant::now();
    for _ in 0..PUTS {
        producer.put(job).await?;
    }
    Ok(per_s(PUTS.into(), begun.elapsed()))
}

/// Transactions as workers write them: the sums of a second of one region's events, in the order of the key.
fn sums_by_flush(load: &Load) -> Result<Vec<Transaction>> {
    let per_flush = load.events / load.took.as_secs().max(1) / u64::from(load.regions);
    let mut rng = StdRng::seed_from_u64(1);
    let mut transactions = Vec::new();
    let mut rows = 0;
    while rows < UPSERTED_ROWS_MIN {
        let mut sums = MinuteCounts::default();
        for _ in 0..per_flush.max(1) {
            let (name, at, count) = random_event(&load.names, &mut rng);
            sums.add(name.id, Minute::containing(at)?, count);
        }
        rows += sums.len();
        transactions.push(transaction(&sums.sorted()));
    }
    Ok(transactions)
}

/// Every event a row, in the order in which they come.
fn events_by_statement(load: &Load) -> Result<Vec<Transaction>> {
    let mut rng = StdRng::seed_from_u64(2);
    let row = |_| {
        let (name, at, count) = random_event(&load.names, &mut rng);
        Ok((name.id, Minute::containing(at)?, count))
    };
    let rows: Vec<Row> = (0..UPSERTED_ROWS_MIN).map(row).collect::<Result<_>>()?;
    Ok(rows.chunks(ROWS_PER_STATEMENT).map(transaction).collect())
}

pub(crate) fn transaction(rows: &[Row]) -> Transaction {
    let mut sql = "START TRANSACTION;".to_owned();
    for chunk in rows.chunks(ROWS_PER_STATEMENT) {
        let values = chunk
            .iter()
            .map(|(id, minute, count)| format!("({id},{},{count})", minute.digits()));
        sql += "INSERT INTO reference.EventMinute VALUES ";
        sql += &values.collect::<Vec<_>>().join(",");
        sql += " ON DUPLICATE KEY UPDATE count = count + VALUES(count);";
    }
    Transaction {
        sql: sql + "COMMIT",
        rows: rows.len(),
    }
}

async fn upsert(conn: &mut Conn, server_pid: u32, transactions: &[Transaction]) -> Result<Upserts> {
    let processor_before = processor(server_pid)?;
    let begun = Instant::now();
    for transaction in transactions {
        conn.query_drop(transaction.sql.as_str()).await?;
    }
    let took = begun.elapsed();
    Ok(Upserts {
        rows: transactions
            .iter()
            .map(|transaction| transaction.rows as u64)
            .sum(),
        took,
        processor: processor(server_pid)?.saturating_sub(processor_before),
    })
}

impl Alone {
    pub(crate) fn print(&self, load: &Load) {
        let rates = [
            (
                format!(
                    "puts/s into one region's beanstalkd, {} bytes each",
                    self.job_bytes
                ),
                per_s(load.jobs, load.took) / f64::from(load.regions),
                self.puts_per_s,
            ),
            (
                "rows/s into the central MariaDB".to_owned(),
                per_s(load.rows, load.took),
                per_s(self.sums.rows, self.sums.took),
            ),
            (
                "events/s, if each were such a row".to_owned(),
                per_s(load.events, load.took),
                per_s(self.events.rows, self.events.took),
            ),
        ];
        let rates = rates.map(|(what, here, alone)| {
            let ratio = format!("{:.3}", here / alone);
            [what, grouped(here), grouped(alone), ratio]
        });
        let here = per_million(load.processor, load.events);
        let alone = per_million(self.events.processor, self.events.rows);
        let price = [
            "processor s per million events, if each were a row".to_owned(),
            format!("{here:.2}"),
            format!("{alone:.2}"),
            format!("{:.3}", here / alone),
        ];
        let header = ["reference", "this run", "the server alone", "ratio"];
        println!("\n{}", table(header, rates.into_iter().chain([price])));
        println!(
            "a row at the centre held {:.1} events",
            float(load.events) / float(load.rows)
        );
    }
}
