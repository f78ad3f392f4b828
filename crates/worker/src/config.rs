//! The `[worker]` section.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use listener::Host;
use serde::Deserialize;

use crate::held::FlushPolicy;

/// Why a worker cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flush would wait for so long that its jobs come back.
    #[error(
        "worker.flush_age_ms = {flush_age_ms} must be between 1 and a quarter of the jobs' time to run ({limit_ms} ms)"
    )]
    FlushAge {
        /// What is configured.
        flush_age_ms: u64,
        /// The longest.
        limit_ms: u64,
    },
    /// The ledger would forget what clients may still repeat; the seconds that are configured.
    #[error(
        "worker.ledger_window_s = {0} must be at least {LEDGER_WINDOW_S_MIN}: a request that a client repeats later than that counts twice"
    )]
    LedgerWindow(u32),
    /// Of the region's MariaDB, or a password that cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Of the queue.
    #[error(transparent)]
    Queue(#[from] queue::Error),
}

/// The `[worker]` section of the settings. Unknown keys are refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Unique among the region's workers.
    #[serde(default = "default_name")]
    pub name: String,
    /// Where `/healthz`, `/readyz` and `/metrics` are served.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// The hosts that it goes by there besides loopback ones.
    #[serde(default)]
    pub allowed_hosts: Vec<Host>,
    /// How long counts wait for others to be written together with; longer where there are very many.
    #[serde(default = "default_flush_age_ms")]
    pub flush_age_ms: u64,
    /// How long the ledger remembers a batch: a client may repeat a keyed request for so long.
    #[serde(default = "default_ledger_window_s")]
    pub ledger_window_s: u32,
    /// Directories whose disks are watched and reported: those of beanstalkd's log and of the regional database.
    #[serde(default)]
    pub disks: Vec<PathBuf>,
}

/// Clients repeat a request for minutes, some after an outage of an hour.
const LEDGER_WINDOW_S_MIN: u32 = 3_600;

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
    800
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let limit_ms = u64::from(queue::TIME_TO_RUN_S) * 1000 / 4;
        if !(1..=limit_ms).contains(&self.flush_age_ms) {
            return Err(Error::FlushAge {
                flush_age_ms: self.flush_age_ms,
                limit_ms,
            });
        }
        if self.ledger_window_s < LEDGER_WINDOW_S_MIN {
            return Err(Error::LedgerWindow(self.ledger_window_s));
        }
        Ok(())
    }

    pub(crate) fn flush_policy(&self) -> FlushPolicy {
        FlushPolicy::new(Duration::from_millis(self.flush_age_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_ledger_that_forgets_at_once_is_refused() {
        for (window_s, is_fine) in [(0, false), (3_599, false), (3_600, true), (u32::MAX, true)] {
            let config = config(&format!("ledger_window_s = {window_s}"));
            assert_eq!(config.check().is_ok(), is_fine, "{window_s}");
        }
        let refusal = config("ledger_window_s = 0").check().unwrap_err().to_string();
        assert!(refusal.contains("at least 3600"), "{refusal}");
    }

    #[test]
    fn a_flush_must_come_well_before_the_jobs_go_back() {
        let with_age = |flush_age_ms| config(&format!("flush_age_ms = {flush_age_ms}"));
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
