//! `reads`: how soon a series of the past is there, from packed days, from a row per minute, and from VictoriaMetrics.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::fill::{self, packed_day, random_day};
use super::restart;
use super::victoria::Victoria;
use crate::figures::{Durations, ms, table};
use crate::pipeline::Pipeline;

const YEAR_DAYS: i64 = 365;

const MEAN: f64 = 25.0;

pub(super) const CLIENTS: usize = 8;

pub(super) const READY_LIMIT: Duration = Duration::from_secs(30);

pub(super) const POLL: Duration = Duration::from_millis(50);

#[derive(Debug, Args)]
pub(crate) struct Reads {
    /// Names with a packed year
    #[arg(long, default_value_t = 200)]
    names: usize,
    /// Names with a year of rows, which take long to fill
    #[arg(long, default_value_t = 2)]
    row_names: usize,
    /// Names that VictoriaMetrics is given, too
    #[arg(long, default_value_t = 50)]
    victoria_names: usize,
}

pub(super) struct Case {
    pub(super) what: &'static str,
    days: i64,
    step: &'static str,
    step_s: i64,
    points: usize,
    requests: usize,
}

pub(super) const CASES: [Case; 5] = [
    case("one day at 1m", 1, "1m", 60, 1_440, 400),
    case("30 days at 1m", 30, "1m", 60, 43_200, 200),
    case("one year at 1m", YEAR_DAYS, "1m", 60, 525_600, 40),
    case("30 days at 1h", 30, "1h", 3_600, 720, 400),
    case("one year at 1d", YEAR_DAYS, "1d", 86_400, 365, 400),
];

const fn case(
    what: &'static str,
    days: i64,
    step: &'static str,
    step_s: i64,
    points: usize,
    requests: usize,
) -> Case {
    Case {
        what,
        days,
        step,
        step_s,
        points,
        requests,
    }
}

/// Whom a case is asked of.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Store {
    Packed,
    Rows,
    Victoria,
}

impl Reads {
    pub(crate) async fn run(self) -> Result<bool> {
        super::on_bare_servers(async |pipeline| self.measure(pipeline).await).await
    }

    async fn measure(&self, pipeline: &Pipeline) -> Result<()> {
        let client = pipeline.client()?;
        let mut victoria = Victoria::start(&client).await?;
        let mut conn = pipeline.description.central.root().connect().await?;
        self.fill(&mut conn, &client, victoria.as_ref()).await?;
        let (api, base) = start_api(pipeline, &client).await?;
        let bench = Bench {
            client: client.clone(),
            api: base,
            victoria: victoria.as_ref().map(|victoria| victoria.base.clone()),
            names: BTreeMap::from([(0, self.names), (1, self.row_names), (2, self.victoria_names)]),
        };
        bench.print_round_trips(&mut conn).await?;
        let bench = Arc::new(bench);
        let mut lines = Vec::new();
        for case in &CASES {
            let mut line = vec![case.what.to_owned()];
            let mut medians = Vec::new();
            for store in [Store::Packed, Store::Rows, Store::Victoria] {
                let alone = bench.latency(case, store, 1).await?;
                let crowd = bench.latency(case, store, CLIENTS).await?;
                medians.push(alone.as_ref().map(|alone| alone.quantile(0.5).as_secs_f64()));
                line.extend([alone, crowd].map(|all| all.map_or_else(|| "-".to_owned(), |all| shown(&all))));
            }
            for other in [medians[1], medians[2]] {
                let ratio = medians[0]
                    .zip(other)
                    .map(|(packed, other)| format!("{:.2}", packed / other));
                line.push(ratio.unwrap_or_default());
            }
            lines.push(<[String; 9]>::try_from(line).map_err(|_| anyhow::anyhow!("a line has nine fields"))?);
        }
        println!(
            "\nmedian / 99th percentile in ms, alone and with {CLIENTS} clients, and the median alone as a part of the others'"
        );
        let header = [
            "",
            "packed",
            "8 clients",
            "rows",
            "8 clients",
            "VictoriaMetrics",
            "8 clients",
            "of rows",
            "of VictoriaMetrics",
        ];
        println!("{}", table(header, lines));
        drop(api);
        restart::measure(&bench, pipeline, victoria.as_mut()).await?;
        match victoria {
            Some(victoria) => victoria.stop().await,
            None => Ok(()),
        }
    }

    async fn fill(
        &self,
        conn: &mut Conn,
        client: &reqwest::Client,
        victoria: Option<&Victoria>,
    ) -> Result<()> {
        let begun = Instant::now();
        let mut rng = StdRng::seed_from_u64(2);
        let days: Vec<Vec<u64>> = (0..YEAR_DAYS)
            .map(|_| random_day(MEAN, &mut rng))
            .collect::<Result<_>>()?;
        let texts = days.iter().map(|minutes| packed_day(minutes));
        let texts: Vec<(u64, String)> = texts.collect::<Result<_>>()?;
        let packed = (0..self.names).map(|n| format!("packed.{n}"));
        let rows = (0..self.row_names).map(|n| format!("rows.{n}"));
        fill::tags(conn, packed.clone().chain(rows.clone())).await?;
        let mut at = 0;
        let next = || {
            at += 1;
            Ok(texts[at % texts.len()].clone())
        };
        fill::packed(conn, &fill::names(packed), 0..YEAR_DAYS, next).await?;
        let mut at = 0;
        let next = || {
            at += 1;
            Ok(days[at % days.len()].clone())
        };
        fill::rows(conn, &fill::names(rows), 0..YEAR_DAYS, next).await?;
        if let Some(victoria) = victoria {
            for n in 0..self.victoria_names {
                for (day, minutes) in (0..).zip(&days) {
                    victoria
                        .import(client, &json!({ "__name__": format!("v{n}") }), day, minutes)
                        .await?;
                }
            }
            victoria.flush(client).await?;
        }
        println!(
            "filled in {:.0} s: a year of {} names packed, {} in rows, {}",
            begun.elapsed().as_secs_f64(),
            self.names,
            self.row_names,
            match victoria {
                Some(_) => format!("{} in VictoriaMetrics", self.victoria_names),
                None => "VictoriaMetrics is not installed".to_owned(),
            }
        );
        Ok(())
    }
}

