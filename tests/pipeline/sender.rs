//! A client under load: sends, retries as a client should, and keeps its ledger.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::ledger::Ledger;
use crate::rig::{Response, Rig, try_answer};
use crate::truth::Truth;

/// Pause before a repetition, as a client that ignores `Retry-After` would make.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Between the beginnings of two requests of one client: some hundred a second of all of them, which leaves the processors to the tests
/// beside.
const REQUEST_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) const EVENTS_PER_REQUEST: u64 = 20;

pub(crate) const FIRST_MINUTE: i64 = 1_763_787_600;

/// The last one that keyed requests count in.
pub(crate) const LAST_MINUTE: i64 = FIRST_MINUTE + 60 * (MINUTES - 1);

const MINUTES: i64 = 7;

/// Longest wait for an answer: a collector that hangs is given up, and what was sent to it is in doubt.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// What a sender did, for the test to follow.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    acknowledged: AtomicU64,
    refused: AtomicU64,
    /// What answers are held against.
    pub(crate) truth: Arc<Truth>,
}

impl Progress {
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// A keyed request that was acknowledged, to be sent again.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) key: String,
    pub(crate) events: Value,
}

/// Name, minute (unix seconds) and count of each event of a keyed request, the same each time.
pub(crate) fn keyed_rows(prefix: &str, number: u64) -> Vec<(String, i64, u64)> {
    let row = |n| {
        let minute = FIRST_MINUTE + 60 * (i64::try_from(number + n).unwrap() % MINUTES);
        (format!("load.{prefix}.{}", n % 5), minute, 1 + n)
    };
    (0..EVENTS_PER_REQUEST).map(row).collect()
}

pub(crate) fn as_events(rows: &[(String, i64, u64)]) -> Value {
    let event =
        |(name, at, count): &(String, i64, u64)| json!({"name": name, "timestamp": at, "count": count});
    rows.iter().map(event).collect()
}

/// Requests of a backlog, and events of each under names of their own: six times what a worker writes in one flush.
const BACKLOG_REQUESTS: usize = 60;
const BACKLOG_NAMES_PER_REQUEST: usize = 2_000;

/// Sends more than one flush can hold, for a queue that nobody empties meanwhile.
pub(crate) async fn post_backlog(rig: &Rig, region: &str, ledger: &mut Ledger) {
    for request in 0..BACKLOG_REQUESTS {
        let name = |n| format!("backlog.{request}.{n}");
        let names = || (0..BACKLOG_NAMES_PER_REQUEST).map(name);
        let events: Value = names()
            .map(|name| json!({ "name": name, "timestamp": FIRST_MINUTE }))
            .collect();
        rig.post_until_accepted(region, &events).await;
        names().for_each(|name| ledger.acknowledged(&name, FIRST_MINUTE, 1));
    }
}

fn pace() -> Interval {
    let mut pace = tokio::time::interval(REQUEST_INTERVAL);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

/// A client that gives up on an answer that does not come.
pub(crate) fn client(rig: &Rig) -> reqwest::Client {
    http_client::of_own(rig.description().ca.as_deref())
        .unwrap()
        .timeout(ANSWER_LIMIT)
        .build()
        .unwrap()
}

/// Sends keyed requests until `stop`, each repeated under its key until it is acknowledged, to the collectors in turn.
pub(crate) async fn send_keyed(
    http: reqwest::Client,
    collectors: Vec<String>,
    prefix: String,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> (Ledger, Vec<Sent>) {
    let mut ledger = Ledger::default();
    let mut sent = Vec::new();
    let mut pace = pace();
    for number in 0_u64.. {
        pace.tick().await;
        if stop.is_cancelled() {
            break;
        }
        let key = format!("{prefix}-{number}");
        let rows = keyed_rows(&prefix, number);
        let events = as_events(&rows);
        progress.truth.all_attempted(&rows);
        for attempt in 0.. {
            let url = format!("{}/v1/events", collectors[attempt % collectors.len()]);
            match try_answer(http.post(url).header("Idempotency-Key", &key).json(&events)).await {
                Ok(Response { status: 202, .. }) => break,
                Ok(Response {
                    status: 429 | 503,
                    retry_after: true,
                    ..
                })
                | Err(_) => {
                    progress.refused.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Ok(other) => panic!("unexpected {other:?}"),
            }
        }
        progress.truth.all_acknowledged(&rows);
        rows.iter()
            .for_each(|(name, minute, count)| ledger.acknowledged(name, *minute, *count));
        progress.acknowledged.fetch_add(1, Ordering::Relaxed);
        sent.push(Sent { key, events });
    }
    (ledger, sent)
}

/// Sends requests without a key until `stop`, each under names of its own and never again:
/// what was refused must not be counted, what is in doubt may be, once.
pub(crate) async fn send_unkeyed(
    http: reqwest::Client,
    collector: String,
    prefix: String,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Ledger {
    let mut ledger = Ledger::default();
    let minute = FIRST_MINUTE;
    let mut pace = pace();
    for number in 0_u64.. {
        pace.tick().await;
        if stop.is_cancelled() {
            break;
        }
        let name = format!("once.{prefix}.{number}");
        let request = http.post(format!("{collector}/v1/events"));
        progress.truth.attempted(&name, minute, 1);
        match try_answer(request.json(&json!({"name": name, "timestamp": minute}))).await {
            Ok(Response { status: 202, .. }) => {
                progress.truth.acknowledged(&name, minute, 1);
                ledger.acknowledged(&name, minute, 1);
                progress.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Response {
                status: 503, json, ..
            }) if json["outcome"] == "unknown" => ledger.doubtful(&name, minute, 1),
            Ok(Response {
                status: 429 | 503, ..
            }) => {
                progress.refused.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            Ok(other) => panic!("unexpected {other:?}"),
            Err(error) if error.is_connect() => tokio::time::sleep(RETRY_PAUSE).await,
            Err(_) => ledger.doubtful(&name, minute, 1),
        }
    }
    ledger
}
