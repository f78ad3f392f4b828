//! Rows as lines of CSV.
//!
//! Read here and not with the `csv` crate, which never fails on quotes: it takes `"a"b` for `ab`, and a quote that is not closed for a field
//! that lasts until the end of the file. An import has to refuse such a line by its number, and go on behind it.

use model::csv::name_in_cell;

use super::lines::Line;
use super::row::{self, Refusal, Row};

/// Where a row has its name, its minute and its count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Columns(pub(super) [u8; 3]);

impl Default for Columns {
    fn default() -> Self {
        Self([0, 1, 2])
    }
}

/// What a file's first line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FirstLine {
    Header(Columns),
    Row,
    /// It has a header's word, yet not the three.
    NotUnderstood,
    /// `sep=,`: a spreadsheet's note to itself, in front of the first line.
    Separator,
    /// What other programs put between columns.
    Separated(char),
}

/// What stands between columns where it is no comma: spreadsheets take it from the language of their user.
const OTHER_SEPARATORS: [u8; 3] = *b";\t|";

/// The columns' words in any order and any case.
pub(super) fn first_line(line: &Line<'_>) -> FirstLine {
    if let Some(separator) = line.text.strip_prefix(b"sep=") {
        return match separator.trim_ascii() {
            b"," => FirstLine::Separator,
            other => FirstLine::Separated(other.first().map_or('\t', |&b| char::from(b))),
        };
    }
    let count = |byte: u8| line.text.iter().filter(|&&b| b == byte).count();
    // A name, a time and a number have none of them, and a number may have a comma.
    if let Some(other) = OTHER_SEPARATORS.into_iter().find(|&other| count(other) >= 2)
        && count(b',') < 2
    {
        return FirstLine::Separated(char::from(other));
    }
    let column = |field: &[u8]| match field.to_ascii_lowercase().as_slice() {
        b"name" => Some(0),
        b"minute" | b"time" | b"timestamp" => Some(1),
        b"count" => Some(2),
        _ => None,
    };
    let Ok(fields) = fields(line) else {
        let is_column = |field: &[u8]| column(field.trim_ascii()).is_some();
        return if line.text.split(|&b| b == b',').any(is_column) {
            FirstLine::NotUnderstood
        } else {
            FirstLine::Row
        };
    };
    let mut columns = [None; 3];
    for (at, column) in (0..).zip(fields.map(column)) {
        if let Some(column) = column {
            columns[column] = Some(at);
        }
    }
    match columns {
        [Some(name), Some(minute), Some(count)] => FirstLine::Header(Columns([name, minute, count])),
        [None, None, None] => FirstLine::Row,
        // A name may be one of the words.
        _ if read(line, Columns::default()).is_ok() => FirstLine::Row,
        _ => FirstLine::NotUnderstood,
    }
}

/// Whether there is nothing in any column, as below a table that a spreadsheet has saved.
pub(super) fn is_empty(line: &Line<'_>) -> bool {
    line.text.iter().all(|b| b", \t\"".contains(b))
}

pub(super) fn read<'a>(line: &Line<'a>, columns: Columns) -> Result<Row<'a>, Refusal> {
    let fields = fields(line)?;
    let [name, minute, count] = columns.0.map(|at| fields[usize::from(at)]);
    Ok(Row {
        name: row::name(name_in_cell(name))?,
        minute: row::minute_in_cell(minute)?,
        count: row::count_in_cell(count)?,
    })
}

/// The three fields without their quotes and without white space around them. A quote inside of quotes is refused: no
/// name, time or number has one.
fn fields<'a>(line: &Line<'a>) -> Result<[&'a [u8]; 3], Refusal> {
    if line.is_cut {
        return Err(Refusal::Cut);
    }
    let mut rest = line.text;
    let mut fields: [&[u8]; 3] = Default::default();
    let mut found = 0;
    loop {
        let (field, end) = field(rest)?;
        if let Some(place) = fields.get_mut(found) {
            *place = field;
        }
        found += 1;
        if end == rest.len() {
            break;
        }
        rest = &rest[end + 1..];
    }
    if found == fields.len() {
        Ok(fields)
    } else {
        Err(Refusal::Columns(found))
    }
}

