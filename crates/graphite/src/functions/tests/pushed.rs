//! Counts that are summed as they are read, to buckets or by groups of names, give what sums of the functions' values give.

use model::{Extent, Timestamp};
use proptest::prelude::*;

use super::{T, WINDOW, counted, planned, utc};
use crate::buckets;
use crate::function::Function;
use crate::functions::TABLES;
use crate::parameter::Kind;
use crate::plan::Node;
use crate::series::Series;
use crate::window::{MINUTE_S, Window};

pub(super) fn commutes(target: &str) -> bool {
    planned(target, WINDOW, utc(T)).is_ok_and(|plan| plan.targets.iter().all(Node::commutes))
}

/// The counts of `names`, of rows of a name's place, a minute since [`T`] and a count.
fn counts_of<'a>(names: &[&'a str], rows: &[(usize, i64, u64)]) -> Vec<(&'a str, Vec<(i64, u64)>)> {
    let mut counts: Vec<_> = names.iter().map(|name| (*name, Vec::new())).collect();
    for &(name, minute, count) in rows {
        counts[name].1.push((T + 60 * minute, count));
    }
    counts
}

/// Complete for so many minutes since [`T`], and kept from one of the days since, the first being 1, or for ever.
fn extent(complete: i64, kept: i64) -> Extent {
    Extent {
        complete_until: Some(Timestamp::from_unix_ms((T + 60 * complete) * 1000)),
        kept_since: (kept > 0).then(|| model::Day::containing(T + 86_400 * (kept - 1))),
    }
}

/// The window of so many minutes from one since [`T`] on, and one more.
fn window(from: i64, minutes: i64) -> Window {
    Window {
        from: T + 60 * from - 1,
        until: T + 60 * (from + minutes),
    }
}

/// What a target makes of counts that are summed to buckets as they are read, and after the functions.
fn both_ways(
    target: &str,
    window: Window,
    values_max: usize,
    counts: &[(&str, Vec<(i64, u64)>)],
    extent: Extent,
) -> [Vec<Series>; 2] {
    assert!(commutes(target), "{target}");
    let pushed = buckets::to_read_s(window.minutes(), values_max);
    [pushed, MINUTE_S].map(|bucket_s| {
        let mut plan = planned(target, window, utc(T)).unwrap();
        plan.bucket_s = bucket_s;
        let counts = counted(&plan, counts, extent).unwrap();
        let mut list = plan.series(&counts).unwrap();
        buckets::consolidate(&mut list, window.minutes(), values_max);
        list
    })
}

/// A target with `function`, once for each word that a parameter of it may have.
fn targets_of(function: &Function) -> Vec<String> {
    let mut targets = vec![format!("{}(", function.names[0])];
    for parameter in function.parameters {
        let words: Vec<String> = match parameter.kind {
            Kind::SeriesList if parameter.is_multiple => vec!["a.*.n,b.x.n".to_owned()],
            Kind::SeriesList => vec!["*.*.n".to_owned()],
            _ if !parameter.options.is_empty() => {
                parameter.options.iter().map(|word| format!("'{word}'")).collect()
            }
            _ if !parameter.is_required => break,
            Kind::Float => ["2", "0.1", "-3"].map(str::to_owned).into(),
            Kind::Interval | Kind::IntegerOrInterval => vec!["'1h'".to_owned()],
            Kind::Text => vec!["'x'".to_owned()],
            Kind::Date => vec!["'today'".to_owned()],
            _ => vec!["1".to_owned()],
        };
        let with = |target: &String| {
            words
                .iter()
                .map(|word| format!("{target}{word},"))
                .collect::<Vec<_>>()
        };
        targets = targets.iter().flat_map(with).collect();
    }
    targets
        .iter()
        .map(|target| format!("{})", target.trim_end_matches(',')))
        .collect()
}

