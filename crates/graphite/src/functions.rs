//! The functions, by family and by name.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::error::Error;
use crate::function::Function;

mod alias;
mod combine;
mod derive;
mod filter;
mod groups;
mod holt_winters;
mod moving;
mod nulls;
mod pairs;
mod percent;
mod reduce;
mod shift;
mod sort;
mod special;
mod summarize;
mod transform;

#[cfg(test)]
mod tests;

/// The descriptions of all functions, by family.
pub(crate) const TABLES: &[&[Function]] = &[
    alias::TABLE,
    combine::TABLE,
    derive::TABLE,
    filter::TABLE,
    groups::TABLE,
    holt_winters::TABLE,
    moving::TABLE,
    nulls::TABLE,
    pairs::TABLE,
    percent::TABLE,
    reduce::TABLE,
    shift::TABLE,
    sort::TABLE,
    special::TABLE,
    summarize::TABLE,
    transform::TABLE,
];

/// Most characters of an unknown name that its refusal repeats.
const NAME_SHOWN_CHARS_MAX: usize = 40;

/// Each function by each of its names.
static BY_NAME: LazyLock<BTreeMap<&'static str, &'static Function>> = LazyLock::new(|| {
    let functions = TABLES.iter().copied().flatten();
    let named = functions.flat_map(|function| function.names.iter().map(move |name| (*name, function)));
    named.collect()
});

/// The function of a name.
///
/// # Errors
/// `UnknownFunction` for a name that is no function's.
pub(crate) fn find(name: &str) -> Result<&'static Function, Error> {
    let function = BY_NAME.get(name).copied();
    function.ok_or_else(|| Error::UnknownFunction(name.chars().take(NAME_SHOWN_CHARS_MAX).collect()))
}

/// All names of functions, in order.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    BY_NAME.keys().copied()
}
