//! The polite client: a hundred requests a second, whatever they take. It is a process of its own, as the hostile one is.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use gate::Secret;
use tokio::task::JoinSet;

use super::client::secret_of_input;
use crate::beside::Beside;
use crate::figures::{Durations, float};
use crate::sender;

/// Requests a second.
const RATE: u32 = 100;

/// Seconds in which requests do not count: the first of a process are slower than the others.
const WARM_UP_S: u32 = 1;

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

    /// From the lines of a client: what it was answered, and the microseconds that this took.
    fn of_lines(lines: &str) -> Result<Self> {
        let mut answered = Self {
            took: Durations::new()?,
            answers: BTreeMap::new(),
        };
        for line in lines.lines() {
            let (answer, us) = line.rsplit_once(' ').context("an answer without its time")?;
            *answered.answers.entry(answer.to_owned()).or_insert(0) += 1;
            answered.took.record(Duration::from_micros(us.parse()?));
        }
        Ok(answered)
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

/// What `hostile` starts beside itself.
#[derive(Debug, Args)]
pub(crate) struct PoliteClient {
    /// The collector's base address
    collector: String,
    /// Seconds that count
    seconds: u32,
    /// Whom it trusts beside what every client does
    ca: Option<PathBuf>,
}

impl PoliteClient {
    /// Sends to the collector at a base address for so many seconds.
    pub(super) async fn send(
        collector: &str,
        ca: Option<&Path>,
        secret: &Secret,
        seconds: u32,
    ) -> Result<Answered> {
        let seconds = seconds.to_string();
        let mut arguments = vec!["polite-client", collector, &seconds];
        arguments.extend(
            ca.map(|ca| ca.to_str().context("a path that is not UTF-8"))
                .transpose()?,
        );
        let mut client = Beside::timed_on_another_machine(&arguments).await?;
        client.say(secret.as_str()).await?;
        Answered::of_lines(&client.all_output().await?)
    }

    /// Reads the secret from the input, and sends an event in each of so many requests a second. A connection is used again, as web
    /// servers do. Then it says what each was answered, and after how many microseconds.
    pub(crate) async fn run(self) -> Result<bool> {
        let secret = secret_of_input()?;
        let client = sender::client(self.ca.as_deref())?;
        let url = format!("{}/v1/events", self.collector);
        let begun = Instant::now();
        let mut sending = JoinSet::new();
        for number in 0..(WARM_UP_S + self.seconds) * RATE {
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
                (number, answer, due.elapsed())
            });
        }
        for (number, answer, took) in sending.join_all().await {
            if number >= WARM_UP_S * RATE {
                println!("{answer} {}", took.as_micros());
            }
        }
        Ok(true)
    }
}
