//! `many-names`: what searches and series of others feel of a client that makes a million names, as by a bug that puts an id into each, with
//! its budget of names and without.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use gate::Secret;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::task::JoinSet;

use super::{Clients, settings};
use crate::burst::await_sum;
use crate::figures::{Durations, ms, table};
use crate::pipeline::{Pipeline, PipelineArguments};
use crate::sender;

const REQUESTS: u64 = 100;

/// Names of a request, each of which is new.
const NAMES: u64 = 10_000;

/// What all requests count.
const COUNTS: u64 = REQUESTS * NAMES;

const CONNECTIONS: u64 = 4;

/// Names of the others.
const OTHERS: u64 = 50;

/// Questions of each kind before there is anything else.
const QUESTIONS: u32 = 300;

/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(10);

/// Pause between two looks at the centre, each of which reads a million rows.
const COUNTS_PAUSE: Duration = Duration::from_secs(5);

/// The sum of all counts of the names, and of what is beyond the budget.
const COUNTS_SQL: &str = "SELECT CAST(COALESCE(SUM(count), 0) AS UNSIGNED) FROM eventtracker.named_minutes \
    WHERE tagName LIKE 'new.%' OR tagName = '__overflow__.hostile'";

/// Longest time from the last 202 until all is at the centre.
const EXACT_LIMIT: Duration = Duration::from_secs(300);

#[derive(Debug, Args)]
pub(crate) struct ManyNames {
    #[command(flatten)]
    pipeline: PipelineArguments,
}

/// What the others' questions took.
struct Asked {
    searches: Durations,
    series: Durations,
}

impl ManyNames {
    pub(crate) async fn run(self) -> Result<bool> {
        let mut rows = Vec::new();
        for has_budget in [true, false] {
            rows.extend(self.measure(has_budget).await?);
        }
        let header = ["beside", "a search: median", "p99", "a series: median", "p99"];
        println!("\n{}", table(header, rows));
        Ok(true)
    }

    async fn measure(&self, has_budget: bool) -> Result<Vec<[String; 5]>> {
        let dir = tempfile::tempdir()?;
        let tokens = dir.path().join("tokens.toml");
        let clients = Clients::new(&tokens, [1, 1])?;
        let settings = match has_budget {
            true => settings(&tokens, true, "")?,
            false => toml::Table::new(),
        };
        let pipeline = Pipeline::start_with(&self.pipeline, settings).await?;
        let collector = pipeline.collectors()[0][0].clone();
        let secret = |secret: Secret| has_budget.then_some(secret);
        let mut centre = pipeline.description.central.root().connect().await?;
        let others = (0..OTHERS).map(|n| format!("polite.{n}")).collect();
        post(&collector, secret(clients.polite).as_ref(), others).await?;
        let http = pipeline.client()?;
        let api = pipeline.description.api.clone();
        let ask = async |asked: &mut Asked| asked.ask(&http, &api).await;

        let mut alone = Asked::new()?;
        let mut beside = Asked::new()?;
        // The first questions are slower than the others, and find the names.
        while ask(&mut Asked::new()?).await? < OTHERS {
            tokio::time::sleep(PAUSE).await;
        }
        for _ in 0..QUESTIONS {
            ask(&mut alone).await?;
        }
        let begun = Instant::now();
        let mut making = JoinSet::new();
        for connection in 0..CONNECTIONS {
            making.spawn(make_names(
                collector.clone(),
                secret(clients.hostile.clone()),
                connection,
            ));
        }
        let counted = async {
            while let Some(made) = making.join_next().await {
                made??;
            }
            let acknowledged = begun.elapsed();
            await_sum(&mut centre, (COUNTS_SQL, COUNTS_PAUSE), COUNTS, EXACT_LIMIT).await?;
            Ok::<_, anyhow::Error>(acknowledged)
        };
        let acknowledged = {
            let mut counted = std::pin::pin!(counted);
            loop {
                tokio::select! {
                    acknowledged = &mut counted => break acknowledged?,
                    found = ask(&mut beside) => {
                        found?;
                    }
                }
            }
        };
        let exact = begun.elapsed();
        let mut centre = pipeline.description.central.root().connect().await?;
        let names = names(&mut centre).await?;
        let budget = if has_budget { "budget" } else { "no budget" };
        println!(
            "{budget}: a million counts acknowledged after {:.1} s and at the centre, to the last, after {:.1} s; {names} names",
            acknowledged.as_secs_f64(),
            exact.as_secs_f64()
        );
        drop(centre);
        pipeline.finish(true).await?;
        Ok(vec![
            alone.cells(format!("nobody, {budget}")),
            beside.cells(format!("a million new names, {budget}")),
        ])
    }
}

impl Asked {
    fn new() -> Result<Self> {
        Ok(Self {
            searches: Durations::new()?,
            series: Durations::new()?,
        })
    }

    /// Searches for the others' names and reads a series of one; returns how many were found.
    async fn ask(&mut self, http: &reqwest::Client, api: &str) -> Result<u64> {
        let get = async |path: &str| -> Result<(serde_json::Value, Duration)> {
            let begun = Instant::now();
            let answer = http
                .get(format!("{api}{path}"))
                .send()
                .await?
                .error_for_status()?;
            let json = serde_json::from_slice(&answer.bytes().await?)?;
            Ok((json, begun.elapsed()))
        };
        let (found, took) = get("/v1/names?query=polite.&limit=100").await?;
        self.searches.record(took);
        let (_, took) = get("/v1/series?name=polite.1&from=-1d&step=1m").await?;
        self.series.record(took);
        tokio::time::sleep(PAUSE).await;
        Ok(found["names"].as_array().map_or(0, |names| names.len() as u64))
    }

    fn cells(&self, who: String) -> [String; 5] {
        [
            who,
            ms(self.searches.quantile(0.5)),
            ms(self.searches.quantile(0.99)),
            ms(self.series.quantile(0.5)),
            ms(self.series.quantile(0.99)),
        ]
    }
}

/// How many of them the centre knows.
async fn names(centre: &mut Conn) -> Result<u64> {
    const SQL: &str = "SELECT COUNT(*) FROM bigdata_0.EventTags WHERE tagName LIKE 'new.%'";
    centre.query_first(SQL).await?.context("no number of names")
}

/// Sends every so many of the requests, until all are accepted.
async fn make_names(collector: String, secret: Option<Secret>, connection: u64) -> Result<()> {
    for request in (connection..REQUESTS).step_by(usize::try_from(CONNECTIONS)?) {
        let names = (0..NAMES).map(|n| format!("new.{request}.{n}")).collect();
        post(&collector, secret.as_ref(), names).await?;
    }
    Ok(())
}

async fn post(collector: &str, secret: Option<&Secret>, names: Vec<String>) -> Result<()> {
    let events: Vec<_> = names
        .into_iter()
        .map(|name| serde_json::json!({ "name": name }))
        .collect();
    let mut request = sender::client(None)?
        .post(format!("{collector}/v1/events"))
        .json(&events);
    if let Some(secret) = secret {
        request = request.bearer_auth(secret.as_str());
    }
    let answer = request.send().await?;
    let status = answer.status();
    ensure!(status == 202, "{status}: {}", answer.text().await?);
    Ok(())
}
