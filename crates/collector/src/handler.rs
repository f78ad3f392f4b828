//! `POST /v1/events`.

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
use crate::answer::{Answer, Rejected};
use crate::body::{self, Received, Room};
use crate::combiner::{Combiner, Counted, NoRoom, Outcome, Ticket};
use crate::events::{self, Refusal};
use crate::pieces::Pieces;
use crate::request::{Encoding, Meaning};

/// Longest wait for a request's jobs to be stored; beyond it their outcome is unknown to the client.
const STORE_LIMIT: Duration = Duration::from_secs(25);

/// Bodies unpacked and parsed at once: each may take 8 MiB and a core.
const DECODES_MAX: usize = 2;

/// A plain body up to this takes less time to read than to hand it to another thread.
const READ_AT_ONCE_BYTES_MAX: usize = 16 << 10;

/// Text of an event for which there is room from the beginning: half of all events may be of another name and minute.
const TEXT_BYTES_PER_COUNT: usize = 128;

pub(crate) struct Collector {
    combiner: Arc<Combiner>,
    tokens: Tokens,
    hosts: Hosts,
    shares: Shares,
    room: Room,
    decodes: Arc<Semaphore>,
    body_timeout: Duration,
    draining: CancellationToken,
    counters: Counters,
}

/// What nearly every request counts, looked up once.
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
            room: Room::new(),
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

fn requests(status: &'static str) -> Counter {
    metrics::counter!("collector_requests_total", "status" => status)
}

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
    let answer = collector
        .clone()
        .answer(peer, &head.headers, body)
        .await
        .unwrap_or_else(|refusal| refusal);
    let counters = &collector.counters;
    match &answer {
        Answer::Accepted { accepted, rejected } => {
            counters.requests_accepted.increment(1);
            counters.events_accepted.increment(*accepted as u64);
            counters.events_rejected.increment(rejected.total() as u64);
        }
        Answer::AllRejected(rejected) => {
            requests(answer.label()).increment(1);
            counters.events_rejected.increment(rejected.total() as u64);
        }
        _ => requests(answer.label()).increment(1),
    }
    answer.into_response()
}

/// Who sends a request.
struct Admitted {
    /// The name of its token, or its address.
    client: String,
    /// Empty without a token.
    secret: Vec<u8>,
    share: Share,
}

/// A request that was read and whose events are on their way into the queue.
struct TakenIn {
    accepted: usize,
    rejected: Rejected,
    /// `None` where nothing counts.
    ticket: Option<Ticket>,
}

impl Collector {
    async fn answer(
        self: Arc<Self>,
        peer: SocketAddr,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Answer, Answer> {
        if self.draining.is_cancelled() {
            return Err(Answer::Unavailable("the collector is shutting down"));
        }
        let admitted = self.admit(peer, headers)?;
        let meaning = Meaning::of(headers)?;
        let received = self.room.receive(body, self.body_timeout).await?;
        let is_short =
            meaning.encoding == Encoding::Identity && received.bytes.len() <= READ_AT_ONCE_BYTES_MAX;
        let (taken, _share) = if is_short {
            (self.take_in(&received, &meaning, &admitted)?, admitted.share)
        } else {
            let reading = self.combiner.reading();
            let turn = self.decodes.clone().acquire_owned().await;
            // Unpacking and parsing take milliseconds of pure computation: not on a thread that serves connections.
            // The turn and the share go along, since the work goes on when the client has left.
            let work = move || {
                let taken = self.take_in(&received, &meaning, &admitted);
                drop((turn, reading));
                taken.map(|taken| (taken, admitted.share))
            };
            tokio::task::spawn_blocking(work)
                .await
                .map_err(|_| Answer::Unknown)??
        };
        match stored(taken.ticket, taken.accepted).await {
            Outcome::Stored if taken.accepted == 0 && taken.rejected.total() > 0 => {
                Err(Answer::AllRejected(taken.rejected))
            }
            Outcome::Stored => Ok(Answer::Accepted {
                accepted: taken.accepted,
                rejected: taken.rejected,
            }),
            Outcome::NotStored => Err(Answer::Unavailable("the queue did not take the events")),
            Outcome::Unknown => Err(Answer::Unknown),
        }
    }

    /// Checks the token, or without tokens the page that sends, and takes one request of the client's share. A page does not get
    /// a token past a browser unasked.
    fn admit(&self, peer: SocketAddr, headers: &HeaderMap) -> Result<Admitted, Answer> {
        let (client, secret) = match self.tokens.sender(headers).ok_or(Answer::Unauthorized)? {
            Sender::Token(token) => (token.name.clone(), token.secret.clone().into_bytes()),
            Sender::Anonymous if self.hosts.is_of_foreign_page(headers) => return Err(Answer::ForeignPage),
            Sender::Anonymous => (peer.ip().to_string(), Vec::new()),
        };
        Ok(Admitted {
            share: self.shares.take(client.clone()).ok_or(Answer::ShareUsedUp)?,
            client,
            secret,
        })
    }

    fn take_in(
        &self,
        received: &Received,
        meaning: &Meaning,
        admitted: &Admitted,
    ) -> Result<TakenIn, Answer> {
        let now = SystemTime::now().into();
        // As of a machine that has not heard of the time since it was switched on. Refused as a fault of the client's, events would be lost.
        if Minute::containing(now).is_err() {
            return Err(Answer::Unavailable(
                "the collector's clock is wrong: no event can be dated by it",
            ));
        }
        let body = body::unpack(meaning.encoding, &received.bytes)?;
        let text = events::text(meaning.format, &body)?;
        let (mut read, mut rejected) = (0, Rejected::default());
        let mut verdict = |event: &Result<Event<'_>, Refusal>| {
            if let Err(refusal) = event {
                rejected.push(read, refusal);
            }
            read += 1;
        };
        let counted = match &meaning.key {
            Some(key) => {
                let client = Client::of(&admitted.client);
                let mut pieces = Pieces::new(&client, &admitted.secret, key);
                events::read(meaning.format, &text, now, true, |item| {
                    verdict(&item.event);
                    pieces.add(&item);
                })?;
                Counted::Keyed(pieces.into_keyed())
            }
            None => {
                let mut counts =
                    Counts::with_capacity(events::EVENTS_MAX.min(text.len() / TEXT_BYTES_PER_COUNT));
                events::read(meaning.format, &text, now, false, |item| {
                    verdict(&item.event);
                    if let Ok(event) = item.event {
                        counts.add(&event.name, event.minute, event.count);
                    }
                })?;
                Counted::Unkeyed(counts)
            }
        };
        let accepted = read - rejected.total();
        Ok(TakenIn {
            accepted,
            rejected,
            ticket: self.combiner.add(counted).map_err(no_room)?,
        })
    }
}

fn no_room(reason: NoRoom) -> Answer {
    Answer::Unavailable(match reason {
        NoRoom::Full => "the queue is full",
        NoRoom::QueueAway => "the queue is away",
    })
}

/// Waits for the jobs that hold what a request counts. One of which events were accepted, and that has no job, is as unknown as a
/// lost reply.
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
