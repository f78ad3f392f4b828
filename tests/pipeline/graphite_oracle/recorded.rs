//! What graphite-web says, as the tests of the crate `graphite` have it on record: they compare in milliseconds, without graphite-web.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::compare::{Point, Rendering, series};
use super::data::{DAY_S, Data};
use super::targets::Request;
use super::{described, listed};

const RECORDED: &str = include_str!("../../graphite/recorded.ndjson");

/// The windows that are on record: one that begins where everything begins, and one that does not.
const WINDOWS: [&str; 2] = ["from=<-60> until=<10740>", "from=<17> until=<7213>"];

/// Of each series no more values than this are on record, at equal distances.
const VALUES_MAX: usize = 8;

const RELATIVE_ERROR_MAX: f64 = 1e-7;

/// Unix times in names that a function has made, in digits.
const DIGITS: usize = 10;

/// Unless the record is what graphite-web says today: where that was written to instead.
pub(super) fn differs(
    data: &Data,
    requests: &[Request],
    answers: &[Rendering],
    functions: &BTreeMap<String, Value>,
) -> Option<String> {
    let functions = functions
        .iter()
        .filter(|(name, _)| !super::is_left_out(name))
        .map(|(name, function)| json!({ "function": name, "described": described(function) }));
    let on_record =
        |request: &Request| WINDOWS.contains(&request.window.as_str()) && listed(request).is_none();
    let answers = requests
        .iter()
        .zip(answers)
        .filter(|(request, answer)| on_record(request) && answer.status == 200)
        .map(|(request, answer)| (request, series(&answer.body).unwrap()))
        .filter(|(_, series)| series.iter().all(|(_, points)| is_daily(points)))
        .map(|(request, series)| {
            let series = series.iter().map(|(name, points)| {
                let step_by = points.len().div_ceil(VALUES_MAX).max(1);
                let some = points.iter().step_by(step_by);
                json!({
                    "name": without_times(name, data.first),
                    "from": points.first().map(|(_, at)| at - data.first),
                    "step": points.get(1).map(|(_, second)| second - points[0].1),
                    "count": points.len(),
                    "values": some.map(|(value, _)| value.map(rounded)).collect::<Vec<_>>(),
                })
            });
            json!({
                "target": request.target,
                "window": request.window,
                "series": series.collect::<Vec<_>>(),
            })
        });
    let text: String = functions.chain(answers).map(|line| format!("{line}\n")).collect();
    let lines = |text: &str| -> Value {
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .collect()
    };
    (!is_near(&lines(&text), &lines(RECORDED))).then(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/recorded.ndjson");
        std::fs::write(path, text).unwrap();
        "tests/graphite/recorded.ndjson is not what graphite-web says; target/recorded.ndjson is: copy it, if the difference is meant"
            .to_owned()
    })
}

/// Whether two values say the same. Functions that compute with unix times are off by a little more on some days.
fn is_near(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
            (one - other).abs() <= RELATIVE_ERROR_MAX * one.abs().max(1.0)
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_near(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let mut values = one.iter().zip(other);
            one.len() == other.len() && values.all(|(one, other)| one.0 == other.0 && is_near(one.1, other.1))
        }
        _ => one == other,
    }
}

/// Whether values are at the same times of each day: others change from one day to the next.
fn is_daily(points: &[Point]) -> bool {
    points.windows(2).all(|two| DAY_S % (two[1].1 - two[0].1) == 0)
}

/// To nine digits, which is what both agree on; a whole number as one.
fn rounded(value: f64) -> Value {
    let value: f64 = format!("{value:.8e}").parse().unwrap();
    if value.fract() == 0.0 && value.abs() < 1e15 {
        json!(format!("{value:.0}").parse::<i64>().unwrap())
    } else {
        json!(value)
    }
}

/// `<N>` for N seconds after the first minute, as in the targets.
fn without_times(name: &str, first: i64) -> String {
    let (mut done, mut rest) = (String::new(), name);
    while let Some(at) = rest.find(|character: char| character.is_ascii_digit()) {
        let number = &rest[at..];
        let end = number.find(|character: char| !character.is_ascii_digit());
        let (digits, behind) = number.split_at(end.unwrap_or(number.len()));
        done += &rest[..at];
        done += &match digits.parse::<i64>() {
            Ok(unix_s) if digits.len() == DIGITS => format!("<{}>", unix_s - first),
            _ => digits.to_owned(),
        };
        rest = behind;
    }
    done + rest
}
