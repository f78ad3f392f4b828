#![doc = include_str!("../README.md")]

mod index;
mod needles;
mod segment;
pub mod tree;

pub use index::{BYTES_MAX, Index, Names, TooBroad, ranges};
pub use segment::{Segment, Unsorted};
