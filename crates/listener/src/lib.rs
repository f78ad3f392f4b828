#![doc = include_str!("../README.md")]

mod answer;
mod beginnings;
mod changes;
mod connection;
mod health;
mod hosts;
mod linger;
mod network;
mod proxies;
mod serve;
mod shares;
mod tls;
mod turns;

pub use changes::Changes;
pub use health::{Health, metrics, with_causes};
pub use hosts::{Host, Hosts, NotAHost, is_loopback};
pub use network::network;
pub use proxies::Proxies;
pub use serve::{DRAIN_LIMIT, Error, Front, Limits, bind, serve};
pub use shares::{Share, Shares};
pub use tls::{Tls, TlsError, TlsFiles};
