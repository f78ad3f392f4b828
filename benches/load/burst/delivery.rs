//! A burst's requests, rendered before the clock starts, and the connections that deliver them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use tokio::task::JoinSet;

use super::Shape;
use crate::pipeline::Pipeline;
use crate::wire::{Response, Wire, post_head};
use crate::workload::Workload;

const PATH: &str = "/v1/events";

const CONTENT_TYPE: &str = "application/x-ndjson";

const UNKNOWN: &[u8] = br#""outcome":"unknown""#;

/// Pause before a refused request is sent again.
const REPETITION_PAUSE: Duration = Duration::from_millis(50);

/// A request that is refused for so long is given up.
const REPETITION_LIMIT: Duration = Duration::from_secs(180);

/// Everything is connected and rendered; nothing is sent yet.
pub(crate) struct Delivery {
    lanes: Vec<Lane>,
}

/// One connection, with one request at a time.
struct Lane {
    wire: Wire,
    queue: Arc<Queue>,
    keyed: bool,
    repeated: u64,
}

/// One collector's requests, taken in turn by its lanes.
struct Queue {
    requests: Vec<Request>,
    next: AtomicUsize,
}

pub(crate) struct Request {
    /// Head and body.
    text: Vec<u8>,
    events: usize,
}

/// Spreads requests and connections evenly over the collectors of all regions.
pub(crate) async fn prepare(pipeline: &Pipeline, workload: &Workload, shape: Shape) -> Result<Delivery> {
    let connections = usize::try_from(shape.connections)?;
    let bases = bases(pipeline, connections)?;
    let queues = render(&bases, workload, shape)?;
    Delivery::connect(&bases, queues, connections, shape.keyed).await
}

/// As many of the collectors as have a connection.
pub(crate) fn bases(pipeline: &Pipeline, connections: usize) -> Result<Vec<String>> {
    let mut bases: Vec<String> = pipeline.collectors().concat();
    bases.truncate(connections);
    ensure!(!bases.is_empty(), "there is no collector");
    Ok(bases)
}

/// The requests of each collector.
fn render(bases: &[String], workload: &Workload, shape: Shape) -> Result<Vec<Vec<Request>>> {
    let heads: Vec<String> = workload
        .names
        .iter()
        .map(|name| format!(r#"{{"name":"{}","count":"#, name.name))
        .collect();
    let tails: Vec<String> = workload
        .seconds()
        .iter()
        .map(|unix_s| format!(",\"timestamp\":{unix_s}}}\n"))
        .collect();
    // The names are the run's own, so the keys are, too.
    let run = workload.names.first().context("there is no name")?.name.as_str();
    let per_request = usize::try_from(shape.events_per_request)?;
    let mut queues: Vec<Vec<Request>> = bases.iter().map(|_| Vec::new()).collect();
    let mut events = workload.events().peekable();
    let mut body = Vec::new();
    let mut number = 0;
    while events.peek().is_some() {
        body.clear();
        let mut in_request = 0;
        for event in events.by_ref().take(per_request) {
            body.extend_from_slice(heads[event.name].as_bytes());
            // From 1 to 9.
            body.push(b'0' + u8::try_from(event.count)?);
            body.extend_from_slice(tails[event.second].as_bytes());
            in_request += 1;
        }
        let at = number % bases.len();
        let key = shape.keyed.then(|| format!("{run}/{number}"));
        queues[at].push(Request::new(&bases[at], key.as_deref(), &body, in_request));
        number += 1;
    }
    Ok(queues)
}

impl Request {
    /// `body` is NDJSON with so many events.
    pub(crate) fn new(base: &str, key: Option<&str>, body: &[u8], events: usize) -> Self {
        let mut text = post_head(base, PATH, CONTENT_TYPE, key, body.len()).into_bytes();
        text.extend_from_slice(body);
        Self { text, events }
    }
}

impl Delivery {
    /// Each collector's requests are sent in their order, over its share of the connections.
    pub(crate) async fn connect(
        bases: &[String],
        queues: Vec<Vec<Request>>,
        connections: usize,
        keyed: bool,
    ) -> Result<Self> {
        let queues: Vec<Arc<Queue>> = queues
            .into_iter()
            .map(|requests| {
                let next = AtomicUsize::new(0);
                Arc::new(Queue { requests, next })
            })
            .collect();
        let mut lanes = Vec::new();
        for (base, queue) in bases.iter().zip(&queues).cycle().take(connections) {
            lanes.push(Lane {
                wire: Wire::connect(base).await?,
                queue: queue.clone(),
                keyed,
                repeated: 0,
            });
        }
        Ok(Self { lanes })
    }

    /// Sends everything until it is acknowledged; how many requests were sent again.
    ///
    /// # Errors
    /// A request that was not acknowledged, or one without a key of which nobody knows whether it was counted.
    pub(crate) async fn run(self) -> Result<u64> {
        let mut running = JoinSet::new();
        for lane in self.lanes {
            running.spawn(lane.run());
        }
        let mut repeated = 0;
        while let Some(lane) = running.join_next().await {
            repeated += lane??;
        }
        Ok(repeated)
    }
}

impl Lane {
    async fn run(mut self) -> Result<u64> {
        let queue = self.queue.clone();
        while let Some(request) = queue.requests.get(queue.next.fetch_add(1, Ordering::Relaxed)) {
            self.deliver(request).await?;
        }
        Ok(self.repeated)
    }

    async fn deliver(&mut self, request: &Request) -> Result<()> {
        let begun = Instant::now();
        while !self.attempt(request).await? {
            ensure!(
                begun.elapsed() < REPETITION_LIMIT,
                "a request is not taken after {REPETITION_LIMIT:?}"
            );
            self.repeated += 1;
            tokio::time::sleep(REPETITION_PAUSE).await;
        }
        Ok(())
    }

    /// Whether it was acknowledged; if not, it may be sent again.
    async fn attempt(&mut self, request: &Request) -> Result<bool> {
        let answer = match self.wire.ask(&request.text).await {
            Ok(answer) => answer,
            Err(_) if self.keyed => return Ok(false),
            Err(error) => {
                return Err(error.context("nobody knows whether a request without a key was counted"));
            }
        };
        match answer.status {
            202 => {
                check_all_accepted(&answer, request.events)?;
                Ok(true)
            }
            429 | 503 if self.keyed || !is_unknown(&answer) => Ok(false),
            status => bail!("answered {status}: {}", String::from_utf8_lossy(answer.body)),
        }
    }
}

fn is_unknown(answer: &Response<'_>) -> bool {
    answer.body.windows(UNKNOWN.len()).any(|bytes| bytes == UNKNOWN)
}

fn check_all_accepted(answer: &Response<'_>, events: usize) -> Result<()> {
    #[derive(Deserialize)]
    struct Accepted {
        accepted: usize,
    }
    let Accepted { accepted } = serde_json::from_slice(answer.body)?;
    ensure!(
        accepted == events,
        "a collector rejected valid events: {}",
        String::from_utf8_lossy(answer.body)
    );
    Ok(())
}
