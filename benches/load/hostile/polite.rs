//! The polite client: a hundred requests a second, whatever they take.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use gate::Secret;
use reqwest::Client;
use tokio::task::JoinSet;

use crate::figures::{Durations, float};

/// Requests a second.
const RATE: u32 = 100;

/// What it was answered.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) took: Durations,
    /// Answers by status, or by what went wrong.
    answers: BTreeMap<String, u64>,
}

impl Answered {
    pub(super) fn accepted_share(&self) -> f64 {
        let all: u64 = self.answers.values().sum();
        float(self.answers.get("202").copied().unwrap_or(0)) / float(all.max(1))
    }
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {}", self.answers, self.took)
    }
}

/// The round whose 99th percentile is the median, with the answers of all.
pub(super) fn median(mut rounds: Vec<Answered>) -> Answered {
    let mut answers = BTreeMap::new();
    for (answer, count) in rounds.iter().flat_map(|round| &round.answers) {
        *answers.entry(answer.clone()).or_insert(0) += count;
    }
    rounds.sort_by_key(|round| round.took.quantile(0.99));
    let middle = rounds.swap_remove(rounds.len() / 2);
    Answered { answers, ..middle }
}

/// Sends an event in each of so many requests a second. A connection is used again, as web servers do.
pub(super) async fn send(
    client: &Client,
    collector: &str,
    secret: &Secret,
    time: Duration,
) -> Result<Answered> {
    let url = format!("{collector}/v1/events");
    let begun = Instant::now();
    let requests = u32::try_from(time.as_secs())? * RATE;
    let mut sending = JoinSet::new();
    for number in 0..requests {
        let due = begun + Duration::from_secs(1) / RATE * number;
        tokio::time::sleep_until(due.into()).await;
        let event = serde_json::json!({ "name": format!("polite.{}", number % 50) });
        let request = client.post(&url).bearer_auth(secret.as_str()).json(&event);
        sending.spawn(async move {
            // From when it was due: what waits for a busy machine waits, too.
            let answer = match request.send().await {
                Ok(response) => response.status().as_u16().to_string(),
                Err(error) if error.is_timeout() => "timeout".to_owned(),
                Err(_) => "no answer".to_owned(),
            };
            (answer, due.elapsed())
        });
    }
    let mut answered = Answered {
        took: Durations::new()?,
        answers: BTreeMap::new(),
    };
    while let Some(done) = sending.join_next().await {
        let (answer, took) = done?;
        *answered.answers.entry(answer).or_insert(0) += 1;
        answered.took.record(took);
    }
    Ok(answered)
}
