//! The handler of `POST /v1/events`: from a request to its reply.
//!
//! A request is admitted, received, unpacked, read, gathered with others and then waits until all jobs that hold its counts are on disk.
//! Whatever fails before the counts are gathered leaves nothing behind; whatever fails later is told apart by [`Outcome`].

#![expect(clippy::disallowed_methods, reason = "an event without a time is of now")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use listener::{Hosts, Sender, Share, Shares, Tokens};
use metrics::Counter;
use model::{Client, Event, Minute};
use queue::Counts;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::admission::Backpressure;
use crate::body::{self, BodyMemory, Received};
use crate::combiner::{Combiner, Counted, Outcome, Ticket};
use crate::events::{self, Refusal};
use crate::limits::EVENTS_MAX;
use crate::pieces::Pieces;
use crate::reply::{Rejected, Reply};
use crate::request::{Encoding, RequestHead};

/// Longest wait for a request's jobs to be stored; beyond it their outcome is unknown to the client.
const STORE_LIMIT: Duration = Duration::from_secs(25);

// A shutdown waits for longer than a request waits for its jobs.
const _: () = assert!(STORE_LIMIT.as_secs() < listener::DRAIN_LIMIT.as_secs());

/// Most bodies unpacked and parsed at once: each may take 8 MiB and a core.
const DECODES_MAX: usize = 2;

/// Most bytes of a body, not compressed, that takes less time to read than to hand to another thread.
const READ_AT_ONCE_BYTES_MAX: usize = 16 << 10;

/// Bytes of a body's text for each sum that there is room for from the beginning: enough where every second event is of another name
/// or minute.
const TEXT_BYTES_PER_COUNT: usize = 128;

/// The state that all requests share.
pub(crate) struct Collector {
    combiner: Arc<Combiner>,
    tokens: Tokens,
    hosts: Hosts,
    shares: Shares,
    body_memory: BodyMemory,
    decodes: Arc<Semaphore>,
    body_timeout: Duration,
    draining: CancellationToken,
    counters: Counters,
}

/// The metrics that nearly every request counts, looked up once.
struct Counters {
    requests_accepted: Counter,
    events_accepted: Counter,
    events_rejected: Counter,
}

impl Collector {
    pub(crate) fn new(
        config: &Config,
        tokens: Tokens,
        hosts: Hosts,
        combiner: Arc<Combiner>,
        draining: CancellationToken,
    ) -> Self {
        Self {
            combiner,
            tokens,
            hosts,
            shares: Shares::new(config.requests_per_client_max),
            body_memory: BodyMemory::new(),
            decodes: Arc::new(Semaphore::new(DECODES_MAX)),
            body_timeout: config.body_timeout(),
            draining,
            counters: Counters {
                requests_accepted: requests("202"),
                events_accepted: metrics::counter!("collector_events_accepted_total"),
                events_rejected: metrics::counter!("collector_events_rejected_total"),
            },
        }
    }
}

/// The metric of requests that were answered with `status`.
fn requests(status: &'static str) -> Counter {
    metrics::counter!("collector_requests_total", "status" => status)
}

/// The routes of the collector: `POST /v1/events`, and JSON errors for everything else.
pub(crate) fn routes(collector: Arc<Collector>) -> Router {
    Router::new()
        .route("/v1/events", post(post_events).with_state(collector))
        .route("/books", get(async || Json(queue::BOOKS.figures())))
        .fallback(async || {
            error(
                StatusCode::NOT_FOUND,
                "no such path: events go to POST /v1/events",
            )
        })
        .method_not_allowed_fallback(async || {
            error(StatusCode::METHOD_NOT_ALLOWED, "method not allowed here")
        })
}

fn error(status: StatusCode, text: &'static str) -> Response {
    (status, axum::Json(serde_json::json!({ "error": text }))).into_response()
}

async fn post_events(
    State(collector): State<Arc<Collector>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let reply = collector
        .clone()
        .handle(peer, &head.headers, body)
        .await
        .unwrap_or_else(|refusal| refusal);
    let counters = &collector.counters;
    match &reply {
        Reply::Accepted { accepted, rejected } => {
            counters.requests_accepted.increment(1);
            counters.events_accepted.increment(*accepted as u64);
            counters.events_rejected.increment(rejected.total() as u64);
        }
        Reply::AllRejected(rejected) => {
            requests(reply.label()).increment(1);
            counters.events_rejected.increment(rejected.total() as u64);
        }
        _ => requests(reply.label()).increment(1),
    }
    reply.into_response()
}

/// The sender of a request that may be read.
struct Admitted {
    /// The name of the client's token, or the client's address.
    client: String,
    /// The secret of the client's token, empty without one: two clients may use the same idempotency key.
    secret: Vec<u8>,
    share: Share,
}

/// A request whose counts were gathered and are on their way into the queue.
struct Submitted {
    /// The number of events that count.
    accepted: usize,
    rejected: Rejected,
    /// The outcome to wait for; `None` where nothing counts.
    ticket: Option<Ticket>,
}

