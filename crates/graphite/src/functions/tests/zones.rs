//! Days, shifts and times by the clock of a zone, around the nights in which it is changed.

use model::Extent;

use super::{evaluated_in, utc};
use crate::series::Series;
use crate::window::{Context, Window};
use crate::zone::Zone;

const HOUR_S: i64 = 3_600;

/// 2025-03-29T00:00 and 2025-10-25T00:00 in Berlin: the day after each has 23 and 25 hours.
const SPRING: i64 = 1_743_202_800;
const AUTUMN: i64 = 1_761_343_200;

fn berlin(now: i64) -> Context {
    Context {
        zone: Zone::named("Europe/Berlin").unwrap(),
        ..utc(now)
    }
}

/// `a` counts 1 each hour; all of it is known.
fn hourly(target: &str, from: i64, hours: i64, context: Context) -> Result<Vec<Series>, String> {
    let counts = (-24 * 40..24 * 40)
        .map(|hour| (from + HOUR_S * hour, 1))
        .collect();
    let window = Window {
        from: from - 60,
        until: from + HOUR_S * hours - 60,
    };
    let extent = Extent {
        complete_until: Some(model::Timestamp::from_unix_ms(i64::from(u32::MAX) * 1000)),
        kept_since: None,
    };
    evaluated_in(target, window, context, &[("a", counts)], extent)
}

/// Hours from `from` to each value that is not 0, and what it is.
fn shown(series: &Series, from: i64) -> Vec<(i64, String)> {
    let instants = (0..series.values.len()).map(|index| (series.instant(index) - from) / HOUR_S);
    let known = instants
        .zip(&series.values)
        .filter_map(|(at, value)| Some((at, (*value)?.to_string())));
    known.filter(|(_, value)| value != "0").collect()
}

fn days(target: &str, from: i64, hours: i64, context: Context) -> Vec<(i64, String)> {
    let list = hourly(target, from, hours, context).unwrap_or_else(|sentence| panic!("{target}: {sentence}"));
    shown(&list[0], from)
}

fn expected(values: &[(i64, i64)]) -> Vec<(i64, String)> {
    values
        .iter()
        .map(|(at, value)| (*at, value.to_string()))
        .collect()
}

#[test]
fn days_have_23_24_and_25_hours() {
    for target in [
        "summarize(a,'1d')",
        "summarize(a,'1d','sum',true)",
        "smartSummarize(a,'1d')",
        "scale(summarize(a,'1d'),1)",
        "sumSeries(summarize(a,'1d'))",
        "summarize(summarize(a,'1h'),'1d')",
    ] {
        let spring = days(target, SPRING, 71, berlin(SPRING));
        assert_eq!(spring, expected(&[(0, 24), (24, 23), (47, 24)]), "{target}");
        let autumn = days(target, AUTUMN, 73, berlin(AUTUMN));
        assert_eq!(autumn, expected(&[(0, 24), (24, 25), (49, 24)]), "{target}");
    }
    // As in Graphite, what comes after the midnight before: its days end with the next midnight's first minute.
    let aligned = days("smartSummarize(a,'1d','sum','days')", SPRING, 71, berlin(SPRING));
    assert_eq!(aligned, expected(&[(-23, 24), (0, 24), (24, 23), (47, 23)]));
    let by_time: Vec<(i64, i64)> = (0..12).map(|quarter| (6 * quarter, 6)).collect();
    let quarters = days("summarize(a,'6h','sum',true)", SPRING, 72, berlin(SPRING));
    assert_eq!(quarters, expected(&by_time));
    let utc_days = days("summarize(a,'1d')", SPRING, 71, utc(SPRING));
    assert_eq!(utc_days, expected(&[(-23, 1), (1, 24), (25, 24), (49, 22)]));
    // A week of days that are summed once more.
    let sum = days("summarize(summarize(a,'1d'),'2d')", SPRING, 71, berlin(SPRING));
    assert_eq!(
        sum.iter()
            .map(|(_, sum)| sum.parse::<i64>().unwrap())
            .sum::<i64>(),
        71
    );
    let average = days(
        "movingAverage(summarize(a,'1d'),2)",
        SPRING + 24 * HOUR_S,
        70,
        berlin(SPRING),
    );
    assert_eq!(average.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 23, 47]);
}

