//! The HTTP clients with which operator commands talk to a collector or the API.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Chain, Context, bail, ensure};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::Deserialize;

pub(crate) use self::address::{Access, ApiAddress, CollectorAddress, url_of};

mod address;

/// Bytes of the longest `Idempotency-Key` that a collector takes.
const KEY_BYTES_MAX: usize = 255;

/// Longest wait for a connection; a server that does not take one by then counts as unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest exchange with a collector, the upload of a full request over a slow link included.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest answer of the API: years of minutes take it a while.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(120);

/// Longest single wait that a collector's `Retry-After` can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// First and longest wait before another attempt where there is no `Retry-After`: an exponential backoff, which doubles between them.
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// The HTTP client of a command, which sends its token if there is one. It follows no redirect, which would turn a POST into a GET.
pub(crate) fn client(access: &Access, timeout: Duration) -> anyhow::Result<Client> {
    let mut headers = HeaderMap::new();
    if let Some(token) = &access.token {
        headers.insert(AUTHORIZATION, token.0.clone());
    }
    http_client::builder(access.ca.as_deref())?
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(timeout)
        .default_headers(headers)
        .build()
        .context("cannot set up an HTTP client")
}

/// The limits of a request's repetitions: it fails with whichever is reached first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) attempts_max: u32,
    /// Time from the first attempt to the beginning of the last.
    pub(crate) time_max: Duration,
}

/// A collector's answer to a request that it read: how many of its events were accepted, and which were rejected.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Receipt {
    #[serde(default)]
    pub(crate) accepted: u64,
    /// The first of the rejected events; a collector does not list all of many.
    #[serde(default)]
    pub(crate) rejected: Vec<Rejected>,
    #[serde(default)]
    rejected_total: u64,
}

/// An event that was rejected, and why.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Rejected {
    /// The event's place in the request, from 0.
    pub(crate) index: usize,
    pub(crate) error: String,
}

impl Receipt {
    /// How many events were rejected, listed or not.
    pub(crate) fn rejected_total(&self) -> u64 {
        u64::try_from(self.rejected.len())
            .unwrap_or(u64::MAX)
            .max(self.rejected_total)
    }
}

/// An error answer of a collector or the API.
#[derive(Debug, Default, Deserialize)]
struct Failure {
    error: Option<String>,
    outcome: Option<String>,
}

/// The outcome of one attempt.
enum Attempt {
    /// The collector accounted for the request's events.
    Answered(Receipt),
    /// Another attempt may succeed.
    Failed(Failed),
    /// Another attempt would end the same way.
    Refused(String),
}

/// An attempt that is worth repeating.
struct Failed {
    reason: String,
    /// Whether the collector may have accepted the events all the same: its answer was lost, or says that it does not know.
    may_be_counted: bool,
    /// The wait that the collector asked for.
    retry_after: Option<Duration>,
}

/// A sender of events to one collector. Every request has an idempotency key, so that repeating one whose outcome is unknown cannot
/// count it twice.
pub(crate) struct Sender {
    client: Client,
    base: String,
    patience: Patience,
    repeated: AtomicU64,
}

impl Sender {
    /// A sender to the collector at `address`, under its token if there is one. Connects when the first request does.
    ///
    /// # Errors
    /// A wrong address, or a configuration without one.
    pub(crate) fn new(address: &CollectorAddress, patience: Patience) -> anyhow::Result<Self> {
        let client = client(&address.access, SEND_TIMEOUT)?;
        Ok(Self {
            client,
            base: address.base()?,
            patience,
            repeated: AtomicU64::new(0),
        })
    }

