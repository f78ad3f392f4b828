//! Names: the search over them, the walk through their tree, and the loader of their index.

pub(crate) mod error;
mod find;
pub(crate) mod loader;
mod search;
mod tags;

pub(crate) use self::find::{Completions, Entry, expand, find, index_json};
pub(crate) use self::search::{Listing, get};
pub(crate) use self::tags::{complete_tags, complete_values, tags};
