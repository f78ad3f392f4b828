//! The handler of `POST /v1/events`: from a request to its reply.
//!
//! A request is admitted, received, unpacked, read, gathered with others and then waits until all jobs that hold its counts are on disk.
//! Whatever fails before the counts are gathered leaves nothing behind; whatever fails later is told apart by [`Outcome`].

#![expect(clippy::disallowed_methods, reason = "an event without a time is of now")]

use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use gate::{Caller, ClientKey, Denied, Gate, PlaceLimits, Places, Scope, Secret, Token};
use listener::{Hosts, Share, Shares};
use metrics::Counter;
use model::{Client, Day, Event, EventName, Minute, Timestamp};
use queue::{Counts, NameTable};
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::admission::Backpressure;
use crate::body::{self, Bodies, ReceiveError, Received};
use crate::clients::{Clients, Sending, Sent};
use crate::combiner::{Added, Combiner, Counted, Outcome};
use crate::events::{self, Refusal};
use crate::limits::EVENTS_MAX;
use crate::names_budget::Reading;
use crate::pieces::Pieces;
use crate::rate::UsedUp;
use crate::readers::{Readers, give_way, is_turn_over};
use crate::reply::{RETRY_AFTER_S, Rejected, Reply};
use crate::request::{Encoding, RequestHead};

/// Longest wait for a request's jobs to be stored; beyond it their outcome is unknown to the client.
const STORE_LIMIT: Duration = Duration::from_secs(25);

// A shutdown waits for longer than a request waits for its jobs.
const _: () = assert!(STORE_LIMIT.as_secs() < listener::DRAIN_LIMIT.as_secs());

/// Most long bodies that are taken in, unpacked or read at once; each may take 8 MiB and a core.
const LONG_BODIES_MAX: usize = 8;

/// The turns for what takes a core for long: as many as there are cores, or, while other clients send what is short, one fewer.
pub(crate) fn long_bodies() -> PlaceLimits {
    let cores = std::thread::available_parallelism().map_or(2, NonZero::get);
    let at_once_max = cores.clamp(2, LONG_BODIES_MAX);
    PlaceLimits {
        at_once_max,
        beside_short_max: at_once_max - 1,
        waiting_max: 1_024,
        wait_max: Duration::from_secs(10),
    }
}

/// Bytes of a body's text for each sum that there is room for from the beginning: enough where every second event is of another name
/// or minute.
const TEXT_BYTES_PER_COUNT: usize = 128;

