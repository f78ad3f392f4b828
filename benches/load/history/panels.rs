//! `panels`: functions over very many series, as a wide panel asks, beside the same question to VictoriaMetrics.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use mysql_async::Conn;
use rand::SeedableRng;
use rand::rngs::StdRng;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::fill::{self, packed_day, random_day};
use super::reads::{CLIENTS, shown, start_api};
use super::victoria::Victoria;
use crate::figures::{Durations, table};
use crate::pipeline::Pipeline;

const DAYS: i64 = 31;

const MEAN: f64 = 25.0;

/// Groups that names are in, by the second part of their path.
const GROUPS: usize = 20;

/// Different days that names have: what one random day is drawn for.
const SHAPES: usize = 97;

#[derive(Debug, Args)]
pub(crate) struct Panels {
    /// Requests of each kind
    #[arg(long, default_value_t = 40)]
    requests: usize,
}

struct Case {
    what: &'static str,
    names: usize,
    days: i64,
    step: &'static str,
    step_s: i64,
    /// Of `/render`, so that its values are of one step.
    values_max: usize,
    values: usize,
}

const CASES: [Case; 2] = [
    Case {
        what: "2,000 names, one day by the minute",
        names: 2_000,
        days: 1,
        step: "1m",
        step_s: 60,
        values_max: 2_000,
        values: 1_440,
    },
    Case {
        what: "200 names, 30 days by the hour",
        names: 200,
        days: 30,
        step: "1h",
        step_s: 3_600,
        values_max: 1_000,
        values: 720,
    },
];

/// A question: as a target of Graphite, as MetricsQL, and how many series are its answer.
struct Question {
    function: &'static str,
    target: fn(&Case) -> String,
    query: fn(&str) -> String,
    series: usize,
    /// Whether it is some of its series, of which others may be as large.
    picks: bool,
}

const QUESTIONS: [Question; 3] = [
    Question {
        function: "sumSeries",
        target: |case| format!("sumSeries({})", case.paths()),
        query: |sums| format!("sum({sums})"),
        series: 1,
        picks: false,
    },
    Question {
        function: "groupByNode",
        target: |case| format!("groupByNode({},1,'sumSeries')", case.paths()),
        query: |sums| format!("sum by (group) ({sums})"),
        series: GROUPS,
        picks: false,
    },
    Question {
        function: "highestMax",
        // The largest of hours, as in the query: without summarize it would be that of minutes.
        target: |case| match case.step {
            "1m" => format!("highestMax({},10)", case.paths()),
            step => format!("highestMax(summarize({},'{step}'),10)", case.paths()),
        },
        query: |sums| format!("topk_max(10, {sums})"),
        series: 10,
        picks: true,
    },
];

