//! Names: the search over them, and the tree that their dots make.

mod find;
mod index;
mod loader;
mod search;
mod tags;
mod tree;

pub(crate) use self::find::{NODES_MAX, QUERIES_MAX, expand, find, index_json};
pub(crate) use self::loader::{Loader, Names};
pub(crate) use self::search::{NAMES_MAX, get};
pub(crate) use self::tags::{VALUES_MAX, complete_tags, complete_values, tags};
