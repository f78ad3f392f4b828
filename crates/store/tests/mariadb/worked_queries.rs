//! The queries for analysts in schema/README.md, as they stand there: each gives what was counted, and reads only what it needs.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::filled::{
    DAY_S, Filled, HOUR_S, NOW_S, TODAY_S, branches_read, close, date, datetime, ratio, shards_of, texts,
};

const README: &str = include_str!("../../../../schema/README.md");

/// What a query may read of the tables of counts.
#[derive(Clone, Copy)]
enum Reads<'a> {
    /// Of the shards of these names so many packed days.
    Names(&'a [&'a str], u64),
    /// The same, by the names themselves: each shard looks for them.
    ByName(&'a [&'a str], u64),
    /// Of all shards so many packed days.
    Days(u64),
    Nothing,
}

/// 2025-10-26T01:00:00Z, when Berlin's clock was put back.
const CLOCK_CHANGED_S: u64 = 1_761_440_400;

type Texts = Vec<Vec<Option<String>>>;

#[tokio::test(flavor = "multi_thread")]
async fn of_the_readme() {
    let mut filled = Filled::start().await;
    let mut analyst = filled.analyst().await;
    store::setup::load_zones(&filled.servers.centre_root())
        .await
        .unwrap();
    let queries = worked_queries();
    assert_eq!(queries.len(), 14);
    // The same in every session, whichever its time zone.
    for time_zone in ["+00:00", "+02:00", "-09:30", "America/New_York"] {
        let set = format!("SET time_zone = '{time_zone}'");
        analyst.query_drop(set).await.unwrap();
        for (title, statements) in &queries {
            let (query, before) = statements.split_last().unwrap();
            for statement in before {
                analyst.query_drop(*statement).await.unwrap();
            }
            let shown = texts(&mut analyst, query).await;
            let reads = check(&filled, title, &shown);
            if time_zone == "+00:00" {
                check_reads(&filled, &mut analyst, query, reads).await;
            }
        }
    }
    filled.servers.playground.stop().await;
}

/// Title and statements of each block of SQL in the section for analysts.
fn worked_queries() -> Vec<(&'static str, Vec<&'static str>)> {
    let section = README.split_once("\n## SQL for analysts\n").unwrap().1;
    let section = section.split_once("\n## ").unwrap().0;
    let blocks: Vec<_> = section.split("```sql\n").collect();
    blocks
        .windows(2)
        .map(|pair| {
            let title = pair[0].rsplit("**").nth(1).unwrap().trim_end_matches([':', '.']);
            let sql = pair[1].split_once("```").unwrap().0;
            (title, sql.split_terminator(";\n").collect())
        })
        .collect()
}

/// Compares what a query gave with what is known; says what it may read for it.
fn check(filled: &Filled, title: &str, shown: &Texts) -> Reads<'static> {
    let yesterday = (TODAY_S - DAY_S, TODAY_S);
    match title {
        "Top names yesterday" => {
            assert_eq!(*shown, as_texts(filled.top(yesterday, 10)));
            Reads::Days(1)
        }
        "Hour-of-day profile" => profile(filled, shown),
        "Week over week" => week_over_week(filled, shown),
        "Ratio of two names" => {
            let known = ratios(filled, "web.status.500", |name| name == "web.requests", 2, HOUR_S);
            assert_ratios(shown, &known);
            Reads::Names(&["web.status.500", "web.requests"], 2)
        }
        "Correlation of two names" => correlation(filled, shown),
        "Gaps" => gaps(filled, shown),
        "Regional shares" => regional_shares(filled, shown),
        "Distinct active names" => distinct_names(filled, shown),
        "Names gone silent" => gone_silent(filled, shown),
        "The busiest minute" => {
            let counts = filled.names["web.requests"].range(TODAY_S - 30 * DAY_S..);
            let (minute, count) = counts
                .max_by_key(|&(&minute, &count)| (count, u64::MAX - minute))
                .unwrap();
            assert_eq!(*shown, as_texts([(minute.to_string(), *count)]));
            Reads::Names(&["web.requests"], 30)
        }
        "By the hour, by name" => {
            let hours = filled.buckets(|n| n == "web.requests", (1_763_550_000, 1_763_721_000), HOUR_S);
            assert!(hours.len() > 40);
            assert_eq!(
                *shown,
                as_texts(hours.into_iter().map(|(at, sum)| (at.to_string(), sum)))
            );
            Reads::ByName(&["web.requests"], 3)
        }
        "Days of Berlin" => days_of_berlin(filled, shown),
        "Share of a name in a subtree" => {
            let known = ratios(
                filled,
                "shop.item.sold",
                |name| name.starts_with("shop."),
                14,
                DAY_S,
            );
            assert_ratios(shown, &known);
            Reads::Days(14)
        }
        "Two names side by side" => {
            let quarters = |name: &str| filled.buckets(|n| n == name, yesterday, 900);
            let (a, b) = (quarters("web.requests"), quarters("shop.item.sold"));
            let count = |buckets: &BTreeMap<u64, u64>, at| Some(buckets.get(&at).unwrap_or(&0).to_string());
            let known: Texts = (yesterday.0..yesterday.1)
                .step_by(900)
                .map(|at| vec![Some(datetime(at)), count(&a, at), count(&b, at)])
                .collect();
            assert_eq!(*shown, known);
            Reads::Names(&["web.requests", "shop.item.sold"], 1)
        }
        _ => panic!("schema/README.md has a query that nothing is known of: {title}"),
    }
}