/// One for each claim of a function that it may as well come after the sums.
fn claims() -> Vec<String> {
    let all = TABLES.iter().copied().flatten().flat_map(targets_of);
    let claims: Vec<String> = all.filter(|target| commutes(target)).collect();
    assert!(claims.len() > 30, "{claims:?}");
    let nested = [
        r#"aliasSub(group(a.x.n,constantLine(3)), "(^.*$)", "\1 A")"#,
        "fallbackSeries(none.x,scale(a.*.n,2))",
        "a.*.n|aggregate('sum')|alias('x')",
        "a.*.n",
    ];
    // Whichever of these claim it.
    let with_lines = [
        "sumSeries(a.*.n,constantLine(3))",
        "sumSeries(alias(threshold(3),'x'),group(a.x.n))",
        "aggregate(group(a.*.n,constantLine(3)),'sum')",
        "groupByNode(group(a.*.n,threshold(3,'a.b')),0,'sum')",
        "sumSeriesWithWildcards(group(a.*.n,alias(constantLine(3),'a.b.n')),1)",
        "group(a.*.n,constantLine(3))|sortByName()",
        "group(a.x.n,timeShift(a.x.n,'1d'),timeShift(a.x.n,'7min'))",
    ];
    let claiming = with_lines.into_iter().filter(|target| commutes(target));
    let nested = nested.into_iter().chain(claiming);
    claims.into_iter().chain(nested.map(str::to_owned)).collect()
}

#[test]
fn sums_of_rows_do_not_claim_it_beside_a_line() {
    assert!(
        !claims()
            .iter()
            .any(|target| target.contains("sum") && target.contains("constantLine"))
    );
    assert!(commutes("group(sumSeries(a.*.n),constantLine(3))"));
}

/// Calls that only add series up, or only keep some of them.
const ADDING_OR_PICKING: [&str; 20] = [
    "highestMax(*.*.n,2)",
    "highestAverage(*.*.n,1)",
    "highestCurrent(a.*.n,1)",
    "lowestAverage(*.*.n,2)",
    "lowestCurrent(*.*.n,n=3)",
    "highest(*.*.n,2,'max')",
    "highest(*.*.n,2,func='sum')",
    "lowest(*.*.n,1)",
    "highestMax(*.*.n,-1)",
    "sumSeries(*.*.n)",
    "sum(a.*.n)",
    "groupByNode(*.*.n,0,'sum')",
    "groupByNode(*.*.n,-2,'sumSeries')",
    "groupByNode(*.*.n,'name','sum')",
    "groupByNode(*.*.n,9,callback='sum')",
    "groupByNodes(*.*.n,'sum',1,0)",
    "groupByNodes(*.*.n,'total')",
    "sumSeriesWithWildcards(*.*.n,1)",
    "sumSeriesWithWildcards(*.*.n)",
    "aliasByNode(groupByNode(*.*.n,1,'sum'),0)",
];

/// Targets, and the seconds that their counts are summed to as they are read.
const BY_INTERVAL: [(&str, i64); 16] = [
    ("summarize(*.*.n,'1h')", 3_600),
    ("summarize(*.*.n,'3h','sum',false)", 3_600 * 3),
    ("summarize(a.x.n,'7d')", 86_400),
    ("summarize(a.x.n,'90min')", 1_800 * 3),
    ("summarize(a.x.n,'7h')", 3_600),
    ("highestMax(summarize(*.*.n,'1h'),2)", 3_600),
    ("summarize(sumSeries(*.*.n),'1h')|movingAverage(5)", 3_600),
    ("summarize(summarize(*.*.n,'1h'),'1d','max')", 3_600),
    ("summarize(summarize(*.*.n,'1h'),'1d')|scale(2)", 3_600),
    ("maxSeries(summarize(*.*.n,'2h'),summarize(a.x.n,'2h'))", 7_200),
    ("timeShift(summarize(a.x.n,'1h'),'1d')", 3_600),
    ("group(summarize(a.x.n,'1h'),constantLine(3))", 3_600),
    // By the minute.
    ("summarize(*.*.n,'90s')", 60),
    ("summarize(*.*.n,'1h','max')", 60),
    ("group(summarize(a.x.n,'1h'),maxSeries(a.x.n))", 60),
    ("summarize(*.*.n,'1h','sum',true)", 60),
];