    /// How many attempts were not the first of their request.
    pub(crate) fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    /// Sends one request's events, of which there are so many, under `key`, again and again within the sender's patience.
    ///
    /// # Errors
    /// A refusal of the whole request, an answer that does not account for each event, or none within the sender's patience.
    pub(crate) async fn send(
        &self,
        key: &str,
        media_type: &str,
        body: Vec<u8>,
        events: usize,
    ) -> anyhow::Result<Receipt> {
        let request = self
            .client
            .post(format!("{}/v1/events", self.base))
            .header(CONTENT_TYPE, media_type)
            .header("Idempotency-Key", key)
            .body(body);
        let started = Instant::now();
        let mut may_be_counted = false;
        for attempt in 1.. {
            let request = request.try_clone().context("a request cannot be repeated")?;
            let failed = match self.attempt(request).await? {
                Attempt::Answered(receipt) => {
                    let answered = receipt.accepted.saturating_add(receipt.rejected_total());
                    ensure!(
                        u64::try_from(events) == Ok(answered),
                        "{} answered for {answered} of {events} events: is it a collector?{}",
                        self.base,
                        doubt(true, key)
                    );
                    return Ok(receipt);
                }
                Attempt::Failed(failed) => failed,
                Attempt::Refused(reason) => bail!("{reason}{}", doubt(may_be_counted, key)),
            };
            may_be_counted |= failed.may_be_counted;
            let wait = failed.retry_after.unwrap_or_else(|| backoff(attempt));
            let (reason, elapsed) = (failed.reason, started.elapsed());
            if attempt >= self.patience.attempts_max || elapsed + wait > self.patience.time_max {
                bail!(
                    "{reason}; gave up after attempt {attempt} and {:.1} s{}",
                    elapsed.as_secs_f64(),
                    doubt(may_be_counted, key)
                );
            }
            self.announce_first_repeat(&reason);
            tokio::time::sleep(wait).await;
        }
        bail!("no attempt was made")
    }

    /// Says that a request is repeated, once per command, so that nobody stares at a silent terminal.
    fn announce_first_repeat(&self, reason: &str) {
        if self.repeated.fetch_add(1, Ordering::Relaxed) == 0 {
            eprintln!(
                "{reason}; trying again for up to {} s",
                self.patience.time_max.as_secs()
            );
        }
    }

    /// Sends a request once.
    async fn attempt(&self, request: RequestBuilder) -> anyhow::Result<Attempt> {
        let lost = |error: &reqwest::Error, may_be_counted| {
            let reason = unreachable("collector", &self.base, error);
            Attempt::Failed(Failed {
                reason,
                may_be_counted,
                retry_after: None,
            })
        };
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_builder() => return Err(error).context("cannot build the request"),
            // Another attempt would be shown the same certificate.
            Err(error) if is_not_http(&error) || certificate::refusal(&error).is_some() => {
                return Ok(Attempt::Refused(unreachable("collector", &self.base, &error)));
            }
            Err(error) => return Ok(lost(&error, !error.is_connect())),
        };
        let status = response.status();
        let retry_after = retry_after(response.headers());
        match response.bytes().await {
            Ok(body) => self.read(status, retry_after, &body),
            Err(error) => Ok(lost(&error, true)),
        }
    }

    /// The outcome that a response means.
    fn read(
        &self,
        status: StatusCode,
        retry_after: Option<Duration>,
        body: &[u8],
    ) -> anyhow::Result<Attempt> {
        let receipt = serde_json::from_slice::<Receipt>(body);
        if status == StatusCode::ACCEPTED {
            let receipt = receipt
                .with_context(|| format!("{} answered 202, but not as a collector does", self.base))?;
            return Ok(Attempt::Answered(receipt));
        }
        // With every single event rejected the answer is 400, yet it lists them.
        if let Ok(receipt) = receipt
            && status == StatusCode::BAD_REQUEST
            && receipt.rejected_total() > 0
        {
            return Ok(Attempt::Answered(receipt));
        }
        let failure: Failure = serde_json::from_slice(body).unwrap_or_default();
        let reason = refusal("collector", &self.base, status, failure.error.as_deref());
        let may_be_tried_again =
            [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
        if status.is_server_error() || may_be_tried_again {
            // Of the 5xx only 503 is a collector's own word; others may be a proxy's that lost the collector's answer.
            let may_be_counted = failure.outcome.as_deref() == Some("unknown")
                || (status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE);
            return Ok(Attempt::Failed(Failed {
                reason,
                may_be_counted,
                retry_after,
            }));
        }
        Ok(Attempt::Refused(reason))
    }
}

