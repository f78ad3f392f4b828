//! What planning is told of the functions: one that is told wrongly gives the same, later or from more than may be read.

use super::pushed::commutes;
use crate::function::{Commutes, Function};
use crate::functions::TABLES;

/// The first names of the functions of a kind, in the order of the tables.
fn expect(kind: &str, is_of: fn(&Function) -> bool, names: &str) {
    let all = TABLES.iter().copied().flatten();
    let found: Vec<_> = all
        .filter(|function| is_of(function))
        .map(|function| function.names[0])
        .collect();
    assert_eq!(found.join(" "), names, "{kind}");
}

#[test]
fn those_that_may_follow_sums() {
    expect(
        "always",
        |function| matches!(function.commutes, Commutes::Always),
        "alias aliasSub aliasByNode aliasByTags aliasByMetric substr sumSeries group limit exclude grep unique sumSeriesWithWildcards \
         fallbackSeries mapSeries sortByName sortByTotal cumulative constantLine threshold alpha color lineWidth dashed secondYAxis \
         drawAsInfinite",
    );
    expect(
        "with some arguments",
        |function| matches!(function.commutes, Commutes::If(_)),
        "aggregate highest lowest removeEmptySeries groupByNode groupByNodes sortBy consolidateBy scale",
    );
}

#[test]
fn those_that_may_follow_sums_by_their_arguments() {
    for (target, may) in [
        ("aggregate(a.*.n,'sum')", true),
        ("aggregate(a.*.n,'max')", false),
        ("aggregate(a.*.n,'sum',0.5)", false),
        ("highest(a.*.n,1,'sum')", true),
        ("highest(a.*.n,1,'max')", false),
        ("lowest(a.*.n,1,'sum')", true),
        ("lowest(a.*.n,1,'max')", false),
        ("removeEmptySeries(a.*.n)", true),
        ("removeEmptySeries(a.*.n,0.5)", false),
        ("groupByNode(a.*.n,0,'sum')", true),
        ("groupByNode(a.*.n,0,'max')", false),
        ("groupByNodes(a.*.n,'sum',0)", true),
        ("groupByNodes(a.*.n,'max',0)", false),
        ("sortBy(a.*.n,'sum')", true),
        ("sortBy(a.*.n,'max')", false),
        ("consolidateBy(a.*.n,'sum')", true),
        ("consolidateBy(a.*.n,'max')", false),
        ("scale(a.*.n,2)", true),
        ("scale(a.*.n,0.5)", false),
    ] {
        assert_eq!(commutes(target), may, "{target}");
    }
}

#[test]
fn those_that_read_less_or_more() {
    expect(
        "add series up",
        |function| function.adds.is_some(),
        "sumSeries sumSeriesWithWildcards groupByNode groupByNodes",
    );
    expect(
        "pick some",
        |function| function.picks.is_some(),
        "highest lowest highestMax highestAverage highestCurrent lowestAverage lowestCurrent",
    );
    expect(
        "add values up",
        |function| function.adds_by_s.is_some(),
        "summarize",
    );
    expect(
        "read other times",
        |function| function.windows.is_some(),
        "holtWintersForecast holtWintersConfidenceBands holtWintersAberration movingAverage movingSum movingMin movingMax movingMedian \
         movingWindow exponentialMovingAverage timeShift timeStack linearRegression smartSummarize hitcount",
    );
    expect(
        "and the request's",
        |function| function.windows.as_ref().is_some_and(|windows| windows.and_as_is),
        "holtWintersAberration timeShift timeStack linearRegression",
    );
    expect(
        "say the interval",
        |function| function.interval_at.is_some(),
        "summarize smartSummarize hitcount",
    );
}

#[test]
fn those_that_take_others_or_much() {
    expect(
        "make one value of several",
        |function| function.combines,
        "sumSeries averageSeries minSeries maxSeries diffSeries stddevSeries rangeOfSeries multiplySeries powSeries countSeries aggregate \
         percentileOfSeries sumSeriesWithWildcards averageSeriesWithWildcards multiplySeriesWithWildcards aggregateWithWildcards groupByNode \
         groupByNodes groupByTags divideSeries divideSeriesLists sumSeriesLists diffSeriesLists multiplySeriesLists aggregateSeriesLists \
         weightedAverage asPercent mapSeries reduceSeries",
    );
    expect(
        "draw a line",
        |function| function.draws_line,
        "constantLine threshold",
    );
    expect(
        "change what must be known",
        |function| function.sets_x_files_factor,
        "setXFilesFactor",
    );
    expect("take long", |function| function.is_heavy, "aliasSub exclude grep");
    expect(
        "apply another",
        |function| function.applies_function,
        "reduceSeries",
    );
}
