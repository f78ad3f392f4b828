//! Each function on a few values, against what graphite-web makes of them.

mod kinds;
mod pushed;
mod recorded;
mod refusals;
mod times;
mod zones;

use model::{EventId, Extent, Timestamp};

use crate::limits::Limits;
use crate::parse::parse;
use crate::plan::Plan;
use crate::reading::{Counts, Name};
use crate::request::{Format, Options, Request};
use crate::series::Series;
use crate::window::{Context, Window};
use crate::zone::Zone;

/// A midnight.
const T: i64 = 1_763_769_600;

/// What is asked for: the six minutes from `T`, of which the last is not complete.
const WINDOW: Window = Window {
    from: T - 60,
    until: T + 300,
};

fn extent() -> Extent {
    Extent {
        complete_until: Some(Timestamp::from_unix_ms((T + 300) * 1000)),
        kept_since: None,
    }
}

fn counts(values: &[u64], first: i64) -> Vec<(i64, u64)> {
    values
        .iter()
        .zip(0i64..)
        .map(|(count, index)| (first + 60 * index, *count))
        .collect()
}

/// The values of `a.x.n` and so on; those before `T` are 100 each hour.
fn names() -> Vec<(&'static str, Vec<(i64, u64)>)> {
    let before = (1..50).map(|hour| (T - 3_600 * hour, 100));
    vec![
        ("a.x.n", before.chain(counts(&[1, 2, 3, 4, 5], T)).collect()),
        ("a.y.n", counts(&[10, 0, 30, 0, 50], T)),
        ("b.x.n", counts(&[0, 0, 0, 0, 0, 7], T)),
    ]
}

fn utc(now: i64) -> Context {
    Context {
        now,
        zone: Zone::UTC,
        limits: Limits {
            patterns_max: 200,
            names_read_max: 1_000_000,
            points_per_series_max: 600_000,
        },
    }
}

fn planned(target: &str, window: Window, context: Context) -> Result<Plan, String> {
    let request = Request {
        targets: vec![parse(target).map_err(|error| error.to_string())?],
        options: Options {
            window,
            context,
            values_max: None,
            x_files_factor: None,
            drops_nulls: false,
            format: Format::Json,
        },
    };
    Plan::of(request).map_err(|error| error.to_string())
}

/// What a plan reads of counts by name and minute.
fn counted(plan: &Plan, counts: &[(&str, Vec<(i64, u64)>)], extent: Extent) -> Result<Counts, String> {
    let name = |text: &str| Name {
        id: EventId::of(text),
        name: text.to_owned(),
    };
    let names: Vec<Name> = counts.iter().map(|(text, _)| name(text)).collect();
    let reading = plan.reading(&names).map_err(|error| error.to_string())?;
    let mut sums = Vec::new();
    for read in reading.reads() {
        let mut rows = vec![vec![0; read.span.bucket_count()]; read.rows()];
        for (text, counts) in counts {
            let Some(at) = read.ids.iter().position(|id| *id == EventId::of(text)) else {
                continue;
            };
            for (unix_s, count) in counts {
                if let Some(index) = read.span.index_of(*unix_s) {
                    rows[read.row_of(at)][index] += u128::from(*count);
                }
            }
        }
        sums.push(rows);
    }
    Ok(reading.with(sums, extent))
}

fn evaluated(target: &str) -> Result<Vec<Series>, String> {
    evaluated_in(target, WINDOW, utc(T + 330), &names(), extent())
}

fn evaluated_in(
    target: &str,
    window: Window,
    context: Context,
    counts: &[(&str, Vec<(i64, u64)>)],
    extent: Extent,
) -> Result<Vec<Series>, String> {
    let plan = planned(target, window, context)?;
    let counts = counted(&plan, counts, extent)?;
    plan.series(&counts).map_err(|error| error.to_string())
}

/// Name and values of each series, `-` for what is not known.
fn shown(target: &str) -> String {
    let list = evaluated(target).unwrap_or_else(|sentence| panic!("{target}: {sentence}"));
    let series = list.iter().map(|series| {
        let values = series
            .values
            .iter()
            .map(|value| value.map_or("-".to_owned(), |value| value.to_string()));
        format!("{}: {}", series.name, values.collect::<Vec<_>>().join(" "))
    });
    series.collect::<Vec<_>>().join("; ")
}