/// The state that all requests share.
pub(crate) struct Collector {
    combiner: Arc<Combiner>,
    gate: Arc<Gate>,
    clients: Arc<Clients>,
    hosts: Hosts,
    shares: Shares<ClientKey>,
    bodies: Bodies,
    long_bodies: Places,
    readers: Arc<Readers>,
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
        limits: gate::Limits,
        (gate, clients): (Arc<Gate>, Arc<Clients>),
        hosts: Hosts,
        combiner: Arc<Combiner>,
        readers: Readers,
        draining: CancellationToken,
    ) -> Self {
        let long_bodies = Places::new(long_bodies(), limits.fair);
        Self {
            combiner,
            gate,
            clients,
            hosts,
            shares: Shares::new(config.requests_per_client_max),
            bodies: Bodies::new(limits.fair, long_bodies.clone()),
            long_bodies,
            readers: Arc::new(readers),
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
        .route(
            "/v1/events",
            post(post_events).options(preflight).with_state(collector),
        )
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

/// The route of the collector's books.
pub(crate) fn books() -> Router {
    Router::new().route("/books", get(async || Json(queue::BOOKS.figures())))
}

fn error(status: StatusCode, text: &'static str) -> Response {
    (status, axum::Json(serde_json::json!({ "error": text }))).into_response()
}

/// Answers a browser that asks whether a page may send events.
async fn preflight(State(collector): State<Arc<Collector>>, request: Request) -> Response {
    let preflight = collector
        .gate
        .preflight(request.method(), request.headers(), "POST");
    preflight.unwrap_or_else(|| error(StatusCode::METHOD_NOT_ALLOWED, "method not allowed here"))
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
        Reply::Accepted {
            accepted, rejected, ..
        } => {
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
    let mut response = reply.into_response();
    if head.headers.contains_key(ORIGIN) {
        collector.gate.answer_page(&head.headers, &mut response);
    }
    response
}

/// The sender of a request that may be read.
struct Admitted {
    key: ClientKey,
    weight: u32,
    /// The name of the client's token, or the client's address.
    client: Client,
    /// The secret of the client's token, `None` without one: two clients may use the same idempotency key.
    secret: Option<Secret>,
    /// The client's token and what it sends; `None` without one.
    limited: Option<(Arc<Token>, Arc<Sending>)>,
    _share: Share<ClientKey>,
}

/// A request whose counts were gathered, and are on their way into the queue or wait for room.
struct Submitted {
    rejected: Rejected,
    noted: Noted,
    /// What the counts wait for.
    added: Added,
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
            return Err(Reply::unavailable("the collector is shutting down"));
        }
        // Before the body is received: a stranger's body takes no memory, and a client's share bounds those that wait.
        let admitted = self.admit(peer, headers, SystemTime::now().into())?;
        let head = RequestHead::of(headers)?;
        let (client, weight) = (admitted.key.clone(), admitted.weight);
        let received = self
            .bodies
            .receive((&client, weight), body, self.body_timeout)
            .await?;
        let is_short = head.encoding == Encoding::Identity && received.bytes.len() <= body::SHORT_BYTES_MAX;
        let (submitted, _admitted) = if is_short {
            self.long_bodies.note(&client);
            (self.submit(&received, &head, &admitted)?, admitted)
        } else {
            // Announced before the wait for a turn, so that the counts of many large requests share their jobs.
            let reading = self.combiner.reading(&client);
            let turn = self
                .long_bodies
                .take(
                    &client,
                    weight,
                    body::turns_to_read(head.encoding, received.bytes.len()),
                )
                .await
                .map_err(|_| Reply::from(ReceiveError::NoTurn))?;
            let readers = Arc::clone(&self.readers);
            // Unpacking and parsing take milliseconds of pure computation: not on a thread that serves connections.
            // The turn and the share go along, since the work goes on when the client has left.
            let work = move || {
                let submitted = self.submit(&received, &head, &admitted);
                drop((turn, reading));
                submitted.map(|submitted| (submitted, admitted))
            };
            readers.run(work).await.map_err(|error| {
                tracing::error!(%error, "a request could not be read");
                Reply::Unknown
            })??
        };
        let Submitted {
            rejected,
            mut noted,
            added,
        } = submitted;
        let Sent {
            accepted, overflowed, ..
        } = noted.sent;
        let outcome = stored(added, accepted).await;
        match outcome.map_err(|reason| noted.discard(reason))? {
            Outcome::Stored if accepted == 0 && rejected.total() > 0 => Err(Reply::AllRejected(rejected)),
            Outcome::Stored => Ok(Reply::Accepted {
                accepted,
                rejected,
                overflowed,
            }),
            Outcome::NotStored => Err(noted.discard(Reply::unavailable("the queue did not take the events"))),
            Outcome::Unknown => Err(Reply::Unknown),
        }
    }

    /// Checks the token and the page that sends, and takes one request of the client's share. A page of another site needs a token that
    /// lists its origin.
    fn admit(&self, peer: SocketAddr, headers: &HeaderMap, now: Timestamp) -> Result<Admitted, Reply> {
        let denied = |denied: Denied| match denied {
            Denied::TooManyWrong => Reply::Limited {
                error: "too many wrong secrets have come from this address",
                limit: "wrong_secrets_per_address",
                retry_after_s: RETRY_AFTER_S,
            },
            denied => Reply::Denied(denied),
        };
        let caller = self.gate.caller(headers, peer.ip(), now).map_err(denied)?;
        caller.may(Scope::Write).map_err(Reply::Denied)?;
        if self.hosts.is_of_foreign_page(headers) {
            caller.may_be_of_page(headers).map_err(Reply::Denied)?;
            if caller == Caller::Anonymous {
                return Err(Reply::ForeignPage);
            }
        }
        let (key, weight) = caller.share(peer.ip());
        let limited = match caller {
            Caller::Anonymous => None,
            Caller::Token(token) => {
                let sending = self.clients.sending(&token);
                sending.charge(&token, 0)?;
                Some((token, sending))
            }
        };
        let client = match &limited {
            Some((token, _)) => token.name.clone(),
            None => Client::of(&peer.ip().to_string()),
        };
        let share = self.shares.take(key.clone()).ok_or(Reply::Limited {
            error: "this client has too many requests in progress",
            limit: "requests_per_client_max",
            retry_after_s: RETRY_AFTER_S,
        })?;
        Ok(Admitted {
            key,
            weight,
            client,
            secret: limited.as_ref().and_then(|_| Secret::of_request(headers)),
            limited,
            _share: share,
        })
    }

    /// Unpacks and reads a body, and adds its counts to those that wait for the queue.
    fn submit(
        &self,
        received: &Received,
        head: &RequestHead,
        admitted: &Admitted,
    ) -> Result<Submitted, Reply> {
        let now = Timestamp::from(SystemTime::now());
        // A machine that was switched on and has not synchronised its clock yet. Events that were refused as the client's fault would
        // be lost; a 503 is tried again.
        if Minute::containing(now).is_err() {
            return Err(Reply::unavailable(
                "the collector's clock is wrong: no event can be dated by it",
            ));
        }
        let body = body::unpack(head.encoding, &received.bytes)?;
        let text = events::text(head.format, &body)?;
        let (mut read, mut rejected) = (0, Rejected::default());
        let mut verdict = |event: &mut Result<Event<'_>, Refusal>| {
            admitted.check(event);
            if let Err(refusal) = event {
                rejected.push(read, refusal);
            }
            read += 1;
            is_turn_over(read)
        };
        let mut names = admitted.names(now);
        let counted = match &head.key {
            Some(key) => {
                let secret = admitted.secret.as_ref().map_or("", Secret::as_str);
                let mut pieces = Pieces::new(&admitted.client, secret.as_bytes(), key);
                events::read(head.format, &text, now, true, |mut parsed| {
                    if verdict(&mut parsed.event) {
                        names.give_way();
                    }
                    pieces.add(&parsed, |table, name| names.number(table, name));
                })?;
                Counted::Keyed(pieces.into_keyed())
            }
            None => {
                let mut counts = Counts::with_capacity(EVENTS_MAX.min(text.len() / TEXT_BYTES_PER_COUNT));
                events::read(head.format, &text, now, false, |mut parsed| {
                    if verdict(&mut parsed.event) {
                        names.give_way();
                    }
                    if let Ok(event) = parsed.event {
                        counts.add_as(
                            |table| names.number(table, &event.name),
                            event.minute,
                            event.count,
                        );
                    }
                })?;
                Counted::Unkeyed(counts)
            }
        };
        let (overflowed, new_names) = (names.overflowed, names.new_names());
        drop(names);
        // Added only after the whole body was read: a body that is refused halfway must not have counted in part.
        let accepted = read - rejected.total();
        let mut noted = Noted {
            of: admitted.limited.clone(),
            sent: Sent {
                accepted,
                rejected: rejected.total(),
                overflowed,
                names: new_names,
            },
        };
        noted.charge()?;
        let added = self.combiner.add((&admitted.key, admitted.weight), counted);
        Ok(Submitted {
            rejected,
            added: added.map_err(|reason| noted.discard(reason))?,
            noted,
        })
    }
}