impl Case {
    /// As Grafana posts it: a minute is after `from` and up to `until`.
    fn render(&self, client: &reqwest::Client, base: &str, question: &Question) -> RequestBuilder {
        let (from, until) = self.range();
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("target", &(question.target)(self))
            .append_pair("from", &(from - 1).to_string())
            .append_pair("until", &(until - 60).to_string())
            .append_pair("maxDataPoints", &self.values_max.to_string())
            .append_pair("format", "json")
            .finish();
        client
            .post(format!("{base}/render"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
    }

    fn query_range(&self, client: &reqwest::Client, base: &str, question: &Question) -> RequestBuilder {
        let (from, until) = self.range();
        let sums = format!("sum_over_time(of{}[{}])", self.names, self.step);
        // A window lies before its instant, which it holds.
        client.get(format!("{base}/api/v1/query_range")).query(&[
            ("query", (question.query)(&sums)),
            ("start", (from + self.step_s - 60).to_string()),
            ("end", (until - 60).to_string()),
            ("step", self.step.to_owned()),
            ("nocache", "1".to_owned()),
        ])
    }

    fn paths(&self) -> String {
        format!("of{}.*.*", self.names)
    }

    fn range(&self) -> (i64, i64) {
        let until = fill::day(DAYS).unix_s();
        (until - 86_400 * self.days, until)
    }
}

impl Panels {
    pub(crate) async fn run(self) -> Result<bool> {
        super::on_bare_servers(async |pipeline| self.measure(pipeline).await).await
    }

    async fn measure(&self, pipeline: &Pipeline) -> Result<()> {
        let client = pipeline.client()?;
        let victoria = Victoria::start(&client).await?;
        let mut conn = pipeline.description.central.root().connect().await?;
        fill(&mut conn, &client, victoria.as_ref()).await?;
        let (_api, base) = start_api(pipeline, &client).await?;
        let mut lines = Vec::new();
        for (case, question) in CASES
            .iter()
            .flat_map(|case| QUESTIONS.iter().map(move |question| (case, question)))
        {
            let ours = case.render(&client, &base, question);
            let sum = check(&ours, case, question, ("datapoints", 0)).await?;
            let [alone, crowd] = self.alone_and_with_others(&ours).await?;
            let mut line = [case.what, question.function, "", "", "-", "-", ""].map(str::to_owned);
            [line[2], line[3]] = [shown(&alone), shown(&crowd)];
            if let Some(victoria) = &victoria {
                let theirs = case.query_range(&client, &victoria.base, question);
                let same = check(&theirs, case, question, ("values", 1)).await?;
                ensure!(sum == same, "{}: {sum} and {same}", question.function);
                let [their_alone, their_crowd] = self.alone_and_with_others(&theirs).await?;
                let median = |durations: &Durations| durations.quantile(0.5).as_secs_f64();
                let ratio = |ours, theirs| median(ours) / median(theirs);
                [line[4], line[5]] = [shown(&their_alone), shown(&their_crowd)];
                line[6] = format!(
                    "{:.2}, {:.2}",
                    ratio(&alone, &their_alone),
                    ratio(&crowd, &their_crowd)
                );
            }
            lines.push(line);
        }
        println!(
            "\nmedian / 99th percentile in ms, alone and with {CLIENTS} clients, and the medians as parts of VictoriaMetrics'"
        );
        let header = [
            "",
            "",
            "/render",
            "8 clients",
            "VictoriaMetrics",
            "8 clients",
            "ratios",
        ];
        println!("{}", table(header, lines));
        match victoria {
            Some(victoria) => victoria.stop().await,
            None => Ok(()),
        }
    }

    async fn alone_and_with_others(&self, request: &RequestBuilder) -> Result<[Durations; 2]> {
        Ok([
            self.latency(request, 1).await?,
            self.latency(request, CLIENTS).await?,
        ])
    }

    async fn latency(&self, request: &RequestBuilder, clients: usize) -> Result<Durations> {
        // Warm, as a dashboard that is looked at is.
        send(request).await?;
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            let request = request.try_clone().context("a request has a body of bytes")?;
            let requests = self.requests.div_ceil(clients);
            tasks.spawn(async move {
                let mut durations = Durations::new()?;
                for _ in 0..requests {
                    let begun = Instant::now();
                    send(&request).await?;
                    durations.record(begun.elapsed());
                }
                anyhow::Ok(durations)
            });
        }
        let mut all = Durations::new()?;
        while let Some(durations) = tasks.join_next().await {
            all.merge(&durations??)?;
        }
        Ok(all)
    }
}

/// The sum of all values of an answer, which has as many series and points as it should; or of the largest of each series where the question
/// picks some.
async fn check(
    request: &RequestBuilder,
    case: &Case,
    question: &Question,
    (points, value): (&str, usize),
) -> Result<u64> {
    let text = send(request).await?;
    let answer: Value = serde_json::from_str(&text)?;
    let list = answer.get("data").map_or(&answer, |data| &data["result"]);
    let list = list
        .as_array()
        .with_context(|| text.chars().take(300).collect::<String>())?;
    ensure!(list.len() == question.series, "{} series", list.len());
    let mut sum = 0;
    for series in list {
        let points = series[points].as_array().context("a series has points")?;
        let known = points.iter().filter(|point| !point[value].is_null());
        let read = |point: &Value| match &point[value] {
            Value::String(text) => Ok(text.parse::<u64>()?),
            number => anyhow::Ok(format!("{:.0}", number.as_f64().context("a value is a number")?).parse()?),
        };
        let values: Vec<u64> = known.map(read).collect::<Result<_>>()?;
        ensure!(values.len() == case.values, "{} points", values.len());
        sum += if question.picks {
            values.into_iter().max().unwrap_or(0)
        } else {
            values.into_iter().sum()
        };
    }
    Ok(sum)
}

async fn send(request: &RequestBuilder) -> Result<String> {
    let request = request.try_clone().context("a request has a body of bytes")?;
    let answer = request.send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status.is_success(), "{status}: {text}");
    Ok(text)
}

/// The same counts for both.
async fn fill(conn: &mut Conn, client: &reqwest::Client, victoria: Option<&Victoria>) -> Result<()> {
    let mut rng = StdRng::seed_from_u64(5);
    let days: Vec<Vec<u64>> = (0..SHAPES)
        .map(|_| random_day(MEAN, &mut rng))
        .collect::<Result<_>>()?;
    let texts = days.iter().map(|minutes| packed_day(minutes));
    let texts: Vec<(u64, String)> = texts.collect::<Result<_>>()?;
    for case in &CASES {
        let first_day = DAYS - case.days;
        for n in 0..case.names {
            let (metric, group) = (format!("of{}", case.names), format!("g{}", n % GROUPS));
            let name = format!("{metric}.{group}.n{n}");
            fill::tags(conn, std::iter::once(name.clone())).await?;
            let mut at = n;
            let next = || {
                at += 1;
                Ok(texts[at % SHAPES].clone())
            };
            fill::packed(conn, &fill::names(std::iter::once(name)), first_day..DAYS, next).await?;
            let metric = json!({ "__name__": metric, "group": group, "name": n.to_string() });
            if let Some(victoria) = victoria {
                for (at, day) in (n + 1..).zip(first_day..DAYS) {
                    victoria.import(client, &metric, day, &days[at % SHAPES]).await?;
                }
            }
        }
    }
    match victoria {
        Some(victoria) => victoria.flush(client).await,
        None => Ok(()),
    }
}
