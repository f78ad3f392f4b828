//! The `[keeper]` section.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use listener::Host;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// The keeper's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address that serves health and metrics.
    pub listen: SocketAddr,
    /// The hosts that it goes by there besides loopback ones.
    #[serde(default)]
    pub allowed_hosts: Vec<Host>,
    /// Hours that a region's binlog is kept after every centre has applied it: a backup of a centre that is younger can be attached again.
    /// 26 by default.
    #[serde(default = "default_binlog_keep_hours")]
    pub binlog_keep_hours: u32,
    /// Seconds from the end of one audit to the next; 300 by default.
    #[serde(default = "default_audit_interval_s")]
    pub audit_interval_s: u32,
    /// Seconds from the end of one pass of packing to the next, 1 to 60 and 30 by default: late events for a packed day are merged so soon.
    #[serde(default = "default_pack_interval_s", deserialize_with = "pack_interval_s")]
    pub pack_interval_s: u32,
    /// Months that packed days are kept after their month has ended; without it all are kept.
    #[serde(default)]
    pub keep_months: Option<NonZeroU32>,
}

/// The hours of a daily backup, and two to attach it.
fn default_binlog_keep_hours() -> u32 {
    26
}

fn default_audit_interval_s() -> u32 {
    300
}

fn default_pack_interval_s() -> u32 {
    30
}

/// The interval of packing, at most a minute, which is promised.
fn pack_interval_s<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        seconds @ 1..=60 => Ok(seconds),
        seconds => Err(D::Error::custom(format_args!(
            "pack_interval_s is {seconds}, and must be from 1 to 60"
        ))),
    }
}