/// The first field of `text`, and where it ends: at a comma or at the end.
fn field(text: &[u8]) -> Result<(&[u8], usize), Refusal> {
    let start = text.iter().take_while(|b| b" \t".contains(b)).count();
    if text.get(start) != Some(&b'"') {
        let end = text.iter().position(|&b| b == b',').unwrap_or(text.len());
        return Ok((text[..end].trim_ascii(), end));
    }
    let quoted = &text[start + 1..];
    let length = quoted.iter().position(|&b| b == b'"').ok_or(Refusal::Quotes)?;
    let after = &quoted[length + 1..];
    let to_comma = after.iter().position(|&b| b == b',').unwrap_or(after.len());
    if after[..to_comma].trim_ascii().is_empty() {
        Ok((quoted[..length].trim_ascii(), start + length + 2 + to_comma))
    } else {
        Err(Refusal::Quotes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(number: u64, text: &str) -> Line<'_> {
        Line::whole(number, text.as_bytes())
    }

    fn read_as(text: &str, columns: [u8; 3]) -> Result<(String, i64, u64), String> {
        read(&line(2, text), Columns(columns))
            .map(|row| (row.name.as_str().to_owned(), row.minute.unix_s(), row.count))
            .map_err(|refusal| refusal.to_string())
    }

    fn read_one(text: &str) -> Result<(String, i64, u64), String> {
        read_as(text, Columns::default().0)
    }

    #[test]
    fn rows_with_and_without_quotes() {
        let expected = Ok(("shop.item.sold".to_owned(), 1_763_787_600, 25));
        for text in [
            "shop.item.sold,1763787600,25",
            " shop.item.sold , 1763787600 , 25 ",
            r#""shop.item.sold","1763787600","25""#,
            r#" "shop.item.sold" ,1763787600,"25" "#,
            "shop.item.sold,2025-11-22T05:00:00Z,25",
        ] {
            assert_eq!(read_one(text), expected, "{text}");
        }
        assert_eq!(read_as("25,shop.item.sold,2025-11-22 05:00", [1, 2, 0]), expected);
        assert_eq!(read_one("a,1763787600,").unwrap().2, 0);
        assert_eq!(read_one("a,1763787600,\"\"").unwrap().2, 0);
    }

    #[test]
    fn a_refusal_names_its_reason() {
        for (text, reason) in [
            ("a;1763787600;25", "this one has 1"),
            ("a,1763787600", "this one has 2"),
            ("a,1763787600,1,", "this one has 4"),
            ("a,1763787600,\"25", "a quote is not closed"),
            ("\"a\"b,1763787600,25", "a quote is not closed"),
            ("\"a\"\"b\",1763787600,25", "a quote is not closed"),
            (
                "a b,1763787600,25",
                "name has a character that is not allowed: ' '",
            ),
            (",1763787600,25", "name is empty"),
            ("a,soon,25", "minute is not unix seconds"),
            ("a,1763787600,-25", "count is not an integer"),
            ("a b,1763787600,0", "name has a character"),
            (
                "'a,1763787600,1",
                "name has a character that is not allowed: '\\''",
            ),
            (
                "''=a,1763787600,1",
                "name has a character that is not allowed: '\\''",
            ),
        ] {
            let refusal = read_one(text).unwrap_err();
            assert!(refusal.contains(reason), "{text}: {refusal}");
        }
    }

    #[test]
    fn a_name_that_was_kept_from_being_a_formula_is_itself_again() {
        for name in ["=a", "+a", "-a", "@a", "-", "a"] {
            let cell = model::csv::text_cell(name);
            let expected = Ok((name.to_owned(), 1_763_787_600, 25));
            for text in [
                format!("{cell},1763787600,25"),
                format!(" \"{cell}\" ,1763787600,25"),
                format!("{name},1763787600,25"),
            ] {
                assert_eq!(read_one(&text), expected, "{text}");
            }
        }
    }

    #[test]
    fn a_header_is_recognised_in_any_order() {
        for (text, columns) in [
            ("name,minute,count", [0, 1, 2]),
            ("name,time,count", [0, 1, 2]),
            ("\"Name\",\"Timestamp\",\"Count\"", [0, 1, 2]),
            ("count, name, minute", [1, 2, 0]),
        ] {
            assert_eq!(
                first_line(&line(1, text)),
                FirstLine::Header(Columns(columns)),
                "{text}"
            );
        }
        for text in [
            "a,1763787600,25",
            "count,1763787600,25",
            "a,1763787600,-1",
            "nonsense",
            "",
        ] {
            assert_eq!(first_line(&line(1, text)), FirstLine::Row, "{text}");
        }
        for text in [
            "name,minute,count,region",
            "name,time,value",
            "name,time,time",
            "time;count,name",
            "name",
        ] {
            assert_eq!(first_line(&line(1, text)), FirstLine::NotUnderstood, "{text}");
        }
    }

    #[test]
    fn other_separators_are_recognised() {
        assert_eq!(first_line(&line(1, "sep=,")), FirstLine::Separator);
        for (text, separator) in [
            ("sep=;", ';'),
            ("sep=\t", '\t'),
            ("name;minute;count", ';'),
            ("a;2025-11-22 05:00;1,5", ';'),
            ("name\tminute\tcount", '\t'),
            ("a|1763787600|3", '|'),
        ] {
            assert_eq!(
                first_line(&line(1, text)),
                FirstLine::Separated(separator),
                "{text}"
            );
        }
        assert!(is_empty(&line(5, ",,")) && is_empty(&line(5, " ,\"\", ")) && !is_empty(&line(5, ",,0")));
    }

    proptest! {
        #[test]
        fn quotes_and_order_change_nothing(
            name in "[A-Za-z0-9_.:/@#+%~=-]{1,255}",
            minute in 15_778_080_i64..35_791_394,
            count in 0..=1_000_000_000_000_u64,
            quoted in prop::array::uniform3(any::<bool>()),
            order in Just([0_u8, 1, 2]).prop_shuffle(),
        ) {
            let fields = [name.clone(), (minute * 60).to_string(), count.to_string()];
            let mut text = vec![String::new(); 3];
            for ((field, quoted), &at) in fields.iter().zip(quoted).zip(&order) {
                text[usize::from(at)] = if quoted { format!("\"{field}\"") } else { field.clone() };
            }
            prop_assert_eq!(read_as(&text.join(","), order), Ok((name, minute * 60, count)));
        }
    }
}
