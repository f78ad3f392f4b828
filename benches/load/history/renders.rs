//! `renders`: how soon Grafana has a graph, beside the same counts from `/v1/series`.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use mysql_async::Conn;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;

use super::fill::{self, packed_day, random_day};
use super::reads::{shown, start_api};
use crate::figures::{Durations, table};
use crate::pipeline::Pipeline;

const DAYS: i64 = 31;

const MEAN: f64 = 25.0;

/// How many series a pattern finds.
const SERIES: [usize; 3] = [1, 10, 100];

#[derive(Debug, Args)]
pub(crate) struct Renders {
    /// Requests of each kind
    #[arg(long, default_value_t = 40)]
    requests: usize,
}

struct Case {
    what: &'static str,
    days: i64,
    /// Of `/v1/series`, with as many points as `/render` has values.
    step: &'static str,
    values_max: usize,
    values: usize,
}

const CASES: [Case; 2] = [
    Case {
        what: "one day by the minute",
        days: 1,
        step: "1m",
        values_max: 2_000,
        values: 1_440,
    },
    Case {
        what: "30 days by the hour",
        days: 30,
        step: "1h",
        values_max: 1_000,
        values: 720,
    },
];

impl Renders {
    pub(crate) async fn run(self) -> Result<bool> {
        super::on_bare_servers(async |pipeline| self.measure(pipeline).await).await
    }

    async fn measure(&self, pipeline: &Pipeline) -> Result<()> {
        let client = pipeline.client()?;
        let mut conn = pipeline.description.central.root().connect().await?;
        fill_names(&mut conn).await?;
        let (_api, base) = start_api(pipeline, &client).await?;
        let until = fill::day(DAYS).unix_s();
        let mut lines = Vec::new();
        for case in &CASES {
            let from = until - 86_400 * case.days;
            for count in SERIES {
                let names = format!("graph.of{count}.*");
                let step = case.step;
                let series = client.get(format!(
                    "{base}/v1/series?name={names}&from={from}&until={until}&step={step}"
                ));
                let raw = self.time(&series, count, case, "points").await?;
                // As Grafana posts them: a minute is after `from` and up to `until`.
                let render = |target: &str| {
                    let form = form_urlencoded::Serializer::new(String::new())
                        .append_pair("target", &format!(r#"aliasSub({target}, "(^.*$)", "\1 A")"#))
                        .append_pair("from", &(from - 1).to_string())
                        .append_pair("until", &(until - 60).to_string())
                        .append_pair("maxDataPoints", &case.values_max.to_string())
                        .finish();
                    let request = client.post(format!("{base}/render"));
                    request
                        .header("content-type", "application/x-www-form-urlencoded")
                        .body(form)
                };
                let rendered = self.time(&render(&names), count, case, "datapoints").await?;
                let sum = self
                    .time(&render(&format!("sumSeries({names})")), 1, case, "datapoints")
                    .await?;
                let median = |durations: &Durations| durations.quantile(0.5).as_secs_f64();
                // By minutes, which a window in minutes wants, more than a hundred series of 30 days are refused.
                let moving = match count * 1_440 * usize::try_from(case.days)? {
                    values if values < 2_000_000 => {
                        let target = render(&format!("movingAverage({names},'10min')"));
                        shown(&self.time(&target, count, case, "datapoints").await?)
                    }
                    _ => "-".to_owned(),
                };
                lines.push([
                    case.what.to_owned(),
                    count.to_string(),
                    shown(&raw),
                    shown(&rendered),
                    format!("{:.2}", median(&rendered) / median(&raw)),
                    shown(&sum),
                    moving,
                ]);
            }
        }
        println!("\nmedian / 99th percentile in ms, one client");
        let header = [
            "",
            "series",
            "/v1/series",
            "/render",
            "of /v1/series",
            "sumSeries",
            "movingAverage",
        ];
        println!("{}", table(header, lines));
        Ok(())
    }

    async fn time(
        &self,
        request: &reqwest::RequestBuilder,
        series: usize,
        case: &Case,
        points: &str,
    ) -> Result<Durations> {
        let send = async || {
            let request = request.try_clone().context("a request has a body of bytes")?;
            anyhow::Ok(request.send().await?.error_for_status()?.text().await?)
        };
        // Warm, as a dashboard that is looked at is, and right.
        let answer: Value = serde_json::from_str(&send().await?)?;
        let list = answer.get("series").unwrap_or(&answer).as_array();
        let list = list.context("an answer has a list of series")?;
        let known = |series: &Value| series[points].as_array().map(Vec::len) == Some(case.values);
        ensure!(
            list.len() == series && list.iter().all(known),
            "{} series of {points}",
            list.len()
        );
        let mut durations = Durations::new()?;
        for _ in 0..self.requests {
            let begun = Instant::now();
            send().await?;
            durations.record(begun.elapsed());
        }
        Ok(durations)
    }
}

async fn fill_names(conn: &mut Conn) -> Result<()> {
    let mut rng = StdRng::seed_from_u64(3);
    let names = SERIES
        .into_iter()
        .flat_map(|count| (0..count).map(move |n| format!("graph.of{count}.{n}")));
    fill::tags(conn, names.clone()).await?;
    let next = || packed_day(&random_day(MEAN, &mut rng)?);
    fill::packed(conn, &fill::names(names), 0..DAYS, next).await
}