/// The api alone: a keeper would pack the rows.
pub(crate) async fn start_api(pipeline: &Pipeline, client: &reqwest::Client) -> Result<(Child, String)> {
    let socket = &pipeline.description.central.socket;
    let dir = socket
        .parent()
        .and_then(|dir| dir.parent())
        .context("the centre has no directory")?;
    let api = Command::new(env!("CARGO_BIN_EXE_eventtracker"))
        .arg("api")
        .arg("--config")
        .arg(dir.join("central.toml"))
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("failed to start the api")?;
    let base = pipeline.description.api.clone();
    let begun = Instant::now();
    while client.get(format!("{base}/healthz")).send().await.is_err() {
        ensure!(begun.elapsed() < READY_LIMIT, "the api did not become ready");
        tokio::time::sleep(POLL).await;
    }
    Ok((api, base))
}

pub(super) struct Bench {
    pub(super) client: reqwest::Client,
    api: String,
    victoria: Option<String>,
    /// Number of names by store.
    names: BTreeMap<u8, usize>,
}

impl Bench {
    async fn print_round_trips(&self, conn: &mut Conn) -> Result<()> {
        const SAMPLES: usize = 2_000;
        let (mut sql, mut http) = (Durations::new()?, Durations::new()?);
        for _ in 0..SAMPLES {
            let begun = Instant::now();
            conn.query_drop("DO 1").await?;
            sql.record(begun.elapsed());
            let begun = Instant::now();
            self.client
                .get(format!("{}/healthz", self.api))
                .send()
                .await?
                .bytes()
                .await?;
            http.record(begun.elapsed());
        }
        let median_us = |all: &Durations| all.quantile(0.5).as_micros();
        println!(
            "bare round trip, median: MariaDB {} µs; api (/healthz) {} µs",
            median_us(&sql),
            median_us(&http)
        );
        Ok(())
    }

    pub(super) fn url(&self, case: &Case, store: Store, number: usize) -> Option<String> {
        let until = fill::day(YEAR_DAYS).unix_s();
        let from = until - 86_400 * case.days;
        let kind = match store {
            Store::Packed => 0,
            Store::Rows => 1,
            Store::Victoria => 2,
        };
        let name = number % self.names[&kind].max(1);
        let (api, step) = (&self.api, case.step);
        let series =
            |name: &str| format!("{api}/v1/series?name={name}&from={from}&until={until}&step={step}");
        match store {
            Store::Packed => Some(series(&format!("packed.{name}"))),
            Store::Rows => Some(series(&format!("rows.{name}"))),
            Store::Victoria => self.victoria.as_ref().map(|base| {
                let (first, last) = (from + case.step_s, until);
                if case.step_s == 60 {
                    format!("{base}/api/v1/export?match[]=v{name}&start={from}&end={}", until - 1)
                } else {
                    format!(
                        "{base}/api/v1/query_range?query=sum_over_time(v{name}[{step}])&start={first}&end={last}&step={step}&nocache=1"
                    )
                }
            }),
        }
    }

    async fn latency(
        self: &Arc<Self>,
        case: &Case,
        store: Store,
        clients: usize,
    ) -> Result<Option<Durations>> {
        // A row takes a hundred times as long as a number.
        let requests = if store == Store::Rows {
            case.requests.min(40)
        } else {
            case.requests
        };
        let urls: Option<Vec<String>> = (0..requests)
            .map(|number| self.url(case, store, number))
            .collect();
        let Some(urls) = urls else {
            return Ok(None);
        };
        if store != Store::Victoria {
            let text = self.client.get(&urls[0]).send().await?.text().await?;
            let answer: serde_json::Value = serde_json::from_str(&text)?;
            let points = answer["series"][0]["points"]
                .as_array()
                .context(text.chars().take(300).collect::<String>())?;
            let known = points.iter().filter(|point| point[1].as_u64().is_some()).count();
            ensure!(known == case.points, "{} of {} points", known, case.points);
        }
        // Warm, as a dashboard that is looked at is.
        for url in urls.iter().take(requests / 10 + 1) {
            self.client.get(url).send().await?.bytes().await?;
        }
        let mut tasks = JoinSet::new();
        for client in 0..clients {
            let urls: Vec<String> = urls.iter().skip(client).step_by(clients).cloned().collect();
            let bench = Arc::clone(self);
            tasks.spawn(async move {
                let mut durations = Durations::new()?;
                for url in urls {
                    let begun = Instant::now();
                    let answer = bench.client.get(url).send().await?.error_for_status()?;
                    answer.bytes().await?;
                    durations.record(begun.elapsed());
                }
                anyhow::Ok(durations)
            });
        }
        let mut all = Durations::new()?;
        while let Some(durations) = tasks.join_next().await {
            all.merge(&durations??)?;
        }
        Ok(Some(all))
    }
}

pub(super) fn shown(durations: &Durations) -> String {
    let plain = |quantile| {
        ms(durations.quantile(quantile))
            .trim_end_matches(" ms")
            .to_owned()
    };
    format!("{} / {}", plain(0.5), plain(0.99))
}
