//! `latency`: how long from an event's 202 until the api shows it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use model::EventName;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::events::{Name, names};
use crate::figures::{Durations, grouped, ms, table};
use crate::pipeline::{Pipeline, PipelineArguments};
use crate::sender::{self, Plan};

/// Probes besides the other events, each with a name of its own.
const PROBES_PER_S: u32 = 20;

/// Names of all other events.
const BACKGROUND_NAMES: usize = 1_000;

/// Pause between two questions to the api. It is part of what is measured, and lets the api rest.
const POLL_PAUSE: Duration = Duration::from_millis(25);

/// Names in one question: as many as the api takes.
const NAMES_PER_POLL_MAX: usize = 200;

/// A probe that was not seen by then is lost.
const PROBE_LIMIT: Duration = Duration::from_secs(60);

/// Questions to the idle api.
const ROUND_TRIPS: u32 = 100;

/// What is compared with: the worker's default. A probe waits for a flush from none of it to all of it.
const FLUSH_AGE: Duration = Duration::from_millis(800);

/// What is wanted of the median and of the 99th percentile on an ordinary machine.
const WANTED: [Duration; 2] = [Duration::from_millis(600), Duration::from_millis(1000)];

#[derive(Debug, Args)]
pub(crate) struct Latency {
    /// Events per second over all regions
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    rate: u32,
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=400))]
    seconds: u32,
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    events_per_request: u32,
    #[command(flatten)]
    pipeline: PipelineArguments,
}

/// An event of which the api knows nothing before.
struct Probe {
    name: EventName<'static>,
    count: u64,
    acknowledged: Instant,
}

struct Seen {
    after: Durations,
    polls: u32,
    wrong: Vec<String>,
}

impl Latency {
    /// Whether every probe was seen with its count.
    pub(crate) async fn run(self) -> Result<bool> {
        let pipeline = Pipeline::start(&self.pipeline).await?;
        let good = self.measure(&pipeline).await;
        pipeline.finish(matches!(good, Ok(true))).await?;
        good
    }

    async fn measure(&self, pipeline: &Pipeline) -> Result<bool> {
        let collectors = pipeline.collectors();
        let api = Api {
            client: pipeline.client()?,
            url: format!("{}/v1/series", pipeline.description.api),
        };
        let background = Plan {
            events_per_s: self.rate - PROBES_PER_S,
            seconds: self.seconds,
            events_per_request: self.events_per_request,
            keyed: false,
            names: names(BACKGROUND_NAMES)?.into(),
        };
        let any_name = background.names[0].clone();
        println!(
            "{} events/s for {} s, {PROBES_PER_S}/s of them probes",
            grouped(self.rate.into()),
            self.seconds
        );
        let (to_poller, probes) = mpsc::channel(NAMES_PER_POLL_MAX);
        let (sent, acknowledged, seen) = tokio::try_join!(
            sender::send(background, collectors.clone()),
            send_probes(self.seconds * PROBES_PER_S, collectors, to_poller),
            api.watch(probes),
        )?;
        let alone = api.round_trips(&any_name).await?;
        println!("\nanswers to the other events by status: {:?}", sent.answers);
        println!("probes answered in: {acknowledged}");
        println!("questions to the api: {}", seen.polls);
        seen.print(&alone);
        Ok(seen.wrong.is_empty())
    }
}

/// Sends each probe at its time. Returns how long their answers took.
async fn send_probes(
    probes: u32,
    collectors: Vec<Vec<String>>,
    to_poller: mpsc::Sender<Probe>,
) -> Result<Durations> {
    let client = sender::client(None)?;
    let names = names(usize::try_from(probes)?)?;
    let urls: Vec<String> = collectors.into_iter().flatten().collect();
    let begun = Instant::now();
    let mut sending = JoinSet::new();
    for ((number, name), url) in (0..).zip(names).zip(urls.into_iter().cycle()) {
        let due = begun + Duration::from_secs(1) / PROBES_PER_S * number;
        let (client, to_poller) = (client.clone(), to_poller.clone());
        tokio::time::sleep_until(due.into()).await;
        sending.spawn(async move {
            let begun = Instant::now();
            let probe = send_probe(&client, &url, name.name, u64::from(number) + 1).await?;
            let took = begun.elapsed();
            to_poller.send(probe).await.context("nobody looks for probes")?;
            anyhow::Ok(took)
        });
    }
    drop(to_poller);
    let mut acknowledged = Durations::new()?;
    while let Some(took) = sending.join_next().await {
        acknowledged.record(took??);
    }
    Ok(acknowledged)
}

