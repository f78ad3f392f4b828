//! Whether the central database answers.

use std::time::Duration;

use listener::Health;
use store::Central;
use tokio_util::sync::CancellationToken;

pub(crate) const CENTRAL_DATABASE: &str = "central database";

const CHECK_EVERY: Duration = Duration::from_secs(2);

/// Keeps `health` up to date until `shutdown`; logs when the answer changes.
pub(crate) async fn watch(central: Central, health: Health, shutdown: CancellationToken) {
    let checks = async {
        let mut answered = None;
        loop {
            let outcome = central.ping().await;
            let answers = outcome.is_ok();
            match outcome {
                Ok(()) => {
                    health.ready(CENTRAL_DATABASE);
                    if answered != Some(true) {
                        tracing::info!("the central database answers");
                    }
                }
                Err(error) => {
                    if answered != Some(false) {
                        tracing::warn!(error = &error as &dyn std::error::Error, "not ready");
                    }
                    health.not_ready(CENTRAL_DATABASE, &error);
                }
            }
            answered = Some(answers);
            tokio::time::sleep(CHECK_EVERY).await;
        }
    };
    shutdown.run_until_cancelled(checks).await;
}
