//! Each function says what graphite-web said of the same counts, in a record that the test which asks graphite-web
//! (`tests/pipeline/graphite_oracle`) keeps up to date.

#[path = "../../../../../tests/graphite/counts.rs"]
mod counts;

use std::borrow::Cow;

use model::{Extent, Timestamp};
use serde_json::{Value, json};

use super::{T, counted, utc};
use crate::catalogue::described;
use crate::plan::Plan;
use crate::request::Request;
use crate::series::Series;

const RECORD: &str = include_str!("../../../../../tests/graphite/recorded.ndjson");

/// The first minute that has counts.
const FIRST: i64 = T - counts::MIDNIGHT_S;

/// After all of them.
const NOW: i64 = T + 43_200;

/// Nine digits are on record, and functions that compute with unix times are off by a little more on some days.
const RELATIVE_ERROR_MAX: f64 = 1e-7;

/// What is on record of one kind: the lines with a key.
fn recorded(key: &str) -> Vec<Value> {
    let lines = RECORD.lines().map(|line| serde_json::from_str(line).unwrap());
    let found: Vec<Value> = lines.filter(|line: &Value| line.get(key).is_some()).collect();
    assert!(found.len() > 100, "only {} lines have {key}", found.len());
    found
}

/// `<N>` is N seconds after the first minute.
fn with_times(text: &str) -> String {
    let regex = regex::Regex::new(r"<(-?\d+)>").unwrap();
    let time = |found: &regex::Captures| (FIRST + found[1].parse::<i64>().unwrap()).to_string();
    regex.replace_all(text, time).into_owned()
}

fn rendered(line: &Value) -> Vec<Series> {
    let window = with_times(line["window"].as_str().unwrap());
    let target = ("target".to_owned(), with_times(line["target"].as_str().unwrap()));
    let pairs: Vec<(String, String)> = window
        .split(' ')
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .chain([target])
        .collect();
    let pairs = pairs
        .iter()
        .map(|(key, value)| (Cow::from(key), Cow::from(value)));
    let request = Request::parse(pairs, NOW, utc(NOW).limits).unwrap();
    let plan = Plan::of(request).unwrap();
    let at = |(after_s, count): (i64, u64)| (FIRST + after_s, count);
    let counts: Vec<_> = counts::counts()
        .into_iter()
        .map(|(name, counts)| (name, counts.into_iter().map(at).collect()))
        .collect();
    let extent = Extent {
        complete_until: Some(Timestamp::from_unix_ms(1_000 * NOW)),
        kept_since: None,
    };
    plan.series(&counted(&plan, &counts, extent).unwrap()).unwrap()
}

/// Whether a series is as it was recorded.
fn is_as(series: &Series, recorded: &Value) -> bool {
    let values = recorded["values"].as_array().unwrap();
    let step_by = series.values.len().div_ceil(values.len().max(1)).max(1);
    let is_near = |(ours, theirs): (&crate::number::Point, &Value)| match (ours, theirs.as_f64()) {
        (Some(ours), Some(theirs)) => {
            (ours.real() - theirs).abs() <= RELATIVE_ERROR_MAX * theirs.abs().max(1.0)
        }
        (ours, theirs) => ours.is_none() && theirs.is_none(),
    };
    let some = series.values.iter().step_by(step_by);
    let from = (!series.values.is_empty()).then(|| series.start - FIRST);
    let step = (series.values.len() > 1).then_some(series.step);
    with_times(recorded["name"].as_str().unwrap()) == series.name
        && json!(from) == recorded["from"]
        && json!(step) == recorded["step"]
        && json!(series.values.len()) == recorded["count"]
        && some.zip(values).all(is_near)
}

#[test]
fn renders_what_was_recorded() {
    for line in recorded("target") {
        let (ours, theirs) = (rendered(&line), line["series"].as_array().unwrap());
        let is_equal =
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| is_as(ours, theirs));
        assert!(is_equal, "{line}\n{ours:?}");
    }
}

#[test]
fn functions_are_described_as_recorded() {
    for line in recorded("function") {
        let name = line["function"].as_str().unwrap();
        let mut ours = described(name).unwrap();
        assert_ne!(ours["description"], "", "{name}");
        for parameter in ours["params"].as_array_mut().unwrap() {
            let parameter = parameter.as_object_mut().unwrap();
            parameter.retain(|key, _| key != "options" && key != "suggestions");
        }
        let ours = json!({ "group": ours["group"], "params": ours["params"] });
        assert_eq!(ours, line["described"], "{name}");
    }
}