fn days_of_berlin(filled: &Filled, shown: &Texts) -> Reads<'static> {
    // Two hours ahead before the change, one after it.
    let hours = filled.buckets(|n| n == "web.requests", (TODAY_S - 30 * DAY_S, NOW_S), HOUR_S);
    let mut days = BTreeMap::<String, u64>::new();
    for (hour, sum) in hours {
        let ahead_s = if hour < CLOCK_CHANGED_S {
            2 * HOUR_S
        } else {
            HOUR_S
        };
        *days.entry(date(hour + ahead_s)).or_default() += sum;
    }
    assert_eq!(*shown, as_texts(days));
    Reads::Names(&["web.requests"], 30)
}

fn as_texts(known: impl IntoIterator<Item = (String, u64)>) -> Texts {
    let row = |(first, second): (String, u64)| vec![Some(first), Some(second.to_string())];
    known.into_iter().map(row).collect()
}

/// The ratio for each bucket of the last `days` before today.
fn ratios(
    filled: &Filled,
    above: &str,
    below: fn(&str) -> bool,
    days: u64,
    width_s: u64,
) -> Vec<(String, Option<f64>)> {
    let period = (TODAY_S - days * DAY_S, TODAY_S);
    let above = filled.buckets(|name| name == above, period, width_s);
    let below = filled.buckets(below, period, width_s);
    (period.0..period.1)
        .step_by(usize::try_from(width_s).unwrap())
        .map(|at| (datetime(at), ratio(above.get(&at), below.get(&at))))
        .collect()
}

fn assert_ratios(shown: &Texts, known: &[(String, Option<f64>)]) {
    assert_eq!(shown.len(), known.len());
    for (row, (bucket, known)) in shown.iter().zip(known) {
        assert_eq!(row[1].as_ref(), Some(bucket));
        assert!(close(row[2].as_ref(), *known), "{row:?} {known:?}");
    }
}

fn number(text: Option<&String>) -> f64 {
    text.unwrap().parse().unwrap()
}

#[expect(clippy::cast_precision_loss, reason = "sums here are far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

fn profile(filled: &Filled, shown: &Texts) -> Reads<'static> {
    let mut known = [0; 24];
    for (hour, sum) in filled.buckets(|n| n == "web.requests", (TODAY_S - 28 * DAY_S, TODAY_S), HOUR_S) {
        known[usize::try_from(hour % DAY_S / HOUR_S).unwrap()] += sum;
    }
    assert_eq!(shown.len(), 24);
    for (hour, (row, sum)) in shown.iter().zip(known).enumerate() {
        assert_eq!(row[0], Some(hour.to_string()));
        // MariaDB divides decimals to four places.
        assert!(
            (number(row[1].as_ref()) - float(sum) / 28.0).abs() < 1e-4,
            "{row:?} {sum}"
        );
    }
    Reads::Names(&["web.requests"], 28)
}

fn week_over_week(filled: &Filled, shown: &Texts) -> Reads<'static> {
    let days = filled.buckets(|n| n == "web.requests", (0, NOW_S), DAY_S);
    let known: Texts = (1..=7)
        .rev()
        .map(|back| {
            let day = TODAY_S - back * DAY_S;
            let weekday = DateTime::from_timestamp(day.try_into().unwrap(), 0)
                .unwrap()
                .format("%A");
            let count = |day| Some(days[&day].to_string());
            vec![Some(weekday.to_string()), count(day), count(day - 7 * DAY_S)]
        })
        .collect();
    assert_eq!(*shown, known);
    Reads::Names(&["web.requests"], 14)
}

fn correlation(filled: &Filled, shown: &Texts) -> Reads<'static> {
    let hours = |name: &str| filled.buckets(|n| n == name, (TODAY_S - 14 * DAY_S, TODAY_S), HOUR_S);
    let (x, y) = (hours("web.requests"), hours("shop.item.sold"));
    let both: BTreeSet<_> = x.keys().chain(y.keys()).collect();
    let pair = |hour| [&x, &y].map(|counts| float(counts.get(hour).copied().unwrap_or(0)));
    let n = float(both.len().try_into().unwrap());
    let mean = |of: &dyn Fn([f64; 2]) -> f64| both.iter().map(|hour| of(pair(hour))).sum::<f64>() / n;
    let (mean_x, mean_y) = (mean(&|[x, _]| x), mean(&|[_, y]| y));
    let covariance = mean(&|[x, y]| (x - mean_x) * (y - mean_y));
    let deviations =
        mean(&|[x, _]| (x - mean_x).powi(2)).sqrt() * mean(&|[_, y]| (y - mean_y).powi(2)).sqrt();
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0][0], Some(both.len().to_string()));
    let shown = number(shown[0][1].as_ref());
    assert!(
        (shown - covariance / deviations).abs() < 1e-9,
        "{shown} {covariance} {deviations}"
    );
    Reads::Names(&["web.requests", "shop.item.sold"], 14)
}

