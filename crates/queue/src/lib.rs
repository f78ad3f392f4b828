#![doc = include_str!("../README.md")]

mod books;
mod consumer;
mod counts;
mod decode;
mod encode;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod ids;
mod link;
mod log_watch;
mod name_table;
mod operate;
mod packer;
mod plain;
mod producer;
mod watermark;
mod wire;

use std::net::SocketAddr;

pub use books::{BOOKS, Books, Figures};
pub use consumer::{Consumer, Look, Reserved};
pub use counts::{Count, Counts, Keyed, KeyedBatch};
pub use decode::{DecodeError, Decoded, decode};
pub use encode::Job;
pub use error::Error;
pub use ids::EventIds;
pub use name_table::NameTable;
pub use operate::{Head, heads, kick};
pub use packer::JobPacker;
pub use producer::{Producer, PutError, Stored};
pub use watermark::LowMark;

/// The beanstalkd tube that holds all jobs of a region.
pub const TUBE: &str = "events";

/// Seconds for which a worker may hold a job before beanstalkd gives it to another.
pub const TIME_TO_RUN_S: u32 = 30;

/// The priority of every job. Since all share it, they come out in the order in which they were put.
pub(crate) const PRIORITY: u32 = 1024;

/// The `[queue]` section of the configuration.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address of beanstalkd: an IPv4 address and a port.
    pub address: SocketAddr,
    /// The number of jobs in the tube (in any state) above which collectors answer 503: beanstalkd keeps every job in RAM,
    /// at most 64 kB each, and has no bound of its own.
    #[serde(default = "default_jobs_max")]
    pub jobs_max: u64,
}

fn default_jobs_max() -> u64 {
    20_000
}
