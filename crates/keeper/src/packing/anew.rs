//! Packing anew what earlier versions have packed, beside all other work of the keeper: it saves room, and nobody waits for it.

#![expect(clippy::disallowed_methods, reason = "turns are paced by time")]

use std::time::Duration;

use store::Member;
use store::upkeep::{PackedAnew, Packer};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Rest after each transaction, as a multiple of its time: a quarter of a core at most.
const REST: u32 = 3;

/// Pause where a row is held, or the centre does not answer.
const PAUSE: Duration = Duration::from_secs(10);

/// Goes through all shards of a server, one after the other, until all packed days are in the present form or `shutdown`.
pub(crate) async fn run(member: &Member, shutdown: &CancellationToken) {
    let mut packer = Packer::new(member.server.clone());
    for shard in member.shards.iter() {
        let mut is_failing = false;
        loop {
            let begun = Instant::now();
            let outcome = packer.pack_anew(shard).await;
            let rest = match &outcome {
                Ok(PackedAnew::All) => break,
                Ok(PackedAnew::Days(days)) => {
                    metrics::counter!("keeper_packed_anew_days_total").increment(*days);
                    REST * begun.elapsed()
                }
                Ok(PackedAnew::Held) => PAUSE,
                Err(error) => {
                    if !is_failing {
                        tracing::warn!(error = error as &dyn std::error::Error, "packing anew waits");
                    }
                    PAUSE
                }
            };
            is_failing = outcome.is_err();
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
            }
        }
    }
    tracing::info!("all packed days are in the present form");
}
