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

/// Looks at one centre again and again, and logs when it, or one of its servers, begins or ceases to answer.
async fn watch_one(centres: &Centres, at: usize, health: &Health) {
    let mut before: Option<Vec<String>> = None;
    loop {
        let troubles = centres.look(at).await;
        let name = centres.name(at);
        if centres.any_answers() {
            health.ready(CENTRAL_DATABASE);
        } else if let Some(error) = troubles.first() {
            health.not_ready(CENTRAL_DATABASE, error);
        }
        let now: Vec<String> = troubles.iter().map(store::Error::with_causes).collect();
        if before.as_ref().is_none_or(|before| before.len() != now.len()) {
            if now.is_empty() {
                tracing::info!(centre = name, "the central database answers");
            }
            for error in &now {
                tracing::warn!(error, centre = name, "the central database does not answer");
            }
        }
        before = Some(now);
        tokio::time::sleep(CHECK_EVERY).await;
    }
}
