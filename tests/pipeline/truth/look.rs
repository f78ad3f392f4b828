//! Readers of every kind, who look again and again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use model::{EventId, Shard, Timestamp};
use mysql_async::prelude::Queryable;
use playground::Database;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Answer, Key, Scope, Truth};
use crate::complete::complete_until;
use crate::rig::Rig;
use crate::sender::{FIRST_MINUTE, LAST_MINUTE, client};

/// Between two answers that one reader looks at.
const LOOK_INTERVAL: Duration = Duration::from_millis(150);

/// Longest wait for a database's answer: one that hangs says nothing that could be wrong.
const SQL_LIMIT: Duration = Duration::from_secs(5);

/// The names that keyed requests count under.
const KEYED: &str = "load.";

const SERIES: &str = "the api";
const RENDER: &str = "/render";

/// The readers of the databases, each of one server.
const SQL_READERS: [&str; 3] = [
    "SQL at the first server",
    "SQL at the second server",
    "SQL at the third server",
];

/// How much later than its counts a name may come.
const NAMES_LATE_MS_MAX: i64 = 10_000;

/// How far two centres may be apart in what they say of one instant: each has compared the regions' clocks with its own.
const CENTRES_APART_MS: i64 = 1_000;

/// A client that remembers what it was told, under a name of its own.
enum Reader {
    Series(Http),
    Render(Http),
    Sql(&'static str, Database),
}

/// Starts readers of everything that the rig has, who end with `stop`, or when an answer was wrong.
pub(crate) fn watch(rig: &Rig, truth: &Arc<Truth>, stop: &CancellationToken) -> JoinSet<()> {
    let (description, regions) = (rig.description(), rig.regions().len());
    let http = Http {
        client: client(rig),
        api: description.api.clone(),
        falls_ms_max: if !description.central_servers.is_empty() {
            // Each answer's is that of the servers that it was read from, of which one may be behind.
            i64::MAX
        } else if description.standby.is_some() {
            CENTRES_APART_MS
        } else {
            0
        },
    };
    let by_sql = SQL_READERS
        .into_iter()
        .zip(description.servers_of_centres().flatten());
    let by_sql = by_sql.map(|(name, (server, _))| Reader::Sql(name, server.clone()));
    let readers = [Reader::Series(http.clone()), Reader::Render(http)];
    let readers: Vec<_> = readers.into_iter().chain(by_sql).collect();
    truth.watched_by(readers.iter().map(Reader::name).collect());
    let watch = |reader: Reader| {
        let (truth, stop) = (truth.clone(), stop.clone());
        async move {
            while !stop.is_cancelled() && truth.violation().is_none() {
                reader.look(&truth, regions).await;
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        }
    };
    readers.into_iter().map(watch).collect()
}

impl Reader {
    fn name(&self) -> &'static str {
        match self {
            Self::Series(_) => SERIES,
            Self::Render(_) => RENDER,
            Self::Sql(name, ..) => name,
        }
    }

    async fn look(&self, truth: &Truth, regions: usize) {
        match self {
            Self::Series(http) => http.series(truth).await,
            Self::Render(http) => http.render(truth).await,
            Self::Sql(name, database) => {
                // A database that is away, or hangs, has no answer.
                let answer = tokio::time::timeout(SQL_LIMIT, by_sql(database, truth, regions)).await;
                if let Ok(Ok(answer)) = answer {
                    truth.check(name, answer);
                }
            }
        }
    }
}

#[derive(Clone)]
struct Http {
    client: reqwest::Client,
    api: String,
    falls_ms_max: i64,
}

impl Http {
    /// The answer, unless the api or its database is away.
    async fn get(&self, truth: &Truth, path: &str, query: &[(&str, String)]) -> Option<Value> {
        let request = self.client.get(format!("{}{path}", self.api)).query(query);
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        let text = response.text().await.ok()?;
        match status {
            200 => Some(serde_json::from_str(&text).unwrap()),
            503 => None,
            _ => {
                truth.violated(format!("{path} answers {status} {text}"));
                None
            }
        }
    }

