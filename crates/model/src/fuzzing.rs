//! The checks of times and patterns: for the fuzz targets `times` and `globs`, and for their corpora.

use crate::{EventName, Glob, Timestamp, csv, decimal, query_time};

const NOW_MS: i64 = 1_763_787_600_000;

/// Reads a text as every kind of time and number, and writes it into a cell of CSV.
///
/// # Panics
/// An overflow, or a cell that does not read as what was written.
pub fn times(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let now = Timestamp::from_unix_ms(NOW_MS);
    for time in [
        query_time::parse(text, now),
        Timestamp::from_unix_text(text).ok(),
        Timestamp::from_rfc3339(text).ok(),
    ]
    .into_iter()
    .flatten()
    {
        // What the answers are made with.
        let _ = (
            time.unix_s(),
            time.ms_since(now),
            now.ms_since(time),
            time.plus_ms(1),
        );
    }
    let _ = (decimal::whole(text), decimal::thousandths(text));
    if EventName::new(text).is_ok() {
        assert_eq!(
            csv::name_in_cell(csv::text_cell(text).as_bytes()),
            text.as_bytes()
        );
    }
}

/// Matches the names in the lines of `input` after the first, which is a pattern.
///
/// # Panics
/// A name matches without what all that match are said to have.
pub fn globs(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (pattern, names) = text.split_once('\n').unwrap_or((&text, "shop.item.sold\na"));
    for glob in [Glob::new(pattern), Glob::for_search(pattern)] {
        let Ok(glob) = glob else { continue };
        let (prefix, needles, mut matcher) = (glob.prefix(), glob.needles('\n'), glob.matcher());
        for name in names.lines().filter(|name| EventName::new(*name).is_ok()) {
            if !matcher.matches(name) {
                assert_ne!(glob.literal(), Some(name));
                continue;
            }
            assert!(name.starts_with(&prefix), "{pattern} {name} {prefix}");
            assert!(glob.literal().is_none_or(|literal| literal == name) && !glob.matches_nothing());
            let listed = format!("\n{name}\n");
            let has = |needles: &Vec<String>| needles.iter().any(|needle| listed.contains(needle));
            assert!(needles.as_ref().is_none_or(has), "{pattern} {name} {needles:?}");
        }
    }
}

#[cfg(test)]
#[path = "../../../tests/fuzz/replay.rs"]
mod replay;

#[cfg(test)]
#[test]
fn what_was_found_holds() {
    replay::corpus("times", times);
    replay::corpus("globs", globs);
}