impl Collector {
    /// The reply to a request; refusals are errors.
    async fn handle(
        self: Arc<Self>,
        peer: SocketAddr,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Reply, Reply> {
        if self.draining.is_cancelled() {
            return Err(Reply::Unavailable("the collector is shutting down"));
        }
        // Before the body is received: a stranger's body takes no memory, and a client's share bounds those that wait.
        let admitted = self.admit(peer, headers)?;
        let head = RequestHead::of(headers)?;
        let received = self.body_memory.receive(body, self.body_timeout).await?;
        let is_short = head.encoding == Encoding::Identity && received.bytes.len() <= READ_AT_ONCE_BYTES_MAX;
        let (submitted, _share) = if is_short {
            (self.submit(&received, &head, &admitted)?, admitted.share)
        } else {
            // Announced before the wait for a turn, so that the counts of many large requests share their jobs.
            let reading = self.combiner.reading();
            let turn = self.decodes.clone().acquire_owned().await;
            // Unpacking and parsing take milliseconds of pure computation: not on a thread that serves connections.
            // The turn and the share go along, since the work goes on when the client has left.
            let work = move || {
                let submitted = self.submit(&received, &head, &admitted);
                drop((turn, reading));
                submitted.map(|submitted| (submitted, admitted.share))
            };
            tokio::task::spawn_blocking(work).await.map_err(|error| {
                tracing::error!(%error, "a request could not be read");
                Reply::Unknown
            })??
        };
        match stored(submitted.ticket, submitted.accepted).await {
            Outcome::Stored if submitted.accepted == 0 && submitted.rejected.total() > 0 => {
                Err(Reply::AllRejected(submitted.rejected))
            }
            Outcome::Stored => Ok(Reply::Accepted {
                accepted: submitted.accepted,
                rejected: submitted.rejected,
            }),
            Outcome::NotStored => Err(Reply::Unavailable("the queue did not take the events")),
            Outcome::Unknown => Err(Reply::Unknown),
        }
    }

    /// Checks the token, or without tokens the page that sends, and takes one request of the client's share. With tokens, the page
    /// need not be checked: a browser sends no `Authorization` header for another site's page without asking first.
    fn admit(&self, peer: SocketAddr, headers: &HeaderMap) -> Result<Admitted, Reply> {
        let (client, secret) = match self.tokens.sender(headers).ok_or(Reply::Unauthorized)? {
            Sender::Token(token) => (token.name.clone(), token.secret.clone().into_bytes()),
            Sender::Anonymous if self.hosts.is_of_foreign_page(headers) => return Err(Reply::ForeignPage),
            Sender::Anonymous => (peer.ip().to_string(), Vec::new()),
        };
        Ok(Admitted {
            share: self.shares.take(client.clone()).ok_or(Reply::ShareUsedUp)?,
            client,
            secret,
        })
    }

    /// Unpacks and reads a body, and adds its counts to those that wait for the queue.
    fn submit(
        &self,
        received: &Received,
        head: &RequestHead,
        admitted: &Admitted,
    ) -> Result<Submitted, Reply> {
        let now = SystemTime::now().into();
        // A machine that was switched on and has not synchronised its clock yet. Events that were refused as the client's fault would
        // be lost; a 503 is tried again.
        if Minute::containing(now).is_err() {
            return Err(Reply::Unavailable(
                "the collector's clock is wrong: no event can be dated by it",
            ));
        }
        let body = body::unpack(head.encoding, &received.bytes)?;
        let text = events::text(head.format, &body)?;
        let (mut read, mut rejected) = (0, Rejected::default());
        let mut verdict = |event: &Result<Event<'_>, Refusal>| {
            if let Err(refusal) = event {
                rejected.push(read, refusal);
            }
            read += 1;
        };
        let counted = match &head.key {
            Some(key) => {
                let client = Client::of(&admitted.client);
                let mut pieces = Pieces::new(&client, &admitted.secret, key);
                events::read(head.format, &text, now, true, |parsed| {
                    verdict(&parsed.event);
                    pieces.add(&parsed);
                })?;
                Counted::Keyed(pieces.into_keyed())
            }
            None => {
                let mut counts = Counts::with_capacity(EVENTS_MAX.min(text.len() / TEXT_BYTES_PER_COUNT));
                events::read(head.format, &text, now, false, |parsed| {
                    verdict(&parsed.event);
                    if let Ok(event) = parsed.event {
                        counts.add(&event.name, event.minute, event.count);
                    }
                })?;
                Counted::Unkeyed(counts)
            }
        };
        // Added only after the whole body was read: a body that is refused halfway must not have counted in part.
        let accepted = read - rejected.total();
        Ok(Submitted {
            accepted,
            rejected,
            ticket: self.combiner.add(counted).map_err(unavailable)?,
        })
    }
}

/// The refusal of a request whose counts were not taken.
fn unavailable(reason: Backpressure) -> Reply {
    Reply::Unavailable(match reason {
        Backpressure::Full => "the queue is full",
        Backpressure::QueueAway => "the queue is away",
    })
}

/// Waits for the jobs that hold a request's counts. A request of which events were accepted, and which has no ticket, is as unknown as
/// one whose reply from the queue was lost, and so is one that has waited for [`STORE_LIMIT`]: its jobs may still be put.
async fn stored(ticket: Option<Ticket>, accepted: usize) -> Outcome {
    let Some(mut ticket) = ticket else {
        return if accepted == 0 {
            Outcome::Stored
        } else {
            Outcome::Unknown
        };
    };
    let outcome = tokio::time::timeout(STORE_LIMIT, ticket.wait_for(Option::is_some)).await;
    outcome
        .ok()
        .and_then(|told| told.ok().and_then(|outcome| *outcome))
        .unwrap_or(Outcome::Unknown)
}
