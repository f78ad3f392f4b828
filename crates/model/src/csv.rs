//! The cells of CSV that hold a text. Spreadsheets take a text that begins like a formula for one, and run it: such a text is written
//! with a single quote before it, which they do not show (OWASP, "CSV Injection"). Numbers are written as they are, also negative ones.
//!
//! The page makes files of its own by the same rule: `crates/api/dashboard/csv.js`. Both are tested with
//! `tests/data/csv_cells.json`.

use std::borrow::Cow;

/// The first characters that some spreadsheet takes for the beginning of a formula, or skips to look for one.
const FORMULA_BEGINNINGS: &[u8] = b"=+-@\t\r\n";

/// The characters that need quotes around the cell: commas, quotes and ends of lines by RFC 4180; semicolons and tabs because programs
/// that separate by them would begin a cell in the middle of the text.
const QUOTED: [char; 6] = [',', '"', '\n', '\r', ';', '\t'];

/// The text as a cell that is no formula, with quotes around it where it needs some.
#[must_use]
pub fn text_cell(text: &str) -> Cow<'_, str> {
    let guard = if begins_a_formula(text.as_bytes()) {
        "'"
    } else {
        ""
    };
    if text.contains(QUOTED) {
        Cow::Owned(format!("\"{guard}{}\"", text.replace('"', "\"\"")))
    } else if guard.is_empty() {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("{guard}{text}"))
    }
}

/// The event's name in a cell without its quotes: the single quote that [`text_cell`] put before it is taken away. That is
/// unambiguous, since no name has a single quote.
#[must_use]
pub fn name_in_cell(cell: &[u8]) -> &[u8] {
    match cell.strip_prefix(b"'") {
        Some(name) if begins_a_formula(name) => name,
        _ => cell,
    }
}

fn begins_a_formula(text: &[u8]) -> bool {
    text.first()
        .is_some_and(|first| FORMULA_BEGINNINGS.contains(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventName;

    #[test]
    fn texts_are_cells_as_on_the_page() {
        let cases: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/data/csv_cells.json")).unwrap();
        let cases = cases.as_array().unwrap();
        for case in cases.iter().filter(|case| case[0].is_string()) {
            let (text, cell) = (case[0].as_str().unwrap(), case[1].as_str().unwrap());
            assert_eq!(text_cell(text), cell);
        }
        for first in FORMULA_BEGINNINGS {
            let text = char::from(*first).to_string();
            assert!(cases.iter().any(|case| case[0] == *text), "{text:?} is no case");
        }
    }

    #[test]
    fn every_name_comes_back() {
        for first in (0_u8..=0x7f).map(char::from) {
            let name = format!("{first}a");
            if EventName::new(&*name).is_ok() {
                assert_eq!(name_in_cell(text_cell(&name).as_bytes()), name.as_bytes());
            }
        }
        for other in ["'a", "'", "''=a"] {
            assert_eq!(name_in_cell(other.as_bytes()), other.as_bytes());
        }
    }
}
