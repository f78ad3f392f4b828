//! Readiness: whether the central databases answer.

use std::time::Duration;

use futures_util::future::join_all;
use listener::Health;
use tokio_util::sync::CancellationToken;

use crate::centres::Centres;

/// Name of the condition that `/readyz` reports.
pub(crate) const CENTRAL_DATABASE: &str = "central database";

const CHECK_EVERY: Duration = Duration::from_secs(2);

/// Looks at every centre until `shutdown`, and keeps `health` up to date: one that answers is enough.
pub(crate) async fn watch(centres: Centres, health: Health, shutdown: CancellationToken) {
    let watches = (0..centres.count()).map(|at| watch_one(&centres, at, &health));
    shutdown.run_until_cancelled(join_all(watches)).await;
}

/// Looks at one centre again and again, and logs when it begins or ceases to answer.
async fn watch_one(centres: &Centres, at: usize, health: &Health) {
    let mut answered = None;
    loop {
        let outcome = centres.look(at).await;
        let answers = outcome.is_ok();
        let name = centres.name(at);
        match outcome {
            Ok(()) => {
                health.ready(CENTRAL_DATABASE);
                if answered != Some(true) {
                    tracing::info!(centre = name, "the central database answers");
                }
            }
            Err(error) => {
                if answered != Some(false) {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, centre = name, "the central database does not answer");
                }
                if !centres.any_answers() {
                    health.not_ready(CENTRAL_DATABASE, &error);
                }
            }
        }
        answered = Some(answers);
        tokio::time::sleep(CHECK_EVERY).await;
    }
}