fn expect(table: &[(&str, &str)]) {
    for (target, expected) in table {
        assert_eq!(shown(target), *expected, "{target}");
    }
}

#[test]
fn combining() {
    expect(&[
        ("a.*.n", "a.x.n: 1 2 3 4 5 -; a.y.n: 10 0 30 0 50 -"),
        ("none.*", ""),
        ("sum(none.*)", ""),
        (
            "sumSeries(a.*.n, b.x.n)",
            "sumSeries(a.*.n,b.x.n): 11 2 33 4 55 7",
        ),
        (
            "a.*.n|averageSeries()",
            "averageSeries(a.*.n): 5.5 1 16.5 2 27.5 -",
        ),
        ("minSeries(a.*.n)", "minSeries(a.*.n): 1 0 3 0 5 -"),
        ("maxSeries(a.*.n)", "maxSeries(a.*.n): 10 2 30 4 50 -"),
        (
            "diffSeries(a.y.n,a.x.n)",
            "diffSeries(a.y.n,a.x.n): 9 -2 27 -4 45 -",
        ),
        ("multiplySeries(a.*.n)", "multiplySeries(a.*.n): 10 0 90 0 250 -"),
        ("rangeOfSeries(a.*.n)", "rangeOfSeries(a.*.n): 9 2 27 4 45 -"),
        (
            "stddevSeries(a.*.n)",
            "stddevSeries(a.*.n): 4.5 1.0 13.5 2.0 22.5 -",
        ),
        ("countSeries(a.*.n)", "countSeries(a.*.n): 2 2 2 2 2 2"),
        ("countSeries()", "0: 0 0 0"),
        ("countSeries(none.x)", ""),
        (
            "multiplySeries(a.x.n,none.x)",
            "multiplySeries(a.x.n): 1 2 3 4 5 -",
        ),
        ("asPercent(none.x,a.x.n,0)", ""),
        ("fallbackSeries(none.x,constantLine(0))", "0.0: 0 0 0"),
        ("aggregate(a.*.n,'max')", "maxSeries(a.*.n): 10 2 30 4 50 -"),
        (
            "aggregate(a.*.n,'sum',xFilesFactor=1)",
            "sumSeries(a.*.n): 11 2 33 4 55 -",
        ),
        (
            "percentileOfSeries(a.*.n,50)",
            "percentileOfSeries(a.*.n,50): 10 2 30 4 50 -",
        ),
    ]);
}

#[test]
fn pairs_and_conditions() {
    expect(&[
        (
            "divideSeries(a.y.n,a.x.n)",
            "divideSeries(a.y.n,a.x.n): 10 0 10 0 10 -",
        ),
        (
            "divideSeries(a.x.n,a.y.n)",
            "divideSeries(a.x.n,a.y.n): 0.1 - 0.1 - 0.1 -",
        ),
        (
            "divideSeries(a.x.n,none.x)",
            "divideSeries(a.x.n,MISSING): - - - - - -",
        ),
        (
            "sumSeriesLists(a.x.n,a.y.n)",
            "sumSeries(a.x.n,a.y.n): 11 2 33 4 55 -",
        ),
        ("group(a.y.n,a.x.n)|limit(1)", "a.y.n: 10 0 30 0 50 -"),
        ("fallbackSeries(none.x,b.x.n)", "b.x.n: 0 0 0 0 0 7"),
        (
            "weightedAverage(a.x.n,a.y.n,0)",
            "weightedAverage(a.x.n, a.y.n, 0): 1 - 3 - 5 -",
        ),
        ("seriesByTag('name=b.x.n')", "b.x.n: 0 0 0 0 0 7"),
        (
            r"seriesByTag('name=~^[ab]\.x','name=~a\.','name!=b.x.n')",
            "a.x.n: 1 2 3 4 5 -",
        ),
        (r"seriesByTag('name=~a\.','name!=~.*x')", "a.y.n: 10 0 30 0 50 -"),
    ]);
}

