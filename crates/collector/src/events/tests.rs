//! Bodies, and the verdict on each event.

use proptest::prelude::*;

use super::*;
use crate::both_ways;

const NOW_S: i64 = 1_763_787_600;

fn read_all(format: Format, text: &str, now: Timestamp) -> Result<Vec<ParsedEvent<'_>>, BodyError> {
    let mut items = Vec::new();
    read(format, text, now, true, |item| items.push(item))?;
    Ok(items)
}

fn items(format: Format, body: &str) -> Vec<ParsedEvent<'_>> {
    let now = Timestamp::from_unix_ms(NOW_S * 1000);
    read_all(format, body.trim_start_matches(utf8::MARK), now).unwrap()
}

/// Fields as senders write them, and as they should not.
fn field() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        4 => "[a-z0-9_.:/@#+%~=-]{1,30}".prop_map(|name| format!("\"{name}\"")),
        1 => "\\PC{0,5}".prop_map(|name| format!("\"{name}\"")),
        1 => Just(format!("\"{}\"", "x".repeat(256))),
        1 => Just("\"\\u0061\"".to_owned()),
    ];
    let number = prop_oneof![
        any::<u32>().prop_map(|n| n.to_string()),
        (0..1_000_000_000_000_u64).prop_map(|n| n.to_string()),
        "[-+]?[0-9]{0,12}([.][0-9]{0,5})?(e[0-9])?",
        (NOW_S - 100_000..NOW_S + 7_200, "([.][0-9]{1,20})?").prop_map(|(n, rest)| format!("{n}{rest}")),
    ];
    let time = prop_oneof![
        number.clone(),
        "\"20(16|25)-1[12]-(22|31)[Tt ](05|23):(00|59):(00|60)([.][0-9]{1,12})?(Z|z|[+]01:00|)\"",
    ];
    prop_oneof![
        3 => name.prop_map(|name| format!("\"name\":{name}")),
        2 => number.prop_map(|count| format!("\"count\":{count}")),
        2 => time.prop_map(|time| format!("\"timestamp\":{time}")),
        1 => Just("\"cuont\":3".to_owned()),
        1 => Just("\"count\":null".to_owned()),
    ]
}

