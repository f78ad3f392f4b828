//! Counts what clients did by names of EventTracker's own, so that the system graphs itself.

#![expect(
    clippy::disallowed_methods,
    reason = "what clients did is counted in the present minute"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use gate::{ClientKey, FileError, Gate, WEIGHT_MAX};
use listener::{Health, TlsError};
use model::{CERTIFICATE_TROUBLE, Client, Day, EventName, Minute, TOKENS_FILE_REFUSED, Timestamp};
use queue::Counts;
use tokio_util::sync::CancellationToken;

use crate::clients::Clients;
use crate::combiner::{Combiner, Counted, Outcome};

/// Time between two reports.
const INTERVAL: Duration = Duration::from_secs(10);

/// What a report waits for until it is on disk.
const STORE_LIMIT: Duration = Duration::from_secs(5);

/// What reports what clients did.
pub(crate) struct Reporter {
    gate: Arc<Gate>,
    clients: Arc<Clients>,
    combiner: Arc<Combiner>,
    is_file_refused: AtomicBool,
    is_certificate_troubled: AtomicBool,
}

impl Reporter {
    pub(crate) fn new(gate: Arc<Gate>, clients: Arc<Clients>, combiner: Arc<Combiner>) -> Self {
        Self {
            gate,
            clients,
            combiner,
            is_file_refused: AtomicBool::new(false),
            is_certificate_troubled: AtomicBool::new(false),
        }
    }

    /// Takes note of whether the file of tokens is refused.
    pub(crate) fn tokens_file(&self, refused: Option<&FileError>, health: &Health) {
        self.is_file_refused.store(refused.is_some(), Ordering::Relaxed);
        health.warn(
            "tokens_file",
            refused.map(|error| error as &dyn std::error::Error),
        );
    }

    /// Takes note of what is wrong with the certificate.
    pub(crate) fn certificate(&self, trouble: Option<&TlsError>, health: &Health) {
        self.is_certificate_troubled
            .store(trouble.is_some(), Ordering::Relaxed);
        health.warn(
            "certificate",
            trouble.map(|error| error as &dyn std::error::Error),
        );
    }

    /// Reports in intervals until `shutdown`.
    pub(crate) async fn report_until(&self, shutdown: &CancellationToken) {
        while tokio::time::timeout(INTERVAL, shutdown.cancelled())
            .await
            .is_err()
        {
            self.report().await;
            if let Some(tokens) = self.gate.tokens() {
                let now = Timestamp::from(SystemTime::now());
                self.clients
                    .keep(&tokens, Day::containing(now.unix_ms().div_euclid(1_000)));
            }
        }
    }

    /// Counts what was not reported yet. What certainly did not get into the queue is reported again next time; what is unknown is not, so
    /// that it counts once at most.
    pub(crate) async fn report(&self) {
        let Ok(minute) = Minute::containing(Timestamp::from(SystemTime::now())) else {
            return;
        };
        let report = self.clients.take_report(minute);
        let mut counts = report.counts();
        // Once in each interval: the keeper raises an alarm by it.
        for (is_troubled, name) in [
            (&self.is_file_refused, TOKENS_FILE_REFUSED),
            (&self.is_certificate_troubled, CERTIFICATE_TROUBLE),
        ] {
            if is_troubled.load(Ordering::Relaxed)
                && let Ok(name) = EventName::new(name)
            {
                counts.add(&name, minute, 1);
            }
        }
        if !self.is_stored(counts).await {
            report.give_back();
        }
    }

    /// Whether counts are in the queue, or may be.
    async fn is_stored(&self, counts: Counts) -> bool {
        let ourselves = ClientKey::Token(Client::of("eventtracker:collector"));
        let added = self
            .combiner
            .add((&ourselves, WEIGHT_MAX), Counted::Unkeyed(counts));
        let outcome = match added {
            Ok(added) => added.outcome(STORE_LIMIT).await,
            Err(refusal) => Err(refusal),
        };
        !matches!(outcome, Err(_) | Ok(Some(Outcome::NotStored)))
    }
}