    /// What comes again and again, then what was sent once and lately.
    async fn series(&self, truth: &Truth) {
        let newest = truth.newest();
        let scopes = [Scope::Prefix(KEYED), Scope::Names(newest)];
        for asked in scopes {
            let mut query = from(FIRST_MINUTE);
            query.push(("step", "1m".to_owned()));
            match &asked {
                Scope::Prefix(prefix) => query.push(("name", format!("{prefix}**"))),
                Scope::Names(names) if names.is_empty() => return,
                Scope::Names(names) => query.extend(names.iter().map(|name| ("name", name.clone()))),
            }
            let Some(answer) = self.get(truth, "/v1/series", &query).await else {
                continue;
            };
            let mut counts = HashMap::new();
            for series in answer["series"].as_array().unwrap() {
                let name = series["name"].as_str().unwrap();
                for point in series["points"].as_array().unwrap() {
                    add(&mut counts, name, &point[0], &point[1]);
                }
            }
            let answer = Answer {
                counts,
                complete_until: complete_until(&answer),
                asked,
                falls_ms_max: self.falls_ms_max,
            };
            truth.check(SERIES, answer);
        }
    }

    /// Graphite has no word for completeness: what the same client was told a moment before holds for what it gets now.
    async fn render(&self, truth: &Truth) {
        let Some(status) = self.get(truth, "/v1/status", &[]).await else {
            return;
        };
        // Graphite's first instant is not in its answer.
        let mut query = from(FIRST_MINUTE - 60);
        query.push(("target", format!("{KEYED}*.*.*")));
        query.push(("format", "json".to_owned()));
        let Some(answer) = self.get(truth, "/render", &query).await else {
            return;
        };
        let complete_until = complete_until(&status);
        // A name may come a moment later than its counts; then it stays.
        let mut names = truth.seen_by(RENDER);
        if let Some(until) = complete_until {
            names.extend(truth.names_by(KEYED, until.plus_ms(-NAMES_LATE_MS_MAX)));
        }
        let mut counts = HashMap::new();
        for series in answer.as_array().unwrap() {
            let name = series["target"].as_str().unwrap();
            names.push(name.to_owned());
            for point in series["datapoints"].as_array().unwrap() {
                add(&mut counts, name, &point[1], &point[0]);
            }
        }
        let answer = Answer {
            counts,
            complete_until,
            asked: Scope::Names(names),
            falls_ms_max: self.falls_ms_max,
        };
        truth.check(RENDER, answer);
    }
}

/// To the end of the last minute that is counted in.
fn from(minute: i64) -> Vec<(&'static str, String)> {
    vec![
        ("from", minute.to_string()),
        ("until", (LAST_MINUTE + 60).to_string()),
    ]
}

fn add(counts: &mut HashMap<Key, u64>, name: &str, minute: &Value, count: &Value) {
    if let Some(count) = count.as_u64().filter(|&count| count > 0) {
        counts.insert((name.to_owned(), minute.as_i64().unwrap()), count);
    }
}

/// What an analyst reads at a server, of one snapshot: of the shards that are whole there.
async fn by_sql(database: &Database, truth: &Truth, regions: usize) -> Result<Answer, mysql_async::Error> {
    let mut names = [truth.names(KEYED), truth.newest()].concat();
    let mut conn = database
        .root()
        .connect()
        .await
        .map_err(|error| mysql_async::Error::Other(error.into()))?;
    conn.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        .await?;
    let whole: HashSet<u8> = conn
        .query_map("SELECT shard FROM eventtracker.OwnShard WHERE isWhole", |shard| {
            shard
        })
        .await?
        .into_iter()
        .collect();
    names.retain(|name| whole.contains(&Shard::of(EventId::of(name)).number()));
    let ids: HashMap<u64, &String> = names.iter().map(|name| (EventId::of(name).0, name)).collect();
    let claims: Vec<Option<f64>> = conn
        .query("SELECT complete_until_unix FROM eventtracker.region_health")
        .await?;
    let list: Vec<String> = ids.keys().map(u64::to_string).collect();
    let rows: Vec<(u64, i64, u64)> = match list.is_empty() {
        true => Vec::new(),
        false => {
            conn.query(format!(
                "SELECT eventId, unixSeconds, CAST(SUM(count) AS UNSIGNED) FROM eventtracker.event_minutes \
                 WHERE eventId IN ({}) GROUP BY eventId, unixSeconds",
                list.join(",")
            ))
            .await?
        }
    };
    conn.disconnect().await?;
    let claims: Option<Vec<f64>> = claims.into_iter().collect();
    let least = claims
        .filter(|claims| claims.len() == regions)
        .and_then(|claims| claims.into_iter().reduce(f64::min));
    let counts = rows
        .into_iter()
        .map(|(id, minute, count)| ((ids[&id].clone(), minute), count));
    Ok(Answer {
        counts: counts.collect(),
        complete_until: least.map(|unix_s| Timestamp::from_unix_s(unix_s).unwrap()),
        asked: Scope::Names(names),
        falls_ms_max: 0,
    })
}
