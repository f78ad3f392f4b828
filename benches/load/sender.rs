//! Sends events on a fixed schedule, whatever the answers take: what cannot be sent in time is sent late, and the
//! lateness is measured.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::SeedableRng;
use rand::rngs::StdRng;
use reqwest::StatusCode;
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::events::{Name, Request};
use crate::figures::Durations;
use crate::ledger::Ledger;

/// Requests in progress in one region. A collector takes 256 from one address and would answer 429 above.
const IN_PROGRESS_PER_REGION_MAX: u32 = 64;

/// Longest wait for an answer: collectors give up after 25 s.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Tries of a request with a key, which is counted once however often it is sent.
const KEYED_ATTEMPTS_MAX: u32 = 10;
const KEYED_PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) events_per_s: u32,
    pub(crate) seconds: u32,
    pub(crate) events_per_request: u32,
    /// Whether requests have an idempotency key, and are repeated until they are acknowledged.
    pub(crate) keyed: bool,
    pub(crate) names: Arc<[Name]>,
}

/// What became of the plan.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) ledger: Ledger,
    /// Events acknowledged.
    pub(crate) events: u64,
    pub(crate) begun: Instant,
    pub(crate) last_acknowledged: Instant,
    planned: Duration,
    /// How much after their scheduled time requests were sent.
    pub(crate) late: Durations,
    /// From sending to the final answer.
    pub(crate) answered: Durations,
    /// Answers by status.
    pub(crate) answers: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Acknowledged,
    /// Nothing of the request was counted.
    Refused,
    InDoubt,
}

/// One region's part of the requests, taken in turn by its lanes.
#[derive(Debug)]
struct Schedule {
    begun: Instant,
    interval: Duration,
    requests: u32,
    next: AtomicU32,
    /// Every region sends each such number of requests.
    stride: u32,
}

impl Schedule {
    fn next(&self) -> Option<(u32, Instant)> {
        let number = self.next.fetch_add(self.stride, Ordering::Relaxed);
        (number < self.requests).then(|| (number, self.begun + self.interval * number))
    }
}

/// Sends to all regions in turn until the plan is done and every request has its answer.
///
/// # Errors
/// A collector rejected events, all of which are valid.
pub(crate) async fn send(plan: Plan, collectors: Vec<Vec<String>>) -> Result<Sent> {
    let begun = Instant::now();
    let stride = u32::try_from(collectors.len())?;
    let client = client(None)?;
    let mut lanes = JoinSet::new();
    for (first, urls) in (0..).zip(&collectors) {
        let schedule = Arc::new(Schedule {
            begun,
            interval: Duration::from_secs(plan.events_per_request.into()) / plan.events_per_s,
            requests: plan.events_per_s * plan.seconds / plan.events_per_request,
            next: AtomicU32::new(first),
            stride,
        });
        for (_, url) in (0..IN_PROGRESS_PER_REGION_MAX).zip(urls.iter().cycle()) {
            let lane = Lane {
                client: client.clone(),
                url: format!("{url}/v1/events"),
                plan: plan.clone(),
                schedule: schedule.clone(),
                sent: Sent::nothing(begun, &plan)?,
            };
            lanes.spawn(lane.run());
        }
    }
    let mut sent = Sent::nothing(begun, &plan)?;
    while let Some(lane) = lanes.join_next().await {
        sent.merge(&lane??)?;
    }
    Ok(sent)
}

/// A client of roles, with the authority of their certificates, if they have some.
pub(crate) fn client(ca: Option<&Path>) -> Result<reqwest::Client> {
    http_client::of_own(ca)?
        .timeout(ANSWER_LIMIT)
        .build()
        .context("failed to make an HTTP client")
}

/// One request at a time.
struct Lane {
    client: reqwest::Client,
    url: String,
    plan: Plan,
    schedule: Arc<Schedule>,
    sent: Sent,
}