#[test]
fn where_no_clock_is_changed_days_are_the_zones_all_the_same() {
    let from = SPRING - 10 * 24 * HOUR_S;
    let list = hourly("summarize(a,'1d')", from, 48, berlin(from)).unwrap();
    assert_eq!(
        (list[0].zone, shown(&list[0], from)),
        (None, expected(&[(0, 24), (24, 24)]))
    );
    // An hour of Kathmandu begins a quarter past.
    let kathmandu = Context {
        zone: Zone::named("Asia/Kathmandu").unwrap(),
        ..utc(from)
    };
    let hours = hourly("summarize(a,'1h')", from, 3, kathmandu).unwrap();
    assert_eq!(hours[0].start, from - HOUR_S + 900);
    let six_hours = hourly("summarize(a,'6h')", from, 24, berlin(from)).unwrap();
    assert_eq!(
        shown(&six_hours[0], from),
        expected(&[(0, 6), (6, 6), (12, 6), (18, 6)])
    );
}

#[test]
fn what_does_not_go_into_days_is_refused() {
    for (target, sentence) in [
        ("summarize(a,'6h')", "'6h' does not go into days of the time zone"),
        ("hitcount(a,'1d',true)", "'1d' does not go into days"),
        ("hitcount(a,'1d')", "'1d' does not go into days"),
        ("scaleToSeconds(summarize(a,'1d'),1)", "not all as long"),
        ("perSecond(summarize(a,'1d'))", "not all as long"),
        (
            "sumSeries(summarize(a,'1d'),summarize(a,'1h'))",
            "not all as long",
        ),
        ("hitcount(summarize(a,'1d'),'2d')", "not all as long"),
    ] {
        let refusal = hourly(target, SPRING, 71, berlin(SPRING)).unwrap_err();
        assert!(refusal.contains(sentence), "{target}: {refusal}");
        assert!(hourly(target, SPRING, 71, utc(SPRING)).is_ok(), "{target}");
    }
    for target in ["summarize(a,'1h')", "hitcount(a,'6h')"] {
        assert!(hourly(target, SPRING, 71, berlin(SPRING)).is_ok(), "{target}");
    }
}

/// A day after the change and the same hours of a day before it.
#[test]
fn a_shift_that_heeds_the_change_keeps_the_time_of_the_day() {
    let from = SPRING + 47 * HOUR_S;
    // 48 hours before is 23:00 there, 47 hours before is the midnight.
    for (target, in_berlin) in [("timeShift(a,'2d')", "7"), ("timeShift(a,'2d',true,true)", "5")] {
        let known = |context: Context| {
            let counts = vec![(from - 48 * HOUR_S, 7), (from - 47 * HOUR_S, 5)];
            let window = Window {
                from: from - 60,
                until: from + HOUR_S - 60,
            };
            let extent = Extent {
                complete_until: Some(model::Timestamp::from_unix_ms((from + 24 * HOUR_S) * 1000)),
                kept_since: None,
            };
            let list = evaluated_in(target, window, context, &[("a", counts)], extent).unwrap();
            list[0].values[0].unwrap().to_string()
        };
        assert_eq!(known(berlin(from)), in_berlin, "{target}");
        assert_eq!(known(utc(from)), "7", "{target}");
    }
}

#[test]
fn times_in_targets_are_by_the_zones_clock() {
    let slice = |context| {
        days(
            "timeSlice(a,'02:00_20251025','04:00_20251025')",
            AUTUMN,
            24,
            context,
        )
    };
    assert_eq!(slice(berlin(AUTUMN)), expected(&[(2, 1), (3, 1), (4, 1)]));
    assert_eq!(slice(utc(AUTUMN)), expected(&[(4, 1), (5, 1), (6, 1)]));
}