/// As many values are counted as are made, each time, and a factor holds for series that are picked, too.
#[test]
fn picked_series_are_series_like_others() {
    let names = ["a.x.n", "a.y.n", "b.x.n"].map(|name| (name, vec![(T, 1)]));
    let picks = "highestMax(*.*.n,2)";
    let values = |target: &str| {
        let plan = planned(target, WINDOW, utc(T)).unwrap();
        let names = names.iter().map(|(name, _)| crate::reading::Name {
            id: model::EventId::of(name),
            name: (*name).to_owned(),
        });
        let reading = plan.reading(&names.collect::<Vec<_>>()).unwrap();
        (reading.values(), reading.looked_at())
    };
    let (once, looked_at) = values(picks);
    let many = format!("group({})", [picks; 5].join(","));
    assert_eq!(values(&many), (5 * once, 5 * looked_at));
    assert!(looked_at > once);
    // Once a factor is set, it holds for what is evaluated after it.
    for picked in [picks, "highestMax(group(*.*.n),2)"] {
        let target = format!("group(setXFilesFactor(a.x.n,1),{picked})");
        let plan = planned(&target, WINDOW, utc(T)).unwrap();
        let counts = counted(&plan, &names, Extent::default()).unwrap();
        let list = plan.series(&counts).unwrap();
        let has_factor = |series: &Series| (series.x_files_factor - 1.0).abs() < f64::EPSILON;
        assert!(list.len() == 3 && list.iter().all(has_factor));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_is_added_or_picked_as_it_is_read_is_what_it_is_of_series(
        rows in prop::collection::vec((0usize..4, 0i64..60, 1u64..1_000), 0..60),
        names in 0usize..=4,
        target in prop::sample::select(&ADDING_OR_PICKING),
        complete in 0i64..60,
    ) {
        let mut counts = counts_of(&["a.x.n", "a.y.n", "b.x.n", "b.z.n"], &rows);
        counts.truncate(names);
        let (extent, window) = (extent(complete, 0), window(0, 60));
        // What is in a group is series to the function around it.
        let as_series = target.replace("*.*.n", "group(*.*.n)").replace("a.*.n", "group(a.*.n)");
        let [added, series] = [target, as_series.as_str()].map(|target| {
            let plan = planned(target, window, utc(T)).unwrap();
            let counts = counted(&plan, &counts, extent).unwrap();
            (plan.queries[0].windows.len(), plan.series(&counts).unwrap())
        });
        prop_assert_eq!((added.0, series.0), (0, 1));
        prop_assert_eq!(added.1, series.1);
    }

    #[test]
    fn sums_are_the_same_before_and_after_functions_that_say_so(
        rows in prop::collection::vec((0usize..3, 0i64..4_000, 1u64..1_000), 0..60),
        target in prop::sample::select(claims()),
        (from, minutes) in (0i64..3_000, 1i64..4_000),
        (complete, kept) in (0i64..4_000, 0i64..4),
        values_max in 1usize..300,
    ) {
        let counts = counts_of(&["a.x.n", "a.y.n", "b.x.n"], &rows);
        let (extent, window) = (extent(complete, kept), window(from, minutes));
        let [before, after] = both_ways(&target, window, values_max, &counts, extent);
        prop_assert_eq!(before, after);
    }

    #[test]
    fn intervals_are_the_same_whether_minutes_are_summed_as_they_are_read(
        rows in prop::collection::vec((0usize..3, 0i64..4_000, 1u64..1_000), 0..60),
        (target, read_s) in prop::sample::select(&BY_INTERVAL),
        (from, minutes) in (0i64..3_000, 1i64..4_000),
        (complete, kept) in (0i64..4_000, 0i64..4),
    ) {
        let counts = counts_of(&["a.x.n", "a.y.n", "b.x.n"], &rows);
        let (extent, window) = (extent(complete, kept), window(from, minutes));
        let [read, by_minutes] = [None, Some(MINUTE_S)].map(|bucket_s| {
            let mut plan = planned(target, window, utc(T)).unwrap();
            assert_eq!(plan.bucket_s, read_s, "{target}");
            plan.bucket_s = bucket_s.unwrap_or(plan.bucket_s);
            let counts = counted(&plan, &counts, extent).unwrap();
            plan.series(&counts)
        });
        prop_assert_eq!(read, by_minutes);
    }
}
