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

use std::net::{IpAddr, SocketAddr};

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
    /// Whether beanstalkd, which encrypts nothing and asks nobody who they are, may be at a public address.
    #[serde(default)]
    pub allow_plain_text: bool,
}

impl Config {
    /// Refuses a queue at an address that is neither this machine's nor a private network's.
    ///
    /// # Errors
    /// The address, with the remedy.
    pub fn check(&self) -> Result<(), Public> {
        if self.allow_plain_text || is_private(self.address.ip().to_canonical()) {
            return Ok(());
        }
        Err(Public {
            address: self.address,
        })
    }
}

/// beanstalkd at an address that strangers may reach.
#[derive(Debug, thiserror::Error)]
#[error(
    "queue.address = {address} is a public address, and beanstalkd encrypts nothing and asks nobody who they are: run it on the collectors' \
     machine or in a private network, or set queue.allow_plain_text = true if the network itself keeps strangers out"
)]
pub struct Public {
    /// The address, as configured.
    address: SocketAddr,
}

/// Whether an address is of this machine (RFC 1122, 4291), of its link (RFC 3927, 4291) or of a private network (RFC 1918, 6598, 4193).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let is_shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified() || is_shared
        }
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified()
        }
    }
}

fn default_jobs_max() -> u64 {
    20_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_address_is_refused_unless_it_is_wanted() {
        let config = |address: &str, allow_plain_text| Config {
            address: address.parse().unwrap(),
            jobs_max: 1,
            allow_plain_text,
        };
        for private in [
            "127.0.0.1:1",
            "10.1.2.3:1",
            "172.31.0.1:1",
            "192.168.0.1:1",
            "169.254.1.1:1",
            "100.127.0.1:1",
            "[::1]:1",
            "[fd00::1]:1",
            "[fe80::1]:1",
            "[::ffff:10.0.0.1]:1",
        ] {
            config(private, false).check().unwrap();
        }
        for public in [
            "192.0.2.1:1",
            "172.32.0.1:1",
            "100.128.0.1:1",
            "[2001:db8::1]:1",
            "[::ffff:192.0.2.1]:1",
        ] {
            let refusal = config(public, false).check().unwrap_err().to_string();
            assert!(refusal.contains("allow_plain_text"), "{refusal}");
            config(public, true).check().unwrap();
        }
    }
}
