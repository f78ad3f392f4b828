//! Graphite's language over counts.
//!
//! Owns the way from a request's text to the text of its answer: [`Request`] reads the parameters and parses the targets; [`Plan`] finds the
//! functions and says which names are wanted when; [`Reading`] says what is to be read of the names that there are, and takes the sums;
//! [`Plan::evaluate`] applies the functions; [`Output`] writes what is left.
//!
//! Knows no HTTP, no database and no clock: what time it is, which names there are and what their counts are is passed in.
//! Promises that a request is refused with a sentence before anything is read for it, wherever that can be known, and that its cost is
//! bounded by the limits in `limits.rs` and by [`Limits`].
//!
//! As graphite-web 1.1.8 with a store of one value per minute, except where counts ask for more: integers stay exact; more values than
//! `maxDataPoints` become sums of buckets that begin at the same instants whatever the range; a complete minute without events is 0,
//! and null is only what is not known. A minute is stamped with its first second.

mod aggregate;
mod arguments;
mod buckets;
mod catalogue;
mod error;
mod evaluate;
mod function;
mod functions;
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
