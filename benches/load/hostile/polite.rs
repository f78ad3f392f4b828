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
use super::stalls::{Watches, stood_still, taken_by_host};
use crate::beside::Beside;
use crate::figures::{Durations, float, ms};
use crate::sender;

/// Requests a second.
const RATE: u32 = 100;

/// Seconds in which requests do not count: the first of a process are slower than the others.
const WARM_UP_S: u32 = 1;

/// Begins the line about the machine.
const MACHINE: &str = "machine";

/// What it was answered.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) took: Durations,
    /// The same, without the time in which the whole machine stood still.
    pub(super) took_running: Durations,
    /// How long the machine stood still, and for how long the host had its cores, all of them together.
    stood_still: Duration,
    taken_by_host: Duration,
    /// Answers by status, or by what went wrong.
    answers: BTreeMap<String, u64>,
}

impl Answered {
    pub(super) fn accepted_share(&self) -> f64 {
        let all: u64 = self.answers.values().sum();
        float(self.answers.get("202").copied().unwrap_or(0)) / float(all.max(1))
    }

    /// From the lines of a client: what it was answered, the microseconds that this took, and how many of them the machine stood still. The
    /// last line is what is said of the machine.
    fn of_lines(lines: &str) -> Result<Self> {
        let mut answered = Self {
            took: Durations::new()?,
            took_running: Durations::new()?,
            stood_still: Duration::ZERO,
            taken_by_host: Duration::ZERO,
            answers: BTreeMap::new(),
        };
        for line in lines.lines() {
            let mut parts = line.rsplitn(3, ' ');
            let mut time = || -> Result<Duration> {
                let us = parts.next().context("a line without its times")?;
                Ok(Duration::from_micros(us.parse()?))
            };
            let (second, first) = (time()?, time()?);
            let what = parts.next().context("a line that says nothing")?;
            if what == MACHINE {
                (answered.stood_still, answered.taken_by_host) = (first, second);
                continue;
            }
            *answered.answers.entry(what.to_owned()).or_insert(0) += 1;
            answered.took.record(first);
            answered.took_running.record(first.saturating_sub(second));
        }
        Ok(answered)
    }
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}, {}; the machine stood still for {}, without which p99 {} (its host took {} of all cores)",
            self.answers,
            self.took,
            ms(self.stood_still),
            ms(self.took_running.quantile(0.99)),
            ms(self.taken_by_host),
        )
    }
}

/// The round whose 99th percentile is the median, with the answers of all.
pub(super) fn median(mut rounds: Vec<Answered>) -> Answered {
    let mut answers = BTreeMap::new();
    for (answer, count) in rounds.iter().flat_map(|round| &round.answers) {
        *answers.entry(answer.clone()).or_insert(0) += count;
    }
    rounds.sort_by_key(|round| round.took_running.quantile(0.99));
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
        let watches = Watches::begin()?;
        let taken_before = taken_by_host()?;
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
                (number, answer, due, Instant::now())
            });
        }
        let answers = sending.join_all().await;
        let (taken, ended) = (taken_by_host()? - taken_before, Instant::now());
        let stalls = watches.end()?;
        for (number, answer, due, answered) in answers {
            if number >= WARM_UP_S * RATE {
                let stood_still = stood_still(&stalls, due, answered);
                let took = answered.duration_since(due);
                println!("{answer} {} {}", took.as_micros(), stood_still.as_micros());
            }
        }
        let stood_still = stood_still(&stalls, begun, ended);
        println!("{MACHINE} {} {}", stood_still.as_micros(), taken.as_micros());
        Ok(true)
    }
}