#[test]
fn grouping() {
    expect(&[
        ("groupByNode(*.*.n,0,'sum')", "a: 11 2 33 4 55 -; b: 0 0 0 0 0 7"),
        (
            "groupByNodes(*.*.n,'max',1,-1)",
            "x.n: 1 2 3 4 5 7; y.n: 10 0 30 0 50 -",
        ),
        ("groupByNode(*.*.n,1)", "x: 0.5 1 1.5 2 2.5 7; y: 10 0 30 0 50 -"),
        (
            "sumSeriesWithWildcards(*.*.n,0,2)",
            "x: 1 2 3 4 5 7; y: 10 0 30 0 50 -",
        ),
        (
            "aggregateWithWildcards(*.*.n,'count',1)",
            "a.n: 2 2 2 2 2 -; b.n: 1 1 1 1 1 1",
        ),
        (
            "map(*.*.n,1)|aliasByNode(0,1)|limit(2)",
            "a.x: 1 2 3 4 5 -; b.x: 0 0 0 0 0 7",
        ),
        (
            "reduceSeries(mapSeries(*.*.n,0),'divideSeries',1,'y','x')",
            "a.reduce.divideSeries: 10 0 10 0 10 -",
        ),
        (
            "reduceSeries(group(alias(a.x.n,'q.z'),alias(a.x.n,'p.x'),alias(a.y.n,'p.y'),alias(a.x.n,'q.x'),alias(a.y.n,'q.y')),\
             'divideSeries',1,'y','x')",
            "p.reduce.divideSeries: 10 0 10 0 10 -; q.reduce.divideSeries: 10 0 10 0 10 -",
        ),
        (
            "sumSeries(groupByNode(a.*.n,1,'avg'))",
            "sumSeries(averageSeries(a.*.n)): 11 2 33 4 55 -",
        ),
        (
            "powSeries(scale(a.x.n,0),a.x.n)",
            "powSeries(scale(a.x.n,0),a.x.n): 0 0 0 0 0 -",
        ),
        (
            "groupByTags(a.*.n,'sum','name')",
            "a.x.n: 1 2 3 4 5 -; a.y.n: 10 0 30 0 50 -",
        ),
        (
            "groupByNode(scale(a.*.n,2),1,'sum')",
            "x: 2 4 6 8 10 -; y: 20 0 60 0 100 -",
        ),
    ]);
}

#[test]
fn percent() {
    expect(&[
        (
            "asPercent(a.*.n)",
            "asPercent(a.x.n,sumSeries(a.*.n)): 9.090909090909092 100 9.090909090909092 100 9.090909090909092 -; \
                              asPercent(a.y.n,sumSeries(a.*.n)): 90.9090909090909 0 90.9090909090909 0 90.9090909090909 -",
        ),
        (
            "asPercent(a.x.n,200)",
            "asPercent(a.x.n,200): 0.5 1.0 1.5 2.0 2.5 -",
        ),
        (
            "asPercent(a.x.n,a.y.n)",
            "asPercent(a.x.n,a.y.n): 10.0 - 10.0 - 10.0 -",
        ),
        (
            "asPercent(a.*.n,a.*.n)",
            "asPercent(a.x.n,a.x.n): 100 100 100 100 100 -; asPercent(a.y.n,a.y.n): 100 - 100 - 100 -",
        ),
        (
            "asPercent(*.x.n,None,0)",
            "asPercent(a.x.n,a.x.n): 100 100 100 100 100 -; asPercent(b.x.n,b.x.n): - - - - - 100",
        ),
        (
            "asPercent(a.x.n,b.x.n,0)",
            "asPercent(a.x.n,MISSING): - - - - - -; asPercent(MISSING,b.x.n): - - - - - -",
        ),
    ]);
}

