//! Clients as they really are: keys and retries, no keys and doubts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::sync::{RwLock, RwLockWriteGuard};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::ledger::Ledger;
use crate::rig::{Response, Rig, try_answer};
use crate::sender::{FIRST_MINUTE, as_events, client as client_of, keyed_rows};
use crate::truth::{self, Truth};

/// Between two requests of one client.
const PACE_MS: std::ops::Range<u64> = 20..120;

/// Between two attempts of one request, doubled each time.
const RETRY_MS: u64 = 50;
const RETRY_DOUBLINGS_MAX: u32 = 5;

/// How often a client repeats an older request that was acknowledged long ago, through any collector.
const REPEATED: f64 = 0.1;

/// Clients of each kind in a region.
const CLIENTS_PER_REGION: u64 = 3;

/// One request of so many has more names than a flush writes as rows: with blocks, the keeper has them to merge.
const WIDE_EVERY: u64 = 100;
const WIDE_NAMES: u64 = 4_500;

pub(crate) struct Traffic {
    pub(crate) truth: Arc<Truth>,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    readers: JoinSet<()>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    ledger: Mutex<Ledger>,
    /// Read by each client during a request: who writes has a moment without any.
    gate: RwLock<()>,
    /// Regions whose ledger was lost.
    forgotten: Mutex<Vec<String>>,
    pub(crate) figures: Figures,
}

#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) events_keyed: AtomicU64,
    pub(crate) events_unkeyed: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    /// Answers that were no 202, or none at all.
    pub(crate) refused: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) doubtful: AtomicU64,
}

fn add(figure: &AtomicU64, n: u64) {
    figure.fetch_add(n, Ordering::Relaxed);
}

impl Traffic {
    pub(crate) fn start(rig: &Rig, regions: &[String], seed: u64) -> Self {
        let (truth, shared) = (Arc::<Truth>::default(), Arc::<Shared>::default());
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for region in regions {
            for number in 0..CLIENTS_PER_REGION {
                let client = |kind| Client {
                    http: client_of(rig),
                    collectors: rig.collectors(region),
                    region: region.clone(),
                    prefix: format!("{region}.{number}"),
                    rng: StdRng::seed_from_u64(seed.wrapping_add(2 * number + kind)),
                    truth: truth.clone(),
                    shared: shared.clone(),
                };
                tasks.spawn(client(0).send_keyed(stop.clone()));
                tasks.spawn(client(1).send_unkeyed(stop.clone()));
            }
        }
        Self {
            readers: truth::watch(rig, &truth, &stop),
            truth,
            shared,
            tasks,
            stop,
        }
    }

    pub(crate) fn figures(&self) -> &Figures {
        &self.shared.figures
    }

    /// Waits until no request is under way; none begins while the guard lives.
    pub(crate) async fn pause(&self) -> RwLockWriteGuard<'_, ()> {
        self.shared.gate.write().await
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.shared.ledger.lock().unwrap().clone()
    }

    /// A region's ledger is lost: no request to it from before is repeated.
    pub(crate) fn forget_what_was_sent(&self, region: &str) {
        self.shared.forgotten.lock().unwrap().push(region.to_owned());
    }

    /// What somebody else put.
    pub(crate) fn merge(&self, ledger: Ledger) {
        self.shared.ledger.lock().unwrap().merge(ledger);
    }

    /// No client ends by itself, but one that met what it did not expect.
    pub(crate) fn expect_alive(&mut self) {
        let ended = self.tasks.try_join_next();
        if let Some(ended) = ended.or_else(|| self.readers.try_join_next()) {
            panic!("a client ended: {ended:?}");
        }
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        // What cannot be acknowledged any more is given up.
        self.tasks.shutdown().await;
        self.readers.shutdown().await;
    }
}

impl Shared {
    /// What became of a request without a key.
    fn note(&self, name: &str, outcome: reqwest::Result<Response>) {
        let (figures, mut ledger) = (&self.figures, self.ledger.lock().unwrap());
        match outcome {
            Ok(Response { status: 202, .. }) => {
                ledger.acknowledged(name, FIRST_MINUTE, 1);
                add(&figures.acknowledged, 1);
            }
            Ok(Response {
                status: 429 | 503,
                json,
                ..
            }) if json["outcome"] != "unknown" => add(&figures.refused, 1),
            Ok(Response { status: 503, .. }) => {
                ledger.doubtful(name, FIRST_MINUTE, 1);
                add(&figures.doubtful, 1);
            }
            Ok(other) => panic!("unexpected {other:?}"),
            Err(error) if error.is_connect() => add(&figures.refused, 1),
            Err(_) => {
                ledger.doubtful(name, FIRST_MINUTE, 1);
                add(&figures.doubtful, 1);
            }
        }
    }
}

