//! Demo traffic: the events of a shop, sent to each region's first collector as a web server would.
//!
//! A request keeps its idempotency key and body until it is acknowledged, so that the shop's figures stay exact however often somebody
//! kills the collector it talks to.

mod shop;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::layout::{Layout, RegionLayout};
use shop::Shop;

/// Seconds of the past that the first start fills in.
const PAST_S: i64 = 24 * 3600;

/// Seconds in one request about the past, whose events are of a minute: with 15 names, under a fifth of the collector's 10,000 events.
const PAST_REQUEST_S: i64 = 2 * 3600;

/// Seconds in one request about the present, after an outage: with 15 names, under 10,000 events.
const PRESENT_REQUEST_S_MAX: i64 = 600;

/// Seconds after the first start within which an interrupted filling-in goes on: the region's ledger, of one day, surely still knows
/// what it has counted.
const PAST_RETRY_S_MAX: i64 = 12 * 3600;

/// Pause between two requests, and before another try of one.
const INTERVAL: Duration = Duration::from_secs(1);

/// Longest wait for an answer.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// The traffic to all regions, until it is stopped.
#[derive(Debug)]
pub(crate) struct Demo {
    stop: CancellationToken,
    regions: Vec<JoinHandle<()>>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Event {
    name: &'static str,
    count: u64,
    timestamp: i64,
}

impl Demo {
    /// Begins to send to every region, under the token with this secret if there is one.
    pub(crate) fn start(layout: &Layout, secret: Option<&str>) -> Result<Self> {
        let stop = CancellationToken::new();
        let mut regions = Vec::new();
        for region in &layout.regions {
            let url = format!("{}/v1/events", layout.base_url(region.collector_port(0)));
            let sender = Sender::new(region, url, layout.ca().as_deref(), secret)?;
            let past = Past::of(region, now_unix_s())?;
            let stop = stop.clone();
            regions.push(tokio::spawn(async move {
                // It may end in the middle of a request, too: nobody relies on what was not acknowledged.
                stop.run_until_cancelled(sender.send_all(past)).await;
            }));
        }
        Ok(Self { stop, regions })
    }

    /// Stops sending, and returns once nothing is sent any more.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        for region in self.regions.drain(..) {
            if let Err(error) = region.await {
                tracing::warn!(%error, "demo traffic ended early");
            }
        }
    }
}

/// The sender of one region's events.
struct Sender {
    region: String,
    shop: Shop,
    url: String,
    client: reqwest::Client,
    secret: Option<String>,
}

impl Sender {
    fn new(region: &RegionLayout, url: String, ca: Option<&Path>, secret: Option<&str>) -> Result<Self> {
        let client = http_client::of_own(ca)?.timeout(REQUEST_LIMIT).build()?;
        Ok(Self {
            region: region.name.clone(),
            shop: Shop::of_region(region.number),
            url,
            client,
            secret: secret.map(str::to_owned),
        })
    }

    /// Fills in the past, if that is still to be done, and goes on with the present for ever.
    async fn send_all(&self, past: Past) {
        let mut next = now_unix_s();
        if let Some(until) = past.until {
            self.send_past(until).await;
            past.finish();
            next = until;
        }
        loop {
            let now = now_unix_s();
            let until = now.min(next + PRESENT_REQUEST_S_MAX);
            if next < until {
                let events: Vec<_> = (next..until).flat_map(|second| self.events(second, 1)).collect();
                self.send(&format!("demo-{}-{next}", self.region), &events).await;
                next = until;
            }
            if next >= now {
                tokio::time::sleep(INTERVAL).await;
            }
        }
    }

    /// Sends a day, up to `until`, in steps of a minute.
    async fn send_past(&self, until: i64) {
        let mut begin = until - PAST_S;
        while begin < until {
            let end = until.min(begin + PAST_REQUEST_S);
            let minutes = (begin..end).step_by(60);
            let events: Vec<_> = minutes.flat_map(|minute| self.events(minute, 60)).collect();
            self.send(&format!("demo-past-{}-{begin}", self.region), &events)
                .await;
            begin = end;
        }
        tracing::info!("demo: filled in a day of region {}", self.region);
    }

    /// The events of so many seconds, summed up, at `begin`.
    fn events(&self, begin: i64, seconds: i64) -> impl Iterator<Item = Event> {
        let counts = self.shop.sum(begin..begin + seconds);
        counts.into_iter().map(move |(name, count)| Event {
            name,
            count,
            timestamp: begin,
        })
    }

    /// Sends a request again and again, until the collector has acknowledged it.
    async fn send(&self, key: &str, events: &[Event]) {
        let mut failed = false;
        while let Err(error) = self.try_send(key, events).await {
            if !failed {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "demo: region {} takes no events; trying on",
                    self.region
                );
                failed = true;
            }
            tokio::time::sleep(INTERVAL).await;
        }
        if failed {
            tracing::info!("demo: region {} takes events again", self.region);
        }
    }

    async fn try_send(&self, key: &str, events: &[Event]) -> Result<()> {
        let request = self
            .client
            .post(&self.url)
            .header("Idempotency-Key", key)
            .json(events);
        let request = match &self.secret {
            Some(secret) => request.bearer_auth(secret),
            None => request,
        };
        let answer = request.send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "{status} {}", answer.text().await?.trim());
        Ok(())
    }
}

/// The time before the demo's first start that is still to be filled in.
#[derive(Debug)]
struct Past {
    /// The first start's minute, unless all is done.
    until: Option<i64>,
    done_file: PathBuf,
}

impl Past {
    /// The past of a region. A retry sends the same events under the same keys, hence the first start's minute is kept in a file.
    fn of(region: &RegionLayout, now: i64) -> Result<Self> {
        let done_file = region.dir.join("demo-past-done");
        if done_file.exists() {
            return Ok(Self {
                until: None,
                done_file,
            });
        }
        let until = first_start(&region.dir.join("demo-since"), now)?;
        Ok(Self {
            until: (now - until <= PAST_RETRY_S_MAX).then_some(until),
            done_file,
        })
    }

    /// Notes that all is done.
    fn finish(&self) {
        if let Err(error) = std::fs::write(&self.done_file, "") {
            tracing::warn!(%error, "failed to write {}", self.done_file.display());
        }
    }
}

/// The minute of the first start, in unix seconds, which `file` keeps.
fn first_start(file: &Path, now: i64) -> Result<i64> {
    if let Ok(text) = std::fs::read_to_string(file) {
        return text
            .trim()
            .parse()
            .with_context(|| format!("failed to understand {}", file.display()));
    }
    let minute = now - now.rem_euclid(60);
    std::fs::write(file, format!("{minute}\n"))
        .with_context(|| format!("failed to write {}", file.display()))?;
    Ok(minute)
}

fn now_unix_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
