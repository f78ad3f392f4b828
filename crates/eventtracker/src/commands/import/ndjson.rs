//! Rows of history as JSON objects, one in a line.

use std::borrow::Cow;

use model::EventName;
use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::value::RawValue;

use super::lines::Line;
use super::row::{self, Refusal, Row, shown};

/// The fields as they are written; what each may be, [`row`] decides for both formats alike.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    name: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    minute: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    count: Option<&'a RawValue>,
}

/// A field that is there, `null` included: serde would take that for one that is not.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The row that a line is.
pub(super) fn read<'a>(line: &Line<'a>) -> Result<Row<'a>, Refusal> {
    if line.is_cut {
        return Err(Refusal::Cut);
    }
    // serde would take an array of the fields' values in their order for the object.
    if !line.text.trim_ascii_start().starts_with(b"{") {
        return Err(Refusal::Shape(shown(line.text)));
    }
    let fields: Fields<'_> =
        serde_json::from_slice(line.text).map_err(|error| Refusal::Shape(error.to_string()))?;
    let name = fields.name.ok_or(Refusal::Missing("name"))?.get();
    let time = match (fields.minute, fields.timestamp) {
        (Some(time), None) | (None, Some(time)) => time.get(),
        (Some(_), Some(_)) => return Err(Refusal::TwoTimes),
        (None, None) => return Err(Refusal::Missing("minute")),
    };
    let count = match fields.count.ok_or(Refusal::Missing("count"))?.get() {
        "null" => "",
        count => count,
    };
    let minute = match text(time) {
        Some(text) => row::minute(text.as_bytes()),
        None => row::minute(time.as_bytes()),
    };
    Ok(Row {
        name: named(name)?,
        minute: minute?,
        count: row::count(count.as_bytes())?,
    })
}

/// The name that a JSON value is.
fn named(raw: &str) -> Result<EventName<'_>, Refusal> {
    match text(raw).ok_or_else(|| Refusal::NameNotText(shown(raw.as_bytes())))? {
        Cow::Borrowed(text) => row::name(text.as_bytes()),
        Cow::Owned(text) => EventName::new(text).map_err(Refusal::Name),
    }
}

/// The text of a JSON string, without a copy where it has no escapes.
fn text(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(text: &str) -> Result<(String, i64, u64), String> {
        let line = Line::whole(1, text.as_bytes());
        read(&line)
            .map(|row| (row.name.as_str().to_owned(), row.minute.unix_s(), row.count))
            .map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn objects_with_either_word_for_the_minute() {
        let expected = Ok(("shop.item.sold".to_owned(), 1_763_787_600, 25));
        for text in [
            r#"{"name":"shop.item.sold","minute":1763787600,"count":25}"#,
            r#" { "count" : 25.0 , "timestamp" : 1763787659.5 , "name" : "shop.item.sold" } "#,
            r#"{"name":"shop.item.sold","minute":"2025-11-22 05:00","count":25}"#,
            r#"{"name":"shop.item\u002esold","timestamp":"2025-11-22T06:00:00+01:00","count":25}"#,
        ] {
            assert_eq!(read_one(text), expected, "{text}");
        }
        for nothing in ["0", "null"] {
            let text = format!(r#"{{"name":"a","minute":1763787600,"count":{nothing}}}"#);
            assert_eq!(read_one(&text).unwrap().2, 0);
        }
    }

    #[test]
    fn a_refusal_names_its_reason() {
        for (text, reason) in [
            (r#"["a",1763787600,25]"#, "not a JSON object"),
            (
                r#"{"name":"a""#,
                "not a JSON object of name, minute and count: EOF",
            ),
            (
                r#"{"name":"a","minute":1763787600,"count":1,"region":"eu"}"#,
                "unknown field `region`",
            ),
            (
                r#"{"name":"a","name":"b","minute":1763787600,"count":1}"#,
                "duplicate field `name`",
            ),
            (r#"{"minute":1763787600,"count":1}"#, "name is missing"),
            (r#"{"name":"a","count":1}"#, "minute is missing"),
            (r#"{"name":"a","minute":1763787600}"#, "count is missing"),
            (
                r#"{"name":"a","minute":1,"timestamp":1,"count":1}"#,
                "both are given",
            ),
            (
                r#"{"name":7,"minute":1763787600,"count":1}"#,
                "name is not a string: 7",
            ),
            (
                r#"{"name":"a*","minute":1763787600,"count":1}"#,
                "name has a character",
            ),
            (
                r#"{"name":"a","minute":null,"count":1}"#,
                "minute is not unix seconds",
            ),
            (
                r#"{"name":"a","minute":1763787600,"count":"1"}"#,
                "count is not an integer",
            ),
            (
                r#"{"name":"a","minute":1763787600,"count":-1}"#,
                "count is not an integer",
            ),
        ] {
            let refusal = read_one(text).unwrap_err();
            assert!(refusal.contains(reason), "{text}: {refusal}");
        }
    }
}
