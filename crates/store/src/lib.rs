#![doc = include_str!("../README.md")]

pub mod central;
pub mod regional;
pub mod setup;
pub mod upkeep;

mod abandoned;
mod account;
mod audit;
mod clock;
mod error;
mod gtid;
mod held;
mod limits;
mod link;
mod members;
mod queue;
mod rows;
mod script;
mod server;
mod session;
mod source;
mod tls;

pub use account::Account;
pub use audit::{Audit, Gap, Range, RegionAudit, Verdict, audit, audit_centre};
pub use clock::{COMPARISON_MS_MAX, RegionClock, complete_until};
pub use error::Error;
pub use held::Held;
pub use members::{CentralServer, Member, Members};
pub use queue::{QueueState, SILENCE_S_MAX};
pub use server::{Password, Server};
pub use session::Place;
pub use source::{OtherCentre, Source, SourceState, wild_do_tables};
