//! `queries`: what analysts' SQL takes, beside the same minutes in a plain table.

use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;
use model::EventId;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::fill::{self, packed_day, random_day};
use super::reads::shown;
use crate::figures::{Durations, table};
use crate::pipeline::Pipeline;

const MEAN: f64 = 25.0;

/// Days that are packed of one name; of the others the last [`DAYS`].
const YEAR_DAYS: i64 = 365;

const DAYS: i64 = 40;

/// Days after these, which are not packed.
const ROW_DAYS: i64 = 2;

const NAMES: usize = 300;

#[derive(Debug, Args)]
pub(crate) struct Queries {
    /// Times that each is asked
    #[arg(long, default_value_t = 20)]
    requests: usize,
}

/// What is asked, and how many rows are the answer.
struct Query {
    what: &'static str,
    sql: String,
    rows: usize,
}

impl Queries {
    pub(crate) async fn run(self) -> Result<bool> {
        super::on_bare_servers(async |pipeline| self.measure(pipeline).await).await
    }

    async fn measure(&self, pipeline: &Pipeline) -> Result<()> {
        let mut conn = pipeline.description.central.root().connect().await?;
        fill(&mut conn).await?;
        let mut lines = Vec::new();
        let mut reference = None;
        for Query { what, sql, rows } in queries() {
            let mut durations = Durations::new()?;
            for number in 0..=self.requests {
                let begun = Instant::now();
                let mut answer = conn.query_iter(&sql).await?;
                let found = answer.collect::<Row>().await?.len();
                answer.drop_result().await?;
                ensure!(found == rows, "{what}: {found} rows");
                // The first time it is not warm.
                if number > 0 {
                    durations.record(begun.elapsed());
                }
            }
            let median = durations.quantile(0.5).as_secs_f64();
            let bare = *reference.get_or_insert(median);
            lines.push([
                what.to_owned(),
                rows.to_string(),
                shown(&durations),
                format!("{:.2}", median / bare),
            ]);
        }
        println!("\nmedian / 99th percentile in ms, and the median as a part of the first");
        println!("{}", table(["", "rows", "ms", "of the first"], lines));
        Ok(())
    }
}

fn name(n: usize) -> String {
    format!("query.{n}")
}

async fn fill(conn: &mut Conn) -> Result<()> {
    let mut rng = StdRng::seed_from_u64(7);
    fill::tags(conn, (0..NAMES).map(name)).await?;
    let (one, others) = (
        fill::names([name(0)].into_iter()),
        fill::names((1..NAMES).map(name)),
    );
    for (names, days) in [(one, 0..YEAR_DAYS), (others, YEAR_DAYS - DAYS..YEAR_DAYS)] {
        let next = || packed_day(&random_day(MEAN, &mut rng)?);
        fill::packed(conn, &names, days, next).await?;
    }
    let all = fill::names((0..NAMES).map(name));
    fill::rows(conn, &all, YEAR_DAYS..YEAR_DAYS + ROW_DAYS, || {
        random_day(MEAN, &mut rng)
    })
    .await?;
    // The year of the first name once more, a row for each minute.
    conn.query_drop(format!(
        "CREATE DATABASE bench; \
         CREATE TABLE bench.plain (eventId BIGINT UNSIGNED, minute DATETIME, count BIGINT UNSIGNED, PRIMARY KEY (eventId, minute)); \
         INSERT INTO bench.plain SELECT eventId, createDate, count FROM eventtracker.event_minutes \
         WHERE eventId = {} AND day >= '2025-01-01'; \
         ANALYZE TABLE bench.plain PERSISTENT FOR ALL",
        EventId::of(&name(0))
    ))
    .await?;
    Ok(())
}

/// From the last 30 packed days, from the whole packed year, and from the days around its end.
fn queries() -> Vec<Query> {
    let id = EventId::of(&name(0));
    let date = |day: i64| fill::day(day).to_string();
    let (month, year, end) = (date(YEAR_DAYS - 30), date(0), date(YEAR_DAYS));
    let minutes =
        format!("SELECT unixSeconds, count FROM eventtracker.event_minutes WHERE eventId = {id} AND");
    let days = format!("SELECT day, total FROM eventtracker.event_days WHERE eventId = {id} AND");
    let plain = format!("SELECT UNIX_TIMESTAMP(minute), count FROM bench.plain WHERE eventId = {id} AND");
    let named = format!(
        "SELECT unixSeconds, count FROM eventtracker.named_minutes WHERE tagName = '{}' AND",
        name(0)
    );
    let unix = |day: i64| fill::day(day).unix_s();
    let within =
        |column: &str, (first, end): (&str, &str)| format!("{column} >= '{first}' AND {column} < '{end}'");
    let of_month = (month.as_str(), end.as_str());
    let series = |names: &str, first: &str, step: &str| {
        format!("CALL eventtracker.series('{names}', '{first}', '{end}', '{step}')")
    };
    let top = |day: i64| {
        format!(
            "CALL eventtracker.top_names('{}', '{}', 20)",
            date(day),
            date(day + 1)
        )
    };
    let query = |what, rows, sql| Query { what, sql, rows };
    vec![
        query(
            "30 days by the minute, plain table",
            43_200,
            format!("{plain} {}", within("minute", of_month)),
        ),
        query("by day", 43_200, format!("{minutes} {}", within("day", of_month))),
        query(
            "by createDate alone",
            43_200,
            format!("{minutes} {}", within("createDate", of_month)),
        ),
        query(
            "by name and unixDay",
            43_200,
            format!(
                "{named} unixDay >= {} AND unixDay < {}",
                unix(YEAR_DAYS - 30),
                unix(YEAR_DAYS)
            ),
        ),
        query(
            "a year by the minute",
            525_600,
            format!("{minutes} {}", within("day", (&year, &end))),
        ),
        query(
            "a year by the day",
            365,
            format!("{days} {}", within("day", (&year, &end))),
        ),
        query("series: 30 days by the hour", 720, series(&name(0), &month, "1h")),
        query("series: a year by the day", 365, series(&name(0), &year, "1d")),
        query(
            "series: a share in ten, 30 days by the hour",
            720,
            series(&format!("{} / query.?", name(0)), &month, "1h"),
        ),
        query("top_names of a packed day", 20, top(YEAR_DAYS - 1)),
        query("top_names of a day of rows", 20, top(YEAR_DAYS + ROW_DAYS - 1)),
    ]
}
