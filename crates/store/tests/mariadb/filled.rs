//! A centre with forty days of counts, packed and not, and what is known of them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use model::{EventId, Shard};
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Row};
use store::Server;

use crate::servers::Servers;

pub(crate) const HOUR_S: u64 = 3_600;
pub(crate) const DAY_S: u64 = 86_400;

/// What the sessions take for now: 2025-11-22, a Saturday, 05:00.
pub(crate) const NOW_S: u64 = 1_763_787_600;
pub(crate) const TODAY_S: u64 = NOW_S - NOW_S % DAY_S;

/// Days before today that have counts; the keeper packed all but the last.
const DAYS: u64 = 40;

const NAMES: u64 = 320;

/// Counts of a name by the first second of each minute.
type Counts = BTreeMap<u64, u64>;

pub(crate) struct Filled {
    pub(crate) servers: Servers,
    pub(crate) names: BTreeMap<String, Counts>,
}

impl Filled {
    pub(crate) async fn start() -> Self {
        let servers = Servers::start().await;
        let names: BTreeMap<_, _> = (0..NAMES).map(|n| (name(n), counts(n))).collect();
        let forms = fill(&servers.centre_root(), &names).await;
        assert_eq!(forms.len(), 96, "not each shard has a day in each form");
        Self { servers, names }
    }

    /// A session of an analyst's, at [`NOW_S`].
    pub(crate) async fn analyst(&self) -> Conn {
        let mut conn = self.servers.analyst().connect().await.unwrap();
        conn.query_drop(format!("SET timestamp = {NOW_S}")).await.unwrap();
        conn
    }

    /// What is known of the names that `wanted` takes, by the start of buckets of `width_s`; only buckets with counts.
    pub(crate) fn buckets(
        &self,
        wanted: impl Fn(&str) -> bool,
        (from, until): (u64, u64),
        width_s: u64,
    ) -> BTreeMap<u64, u64> {
        let mut buckets = BTreeMap::new();
        for (_, counts) in self.names.iter().filter(|(name, _)| wanted(name)) {
            for (minute, count) in counts.range(from..until) {
                *buckets.entry(minute - minute % width_s).or_default() += count;
            }
        }
        buckets
    }

    pub(crate) fn sum(&self, wanted: impl Fn(&str) -> bool, period: (u64, u64)) -> u64 {
        self.buckets(wanted, period, DAY_S).values().sum()
    }

    /// The largest sums within `period`, largest first.
    pub(crate) fn top(&self, period: (u64, u64), limit: usize) -> Vec<(String, u64)> {
        let mut sums: Vec<_> = self
            .names
            .keys()
            .map(|name| (name.clone(), self.sum(|n| n == name, period)))
            .collect();
        sums.sort_by_key(|(_, sum)| std::cmp::Reverse(*sum));
        sums.truncate(limit);
        sums
    }

    /// Of each table of a shard that `sql` read, how many rows of it, as the server counts them.
    pub(crate) async fn rows_read(&self, conn: &mut Conn, sql: &str) -> BTreeMap<(String, String), u64> {
        const READ: &str = "SELECT TABLE_SCHEMA, TABLE_NAME, ROWS_READ FROM information_schema.TABLE_STATISTICS \
            WHERE TABLE_NAME IN ('EventMinute', 'EventDay') AND ROWS_READ > 0";
        let mut root = self.servers.centre_root().connect().await.unwrap();
        root.query_drop("SET GLOBAL userstat = ON").await.unwrap();
        root.query_drop("FLUSH TABLE_STATISTICS").await.unwrap();
        conn.query_drop(sql).await.unwrap();
        let read: Vec<(String, String, u64)> = root.query(READ).await.unwrap();
        root.query_drop("SET GLOBAL userstat = OFF").await.unwrap();
        read.into_iter()
            .map(|(db, table, rows)| ((db, table), rows))
            .collect()
    }
}

/// How many branches of the views a query is going to read, as `EXPLAIN` shows them; two for each shard.
pub(crate) async fn branches_read(conn: &mut Conn, sql: &str) -> usize {
    let plan: Vec<Row> = rows(conn, &format!("EXPLAIN {sql}")).await;
    let tables = plan
        .iter()
        .filter_map(|row| row.get::<Option<String>, _>("table").flatten());
    tables
        .filter(|table| ["EventMinute", "EventDay", "d"].contains(&table.as_str()))
        .count()
}

impl Servers {
    pub(crate) fn centre_root(&self) -> Server {
        self.description().central.root()
    }

