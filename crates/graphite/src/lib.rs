#![doc = include_str!("../README.md")]

mod aggregate;
mod arguments;
mod buckets;
mod catalogue;
mod error;
mod evaluate;
mod function;
mod functions;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod limits;
mod number;
mod output;
mod parameter;
mod parse;
mod plan;
mod reading;
mod regex;
mod request;
mod selector;
mod series;
mod span;
mod time;
mod value;
mod window;
mod zone;

pub use crate::catalogue::{catalogue, described};
pub use crate::error::Error;
pub use crate::limits::{CONDITIONS_MAX, DEPTH_MAX, Limits, TARGET_BYTES_MAX, TARGETS_MAX, VISITS_MAX};
pub use crate::output::Output;
pub use crate::plan::Plan;
pub use crate::reading::{Counts, Name, Read, Reading};
pub use crate::request::Request;
pub use crate::span::Span;
pub use crate::time::parse as unix_s;
pub use crate::zone::Zone;