fn event() -> impl Strategy<Value = String> {
    let blank = || "[ \t\r\n]{0,1}";
    (prop::collection::vec((blank(), field(), blank()), 0..4), blank()).prop_map(|(fields, end)| {
        let fields = fields
            .into_iter()
            .map(|(before, field, after)| before + &field + &after);
        format!("{{{}}}{end}", fields.collect::<Vec<_>>().join(","))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn the_plain_form_is_what_serde_json_reads(
        events in prop::collection::vec(event(), 1..4),
        shape in 0..4,
        change in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let listed = events.join(",");
        let body = match shape {
            0 => events.join("\n"),
            1 => format!("[{listed}]"),
            2 => format!("{{\"events\":[{listed}]}}"),
            _ => events[0].clone(),
        };
        let mut body = body.into_bytes();
        if let Some((at, byte)) = change {
            let at = at.index(body.len());
            body[at] = byte;
        }
        both_ways::check(&body);
    }
}

#[test]
fn a_field_that_comes_twice_is_refused_without_its_value_too() {
    for event in [
        r#"{"name":"a","name""count":3}"#,
        r#"{"name":"a","count":3,"count""timestamp":1763787600}"#,
    ] {
        both_ways::check(event.as_bytes());
        assert!(read_all(Format::Json, event, Timestamp::from_unix_ms(NOW_S * 1000)).is_err());
    }
}

#[test]
fn the_plain_form_is_taken_as_such() {
    let event = r#"{"name":"a.b","count":3,"timestamp":1763787600.25}"#;
    assert!(plain::line(event).is_some() && plain::body(event, 1).is_some());
    both_ways::check(event.as_bytes());
}

fn one(event: &str) -> Result<(String, u64, i64), String> {
    let mut items = items(Format::Json, event);
    assert_eq!(items.len(), 1);
    let event = items.remove(0).event.map_err(|e| e.to_string())?;
    Ok((event.name.as_str().to_owned(), event.count, event.minute.unix_s()))
}

#[test]
fn three_shapes_of_json_and_lines() {
    assert_eq!(one(r#"{"name":"a"}"#), Ok(("a".to_owned(), 1, NOW_S)));
    assert_eq!(items(Format::Json, r#" [{"name":"a"},{"name":"b"}]"#).len(), 2);
    assert_eq!(
        items(Format::Json, r#"{"events":[{"name":"a"},{"name":"b"},7]}"#).len(),
        3
    );
    assert_eq!(items(Format::Json, "[]").len(), 0);
    let lines = items(
        Format::Ndjson,
        "{\"name\":\"a\"}\r\n\n{\"name\":\n{\"name\":\"b\"}",
    );
    assert_eq!(
        lines.iter().map(|i| i.event.is_ok()).collect::<Vec<_>>(),
        [true, false, true]
    );
}

#[test]
fn byte_order_marks_are_passed_over() {
    assert_eq!(one("\u{feff}{\"name\":\"a\"}").unwrap().0, "a");
    assert_eq!(items(Format::Json, "\u{feff}[{\"name\":\"a\"}]").len(), 1);
    // As `cat` puts two files together.
    let lines = items(
        Format::Ndjson,
        "\u{feff}{\"name\":\"a\"}\r\n\u{feff}{\"name\":\"b\"}\n\u{feff}\n",
    );
    assert_eq!(lines.iter().filter(|i| i.event.is_ok()).count(), 2);
    assert_eq!(lines.len(), 2);
    for format in [Format::Json, Format::Ndjson] {
        assert_eq!(text(format, "\u{feff}\u{feff}{}".as_bytes()).unwrap(), "{}");
        assert!(matches!(text(format, b"\xff\xfe{\0"), Err(BodyError::Utf16)));
    }
}

#[test]
fn one_bad_line_keeps_no_other_from_counting() {
    let body = b"{\"name\":\"a\"}\n{\"name\":\"\xff\"}\n\xfe\n{\"name\":\"b\"}";
    assert!(matches!(text(Format::Json, body), Err(BodyError::NotUtf8(22))));
    let body = text(Format::Ndjson, body).unwrap();
    let lines = items(Format::Ndjson, &body);
    let verdicts: Vec<bool> = lines.iter().map(|item| item.event.is_ok()).collect();
    assert_eq!(verdicts, [true, false, false, true]);
    let cut = items(Format::Ndjson, "{\"name\":\"a\"}\n{\"name\":{\n{\"name\":\"b\"}");
    let verdicts: Vec<bool> = cut.iter().map(|item| item.event.is_ok()).collect();
    assert_eq!(verdicts, [true, false, true]);
    let joined = items(Format::Ndjson, r#"{"name":"a"} {"name":"b"}"#).remove(0);
    assert!(matches!(joined.event, Err(Refusal::TwoInLine)));
}

#[test]
fn a_body_of_the_other_content_type_says_so() {
    let refusal = |format, body: &str| {
        let now = Timestamp::from_unix_ms(NOW_S * 1000);
        read_all(format, body, now).unwrap_err().to_string()
    };
    let lines = refusal(Format::Json, "{\"name\":\"a\"}\n{\"name\":\"b\"}\n");
    assert!(
        lines.ends_with("send it with Content-Type: application/x-ndjson"),
        "{lines}"
    );
    let whole = refusal(Format::Ndjson, "[\n  {\n    \"name\": \"a\"\n  }\n]");
    assert!(
        whole.ends_with("send it with Content-Type: application/json"),
        "{whole}"
    );
    let array = items(Format::Ndjson, "[{\"name\":\"a\"}]")
        .remove(0)
        .event
        .unwrap_err()
        .to_string();
    assert!(
        array.contains("an array needs Content-Type: application/json"),
        "{array}"
    );
    assert!(refusal(Format::Json, "{\"name\":\"a\"} x").contains("trailing characters"));
    assert!(refusal(Format::Json, "7").contains("expected an event, an array of events or"));
    assert!(refusal(Format::Json, "{\"events\":7}").contains("expected an array of events"));
}

#[test]
fn nothing_is_rounded() {
    for count in ["3.0000000000000001", "2.9999999999999999999", "1e-400"] {
        let refusal = one(&format!(r#"{{"name":"a","count":{count}}}"#)).unwrap_err();
        assert!(refusal.contains("not an integer"), "{refusal}");
    }
    let event = format!(r#"{{"name":"a","timestamp":{}.99999999999999999}}"#, NOW_S + 59);
    assert_eq!(one(&event).unwrap().2, NOW_S);
}

#[test]
fn a_second_of_60_is_a_leap_second_or_refused() {
    let at = |text: &str| one(&format!(r#"{{"name":"a","timestamp":"{text}"}}"#));
    assert_eq!(at("2016-12-31T23:59:60Z").unwrap().2, 1_483_228_740);
    assert!(
        at("2016-12-31T11:31:60Z")
            .unwrap_err()
            .contains("not a number of unix seconds or an RFC 3339 time")
    );
}

#[test]
fn counts_and_times_in_all_their_forms() {
    assert_eq!(one(r#"{"name":"a","count":3}"#).unwrap().1, 3);
    assert_eq!(one(r#"{"name":"a","count":3.0}"#).unwrap().1, 3);
    assert_eq!(one(r#"{"name":"a","count":1e9}"#).unwrap().1, 1_000_000_000);
    assert_eq!(
        one(r#"{"name":"\u0061","timestamp":1763787659.99}"#).unwrap(),
        ("a".to_owned(), 1, NOW_S)
    );
    assert_eq!(
        one(r#"{"name":"a","timestamp":"2025-11-22T06:01:00+01:00"}"#)
            .unwrap()
            .2,
        NOW_S + 60
    );
}

#[test]
fn the_content_is_what_was_sent_however_it_is_written_and_whenever() {
    let content = |event: &str, now_s: i64| {
        let now = Timestamp::from_unix_ms(now_s * 1000);
        read_all(Format::Json, event, now).unwrap().remove(0).content
    };
    let first = content(r#"{"name":"a","count":3,"timestamp":1763787600}"#, NOW_S);
    for same in [
        r#"{"timestamp":1763787600.0, "count":3e0, "name":"\u0061"}"#,
        r#"[{"name":"a","count":3,"timestamp":"2025-11-22T06:00:00+01:00"}]"#,
    ] {
        assert_eq!(content(same, NOW_S + 600), first, "{same}");
    }
    // It is refused at first, and taken ten minutes later.
    let ahead = r#"{"name":"a","timestamp":1763791500}"#;
    assert_eq!(content(ahead, NOW_S), content(ahead, NOW_S + 600));
    for other in [
        r#"{"name":"a","count":3,"timestamp":1763787601}"#,
        r#"{"name":"a","count":3}"#,
        r#"{"name":"a","count":"3","timestamp":1763787600}"#,
        r#"{"nam":"a"}"#,
    ] {
        assert_ne!(content(other, NOW_S), first, "{other}");
    }
}

#[test]
fn each_bad_event_has_its_reason() {
    for count in [
        "0",
        "-1",
        "1.5",
        "1e10",
        "1000000001",
        "\"3\"",
        "null",
        "true",
        "[]",
    ] {
        let refusal = one(&format!(r#"{{"name":"a","count":{count}}}"#)).unwrap_err();
        assert_eq!(
            refusal,
            format!("count is not an integer from 1 to 1000000000: {count}")
        );
    }
    for (timestamp, reason) in [
        ("915148800", "before 2000"),
        ("2524608000", "an hour ahead"),
        ("\"noon\"", "not a number"),
        ("null", "not a number"),
        ("1e300", "not a number"),
        ("1763787600250", "unix seconds are expected"),
    ] {
        let refusal = one(&format!(r#"{{"name":"a","timestamp":{timestamp}}}"#)).unwrap_err();
        assert!(refusal.contains(reason), "{refusal}");
    }
    assert_eq!(one(r#"{"count":1}"#).unwrap_err(), "event has no name");
    assert_eq!(one(r#"{"name":7}"#).unwrap_err(), "name is not a string: 7");
    assert!(one(r#"{"name":"a b"}"#).unwrap_err().contains("' '"));
    assert!(one(r#"{"name":"a\u0001"}"#).unwrap_err().contains("\\u{1}"));
    assert!(one(r#"{"name":"a'"}"#).unwrap_err().contains("not allowed"));
    assert!(
        one(&format!(r#"{{"name":"{}"}}"#, "x".repeat(256)))
            .unwrap_err()
            .contains("longer than 255")
    );
    assert!(
        one(r#"{"name":"a","cuont":3}"#)
            .unwrap_err()
            .contains("unknown field `cuont`")
    );
    assert!(
        one(r#"{"name":"a","name":"b"}"#)
            .unwrap_err()
            .contains("duplicate field")
    );
    assert!(one("[7]").is_err_and(|e| e.contains("not a JSON object")));
    assert!(one(r#"[["a",5]]"#).is_err_and(|e| e.contains("not a JSON object")));
    let long = one(&format!(r#"{{"name":"a","count":{}}}"#, "9".repeat(41))).unwrap_err();
    assert!(long.ends_with(&format!(": {}…", "9".repeat(40))), "{long}");
    let huge = format!(r#"{{"{}":1}}"#, "A".repeat(100_000));
    assert!(one(&huge).is_err_and(|e| e.contains("unknown field") && e.len() < 400));
}

#[test]
fn broken_bodies_are_refused_whole() {
    let now = Timestamp::from_unix_ms(NOW_S * 1000);
    for body in [
        "",
        "{",
        "[{\"name\":\"a\"}",
        "{\"name\":NaN}",
        "[1,]",
        "{\"events\":7}",
        "{\"events\":null}",
        "{\"events\":[],\"name\":\"a\"}",
        "{} {}",
        "{\n  \"name\": \"a\",\n",
        "[1]\n[2]",
    ] {
        assert!(
            matches!(read_all(Format::Json, body, now), Err(BodyError::NotJson(_))),
            "{body}"
        );
    }
    assert!(matches!(text(Format::Json, b"\xff"), Err(BodyError::NotUtf8(0))));
    let many = |n| format!("[{}7]", "7,".repeat(n - 1));
    assert!(read_all(Format::Json, &many(EVENTS_MAX), now).is_ok());
    assert!(matches!(
        read_all(Format::Json, &many(EVENTS_MAX + 1), now),
        Err(BodyError::TooManyEvents)
    ));
    let lines = |n| "7\n".repeat(n);
    assert!(read_all(Format::Ndjson, &lines(EVENTS_MAX), now).is_ok());
    assert!(matches!(
        read_all(Format::Ndjson, &lines(EVENTS_MAX + 1), now),
        Err(BodyError::TooManyEvents)
    ));
}