    pub(crate) fn analyst(&self) -> Server {
        let account = self.account("analyst");
        self.centre_root()
            .with_user(&account.user, Some(account.password))
    }
}

/// The tables of the shards in which `names` lie.
pub(crate) fn shards_of(names: &[&str]) -> BTreeSet<String> {
    names
        .iter()
        .map(|name| Shard::of(EventId::of(name)).to_string())
        .collect()
}

pub(crate) fn datetime(unix_s: u64) -> String {
    DateTime::from_timestamp(unix_s.try_into().unwrap(), 0)
        .unwrap()
        .format("%Y-%m-%d %H:%M:%S")
        .to_string()
}

pub(crate) fn date(unix_s: u64) -> String {
    datetime(unix_s)[..10].to_owned()
}

pub(crate) async fn rows<T: FromRow + Send + 'static>(conn: &mut Conn, sql: &str) -> Vec<T> {
    match conn.query(sql).await {
        Ok(rows) => rows,
        Err(error) => panic!("{sql}: {error}"),
    }
}

/// Rows as the text that a person would see.
pub(crate) async fn texts(conn: &mut Conn, sql: &str) -> Vec<Vec<Option<String>>> {
    let rows: Vec<Row> = rows(conn, sql).await;
    rows.iter()
        .map(|row| (0..row.len()).map(|n| row.get(n).unwrap()).collect())
        .collect()
}

/// Whether a number that MariaDB shows is what is known, but for the last digits of a float.
pub(crate) fn close(text: Option<&String>, known: Option<f64>) -> bool {
    match (text.map(|text| text.parse::<f64>().unwrap()), known) {
        (Some(is), Some(known)) => (is - known).abs() <= known.abs() * 1e-12,
        (is, known) => is == known,
    }
}

/// NULL where there is nothing below.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^53")]
pub(crate) fn ratio(above: Option<&u64>, below: Option<&u64>) -> Option<f64> {
    let below = *below?;
    (below > 0).then(|| above.copied().unwrap_or(0) as f64 / below as f64)
}

fn name(n: u64) -> String {
    match n {
        0 => "web.requests".to_owned(),
        4 => "web.status.500".to_owned(),
        8 => "shop.item.sold".to_owned(),
        12 => "shop.cart.filled".to_owned(),
        n if n.is_multiple_of(2) => format!("web.page.p{n}.views"),
        n => format!("shop.item.i{n}.sold"),
    }
}

