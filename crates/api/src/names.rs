//! Names: the search over them, and the tree that their dots make.

pub(crate) mod error;
mod find;
mod loader;
mod search;
mod tags;

pub(crate) use self::find::{Completions, Entry, expand, find, index_json};
pub(crate) use self::loader::{Loader, Names};
pub(crate) use self::search::{Listing, get};
pub(crate) use self::tags::{complete_tags, complete_values, tags};
