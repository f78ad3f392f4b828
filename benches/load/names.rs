//! `names`: how soon a name is found among a million, beside the bare server's round trip.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use model::EventId;
use mysql_async::prelude::Queryable;
use playground::counter;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::figures::{Durations, ms, per_s, table};
use crate::history::reads::start_api;
use crate::pipeline::Pipeline;
use crate::processes::peak_mib;

/// Rows of one INSERT.
const ROWS: usize = 10_000;

/// What a search may take, at most, at the 99th percentile.
const GOAL: Duration = Duration::from_millis(20);

const LOADED_LIMIT: Duration = Duration::from_secs(300);

const POLL: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(crate) struct Names {
    #[arg(long, default_value_t = 1_000_000)]
    names: usize,
    /// Requests of each kind
    #[arg(long, default_value_t = 1_000)]
    requests: usize,
}

/// What is asked, and the path.
const CASES: [(&str, &str); 12] = [
    ("bare (/healthz)", "/healthz"),
    ("all", "/v1/names?limit=50"),
    ("all, 1,000 of them", "/v1/names?limit=1000"),
    ("shop.*", "/v1/names?query=shop.*"),
    ("sold", "/v1/names?query=sold"),
    ("*.item.s*", "/v1/names?query=*.item.s*"),
    ("one name's part", "/v1/names?query=item777.seen"),
    ("nothing", "/v1/names?query=zeppelin"),
    ("nothing, as a pattern", "/v1/names?query=*{old,gone}.*x?y*"),
    ("tree: *", "/metrics/find?query=*"),
    ("tree: web.*", "/metrics/find?query=web.*"),
    (
        "tree: web.*.status.50*",
        "/metrics/find?query=web.host7*.status.50*",
    ),
];

impl Names {
    pub(crate) async fn run(self) -> Result<bool> {
        crate::history::on_bare_servers(async |pipeline| self.measure(pipeline).await).await
    }

    async fn measure(&self, pipeline: &Pipeline) -> Result<()> {
        self.fill(pipeline).await?;
        let client = pipeline.client()?;
        let begun = Instant::now();
        let (api, base) = start_api(pipeline, &client).await?;
        let metrics = async || -> Result<String> {
            Ok(client.get(format!("{base}/metrics")).send().await?.text().await?)
        };
        while counter(&metrics().await?, "api_names")? != u64::try_from(self.names)? {
            ensure!(begun.elapsed() < LOADED_LIMIT, "the api has not loaded all names");
            tokio::time::sleep(POLL).await;
        }
        println!(
            "in memory {:.1} s after the api's start",
            begun.elapsed().as_secs_f64()
        );

        let mut all = CASES
            .iter()
            .map(|_| Durations::new())
            .collect::<Result<Vec<_>>>()?;
        // In turn, so that the reference is of the same moments.
        for _ in 0..self.requests {
            for ((_, path), durations) in CASES.iter().zip(&mut all) {
                let begun = Instant::now();
                let answer = client
                    .get(format!("{base}{path}"))
                    .send()
                    .await?
                    .error_for_status()?;
                answer.bytes().await?;
                durations.record(begun.elapsed());
            }
        }
        let bare = all[0].quantile(0.5);
        let rows = CASES.iter().zip(&all).map(|((what, _), durations)| {
            let p99 = durations.quantile(0.99);
            [
                (*what).to_owned(),
                ms(durations.quantile(0.5)),
                ms(p99),
                ms(durations.max()),
                format!(
                    "{:.1}",
                    durations.quantile(0.5).as_secs_f64() / bare.as_secs_f64()
                ),
                if p99 < GOAL { "" } else { "SLOW" }.to_owned(),
            ]
        });
        println!("{}", table(["", "median", "p99", "max", "of bare", ""], rows));
        let pid = api.id().context("the api has ended")?;
        let loads = metrics().await?;
        let loads = loads.lines().filter(|line| {
            [
                "api_names_load_seconds_sum",
                "api_names_load_seconds_count",
                "api_names_index_bytes",
            ]
            .iter()
            .any(|name| line.starts_with(name))
        });
        println!(
            "api: at most {} MiB; {}",
            peak_mib(pid)?,
            loads.collect::<Vec<_>>().join(", ")
        );
        Ok(())
    }

    async fn fill(&self, pipeline: &Pipeline) -> Result<()> {
        let begun = Instant::now();
        let mut rng = StdRng::seed_from_u64(3);
        let mut conn = pipeline.description.central.root().connect().await?;
        let mut rows = Vec::new();
        for n in 0..self.names {
            let name = name(n);
            // A few are counted often, most hardly ever.
            let popularity = 1_000_000 / rng.random_range(1..1_000_000_u64);
            rows.push(format!("({}, '{name}', {popularity})", EventId::of(&name)));
            if rows.len() == ROWS || n + 1 == self.names {
                let insert = format!("INSERT INTO bigdata_0.EventTags VALUES {}", rows.join(","));
                conn.query_drop(insert).await?;
                rows.clear();
            }
        }
        let rate = per_s(u64::try_from(self.names)?, begun.elapsed());
        println!("{} names written, {rate:.0}/s", self.names);
        Ok(())
    }
}

/// Half of them items of a shop, a quarter web servers' answers, a quarter users.
fn name(n: usize) -> String {
    match n % 4 {
        0 => format!("shop.category{}.item{n}.sold", n % 97),
        1 => format!("shop.category{}.item.seen.{n}", n % 97),
        2 => format!("web.host{}.status.{}.path{n}", n % 1_000, 200 + n / 4 % 304),
        _ => format!("user.{:08x}.login", n.wrapping_mul(2_654_435_761) % (1 << 32)),
    }
}