#[test]
fn transforming() {
    expect(&[
        ("scale(a.x.n,2)", "scale(a.x.n,2): 2 4 6 8 10 -"),
        ("scale(a.x.n,0.5)", "scale(a.x.n,0.5): 0.5 1.0 1.5 2.0 2.5 -"),
        ("offset(a.x.n,-1)", "offset(a.x.n,-1): 0 1 2 3 4 -"),
        ("add(a.x.n,10)", "add(a.x.n,10): 11 12 13 14 15 -"),
        (
            "absolute(offset(a.x.n,-3))",
            "absolute(offset(a.x.n,-3)): 2 1 0 1 2 -",
        ),
        ("pow(a.x.n,2)", "pow(a.x.n,2): 1 4 9 16 25 -"),
        (
            "invert(a.y.n)",
            "invert(a.y.n): 0.1 - 0.03333333333333333 - 0.02 -",
        ),
        (
            "squareRoot(a.x.n)",
            "squareRoot(a.x.n): 1.0 1.4142135623730951 1.7320508075688772 2.0 2.23606797749979 -",
        ),
        (
            "aliasByTags(group(exp(b.x.n),invert(b.x.n),logit(b.x.n)),'exp','invert','logit')",
            "e..: 1.0 1.0 1.0 1.0 1.0 1096.6331584284585; .1.: - - - - - 0.14285714285714285; ..logit: - - - - - -",
        ),
        (
            "log(a.y.n)",
            "log(a.y.n, 10): 1.0 - 1.4771212547196624 - 1.6989700043360185 -",
        ),
        (
            "round(scale(a.x.n,1.26),1)",
            "round(scale(a.x.n,1.26),1): 1.3 2.5 3.8 5.0 6.3 -",
        ),
        ("offsetToZero(a.x.n)", "offsetToZero(a.x.n): 0 1 2 3 4 -"),
        ("minMax(a.x.n)", "minMax(a.x.n): 0 0.25 0.5 0.75 1 -"),
        (
            "scaleToSeconds(a.y.n,1)",
            "scaleToSeconds(a.y.n,1): 0.166667 0 0.5 0 0.833333 -",
        ),
        ("transformNull(a.x.n,-1)", "transformNull(a.x.n,-1): 1 2 3 4 5 -1"),
        (
            "transformNull(a.x.n,9,b.x.n)",
            "transformNull(a.x.n,9,referenceSeries): 1 2 3 4 5 9",
        ),
        ("isNonNull(a.x.n)", "isNonNull(a.x.n): 1 1 1 1 1 0"),
        ("keepLastValue(a.x.n)", "keepLastValue(a.x.n): 1 2 3 4 5 5"),
        (
            "keepLastValue(removeBelowValue(a.y.n,1),1)",
            "keepLastValue(removeBelowValue(a.y.n, 1)): 10 10 30 30 50 50",
        ),
        (
            "interpolate(removeBelowValue(a.y.n,1))",
            "interpolate(removeBelowValue(a.y.n, 1)): 10 20 30 40 50 -",
        ),
        (
            "removeAboveValue(a.y.n,30)",
            "removeAboveValue(a.y.n, 30): 10 0 30 0 - -",
        ),
        (
            "removeAbovePercentile(a.x.n,60)",
            "removeAbovePercentile(a.x.n, 60): 1 2 3 4 - -",
        ),
        (
            "removeBelowPercentile(a.x.n,60)",
            "removeBelowPercentile(a.x.n, 60): - - - 4 5 -",
        ),
    ]);
}

#[test]
fn deriving() {
    expect(&[
        ("derivative(a.y.n)", "derivative(a.y.n): - -10 30 -30 50 -"),
        (
            "nonNegativeDerivative(a.y.n)",
            "nonNegativeDerivative(a.y.n): - - 30 - 50 -",
        ),
        (
            "nonNegativeDerivative(a.y.n,99)",
            "nonNegativeDerivative(a.y.n): - 90 30 70 50 -",
        ),
        (
            "nonNegativeDerivative(a.x.n,4,2)",
            "nonNegativeDerivative(a.x.n): - - 1 1 - -",
        ),
        ("perSecond(a.y.n)", "perSecond(a.y.n): - - 0.5 - 0.833333 -"),
        ("integral(a.x.n)", "integral(a.x.n): 1 3 6 10 15 -"),
        (
            "integralByInterval(a.x.n,'2min')",
            "integralByInterval(a.x.n,'2min'): 1 2 5 4 9 0",
        ),
        ("delay(a.x.n,2)", "delay(a.x.n,2): - - 1 2 3 4"),
        ("delay(a.x.n,-2)", "delay(a.x.n,-2): 3 4 5 - - -"),
        ("changed(a.x.n)", "changed(a.x.n): 0 1 1 1 1 0"),
    ]);
}

