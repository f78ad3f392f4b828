//! What clients know to be true, held against every answer of the api.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use model::Instant;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::rig::Rig;

/// Between two answers that are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Sums of the counts of keyed requests.
#[derive(Debug, Default)]
pub(crate) struct Truth(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Of all requests that were ever sent.
    sent: u64,
    /// When each request was acknowledged, at the latest.
    acknowledged: Vec<(Instant, u64)>,
    answers: u64,
    violation: Option<String>,
}

pub(crate) fn now() -> Instant {
    SystemTime::now().into()
}

impl Truth {
    pub(crate) fn sent(&self, count: u64) {
        self.0.lock().unwrap().sent += count;
    }

    pub(crate) fn acknowledged(&self, count: u64) {
        self.0.lock().unwrap().acknowledged.push((now(), count));
    }

    /// Answers that said until when they are complete.
    pub(crate) fn answers(&self) -> u64 {
        self.0.lock().unwrap().answers
    }

    pub(crate) fn violation(&self) -> Option<String> {
        self.0.lock().unwrap().violation.clone()
    }

    /// Looks at one answer after the other until `stop`, or until one is wrong.
    pub(crate) async fn watch(&self, rig: (reqwest::Client, String), stop: CancellationToken) {
        let (http, api) = rig;
        let url = format!("{api}/v1/series?name=load.**&from=2025-11-22&until=2025-11-23&step=1d");
        while !stop.is_cancelled() && self.violation().is_none() {
            // While the api or its database is away there is no answer, and none that could be wrong.
            if let Ok(response) = http.get(&url).send().await
                && response.status() == 200
                && let Ok(answer) = response.json().await
            {
                self.check(&answer);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    fn check(&self, answer: &Value) {
        let series = answer["series"].as_array().unwrap();
        let total: u64 = series.iter().filter_map(|one| one["total"].as_u64()).sum();
        let mut state = self.0.lock().unwrap();
        if total > state.sent {
            state.violation = Some(format!("{} counts were sent, but {total} are stored", state.sent));
        }
        let Some(until) = answer["complete_until"].as_f64() else {
            return;
        };
        let until = Instant::from_unix_s(until).unwrap();
        state.answers += 1;
        let before = state.acknowledged.iter().filter(|(at, _)| *at < until);
        let least: u64 = before.map(|(_, count)| count).sum();
        if total < least {
            state.violation = Some(format!(
                "an answer that is complete until {until} has {total} counts, but {least} were acknowledged before"
            ));
        }
    }
}

/// Whom to ask, and with what.
pub(crate) fn api(rig: &Rig) -> (reqwest::Client, String) {
    (crate::sender::client(), rig.description().api)
}
