//! The `[keeper]` section.

use std::net::SocketAddr;

use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Serves health and metrics.
    pub listen: SocketAddr,
    /// How long a region's binlog is kept after every centre has applied it: a backup of a centre that is younger can be
    /// attached again.
    #[serde(default = "default_binlog_keep_hours")]
    pub binlog_keep_hours: u32,
    /// From the end of one audit to the next.
    #[serde(default = "default_audit_interval_s")]
    pub audit_interval_s: u32,
}

/// A daily backup, and two hours to attach it.
fn default_binlog_keep_hours() -> u32 {
    26
}

fn default_audit_interval_s() -> u32 {
    300
}
