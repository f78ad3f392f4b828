#![doc = include_str!("../README.md")]

mod answer;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod health;
mod hosts;
mod linger;
mod serve;
mod shares;
mod tokens;

pub use health::Health;
pub use hosts::{Host, Hosts, NotAHost, is_loopback};
pub use serve::{DRAIN_LIMIT, Error, Limits, bind, serve};
pub use shares::{Share, Shares};
pub use tokens::{Sender, Token, TokenError, Tokens};
