//! `long-reads`: whether a series of a day waits for dashboards that ask for years.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::fill::{self, packed_day, random_day};
use super::reads::start_api;
use crate::beside::{Beside, input_has_ended, say_begun};
use crate::figures::{Durations, float, ms, table};
use crate::pipeline::Pipeline;
use crate::sender;

const YEAR_DAYS: i64 = 365;

const MEAN: f64 = 25.0;

/// Names of a dashboard: those of which all counts of a year may be read at once.
const NAMES: usize = 200;

/// Series of a day that are asked for, one after the other.
const QUESTIONS: u32 = 600;

/// Pause between two of them, so that they see more than one long read.
const PAUSE: Duration = Duration::from_millis(10);

/// Time for the dashboards to have begun.
const LEAD: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct LongReads {
    /// Dashboards that ask again as soon as they are answered
    #[arg(long, value_delimiter = ',', default_value = "1,4")]
    dashboards: Vec<usize>,
}

impl LongReads {
    pub(crate) async fn run(self) -> Result<bool> {
        super::on_bare_servers(async |pipeline| self.measure(pipeline).await).await
    }

    async fn measure(&self, pipeline: &Pipeline) -> Result<()> {
        let client = pipeline.client()?;
        fill_year(pipeline).await?;
        let (_api, base) = start_api(pipeline, &client).await?;
        let until = fill::day(YEAR_DAYS).unix_s();
        let day = |n: u32| {
            let name = usize::try_from(n).unwrap_or(0) % NAMES;
            format!(
                "{base}/v1/series?name=packed.{name}&from={}&until={until}&step=1m",
                until - 86_400
            )
        };
        // By the hour, whose sums are made of every minute's count.
        let from = until - 86_400 * YEAR_DAYS;
        let year = format!("{base}/v1/series?name=packed.*&from={from}&until={until}&step=1h");
        let questions = async |client: &reqwest::Client| -> Result<Durations> {
            let mut took = Durations::new()?;
            for n in 0..QUESTIONS {
                let begun = Instant::now();
                client
                    .get(day(n))
                    .send()
                    .await?
                    .error_for_status()?
                    .bytes()
                    .await?;
                took.record(begun.elapsed());
                tokio::time::sleep(PAUSE).await;
            }
            Ok(took)
        };
        questions(&client).await?;
        let alone = questions(&client).await?;
        let row = |who: String, took: &Durations, years: String| {
            let [median, of] = [took.quantile(0.5), alone.quantile(0.5)];
            let ratio = format!("{:.2}", median.as_secs_f64() / of.as_secs_f64());
            [who, ms(median), ms(took.quantile(0.99)), ratio, years]
        };
        let mut rows = vec![row("nobody".to_owned(), &alone, String::new())];
        for &dashboards in &self.dashboards {
            let begun = Instant::now();
            let mut asking = Vec::new();
            for _ in 0..dashboards {
                let mut dashboard = Beside::of_another_machine(&["dashboard", &year])?;
                dashboard.begun().await?;
                asking.push(dashboard);
            }
            tokio::time::sleep(LEAD).await;
            let took = questions(&client).await?;
            let asked_for = begun.elapsed().as_secs_f64();
            let mut years = 0;
            for dashboard in asking {
                years += dashboard.stop().await?;
            }
            let per_year = asked_for / float(years);
            let years = format!("one each {per_year:.1} s");
            rows.push(row(format!("{dashboards} dashboards"), &took, years));
        }
        let header = [
            "a day's series beside",
            "median",
            "p99",
            "median of alone",
            "years of 200 names",
        ];
        println!("\n{}", table(header, rows));
        Ok(())
    }
}

/// What `long-reads` starts beside itself.
#[derive(Debug, Args)]
pub(crate) struct Dashboard {
    /// What it asks for
    url: String,
}

impl Dashboard {
    /// Asks again and again until the input ends. Then it says how often it was answered.
    pub(crate) async fn run(self) -> Result<bool> {
        let client = sender::client(None)?;
        let mut answered = 0;
        let asks = async {
            loop {
                let answer = client.get(&self.url).send().await?;
                if answer.status().is_success() {
                    answer.bytes().await?;
                    answered += 1;
                } else {
                    // Refused for others' sake: it comes again, as dashboards do.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        };
        say_begun();
        let ended: Result<()> = tokio::select! {
            ended = asks => ended,
            () = input_has_ended() => Ok(()),
        };
        println!("{answered}");
        ended.map(|()| true)
    }
}

/// A packed year of each name.
async fn fill_year(pipeline: &Pipeline) -> Result<()> {
    let mut conn = pipeline.description.central.root().connect().await?;
    let mut rng = StdRng::seed_from_u64(2);
    let days = (0..YEAR_DAYS).map(|_| packed_day(&random_day(MEAN, &mut rng)?));
    let texts: Vec<(u64, String)> = days.collect::<Result<_>>()?;
    let names = (0..NAMES).map(|n| format!("packed.{n}"));
    fill::tags(&mut conn, names.clone()).await?;
    let mut at = 0;
    let next = || {
        at += 1;
        Ok(texts[at % texts.len()].clone())
    };
    fill::packed(&mut conn, &fill::names(names), 0..YEAR_DAYS, next).await
}
