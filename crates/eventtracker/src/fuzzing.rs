//! The checks of what `import` reads: for the fuzz targets `logs`, `rows` and `journals`, and for their corpora.

pub use crate::commands::import::fuzzing::{journals, logs, rows};

#[cfg(test)]
#[path = "../../../tests/fuzz/replay.rs"]
mod replay;

#[cfg(test)]
#[test]
fn what_was_found_holds() {
    replay::corpus("logs", logs);
    replay::corpus("rows", rows);
    replay::corpus("journals", journals);
}
