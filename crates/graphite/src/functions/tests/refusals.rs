//! What cannot be evaluated is said.

use proptest::prelude::*;

use super::evaluated;
use crate::functions::TABLES;

/// Targets, and what is said of them.
const REFUSALS: &[(&str, &str)] = &[
    (
        "nothing(a.x.n)",
        "unknown function 'nothing': GET /functions lists those that are known",
    ),
    (
        "scale(a.x.n)",
        "missing required parameter 'factor' for function 'scale'",
    ),
    (
        "scale(2,a.x.n)",
        "invalid 'seriesList' value specified for function 'scale' parameter 'seriesList': 2",
    ),
    (
        "scale(a.x.n,2,3)",
        "too many parameters specified for function 'scale'",
    ),
    (
        "scale(a.x.n,factr=3)",
        "missing required parameter 'factor' for function 'scale'",
    ),
    ("limit(a.x.n,1,n=2)", "function 'limit' has no parameter 'n'"),
    ("stdev(a.x.n,0)", "function 'stdev' wants at least one point"),
    (
        "holtWintersForecast(a.x.n,'10min','30s')",
        "function 'holtWinters' wants a season that is longer than the time between two values",
    ),
    (
        "summarize(a.x.n,'soon')",
        "invalid 'interval' value specified for function 'summarize' parameter 'intervalString': 'soon'",
    ),
    (
        "summarize(a.x.n,'1s')",
        "'1s' is shorter than the 60 seconds between the values: use a longer interval",
    ),
    (
        "summarize(a.x.n,'0d')",
        "'0d' is not an interval of at least a second, such as 5min, 1h or 7d",
    ),
    (
        "movingSum(a.x.n,0)",
        "'0' is not an interval of at least a second, such as 5min, 1h or 7d",
    ),
    (
        "consolidateBy(a.x.n,'p95')",
        "invalid 'string' value specified for function 'consolidateBy' parameter 'consolidationFunc': 'p95'",
    ),
    (
        "asPercent(a.*.n,*.*.n)",
        "function 'asPercent' wants as its total nothing, a number, one series, or as many series as the first argument has",
    ),
    (
        "reduceSeries(a.*.n,'timeShift',1,'x')",
        "function 'reduceSeries' wants a function of several series, such as divideSeries or asPercent",
    ),
    (
        "reduceSeries(a.*.n,'reduceSeries',1,'x')",
        "function 'reduceSeries' wants a function of several series, such as divideSeries or asPercent",
    ),
    (
        "divideSeries(a.x.n,a.*.n)",
        "function 'divideSeries' wants exactly one series as its second argument: sum them, or use divideSeriesLists",
    ),
    ("log(a.x.n,0)", "function 'log' wants a base above 0 other than 1"),
    ("log(a.x.n,1)", "function 'log' wants a base above 0 other than 1"),
    (
        "grep(a.x.n,'(')",
        "'(' is not a regular expression, or too large a one; look-around and back-references in it are not taken",
    ),
    (
        "seriesByTag('dc=eu')",
        "seriesByTag takes conditions on the tag name only, one of which says what it is or begins with, such as 'name=shop.item.sold' or 'name=~shop'",
    ),
    (
        "timeSlice(a.x.n,'soon')",
        "'soon' is not a time, such as -1h, midnight or 20151117",
    ),
    (
        "timeStack(timeStack(timeStack(a.x.n,'1d',0,100),'1h',0,100),'1min',0,100)",
        "more than 10000 names, calls and values, times the windows that they are wanted in: ask for less in one request",
    ),
];

#[test]
fn refusals_say_what_is_wrong() {
    for (target, sentence) in REFUSALS {
        assert_eq!(evaluated(target).unwrap_err(), *sentence, "{target}");
    }
}

#[test]
fn windows_are_not_longer_than_a_series_can_be() {
    for target in [
        "movingAverage(movingAverage(constantLine(1),300000000),300000000)",
        "movingAverage(movingMax(movingSum(constantLine(1),600000),600000),600000)",
        "exponentialMovingAverage(a.x.n,600001)",
    ] {
        assert_eq!(
            evaluated(target).unwrap_err(),
            "more than 600000 values, or three centuries, in a moving window: use a shorter one",
            "{target}"
        );
    }
}

#[test]
fn a_wish_by_tag_has_few_conditions() {
    let by_tag = |count| format!("seriesByTag({}'name=~^a')", "'name!=b',".repeat(count));
    assert!(evaluated(&by_tag(9)).is_ok());
    let sentence = evaluated(&by_tag(10)).unwrap_err();
    assert_eq!(
        sentence,
        "seriesByTag takes at most 10 conditions: put several into one regular expression"
    );
    // All conditions of a request are patterns of it.
    let many: Vec<_> = (0..21)
        .map(|n| by_tag(9).replace("!=b", &format!("!=b{n}")))
        .collect();
    let sentence = evaluated(&format!("group({})", many.join(","))).unwrap_err();
    assert!(
        sentence.starts_with("more than 200 names and patterns"),
        "{sentence}"
    );
}

/// What somebody might write who looks for the edge of things.
const ARGUMENTS: &[&str] = &[
    "a.x.n",
    "*.*.n",
    "none.x",
    "constantLine(1e308)",
    "summarize(a.x.n,'1h')",
    "scale(a.*.n,1e300)",
    "summarize(b.x.n,'7min')",
    "0",
    "-1",
    "1",
    "3",
    "-9223372036854775808",
    "9223372036854775807",
    "1e308",
    "-0.5",
    "1e-320",
    "inf",
    "None",
    "true",
    "'false'",
    "''",
    "'1s'",
    "'1min'",
    "'1h'",
    "'-1y'",
    "'300y'",
    "'9999999999s'",
    "'0h'",
    "'now'",
    "'today'",
    "'20380119'",
    "'0'",
    "'-1y'",
    "'sum'",
    "'max'",
    "'median'",
    "'multiply'",
    "'>'",
    "'weeks9'",
    "'years'",
    "'(x'",
    "'.*'",
    "'name'",
    "'divideSeries'",
    "'x'",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn no_arguments_panic(
        function in (0..TABLES.len()).prop_flat_map(|table| {
            let names = TABLES[table].iter().flat_map(|function| function.names).copied();
            prop::sample::select(names.collect::<Vec<_>>())
        }),
        first in prop::sample::select(&ARGUMENTS[..7]),
        others in prop::collection::vec(prop::sample::select(ARGUMENTS), 0..4),
    ) {
        let arguments: Vec<&str> = std::iter::once(first).chain(others).collect();
        match evaluated(&format!("{function}({})", arguments.join(","))) {
            Ok(list) => prop_assert!(list.iter().all(|series| series.step > 0 && series.values.len() < 20_000)),
            Err(sentence) => prop_assert!(!sentence.is_empty()),
        }
    }
}
