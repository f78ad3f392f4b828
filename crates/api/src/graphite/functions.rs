//! The functions, by family.

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

use super::function::Function;

pub(super) const TABLES: &[&[Function]] = &[
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