impl Lane {
    async fn run(mut self) -> Result<Sent> {
        let mut rng = StdRng::seed_from_u64(rand::random());
        while let Some((number, due)) = self.schedule.next() {
            let request = Request::of(&self.plan.names, self.plan.events_per_request, &mut rng)?;
            tokio::time::sleep_until(due.into()).await;
            self.sent.late.record(due.elapsed());
            let sending = Instant::now();
            let fate = self.deliver(&request, number).await?;
            self.sent.answered.record(sending.elapsed());
            match fate {
                Fate::Acknowledged => {
                    self.sent.ledger.acknowledge(&request.rows);
                    self.sent.events += request.rows.len() as u64;
                    self.sent.last_acknowledged = Instant::now();
                }
                Fate::InDoubt => self.sent.ledger.doubt(&request.rows),
                Fate::Refused => {}
            }
        }
        Ok(self.sent)
    }

    async fn deliver(&mut self, request: &Request, number: u32) -> Result<Fate> {
        if !self.plan.keyed {
            return self.attempt(request, None).await;
        }
        // The names are the run's own, so this is a key of its own, too.
        let run = self
            .plan
            .names
            .first()
            .map(|name| name.name.as_str())
            .unwrap_or_default();
        let key = format!("{run}/{number}");
        let mut last = Fate::Refused;
        for _ in 0..KEYED_ATTEMPTS_MAX {
            match self.attempt(request, Some(&key)).await? {
                Fate::Acknowledged => return Ok(Fate::Acknowledged),
                Fate::InDoubt => last = Fate::InDoubt,
                Fate::Refused => {}
            }
            tokio::time::sleep(KEYED_PAUSE).await;
        }
        Ok(last)
    }

    async fn attempt(&mut self, request: &Request, key: Option<&str>) -> Result<Fate> {
        let mut post = self
            .client
            .post(&self.url)
            .header("content-type", "application/x-ndjson")
            .body(request.body.clone());
        if let Some(key) = key {
            post = post.header("idempotency-key", key);
        }
        let (label, fate) = match answer(post).await {
            Ok((status, body)) => verdict(status, &body, request.rows.len())?,
            Err(_) => ("no answer".to_owned(), Fate::InDoubt),
        };
        *self.sent.answers.entry(label).or_default() += 1;
        Ok(fate)
    }
}

async fn answer(post: reqwest::RequestBuilder) -> reqwest::Result<(StatusCode, String)> {
    let response = post.send().await?;
    Ok((response.status(), response.text().await?))
}

/// A collector's answer and what it means: only `"outcome":"unknown"` leaves open whether something was counted.
fn verdict(status: StatusCode, body: &str, events: usize) -> Result<(String, Fate)> {
    #[derive(Deserialize)]
    struct Accepted {
        accepted: usize,
    }
    let label = status.as_str().to_owned();
    if status == StatusCode::ACCEPTED {
        let Accepted { accepted } = serde_json::from_str(body)?;
        ensure!(accepted == events, "a collector rejected valid events: {body}");
        return Ok((label, Fate::Acknowledged));
    }
    if body.contains(r#""outcome":"unknown""#) {
        return Ok((format!("{label} unknown"), Fate::InDoubt));
    }
    Ok((label, Fate::Refused))
}

impl Sent {
    fn nothing(begun: Instant, plan: &Plan) -> Result<Self> {
        Ok(Self {
            ledger: Ledger::default(),
            events: 0,
            begun,
            last_acknowledged: begun,
            planned: Duration::from_secs(plan.seconds.into()),
            late: Durations::new()?,
            answered: Durations::new()?,
            answers: BTreeMap::new(),
        })
    }

    fn merge(&mut self, other: &Self) -> Result<()> {
        self.ledger.merge(&other.ledger);
        self.events += other.events;
        self.last_acknowledged = self.last_acknowledged.max(other.last_acknowledged);
        self.late.merge(&other.late)?;
        self.answered.merge(&other.answered)?;
        for (label, count) in &other.answers {
            *self.answers.entry(label.clone()).or_default() += count;
        }
        Ok(())
    }

    /// From the first request to the last acknowledgement; at least as long as was planned, since a rate counts the
    /// pause after the last request, too.
    pub(crate) fn took(&self) -> Duration {
        (self.last_acknowledged - self.begun).max(self.planned)
    }
}
