//! A client under load: sends, retries as a client should, and keeps its ledger.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::ledger::Ledger;
use crate::rig::{Answer, try_answer};

/// Pause before a repetition, as a client that ignores `Retry-After` would make.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

const EVENTS_PER_REQUEST: u64 = 20;

/// What a sender did, for the test to follow.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) acknowledged: AtomicU64,
    pub(crate) refused: AtomicU64,
}

/// A keyed request that was acknowledged, to be sent again.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) key: String,
    pub(crate) events: Value,
}

/// Sends keyed requests until `stop`, each repeated under its key until it is acknowledged, to the collectors in turn.
pub(crate) async fn send_keyed(
    collectors: Vec<String>,
    prefix: String,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> (Ledger, Vec<Sent>) {
    let http = reqwest::Client::new();
    let mut ledger = Ledger::default();
    let mut sent = Vec::new();
    for number in 0_u64.. {
        if stop.is_cancelled() {
            break;
        }
        let key = format!("{prefix}-{number}");
        let rows: Vec<(String, i64, u64)> = (0..EVENTS_PER_REQUEST)
            .map(|n| {
                let minute = 1_763_787_600 + 60 * i64::try_from((number + n) % 7).unwrap();
                (format!("load.{prefix}.{}", n % 5), minute, 1 + n)
            })
            .collect();
        let events: Value = rows
            .iter()
            .map(|(name, at, count)| json!({"name": name, "timestamp": at, "count": count}))
            .collect();
        for attempt in 0.. {
            let url = format!("{}/v1/events", collectors[attempt % collectors.len()]);
            match try_answer(http.post(url).header("Idempotency-Key", &key).json(&events)).await {
                Ok(Answer { status: 202, .. }) => break,
                Ok(Answer {
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
    collector: String,
    prefix: String,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Ledger {
    let http = reqwest::Client::new();
    let mut ledger = Ledger::default();
    let minute = 1_763_787_600;
    for number in 0_u64.. {
        if stop.is_cancelled() {
            break;
        }
        let name = format!("once.{prefix}.{number}");
        let request = http.post(format!("{collector}/v1/events"));
        match try_answer(request.json(&json!({"name": name, "timestamp": minute}))).await {
            Ok(Answer { status: 202, .. }) => {
                ledger.acknowledged(&name, minute, 1);
                progress.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Answer {
                status: 503, json, ..
            }) if json["outcome"] == "unknown" => ledger.doubtful(&name, minute, 1),
            Ok(Answer {
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