struct Client {
    http: reqwest::Client,
    collectors: Vec<String>,
    region: String,
    prefix: String,
    rng: StdRng,
    truth: Arc<Truth>,
    shared: Arc<Shared>,
}

impl Client {
    async fn pace(&mut self) {
        tokio::time::sleep(Duration::from_millis(self.rng.random_range(PACE_MS))).await;
    }

    /// What the first client of each region sends is wide now and then.
    fn rows(&self, number: u64) -> Vec<(String, i64, u64)> {
        let mut rows = keyed_rows(&self.prefix, number);
        if self.prefix.ends_with(".0") && number % WIDE_EVERY == 1 {
            let name = |n| format!("wide.{}.{n}", self.prefix);
            rows.extend((0..WIDE_NAMES).map(|n| (name(n), FIRST_MINUTE, 1)));
        }
        rows
    }

    /// To any collector of the region: a retry need not meet the one that the first attempt met.
    async fn keyed(&mut self, number: u64) -> Option<Response> {
        let collector = &self.collectors[self.rng.random_range(0..self.collectors.len())];
        let request = self.http.post(format!("{collector}/v1/events"));
        let request = request.header("Idempotency-Key", format!("{}-{number}", self.prefix));
        let events = as_events(&self.rows(number));
        try_answer(request.json(&events)).await.ok()
    }

    /// Each request under its key until it is acknowledged, and some of them again later.
    async fn send_keyed(mut self, stop: CancellationToken) {
        let shared = self.shared.clone();
        // The first request that may be repeated.
        let mut oldest = 0;
        for number in 0_u64.. {
            if stop.is_cancelled() {
                return;
            }
            let turn = shared.gate.read().await;
            if oldest == 0 && shared.forgotten.lock().unwrap().contains(&self.region) {
                oldest = number;
            }
            let rows = self.rows(number);
            self.truth.all_attempted(&rows);
            add(&shared.figures.events_keyed, rows.len() as u64);
            for attempt in 0_u32.. {
                match self.keyed(number).await {
                    Some(Response { status: 202, .. }) => break,
                    Some(Response {
                        status: 429 | 503, ..
                    })
                    | None => {
                        add(&shared.figures.refused, 1);
                        let pause_ms = RETRY_MS << attempt.min(RETRY_DOUBLINGS_MAX);
                        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                    }
                    Some(other) => panic!("unexpected {other:?}"),
                }
            }
            self.truth.all_acknowledged(&rows);
            add(&shared.figures.acknowledged, rows.len() as u64);
            {
                let mut ledger = shared.ledger.lock().unwrap();
                for (name, minute, count) in &rows {
                    ledger.acknowledged(name, *minute, *count);
                }
            }
            if self.rng.random_bool(REPEATED) {
                let earlier = self.rng.random_range(oldest..=number);
                add(&shared.figures.repeated, 1);
                // Whatever comes of it, it is counted already.
                drop(self.keyed(earlier).await);
            }
            drop(turn);
            self.pace().await;
        }
    }

    /// Each request once, under a name of its own.
    async fn send_unkeyed(mut self, stop: CancellationToken) {
        let shared = self.shared.clone();
        for number in 0_u64.. {
            if stop.is_cancelled() {
                return;
            }
            let turn = shared.gate.read().await;
            let name = format!("once.{}.{number}", self.prefix);
            let collector = &self.collectors[self.rng.random_range(0..self.collectors.len())];
            let request = self.http.post(format!("{collector}/v1/events"));
            let event = json!({ "name": name, "timestamp": FIRST_MINUTE });
            add(&shared.figures.events_unkeyed, 1);
            self.truth.attempted(&name, FIRST_MINUTE, 1);
            let outcome = try_answer(request.json(&event)).await;
            if let Ok(Response { status: 202, .. }) = outcome {
                self.truth.acknowledged(&name, FIRST_MINUTE, 1);
            }
            shared.note(&name, outcome);
            drop(turn);
            self.pace().await;
        }
    }
}
