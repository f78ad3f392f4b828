//! The `[worker]` section.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::held::FlushPolicy;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "worker.flush_age_ms = {flush_age_ms} must be between 1 and a quarter of the jobs' time to run ({limit_ms} ms)"
    )]
    FlushAge { flush_age_ms: u64, limit_ms: u64 },
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Queue(#[from] queue::Error),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Unique among the region's workers.
    #[serde(default = "default_name")]
    pub name: String,
    /// Where `/healthz`, `/readyz` and `/metrics` are served.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// How long counts wait for others to be written together with.
    #[serde(default = "default_flush_age_ms")]
    pub flush_age_ms: u64,
    /// How long the ledger remembers a batch: a client may repeat a keyed request for so long.
    #[serde(default = "default_ledger_window_s")]
    pub ledger_window_s: u32,
    /// Directories whose disks are watched and reported: those of beanstalkd's log and of the regional database.
    #[serde(default)]
    pub disks: Vec<PathBuf>,
}

/// A day.
fn default_ledger_window_s() -> u32 {
    86_400
}

fn default_name() -> String {
    "worker-1".to_owned()
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7083))
}

fn default_flush_age_ms() -> u64 {
    1000
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let limit_ms = u64::from(queue::TIME_TO_RUN_S) * 1000 / 4;
        if (1..=limit_ms).contains(&self.flush_age_ms) {
            Ok(())
        } else {
            Err(Error::FlushAge {
                flush_age_ms: self.flush_age_ms,
                limit_ms,
            })
        }
    }

    pub(crate) fn flush_policy(&self) -> FlushPolicy {
        FlushPolicy {
            age: Duration::from_millis(self.flush_age_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_must_come_well_before_the_jobs_go_back() {
        let with_age = |flush_age_ms| Config {
            flush_age_ms,
            name: default_name(),
            listen: default_listen(),
            ledger_window_s: default_ledger_window_s(),
            disks: Vec::new(),
        };
        assert!(with_age(7500).check().is_ok());
        assert!(
            with_age(7501)
                .check()
                .unwrap_err()
                .to_string()
                .contains("7500 ms")
        );
        assert!(with_age(0).check().is_err());
    }
}
