//! Functions that look at other times, or put times together.

use super::{T, WINDOW, evaluated, evaluated_in, expect, extent, names, planned, utc};
use crate::aggregate::Aggregate;
use crate::number::Number;
use crate::window::Window;

#[test]
fn windows_before_each_value() {
    expect(&[
        (
            "movingMedian(summarize(a.x.n,'1h'),'10min')",
            "movingMedian(summarize(a.x.n, \"1h\", \"sum\"),\"10min\"): - -",
        ),
        ("movingSum(a.x.n,2)", "movingSum(a.x.n,2): 0 1 3 5 7 9"),
        (
            "movingAverage(a.x.n,'2min')",
            "movingAverage(a.x.n,\"2min\"): 0 0.5 1.5 2.5 3.5 4.5",
        ),
        ("movingMin(a.x.n,2)", "movingMin(a.x.n,2): 0 0 1 2 3 4"),
        ("movingMax(a.x.n,2)", "movingMax(a.x.n,2): 0 1 2 3 4 5"),
        ("movingMedian(a.x.n,3)", "movingMedian(a.x.n,3): 0 0 1 2 3 4"),
        (
            "movingWindow(a.x.n,2,'range')",
            "movingRange(a.x.n,2): 0 1 1 1 1 1",
        ),
        ("movingSum(a.x.n,60)", "movingSum(a.x.n,60): 100 1 3 6 10 15"),
        (
            "movingSum(movingSum(a.x.n,2),2)",
            "movingSum(movingSum(a.x.n,2),2): 0 0 1 4 8 12",
        ),
        (
            "exponentialMovingAverage(a.x.n,1)",
            "exponentialMovingAverage(a.x.n,1): 0.0 1.0 2.0 3.0 4.0 5.0 -",
        ),
        ("stdev(a.x.n,2)", "stdev(a.x.n,2): 0.0 0.5 0.5 0.5 0.5 0.0"),
    ]);
}

/// A count is in as many sums as the window holds.
#[test]
fn sums_of_windows_are_not_summed_again() {
    let consolidation = |target: &str| evaluated(target).unwrap()[0].consolidation;
    assert_eq!(consolidation("movingSum(a.x.n,2)"), Aggregate::Average);
    assert_eq!(consolidation("movingMax(a.x.n,2)"), Aggregate::Sum);
}

#[test]
fn other_times() {
    expect(&[
        (
            "round(holtWintersForecast(a.x.n,'10min','5min'),3)",
            "round(holtWintersForecast(a.x.n),3): 0.0 0.1 0.291 0.564 0.911 1.414",
        ),
        (
            "round(holtWintersConfidenceBands(a.x.n,2,'10min','5min'),3)|limit(1)",
            "round(holtWintersConfidenceLower(a.x.n),3): -0.2 -0.28 -0.25 -0.123 0.093 1.414",
        ),
        (
            "round(holtWintersAberration(a.x.n,2,'10min','5min'),3)",
            "round(holtWintersAberration(a.x.n),3): 0.8 1.52 2.167 2.749 3.271 0",
        ),
        (
            "timeShift(a.x.n,'1h')",
            "timeShift(a.x.n, \"-1h\"): 100 0 0 0 0 0",
        ),
        (
            "timeShift(a.x.n,'+1min')",
            "timeShift(a.x.n, \"+1min\"): 2 3 4 5 - -",
        ),
        (
            "summarize(timeShift(a.x.n,'1h',false),'2min')",
            "summarize(timeShift(a.x.n, \"-1h\"), \"2min\", \"sum\"): 100 0 0 -",
        ),
        (
            "timeStack(a.x.n,'1h',0,2)",
            "timeShift(a.x.n, -1h, 0): 1 2 3 4 5 -; timeShift(a.x.n, -1h, 1): 100 0 0 0 0 0",
        ),
        (
            "timeSlice(a.x.n,'midnight+1min','midnight+2min')",
            "timeSlice(a.x.n, 1763769660, 1763769720): - 2 3 - - -",
        ),
        (
            "round(linearRegression(a.x.n),3)",
            "round(linearRegression(a.x.n, 1763769540, 1763769900),3): 1.0 2.0 3.0 4.0 5.0 6.0",
        ),
        (
            "movingSum(timeShift(a.x.n,'1h'),2)",
            "movingSum(timeShift(a.x.n, \"-1h\"),2): 0 100 100 0 0 0",
        ),
    ]);
}