/// The end of a sentence about a request that failed, where an attempt of it may have been counted.
fn doubt(may_be_counted: bool, key: &str) -> String {
    if may_be_counted {
        format!("; it may have been counted, and it is safe to send it again with key '{key}'")
    } else {
        String::new()
    }
}

/// A client of one API.
pub(crate) struct Api {
    client: Client,
    base: String,
}

impl Api {
    /// A client of the API at `address`. Connects when the first question does.
    ///
    /// # Errors
    /// A wrong address, or a configuration without one.
    pub(crate) fn new(address: &ApiAddress) -> anyhow::Result<Self> {
        Ok(Self {
            client: client(&address.access, QUESTION_TIMEOUT)?,
            base: address.base()?,
        })
    }

    /// The answer to a GET of `path`, which begins with a slash; its body is still to be read.
    ///
    /// # Errors
    /// An API that cannot be reached, or another status than 200, with the API's reason.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Response> {
        let sent = self
            .client
            .get(format!("{}{path}", self.base))
            .query(query)
            .send()
            .await;
        let response = match sent {
            Ok(response) if response.status() == StatusCode::OK => return Ok(response),
            Ok(response) => response,
            Err(error) => bail!(unreachable("API", &self.base, &error)),
        };
        let status = response.status();
        let failure: Failure = response.json().await.unwrap_or_default();
        bail!(refusal("API", &self.base, status, failure.error.as_deref()))
    }
}

/// Checks an idempotency key.
///
/// # Errors
/// A key that is empty, too long or has a character that a collector does not take.
pub(crate) fn check_key(key: &str) -> anyhow::Result<()> {
    let fine = (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    ensure!(
        fine,
        "a key has 1 to {KEY_BYTES_MAX} visible ASCII characters without spaces: '{key}' does not"
    );
    Ok(())
}

/// The wait after attempt number `attempt`, from 1.
fn backoff(attempt: u32) -> Duration {
    let doubled = 1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    BACKOFF_FIRST.saturating_mul(doubled).min(BACKOFF_MAX)
}

/// The wait that the header asks for, in its form of seconds (RFC 9110, 10.2.3); a date is left to the backoff.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn refusal(what: &str, base: &str, status: StatusCode, error: Option<&str>) -> String {
    let error = error.unwrap_or("without a reason");
    let remedy = if status == StatusCode::UNAUTHORIZED {
        "; set EVENTTRACKER_TOKEN to a token it knows"
    } else {
        ""
    };
    format!("the {what} at {base} answered {status}: {error}{remedy}")
}

/// Whether the answer was no HTTP. Whoever answers so has not read the request as one, so nothing of it was counted.
fn is_not_http(error: &reqwest::Error) -> bool {
    Chain::new(error).any(|cause| {
        cause
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_parse)
    })
}

fn unreachable(what: &str, base: &str, error: &reqwest::Error) -> String {
    let cause = Chain::new(error)
        .last()
        .map_or_else(String::new, ToString::to_string);
    let option = what.to_ascii_lowercase();
    if let Some(reason) = certificate::refusal(error) {
        return format!(
            "the {what} at {base} is not spoken to: {reason} (--ca or EVENTTRACKER_CA names a file of the authorities to be known)"
        );
    }
    if is_not_http(error) {
        return format!(
            "what answers at {base} does not speak HTTP ({cause}): is this the {what}? \
             check that --{option} or --config names it"
        );
    }
    format!(
        "cannot reach the {what} at {base} ({cause}): check that it runs and that --{option} or --config names it"
    )
}

#[cfg(test)]
mod tests;