fn gaps(filled: &Filled, shown: &Texts) -> Reads<'static> {
    let minutes: Vec<_> = filled.names["web.requests"]
        .range(TODAY_S - 7 * DAY_S..)
        .map(|(&at, _)| at)
        .collect();
    let known: Texts = minutes
        .windows(2)
        .filter(|pair| pair[1] - pair[0] > 660)
        .map(|pair| {
            let silent = (pair[1] - pair[0]) / 60 - 1;
            [pair[0], pair[1], silent]
                .map(|number| Some(number.to_string()))
                .to_vec()
        })
        .collect();
    assert_eq!(known.len(), 1, "the test has a gap");
    assert_eq!(*shown, known);
    Reads::Names(&["web.requests"], 7)
}

fn regional_shares(filled: &Filled, shown: &Texts) -> Reads<'static> {
    let mut known = Vec::new();
    for day in (TODAY_S - 7 * DAY_S..TODAY_S).step_by(86_400) {
        let minutes = filled.buckets(|_| true, (day, day + DAY_S), 60);
        let all: u64 = minutes.values().sum();
        let eu: u64 = minutes.values().map(|sum| sum / 3).sum();
        known.push((date(day), "eu", eu, all));
        known.push((date(day), "us", all - eu, all));
    }
    assert_eq!(shown.len(), known.len());
    for (row, (day, region, sum, all)) in shown.iter().zip(known) {
        assert_eq!(
            row[..3],
            [Some(day), Some(region.to_owned()), Some(sum.to_string())]
        );
        let percent = 100.0 * float(sum) / float(all);
        assert!(
            (number(row[3].as_ref()) - percent).abs() < 1e-4,
            "{row:?} {percent}"
        );
    }
    Reads::Nothing
}

fn distinct_names(filled: &Filled, shown: &Texts) -> Reads<'static> {
    let active = |day: u64| {
        filled
            .names
            .values()
            .filter(move |counts| counts.range(day..day + DAY_S).next().is_some())
    };
    let days = (TODAY_S - 7 * DAY_S..=TODAY_S).step_by(86_400);
    assert_eq!(
        *shown,
        as_texts(days.map(|day| (date(day), active(day).count() as u64)))
    );
    Reads::Days(7)
}

fn gone_silent(filled: &Filled, shown: &Texts) -> Reads<'static> {
    let last = |(name, counts): (&String, &BTreeMap<u64, u64>)| {
        Some((*counts.last_key_value()?.0 / DAY_S * DAY_S, name.clone()))
    };
    let silent: BTreeSet<_> = filled
        .names
        .iter()
        .filter_map(last)
        .filter(|(day, _)| (TODAY_S - 35 * DAY_S..TODAY_S - 7 * DAY_S).contains(day))
        .collect();
    assert!(silent.len() > 3, "the test has names gone silent");
    let known: Texts = silent
        .into_iter()
        .map(|(day, name)| vec![Some(name), Some(date(day))])
        .collect();
    assert_eq!(*shown, known);
    Reads::Days(35)
}

/// Holds what MariaDB says that it read, and what it says before, against what the query needs.
async fn check_reads(filled: &Filled, analyst: &mut Conn, query: &str, reads: Reads<'_>) {
    let read = filled.rows_read(analyst, query).await;
    let databases: BTreeSet<_> = read.keys().map(|(database, _)| database.clone()).collect();
    let of_days = read.iter().filter(|((_, table), _)| table == "EventDay");
    let days: u64 = of_days.map(|(_, rows)| rows).sum();
    let (shards, days_max) = match reads {
        Reads::Names(&[name], days) | Reads::ByName(&[name], days) => (shards_of(&[name]), days),
        // Where a shard has few names, reading all of them for these days may cost less than two searches.
        Reads::Names(names, days) | Reads::ByName(names, days) => {
            let shards = shards_of(names);
            let all = filled
                .names
                .keys()
                .filter(|name| !shards_of(&[name]).is_disjoint(&shards));
            (shards.clone(), days * all.count() as u64)
        }
        Reads::Days(days) => (databases.clone(), days * filled.names.len() as u64),
        Reads::Nothing => (BTreeSet::new(), 0),
    };
    assert_eq!(databases, shards, "{query}");
    assert!(
        days <= days_max,
        "{query} read {days} packed days, not {days_max}: {read:?}"
    );
    if query.starts_with("SELECT") && !matches!(reads, Reads::ByName(..)) {
        let branches = if matches!(reads, Reads::Days(_)) {
            64
        } else {
            2 * shards.len()
        };
        assert_eq!(branches_read(analyst, query).await, branches, "{query}");
    }
}
