//! Errors of finding and listing names.

use model::GlobError;
use store::central::NAMES_SCANNED_MAX;

use crate::limits::{NAMES_MAX, NODES_MAX, QUERIES_MAX, TAG_VALUES_MAX};

/// Reasons for which a search, a listing or a walk through the tree is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Pattern(#[from] GlobError),
    #[error(
        "pattern reaches more than {NAMES_SCANNED_MAX} names: give it a longer beginning without wildcards"
    )]
    PatternTooBroad,
    #[error("limit is not a number from 1 to {NAMES_MAX}")]
    Limit,
    #[error("query is missing: give a path with or without wildcards, such as query=shop.*")]
    NoQuery,
    #[error("format is neither treejson nor completer")]
    Format,
    #[error("more than {QUERIES_MAX} queries: ask for fewer")]
    TooManyQueries,
    #[error("more than {NODES_MAX} nodes: give the query a longer beginning, or narrower wildcards")]
    TooManyNodes,
    #[error("names are not in memory yet: try again, or give the query a longer beginning")]
    NotInMemory,
    #[error("names are too many to be held in memory: give the query a longer beginning")]
    TooManyNames,
    #[error("more than {0} names: walk through them with /metrics/find, or search with /v1/names")]
    TooManyToList(usize),
    #[error("tag is missing: give tag=name")]
    NoTag,
    #[error("limit is not a number from 1 to {TAG_VALUES_MAX}")]
    ValuesLimit,
}