async fn send_probe(client: &Client, url: &str, name: EventName<'static>, count: u64) -> Result<Probe> {
    let event = serde_json::json!({ "name": name.as_str(), "count": count });
    let response = client
        .post(format!("{url}/v1/events"))
        .json(&event)
        .send()
        .await?;
    let acknowledged = Instant::now();
    let status = response.status();
    ensure!(
        status == StatusCode::ACCEPTED,
        "{status}: {}",
        response.text().await?
    );
    Ok(Probe {
        name,
        count,
        acknowledged,
    })
}

struct Api {
    client: Client,
    url: String,
}

#[derive(Deserialize)]
struct Totals {
    series: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    name: String,
    total: u64,
}

impl Api {
    async fn ask(&self, names: impl Iterator<Item = &str>) -> Result<Totals> {
        let mut query: Vec<(&str, &str)> = names.map(|name| ("name", name)).collect();
        query.push(("from", "-10m"));
        let response = self.client.get(&self.url).query(&query).send().await?;
        Ok(response.error_for_status()?.json().await?)
    }

    /// Looks for all probes under way until there will be no more.
    async fn watch(&self, mut probes: mpsc::Receiver<Probe>) -> Result<Seen> {
        let mut under_way: Vec<Probe> = Vec::new();
        let mut seen = Seen {
            after: Durations::new()?,
            polls: 0,
            wrong: Vec::new(),
        };
        loop {
            if under_way.is_empty() {
                match probes.recv().await {
                    Some(probe) => under_way.push(probe),
                    None => return Ok(seen),
                }
            }
            while let Ok(probe) = probes.try_recv() {
                under_way.push(probe);
            }
            let oldest = under_way
                .iter()
                .take(NAMES_PER_POLL_MAX)
                .map(|probe| probe.name.as_str());
            let answer = self.ask(oldest).await?;
            seen.take(&answer, &mut under_way);
            tokio::time::sleep(POLL_PAUSE).await;
        }
    }

    /// The api's part of what was measured: one series, with nothing else to do.
    async fn round_trips(&self, name: &Name) -> Result<Durations> {
        let mut round_trips = Durations::new()?;
        for _ in 0..ROUND_TRIPS {
            let begun = Instant::now();
            self.ask(std::iter::once(name.name.as_str())).await?;
            round_trips.record(begun.elapsed());
        }
        Ok(round_trips)
    }
}

impl Seen {
    fn take(&mut self, answer: &Totals, under_way: &mut Vec<Probe>) {
        self.polls += 1;
        under_way.retain(|probe| {
            let after = probe.acknowledged.elapsed();
            let total = answer
                .series
                .iter()
                .find(|one| one.name == probe.name.as_str())
                .map_or(0, |one| one.total);
            if total == 0 && after < PROBE_LIMIT {
                return true;
            }
            if total == probe.count {
                self.after.record(after);
            } else {
                self.wrong.push(format!(
                    "{}: {total} instead of {} after {}",
                    probe.name,
                    probe.count,
                    ms(after)
                ));
            }
            false
        });
    }

    fn print(&self, alone: &Durations) {
        let row = |what: &str, duration: Duration, wanted: Option<Duration>| {
            [
                what.to_owned(),
                ms(duration),
                wanted.map_or_else(String::new, |wanted| format!("under {}", ms(wanted))),
                format!("{:.3}", duration.as_secs_f64() / FLUSH_AGE.as_secs_f64()),
            ]
        };
        let [median, p99] = WANTED.map(Some);
        let rows = [
            row("202 to visible, median", self.after.quantile(0.5), median),
            row("  90th percentile", self.after.quantile(0.9), None),
            row("  99th percentile", self.after.quantile(0.99), p99),
            row("  longest", self.after.max(), None),
            row("the api alone, median", alone.quantile(0.5), None),
            row("  99th percentile", alone.quantile(0.99), None),
            row("pause between two polls", POLL_PAUSE, None),
        ];
        println!("\n{}", table(["", "time", "wanted", "of the flush age"], rows));
        for wrong in &self.wrong {
            println!("WRONG {wrong}");
        }
    }
}
