#![doc = include_str!("../README.md")]

mod index;
pub mod tree;

pub use index::{Index, NAMES_MAX, TEXT_BYTES_MAX, TooBroad, Unsorted};