#[test]
fn putting_together() {
    expect(&[
        (
            "summarize(a.x.n,'2min')",
            "summarize(a.x.n, \"2min\", \"sum\"): 3 7 5 -",
        ),
        (
            "summarize(a.x.n,'1h','max')",
            "summarize(a.x.n, \"1h\", \"max\"): 5",
        ),
        (
            "summarize(a.x.n,'4min','avg',true)",
            "summarize(a.x.n, \"4min\", \"avg\", true): 2.5 5",
        ),
        (
            "smartSummarize(a.x.n,'5min')",
            "smartSummarize(a.x.n, \"5min\", \"sum\"): 15 -",
        ),
        (
            "smartSummarize(a.x.n,'1d','sum','days')",
            "smartSummarize(a.x.n, \"1d\", \"sum\"): 2301 14",
        ),
        ("hitcount(a.x.n,'2min')", "hitcount(a.x.n, \"2min\"): 180 420 300"),
        (
            "hitcount(a.x.n,'90s')",
            "hitcount(a.x.n, \"90s\"): 120 240 390 150",
        ),
        (
            "hitcount(a.x.n,'1min')",
            "hitcount(a.x.n, \"1min\"): 60 120 180 240 300 -",
        ),
        (
            "hitcount(a.x.n,'1d',true)",
            "hitcount(a.x.n, \"1d\", true): 138060 840",
        ),
    ]);
    assert_eq!(
        evaluated("summarize(a.x.n,'2min')").unwrap()[0].grid(),
        (T, T + 480, 120)
    );
}

/// Of a shift by no whole minutes, five values are drawn where there are four now.
#[test]
fn what_lies_beyond_the_end_is_neither_put_together_nor_drawn_as_a_line() {
    let window = Window {
        from: T + 17,
        until: T + 290,
    };
    let values = |target: &str| -> Vec<_> {
        let list = evaluated_in(target, window, utc(T + 330), &names(), extent()).unwrap();
        let values = list[0].values.iter();
        values.map(|value| value.map(Number::real)).collect()
    };
    assert_eq!(
        values("summarize(timeShift(a.x.n,'50s'),'1min')"),
        [Some(1.0), Some(2.0), Some(3.0), Some(4.0), None]
    );
    assert_eq!(values("nPercentile(timeShift(a.x.n,'50s'),50)"), [Some(3.0); 4]);
}

#[test]
fn heavy_functions_are_known_beforehand() {
    for (target, is_heavy) in [
        ("sumSeries(a.*.n)", false),
        ("aliasByNode(a.*.n,1)", false),
        ("scale(movingMedian(a.x.n,9900),2)", true),
        ("holtWintersForecast(a.x.n)", true),
        ("aliasSub(a.x.n,'a','b')", true),
        ("seriesByTag('name=a.x.n')", true),
    ] {
        let plan = planned(target, WINDOW, utc(T)).unwrap();
        assert_eq!(plan.is_heavy(), is_heavy, "{target}");
    }
}

#[test]
fn arguments_by_name_are_those_by_place() {
    let values = |target: &str| {
        let list = evaluated(target).unwrap();
        assert!(!list.is_empty(), "{target}");
        list.into_iter()
            .map(|series| (series.grid(), series.values))
            .collect::<Vec<_>>()
    };
    for (by_name, by_place) in [
        (
            "movingAverage(seriesList=a.x.n,windowSize=2)",
            "movingAverage(a.x.n,2)",
        ),
        (
            "movingSum(summarize(a.x.n,intervalString='1h'),2)",
            "movingSum(summarize(a.x.n,'1h'),2)",
        ),
        (
            "movingSum(summarize(intervalString='1h',seriesList=a.x.n),2)",
            "movingSum(summarize(a.x.n,'1h'),2)",
        ),
        (
            "timeShift(timeShift='1h',seriesList=a.*.n)",
            "timeShift(a.*.n,'1h')",
        ),
        (
            "timeStack(seriesList=a.x.n,timeShiftUnit='1h',timeShiftStart=0,timeShiftEnd=2)",
            "timeStack(a.x.n,'1h',0,2)",
        ),
        ("linearRegression(seriesList=a.x.n)", "linearRegression(a.x.n)"),
        (
            "holtWintersForecast(seriesList=a.x.n,bootstrapInterval='1h')",
            "holtWintersForecast(a.x.n,'1h')",
        ),
        (
            "holtWintersAberration(seriesList=a.x.n,bootstrapInterval='1h')",
            "holtWintersAberration(a.x.n,3,'1h')",
        ),
        (
            "smartSummarize(seriesList=a.x.n,intervalString='1h',alignTo='days')",
            "smartSummarize(a.x.n,'1h','sum','days')",
        ),
        (
            "hitcount(seriesList=a.x.n,intervalString='1h',alignToInterval=true)",
            "hitcount(a.x.n,'1h',true)",
        ),
    ] {
        assert_eq!(values(by_name), values(by_place), "{by_name}");
    }
}
