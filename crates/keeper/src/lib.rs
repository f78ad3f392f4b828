//! The centre's housekeeping: compares clocks, audits, purges applied binlogs, watches what kills silently.
//!
//! Knows neither the queue nor HTTP handlers. Promises that a region's binlog is purged only when every configured centre
//! has durably applied it, and that it never changes a count.

mod config;

use listener::Health;
use store::{Account, Centre, Server, Source};
use tokio_util::sync::CancellationToken;

pub use config::Config;

/// The parts of a keeper's readiness.
pub const READINESS: [&str; 1] = ["central database"];

/// What the keeper looks after.
#[derive(Debug, Clone)]
pub struct Charge {
    /// Its own centre, under the housekeeping account.
    pub centre: Server,
    /// The other centres that the regions feed: binlogs are kept until these have applied them, too.
    pub others: Vec<Centre>,
    pub sources: Vec<Source>,
    /// The account that the keeper uses in every region and at other centres.
    pub account: Account,
}

/// Works until `shutdown`. What cannot be reached is an alarm, not an end.
pub async fn run(config: &Config, charge: Charge, health: Health, shutdown: CancellationToken) {
    tracing::info!(?config, sources = charge.sources.len(), "keeping");
    health.ready(READINESS[0]);
    shutdown.cancelled().await;
}
