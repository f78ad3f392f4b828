//! What clients know to be true, held against every answer of the api.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use model::Timestamp;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::rig::Rig;

/// Between two answers that are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Sums of the counts of keyed requests, client by client: what one client's requests have more must not hide what another's
/// lack.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    state: Mutex<State>,
    /// How far a centre's clock may be ahead, whichever of them answers.
    centre_ahead_ms: AtomicI64,
}

/// While it lives, a centre's clock is ahead.
pub(crate) struct CentreIsAhead<'a>(&'a AtomicI64, i64);

impl Drop for CentreIsAhead<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::SeqCst);
    }
}

#[derive(Debug, Default)]
struct State {
    clients: BTreeMap<String, Client>,
    answers: u64,
    violation: Option<String>,
}

#[derive(Debug, Default)]
struct Client {
    /// Of all requests that were ever sent.
    sent: u64,
    /// When each request was acknowledged, at the latest.
    acknowledged: Vec<(Timestamp, u64)>,
}

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

impl Truth {
    pub(crate) fn centre_is_ahead(&self, ahead_s: i32) -> CentreIsAhead<'_> {
        let ahead_ms = 1000 * i64::from(ahead_s);
        self.centre_ahead_ms.fetch_add(ahead_ms, Ordering::SeqCst);
        CentreIsAhead(&self.centre_ahead_ms, ahead_ms)
    }

    pub(crate) fn sent(&self, client: &str, count: u64) {
        let mut state = self.state.lock().unwrap();
        state.clients.entry(client.to_owned()).or_default().sent += count;
    }

    pub(crate) fn acknowledged(&self, client: &str, count: u64) {
        let mut state = self.state.lock().unwrap();
        let client = state.clients.entry(client.to_owned()).or_default();
        client.acknowledged.push((now(), count));
    }

    /// Answers that said until when they are complete.
    pub(crate) fn answers(&self) -> u64 {
        self.state.lock().unwrap().answers
    }

    pub(crate) fn violation(&self) -> Option<String> {
        self.state.lock().unwrap().violation.clone()
    }

    /// Looks at one answer after the other until `stop`, or until one is wrong.
    pub(crate) async fn watch(&self, rig: (reqwest::Client, String), stop: CancellationToken) {
        let (http, api) = rig;
        let url = format!("{api}/v1/series?name=load.**&from=2025-11-22&until=2025-11-23&step=1d");
        while !stop.is_cancelled() && self.violation().is_none() {
            // While the api or its database is away there is no answer, and none that could be wrong.
            if let Ok(response) = http.get(&url).send().await {
                let status = response.status().as_u16();
                match response.json().await {
                    Ok(answer) if status == 200 => self.check(&answer),
                    Ok(answer) if status != 503 => self.violated(format!("{status} {answer}")),
                    _ => {}
                }
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    fn violated(&self, why: String) {
        self.state.lock().unwrap().violation.get_or_insert(why);
    }

    fn check(&self, answer: &Value) {
        let stored = by_client(answer);
        let until = answer["complete_until"].as_f64();
        let ahead_ms = self.centre_ahead_ms.load(Ordering::SeqCst);
        let until = until.map(|unix_s| Timestamp::from_unix_s(unix_s).unwrap().plus_ms(-ahead_ms));
        let mut state = self.state.lock().unwrap();
        state.answers += u64::from(until.is_some());
        for (name, client) in &state.clients {
            let total = stored.get(name).copied().unwrap_or(0);
            let before = client
                .acknowledged
                .iter()
                .filter(|(at, _)| until.is_some_and(|until| *at < until));
            let least: u64 = before.map(|(_, count)| count).sum();
            if total > client.sent || total < least {
                let why = format!(
                    "an answer that is complete until {until:?} has {total} counts of {name}, of whom {least} were acknowledged before \
                     and {} ever sent",
                    client.sent
                );
                state.violation = Some(why);
                return;
            }
        }
    }
}

/// Sums by client, out of series named `load.<client>.<n>`.
fn by_client(answer: &Value) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for series in answer["series"].as_array().unwrap() {
        let name = series["name"].as_str().unwrap().strip_prefix("load.").unwrap();
        let (client, _) = name.rsplit_once('.').unwrap();
        *sums.entry(client.to_owned()).or_default() += series["total"].as_u64().unwrap();
    }
    sums
}

/// Whom to ask, and with what.
pub(crate) fn api(rig: &Rig) -> (reqwest::Client, String) {
    (crate::sender::client(), rig.description().api)
}
