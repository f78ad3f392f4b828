//! Waiting for replication: until it runs, until it has applied what a region has written.

use std::time::{Duration, Instant};

use anyhow::bail;
use store::setup;
use store::{Source, SourceState};

use super::Operator;

/// Longest wait for replication to run: its threads do a moment after their start, or say why not.
const RUNNING_LIMIT: Duration = Duration::from_secs(60);

/// Longest wait for the region's workers to say that everything is counted: they do every second.
pub(super) const CLAIM_LIMIT: Duration = Duration::from_secs(15);

/// Pause between two looks.
pub(in crate::commands) const POLL: Duration = Duration::from_millis(100);

/// Pause between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Waits until both threads of a region's replication run.
///
/// # Errors
/// Replication that does not run within [`RUNNING_LIMIT`], with the reason that it gives; a centre that does not answer.
pub(in crate::commands) async fn wait_until_running(
    centre: &mut setup::Centre,
    region: &str,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let sources = centre.upkeep().sources().await?;
        let state = sources.iter().find(|state| state.source.region == region);
        if state.is_some_and(SourceState::is_running) {
            return Ok(());
        }
        if begun.elapsed() > RUNNING_LIMIT {
            bail!(
                "replication from {region} does not run after {} s: {}; correct that and run the command again",
                RUNNING_LIMIT.as_secs(),
                state.map_or("there is no such connection".to_owned(), why_not)
            );
        }
        tokio::time::sleep(POLL).await;
    }
}

/// A clause on why replication does not run.
pub(in crate::commands) fn why_not(state: &SourceState) -> String {
    let error = match state.last_error.as_str() {
        "" => "no error is told",
        error => error,
    };
    format!(
        "reading: {}, applying: {}, {error}",
        state.io_running, state.sql_running
    )
}

/// Waits until the centre is at most `behind_max` transactions behind `last`, the last sequence number that the region wrote in the GTID
/// domain `domain`, and for no longer than `limit`. Returns how many it is behind then.
///
/// # Errors
/// A centre that refuses or does not answer. That it is still behind is none.
pub(in crate::commands) async fn wait_until_applied(
    centre: &mut setup::Centre,
    domain: u32,
    last: u64,
    behind_max: u64,
    limit: Duration,
) -> anyhow::Result<u64> {
    let begun = Instant::now();
    let mut told = begun;
    loop {
        let applied = centre
            .upkeep()
            .positions()
            .await?
            .get(&domain)
            .copied()
            .unwrap_or(0);
        let behind = last.saturating_sub(applied);
        if behind <= behind_max || begun.elapsed() > limit {
            return Ok(behind);
        }
        if told.elapsed() > PROGRESS_INTERVAL {
            println!("  … {behind} transactions to go, up to {last} of domain {domain}");
            told = Instant::now();
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Waits, while the centre applies, until it has applied everything that it has received of `region`, and for no longer than
/// `limit`. Returns how many transactions it lacks then.
///
/// # Errors
/// A centre that refuses or does not answer.
pub(in crate::commands) async fn wait_for_received(
    centre: &mut setup::Centre,
    region: &str,
    limit: Duration,
) -> anyhow::Result<u64> {
    let begun = Instant::now();
    loop {
        let applied = centre.upkeep().positions().await?;
        let sources = centre.upkeep().sources().await?;
        let Some(state) = sources.iter().find(|state| state.source.region == region) else {
            return Ok(0);
        };
        let lacks =
            |(domain, &last): (&u32, &u64)| last.saturating_sub(applied.get(domain).copied().unwrap_or(0));
        let behind = state.received.iter().map(lacks).sum();
        if behind == 0 || state.sql_running != "Yes" || begun.elapsed() > limit {
            return Ok(behind);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Whether the region's workers say by [`CLAIM_LIMIT`] that everything is counted up to now by its database's clock, by which they say it;
/// or have not said anything until then, since there are none.
pub(super) async fn wait_for_claim(operator: &mut Operator, source: &Source) -> anyhow::Result<bool> {
    let begun = Instant::now();
    let now = operator.database(source)?.upkeep().clock().await?;
    loop {
        let claim = operator.centre.upkeep().newest_claim(&source.region).await?;
        if claim.is_some_and(|(_, until)| until >= now) {
            return Ok(true);
        }
        if begun.elapsed() > CLAIM_LIMIT {
            return Ok(claim.is_none());
        }
        tokio::time::sleep(POLL).await;
    }
}