#[test]
fn keeping_some() {
    expect(&[
        ("highest(*.*.n,1)", "a.y.n: 10 0 30 0 50 -"),
        (
            "highestCurrent(*.*.n,2)|aliasByNode(0,1)",
            "a.y: 10 0 30 0 50 -; b.x: 0 0 0 0 0 7",
        ),
        ("lowestAverage(*.*.n,1)", "b.x.n: 0 0 0 0 0 7"),
        ("highestMax(*.*.n,1)", "a.y.n: 10 0 30 0 50 -"),
        ("maximumBelow(*.*.n,5)", "a.x.n: 1 2 3 4 5 -"),
        (
            "currentAbove(*.*.n,6)",
            "a.y.n: 10 0 30 0 50 -; b.x.n: 0 0 0 0 0 7",
        ),
        (
            "filterSeries(*.*.n,'sum','>=',15)|alias('f')",
            "f: 1 2 3 4 5 -; f: 10 0 30 0 50 -",
        ),
        ("exclude(*.*.n,'^a')", "b.x.n: 0 0 0 0 0 7"),
        ("grep(*.*.n,'y')", "a.y.n: 10 0 30 0 50 -"),
        ("mostDeviant(*.*.n,1)", "a.y.n: 10 0 30 0 50 -"),
        ("unique(a.x.n,a.*.n)|limit(1)", "a.x.n: 1 2 3 4 5 -"),
        ("removeEmptySeries(removeAboveValue(group(a.x.n,b.x.n),-1))", ""),
        (
            "averageOutsidePercentile(*.*.n,60)|aliasByNode(0,1)",
            "a.x: 1 2 3 4 5 -; a.y: 10 0 30 0 50 -; b.x: 0 0 0 0 0 7",
        ),
        (
            "sortByTotal(*.*.n)|aliasByNode(0,1)|limit(2)",
            "a.y: 10 0 30 0 50 -; a.x: 1 2 3 4 5 -",
        ),
        ("sortByName(*.*.n,reverse=true)|limit(1)", "b.x.n: 0 0 0 0 0 7"),
        ("sortBy(*.*.n,'max')|limit(1)", "a.x.n: 1 2 3 4 5 -"),
        ("sortByMinima(*.*.n)|limit(1)", "a.y.n: 10 0 30 0 50 -"),
    ]);
}

#[test]
fn naming() {
    expect(&[
        ("alias(a.x.n,'x y')", "x y: 1 2 3 4 5 -"),
        (r#"aliasSub(a.x.n, "(^.*$)", "\1 A")"#, "a.x.n A: 1 2 3 4 5 -"),
        ("aliasByNode(a.x.n,1,-1)", "x.n: 1 2 3 4 5 -"),
        ("aliasByNode(scale(a.x.n,10),1)", "x: 10 20 30 40 50 -"),
        ("aliasByTags(a.x.n,'name')", "a.x.n: 1 2 3 4 5 -"),
        ("aliasByMetric(sumSeries(a.x.n))", "n: 1 2 3 4 5 -"),
        ("substr(a.x.n,0,2)", "a.x: 1 2 3 4 5 -"),
        ("legendValue(a.x.n,'max')", "a.x.n (max: 5): 1 2 3 4 5 -"),
        (
            "consolidateBy(a.x.n,'max')",
            "consolidateBy(a.x.n,\"max\"): 1 2 3 4 5 -",
        ),
        (
            "sumSeries(scale(a.*.n,2))",
            "sumSeries(scale(a.x.n,2),scale(a.y.n,2)): 22 4 66 8 110 -",
        ),
        ("constantLine(100)", "100.0: 100 100 100"),
        ("threshold(5.5,'most')", "most: 5.5 5.5 5.5"),
        ("threshold(5.5)", "5.5: 5.5 5.5 5.5"),
        ("threshold(5.5,'')", "5.5: 5.5 5.5 5.5"),
        ("aggregateLine(a.x.n,'max')", "aggregateLine(a.x.n, 5): 5 5 5"),
        ("nPercentile(a.x.n,50)", "nPercentile(a.x.n, 50): 3 3 3 3 3 3"),
        ("dashed(color(a.x.n,'red'))", "dashed(a.x.n, 5): 1 2 3 4 5 -"),
    ]);
}

/// The values' words end where a name is too long to grow; its end stays.
#[test]
fn a_legend_ends_at_some_length() {
    // Two bytes, and nine for each: exactly as long as a name may be.
    let most = ",'max'".repeat(222);
    for (words, end) in [
        (format!("{most},'min'"), " (max: 5) (min: 1)"),
        (format!("{most},'min','last'"), " (max: 5) (min: 1)"),
    ] {
        let list = evaluated(&format!("legendValue(alias(a.x.n,'xx'){words})")).unwrap();
        assert!(list[0].name.ends_with(end), "{}", list[0].name);
    }
}