fn mixed(a: u64, b: u64) -> u64 {
    let x = (a << 40) ^ b;
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A quarter of the names have counts in many minutes, the others in a few of each day, more or less than the sparse form takes.
fn counts(n: u64) -> Counts {
    let mut counts = Counts::new();
    for day in (TODAY_S - DAYS * DAY_S..=TODAY_S).step_by(86_400) {
        let silent_days = if n % 50 == 7 { 5 + n / 50 } else { 0 };
        if day > TODAY_S - silent_days * DAY_S {
            continue;
        }
        if n.is_multiple_of(4) {
            let free_of_8 = if n == 0 { 1 } else { 4 };
            let busy = |minute: &u64| mixed(n, *minute) % 8 >= free_of_8;
            let minutes = (day..day + DAY_S).step_by(60).filter(busy);
            counts.extend(minutes.map(|minute| (minute, 1 + mixed(minute, n) % (20 + minute / 3600 % 24))));
        } else {
            let minutes = (1..=mixed(n, day) % 12).map(|k| day + mixed(n, day + k) % 1440 * 60);
            counts.extend(minutes.map(|minute| (minute, 1 + mixed(minute, n) % 5)));
        }
    }
    let pause = TODAY_S - 3 * DAY_S + 36_000..TODAY_S - 3 * DAY_S + 43_200;
    counts.retain(|minute, _| *minute < NOW_S && !(n == 0 && pause.contains(minute)));
    counts
}

/// Writes what the keeper and replication would have written; returns the forms of packed days by shard.
async fn fill(root: &Server, names: &BTreeMap<String, Counts>) -> BTreeSet<(Shard, Form)> {
    let (mut days, mut minutes) = (BTreeMap::new(), BTreeMap::new());
    let mut forms = BTreeSet::new();
    let mut tags = Vec::new();
    let mut regions = BTreeMap::new();
    for (name, counts) in names {
        let id = EventId::of(name);
        tags.push(format!("({id},'{name}',{})", counts.len()));
        let mut by_day: BTreeMap<u64, Counts> = BTreeMap::new();
        for (&minute, &count) in counts {
            *regions.entry(minute).or_insert(0) += count;
            if minute >= TODAY_S - DAY_S {
                let row = format!("({id},'{}',{count})", datetime(minute));
                minutes.entry(Shard::of(id)).or_insert_with(Vec::new).push(row);
            } else {
                by_day
                    .entry(minute - minute % DAY_S)
                    .or_default()
                    .insert(minute, count);
            }
        }
        for (day, mut counts) in by_day {
            if name == "web.requests" && day == TODAY_S - 2 * DAY_S {
                minutes
                    .entry(Shard::of(id))
                    .or_default()
                    .extend(late(id, &mut counts));
            }
            let (form, text) = packed(day, &counts);
            forms.insert((Shard::of(id), form));
            let total: u64 = counts.values().sum();
            let text = text.replace('\\', r"\\").replace('\'', "''");
            let row = format!("('{}',{id},{total},'{text}')", date(day));
            days.entry(Shard::of(id)).or_insert_with(Vec::new).push(row);
        }
    }
    let mut conn = root.connect().await.unwrap();
    let mut insert = async |table: String, rows: &[String]| {
        let sql = format!("INSERT INTO {table} VALUES {}", rows.join(","));
        conn.query_drop(sql).await.unwrap();
    };
    insert("bigdata_0.EventTags".to_owned(), &tags).await;
    for (shard, rows) in &days {
        insert(format!("{shard}.EventDay"), rows).await;
    }
    for (shard, rows) in &minutes {
        insert(format!("{shard}.EventMinute"), rows).await;
    }
    let recent = regions.range(TODAY_S - 10 * DAY_S..);
    let of_regions: Vec<_> = recent
        .flat_map(|(&minute, &sum)| {
            let (eu, at) = (sum / 3, datetime(minute));
            [
                format!("('eu','{at}',{eu})"),
                format!("('us','{at}',{})", sum - eu),
            ]
        })
        .collect();
    insert("bigdata_0.RegionMinute".to_owned(), &of_regions).await;
    forms
}

/// Takes what came late out of a packed day: all of one minute, and a part of another. Returns it as rows.
fn late(id: EventId, counts: &mut Counts) -> Vec<String> {
    let (first, all) = counts.pop_first().unwrap();
    let (second, rest) = counts.iter_mut().find(|(_, count)| **count > 1).unwrap();
    *rest -= 1;
    [(first, all), (*second, 1)]
        .map(|(minute, count)| format!("({id},'{}',{count})", datetime(minute)))
        .to_vec()
}

/// The forms of `schema/central/shard_event_day.sql`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Pairs,
    /// As earlier versions wrote, and today's where counts are very far apart.
    Numbers,
    Digits,
}

/// A day's counts as text: of every other day with many minutes as numbers, as if an earlier version had packed it.
fn packed(day: u64, counts: &Counts) -> (Form, String) {
    const SPARSE_MINUTES_MAX: usize = 8;
    let minutes: Vec<u64> = (day..day + DAY_S)
        .step_by(60)
        .map(|minute| counts.get(&minute).copied().unwrap_or(0))
        .collect();
    if counts.len() <= SPARSE_MINUTES_MAX {
        let pairs = counts
            .iter()
            .map(|(minute, count)| format!("[{},{count}]", (minute - day) / 60));
        (Form::Pairs, format!("[{}]", pairs.collect::<Vec<_>>().join(",")))
    } else if (day / DAY_S).is_multiple_of(2) {
        (Form::Numbers, format!("{minutes:?}").replace(' ', ""))
    } else {
        (Form::Digits, digits(&minutes))
    }
}

/// The form of digits.
pub(crate) fn digits(minutes: &[u64]) -> String {
    let least = *minutes.iter().min().unwrap();
    let most = *minutes.iter().max().unwrap();
    let mut parts = vec![least.to_string()];
    let mut scale = 1;
    while parts.len() == 1 || (most - least) / scale > 0 {
        let digit = |count: &u64| char::from(b'#' + u8::try_from((count - least) / scale % 92).unwrap());
        let line: String = minutes.iter().map(digit).collect();
        parts.push(format!("\"{}\"", line.replace('\\', r"\\")));
        scale *= 92;
    }
    parts.join(",")
}

/// The sentence that a query is refused with.
pub(crate) async fn refusal(conn: &mut Conn, sql: &str) -> String {
    match conn.query_drop(sql).await {
        Err(mysql_async::Error::Server(error)) if error.state == "45000" => error.message,
        other => panic!("{sql}: {other:?}"),
    }
}