/// What a client sent with one request: noted when this is dropped, unless it is known that nothing of it counts. Who leaves before his
/// answer was counted all the same.
struct Noted {
    /// The client's token and what it sends; `None` without one.
    of: Option<(Arc<Token>, Arc<Sending>)>,
    sent: Sent,
}

impl Noted {
    /// Charges the request's events, accepted or not, to what the client may send.
    ///
    /// # Errors
    /// It has sent more than it may.
    fn charge(&mut self) -> Result<(), Reply> {
        let Some((token, sending)) = &self.of else {
            return Ok(());
        };
        let charged = sending.charge(token, self.sent.accepted + self.sent.rejected);
        charged.map_err(|used_up| {
            self.of = None;
            used_up.into()
        })
    }

    /// Puts back what was charged, as nothing of the request counts; returns the refusal.
    fn discard(&mut self, refusal: impl Into<Reply>) -> Reply {
        if let Some((_, sending)) = self.of.take() {
            sending.refund(self.sent.accepted + self.sent.rejected);
        }
        refusal.into()
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        if let Some((_, sending)) = &self.of {
            sending.sent(self.sent);
        }
    }
}

impl Admitted {
    /// Refuses an event by a name that the client may not count.
    fn check(&self, event: &mut Result<Event<'_>, Refusal>) {
        let Ok(Event { name, .. }) = event else { return };
        if name.is_reserved() {
            *event = Err(Refusal::Reserved(name.to_string()));
        } else if let Some((token, _)) = &self.limited
            && !token.view.has_name(name)
        {
            *event = Err(Refusal::Foreign {
                client: token.name.to_string(),
                name: name.to_string(),
            });
        }
    }

