//! Counts of the past, put into the centre's tables as replication and the keeper would have put them.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::Result;
use model::{Day, DayCounts, EventId, MINUTES_PER_DAY, Shard};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rand::distr::Distribution;
use rand::rngs::StdRng;
use rand_distr::Poisson;

/// 2025-01-01: all that is filled lies in the past.
const FIRST_DAY_UNIX_S: i64 = 1_735_689_600;

/// About 100 kB of SQL.
const DAYS_PER_STATEMENT: usize = 64;

/// Minutes of one transaction of rows: with a thousand names about what a worker's flush is limited to.
const MINUTES_PER_TRANSACTION: usize = 10;

/// Names by shard, in the order of their ids.
pub(crate) type Names = BTreeMap<Shard, Vec<EventId>>;

pub(crate) fn names(texts: impl Iterator<Item = String>) -> Names {
    in_order(texts.map(|text| EventId::of(&text)))
}

/// Names whose ids all lie in the first shard.
pub(crate) fn names_of_one_shard(count: u64) -> Names {
    const APART: u64 = 1 << 40;
    in_order((1..=count).map(|n| EventId(n * APART)))
}

fn in_order(ids: impl Iterator<Item = EventId>) -> Names {
    let mut names = Names::new();
    for id in ids {
        names.entry(Shard::of(id)).or_default().push(id);
    }
    names.values_mut().for_each(|ids| ids.sort_unstable());
    names
}

pub(crate) fn day(number: i64) -> Day {
    Day::containing(FIRST_DAY_UNIX_S + 86_400 * number)
}

/// A day of counts around `mean`.
pub(crate) fn random_day(mean: f64, rng: &mut StdRng) -> Result<Vec<u64>> {
    let poisson = Poisson::new(mean)?;
    let whole = |sample: f64| format!("{sample:.0}").parse::<u64>();
    let samples = (0..MINUTES_PER_DAY).map(|_| whole(poisson.sample(rng)));
    Ok(samples.collect::<Result<_, _>>()?)
}

pub(crate) fn as_day_counts(minutes: &[u64]) -> Result<DayCounts> {
    let mut counts = DayCounts::default();
    for (minute, &count) in (0..).zip(minutes) {
        counts.add(minute, count)?;
    }
    Ok(counts)
}

/// What the row of a packed day has of these minutes: their sum, and the text.
pub(crate) fn packed_day(minutes: &[u64]) -> Result<(u64, String)> {
    let counts = as_day_counts(minutes)?;
    Ok((counts.total(), counts.pack()))
}

/// Makes names known, as if each was counted once.
pub(crate) async fn tags(conn: &mut Conn, names: impl Iterator<Item = String>) -> Result<()> {
    for name in names {
        let id = EventId::of(&name);
        conn.query_drop(format!(
            "INSERT INTO bigdata_0.EventTags VALUES ({id}, '{name}', 1)"
        ))
        .await?;
    }
    Ok(())
}

/// A packed day as a SQL literal.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', "''"))
}

/// Packed days in the order in which the keeper writes them, and compressed as it does.
pub(crate) async fn packed(
    conn: &mut Conn,
    names: &Names,
    days: Range<i64>,
    counts: impl FnMut() -> Result<(u64, String)>,
) -> Result<()> {
    packed_with(conn, "FILTERED", names, days, counts).await
}

/// Packed days, compressed with another of the server's strategies.
pub(crate) async fn packed_with(
    conn: &mut Conn,
    strategy: &str,
    names: &Names,
    days: Range<i64>,
    mut counts: impl FnMut() -> Result<(u64, String)>,
) -> Result<()> {
    conn.query_drop(format!("SET column_compression_zlib_strategy = {strategy}"))
        .await?;
    for number in days {
        let day = day(number);
        for (shard, ids) in names {
            for some in ids.chunks(DAYS_PER_STATEMENT) {
                let mut rows = Vec::new();
                for id in some {
                    let (total, text) = counts()?;
                    rows.push(format!("('{day}',{id},{total},{})", quoted(&text)));
                }
                let rows = rows.join(",");
                conn.query_drop(format!("INSERT INTO {shard}.EventDay VALUES {rows}"))
                    .await?;
            }
        }
    }
    Ok(())
}

/// A row per minute with events, minute by minute, as replication writes them.
pub(crate) async fn rows(
    conn: &mut Conn,
    names: &Names,
    days: Range<i64>,
    mut counts: impl FnMut() -> Result<Vec<u64>>,
) -> Result<()> {
    for number in days {
        let start = day(number).unix_s();
        let mut of_day = BTreeMap::new();
        for id in names.values().flatten() {
            of_day.insert(*id, counts()?);
        }
        for first in (0..MINUTES_PER_DAY).step_by(MINUTES_PER_TRANSACTION) {
            let mut script = "START TRANSACTION; ".to_owned();
            for (shard, ids) in names {
                let mut rows = Vec::new();
                for id in ids {
                    let counts = of_day[id].iter().enumerate();
                    for (minute, count) in counts.skip(first).take(MINUTES_PER_TRANSACTION) {
                        if *count > 0 {
                            let at = start + 60 * i64::try_from(minute)?;
                            rows.push(format!("({id},FROM_UNIXTIME({at}),{count})"));
                        }
                    }
                }
                if !rows.is_empty() {
                    let rows = rows.join(",");
                    script += &format!(
                        "INSERT INTO {shard}.EventMinute VALUES {rows} ON DUPLICATE KEY UPDATE count = count + VALUES(count); "
                    );
                }
            }
            script += "COMMIT";
            conn.query_drop(script).await?;
        }
    }
    Ok(())
}
