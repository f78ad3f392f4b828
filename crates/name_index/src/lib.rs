#![doc = include_str!("../README.md")]

mod cursor;
mod index;
mod needles;
mod segment;
pub mod tree;

pub use cursor::Names;
pub use index::{Index, TooBroad, ranges, replacing};
pub use segment::{Segment, Unsorted};