    /// The client's budget of names, for one request at `now`.
    fn names(&self, now: Timestamp) -> Names<'_> {
        let budget = self.limited.as_ref().map(|(token, sending)| {
            let today = Day::containing(now.unix_ms().div_euclid(1_000));
            (sending.names.reading(today, token.names_max), &sending.overflow)
        });
        Names {
            budget,
            overflowed: 0,
        }
    }
}

/// The names of one request, within the client's budget.
struct Names<'a> {
    /// The budget, and the name that counts what is beyond it; `None` for a client without a limit.
    budget: Option<(Reading<'a>, &'a EventName<'static>)>,
    /// The number of events that were beyond the budget.
    overflowed: usize,
}

impl Names<'_> {
    /// The number of names that are new on their day.
    fn new_names(&self) -> usize {
        self.budget.as_ref().map_or(0, |(budget, _)| budget.new_names)
    }

    /// Lets others have the core, and the budget.
    fn give_way(&mut self) {
        if let Some((budget, _)) = &mut self.budget {
            budget.pause();
        }
        give_way();
    }

    /// The number in `table` by which an event counts that was sent by `name`.
    fn number(&mut self, table: &mut NameTable, name: &EventName<'_>) -> u32 {
        let Some((budget, overflow)) = &mut self.budget else {
            return table.number(name);
        };
        match table.number_if(name, |hash| budget.admits(hash)) {
            Some(number) => number,
            None => {
                self.overflowed += 1;
                table.number(overflow)
            }
        }
    }
}

impl From<Backpressure> for Reply {
    fn from(reason: Backpressure) -> Self {
        match reason {
            Backpressure::Full => Self::full("the queue is full", "queue.jobs_max"),
            Backpressure::QueueAway => Self::unavailable("the queue is away"),
        }
    }
}

impl From<UsedUp> for Reply {
    fn from(UsedUp { retry_after_s }: UsedUp) -> Self {
        Self::Limited {
            error: "this token has sent more events than it may",
            limit: "events_per_s",
            retry_after_s,
        }
    }
}

/// What became of a request's counts. A request of which events were accepted, and of which nothing was added, is as unknown as one whose
/// reply from the queue was lost.
///
/// # Errors
/// No room came free in time; nothing was counted.
async fn stored(added: Added, accepted: usize) -> Result<Outcome, Backpressure> {
    let none = if accepted == 0 {
        Outcome::Stored
    } else {
        Outcome::Unknown
    };
    Ok(added.outcome(STORE_LIMIT).await?.unwrap_or(none))
}
