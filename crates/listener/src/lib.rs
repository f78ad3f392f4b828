//! HTTP as every role serves it: connections within limits, by which names and for which pages, who may send, liveness, readiness
//! with reasons, metrics.
//!
//! Knows nothing of what the routes mean. Promises that a slow or silent client is cut off, that the number of
//! connections is bounded, and that a shutdown lets requests in progress finish within a named limit.

mod answer;
mod health;
mod hosts;
mod linger;
mod serve;
mod shares;
mod tokens;

pub use health::Health;
pub use hosts::{Host, Hosts, NotAHost, is_loopback};
pub use serve::{Error, Limits, bind, serve};
pub use shares::{Share, Shares};
pub use tokens::{Sender, Token, TokenError, Tokens};
