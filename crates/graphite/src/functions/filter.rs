//! Functions that keep some of the series, whole.

use super::nulls::is_known;
use crate::aggregate::{Aggregate, average, deviation, percentile};
use crate::arguments::Arguments;
use crate::error::Error;
use crate::function::{Commutes, Frame, Function, Picks};
use crate::number::{Number, Point};
use crate::parameter::{DefaultValue, Kind, Parameter, SERIES, optional, required};
use crate::regex::Pattern;
use crate::series::Series;

const fn keeping(
    name: &'static [&'static str],
    description: &'static str,
    parameters: &'static [Parameter],
    run: fn(&mut Frame, Arguments) -> Result<Vec<Series>, Error>,
) -> Function {
    Function {
        names: name,
        group: "Filter Series",
        description,
        parameters,
        run,
        ..Function::PLAIN
    }
}

const fn picking(
    name: &'static [&'static str],
    description: &'static str,
    parameters: &'static [Parameter],
    picks: fn(&Arguments) -> Picks,
) -> Function {
    Function {
        picks: Some(picks),
        ..keeping(name, description, parameters, |frame, mut args| {
            let list = args.series();
            Ok(match frame.picks {
                Some(picks) => picks.of(list, |series| picks.aggregate.of(&series.values)),
                None => list,
            })
        })
    }
}

const BOUND: &[Parameter] = &[SERIES, required("n", Kind::Float)];
const COUNT: &[Parameter] = &[SERIES, required("n", Kind::Integer)];
const RANKED: &[Parameter] = &[
    SERIES,
    required("n", Kind::Integer),
    optional("func", Kind::Aggregate).or(DefaultValue::Text("average")),
];
const OPERATORS: &[&str] = &["!=", "<", "<=", "=", ">", ">="];

pub(crate) const TABLE: &[Function] = &[
    keeping(
        &["maximumAbove"],
        "Series whose largest value is above n.",
        BOUND,
        |_, args| Ok(compared(args, Aggregate::Max, ">")),
    ),
    keeping(
        &["maximumBelow"],
        "Series whose largest value is n or below.",
        BOUND,
        |_, args| Ok(compared(args, Aggregate::Max, "<=")),
    ),
    keeping(
        &["minimumAbove"],
        "Series whose smallest value is above n.",
        BOUND,
        |_, args| Ok(compared(args, Aggregate::Min, ">")),
    ),
    keeping(
        &["minimumBelow"],
        "Series whose smallest value is n or below.",
        BOUND,
        |_, args| Ok(compared(args, Aggregate::Min, "<=")),
    ),
    keeping(
        &["averageAbove"],
        "Series whose average is above n.",
        BOUND,
        |_, args| Ok(compared(args, Aggregate::Average, ">")),
    ),
    keeping(
        &["averageBelow"],
        "Series whose average is n or below.",
        BOUND,
        |_, args| Ok(compared(args, Aggregate::Average, "<=")),
    ),
    keeping(
        &["currentAbove"],
        "Series whose last known value is above n.",
        BOUND,
        |_, args| Ok(compared(args, Aggregate::Last, ">")),
    ),
    keeping(
        &["currentBelow"],
        "Series whose last known value is n or below.",
        BOUND,
        |_, args| Ok(compared(args, Aggregate::Last, "<=")),
    ),
    keeping(
        &["filterSeries"],
        "Series whose value by the function compares so to the threshold.",
        &[
            SERIES,
            required("func", Kind::Aggregate),
            required("operator", Kind::Text).one_of(OPERATORS),
            required("threshold", Kind::Float),
        ],
        |_, mut args| {
            let (aggregate, operator, threshold) = (args.aggregate(1), args.text(2), args.required_number(3));
            let mut list = args.series();
            list.retain(|series| holds(aggregate.of(&series.values), &operator, threshold));
            Ok(list)
        },
    ),
    Function {
        commutes: Commutes::If(|args| args.aggregate(2) == Aggregate::Sum),
        ..picking(
            &["highest"],
            "The n series with the largest values by the function.",
            RANKED,
            |args| picked(args, args.aggregate(2), true),
        )
    },
    Function {
        commutes: Commutes::If(|args| args.aggregate(2) == Aggregate::Sum),
        ..picking(
            &["lowest"],
            "The n series with the smallest values by the function.",
            RANKED,
            |args| picked(args, args.aggregate(2), false),
        )
    },
    picking(
        &["highestMax"],
        "The n series with the largest values.",
        COUNT,
        |args| picked(args, Aggregate::Max, true),
    ),
    picking(
        &["highestAverage"],
        "The n series with the largest averages.",
        COUNT,
        |args| picked(args, Aggregate::Average, true),
    ),
    picking(
        &["highestCurrent"],
        "The n series with the largest last values.",
        COUNT,
        |args| picked(args, Aggregate::Last, true),
    ),
    picking(
        &["lowestAverage"],
        "The n series with the smallest averages.",
        COUNT,
        |args| picked(args, Aggregate::Average, false),
    ),
    picking(
        &["lowestCurrent"],
        "The n series with the smallest last values.",
        COUNT,
        |args| picked(args, Aggregate::Last, false),
    ),
    Function {
        commutes: Commutes::Always,
        ..keeping(&["limit"], "The first n series.", COUNT, |_, mut args| {
            let n = args.integer(1);
            let mut list = args.series();
            // As a slice in Python: a negative number leaves so many out at the end.
            let count = usize::try_from(n).unwrap_or_else(|_| {
                list.len()
                    .saturating_sub(usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX))
            });
            list.truncate(count);
            Ok(list)
        })
    },
    Function {
        commutes: Commutes::Always,
        is_heavy: true,
        ..keeping(
            &["exclude"],
            "Series whose names do not match the regular expression.",
            &[SERIES, required("pattern", Kind::Text)],
            |_, args| matching(args, false),
        )
    },
    Function {
        commutes: Commutes::Always,
        is_heavy: true,
        ..keeping(
            &["grep"],
            "Series whose names match the regular expression.",
            &[SERIES, required("pattern", Kind::Text)],
            |_, args| matching(args, true),
        )
    },
    Function {
        commutes: Commutes::If(|args| !args.has(1)),
        ..keeping(
            &["removeEmptySeries"],
            "Series of which a value is known, and at least that share of values.",
            &[SERIES, optional("xFilesFactor", Kind::Float)],
            |_, mut args| {
                let share = args.number(1).map_or(0.0, Number::real);
                let mut list = args.series();
                list.retain(|series| is_known(series, share));
                Ok(list)
            },
        )
    },
    Function {
        commutes: Commutes::Always,
        ..keeping(
            &["unique"],
            "The first series of each name.",
            &[required("seriesLists", Kind::SeriesList).many()],
            |_, args| {
                let mut seen = std::collections::BTreeSet::new();
                let mut list = args.all_series();
                list.retain(|series| seen.insert(series.name.clone()));
                Ok(list)
            },
        )
    },
    keeping(
        &["mostDeviant"],
        "The n series that vary most.",
        COUNT,
        |_, mut args| {
            let n = usize::try_from(args.integer(1)).unwrap_or(0);
            let mut varied: Vec<(f64, Series)> = args
                .series()
                .into_iter()
                .filter_map(|series| Some((deviation(&series.values)?, series)))
                .collect();
            varied.sort_by(|a, b| b.0.total_cmp(&a.0));
            Ok(varied.into_iter().take(n).map(|(_, series)| series).collect())
        },
    ),
    keeping(
        &["averageOutsidePercentile"],
        "Series whose averages are not between the n-th percentiles of all averages, from below and above.",
        BOUND,
        |_, mut args| {
            let n = outer(args.required_number(1));
            let mut list = args.series();
            let averages: Vec<Point> = list.iter().map(|series| average(&series.values)).collect();
            let edges = (
                percentile(&averages, 100.0 - n, false),
                percentile(&averages, n, false),
            );
            list.retain(|series| is_outside(average(&series.values), edges));
            Ok(list)
        },
    ),
    keeping(
        &["removeBetweenPercentile"],
        "Series of which a value is not between the n-th percentiles of all at its time, from below and above.",
        BOUND,
        remove_between_percentile,
    ),
];

fn compared(mut args: Arguments, aggregate: Aggregate, operator: &str) -> Vec<Series> {
    let n = args.required_number(1);
    let mut list = args.series();
    list.retain(|series| holds(aggregate.of(&series.values), operator, n));
    list
}

/// Whether a comparison holds. A value that is not known is below all others.
fn holds(value: Point, operator: &str, threshold: Number) -> bool {
    let order = value.map(|value| value.order(threshold));
    match operator {
        "=" => order.is_some_and(|order| order.is_eq()),
        "!=" => order.is_none_or(|order| order.is_ne()),
        ">" => order.is_some_and(|order| order.is_gt()),
        ">=" => order.is_some_and(|order| order.is_ge()),
        "<" => order.is_none_or(|order| order.is_lt()),
        _ => order.is_none_or(|order| order.is_le()),
    }
}

fn picked(args: &Arguments, aggregate: Aggregate, from_highest: bool) -> Picks {
    Picks {
        aggregate,
        from_highest,
        count: usize::try_from(args.integer(1)).unwrap_or(0),
    }
}

fn matching(mut args: Arguments, wanted: bool) -> Result<Vec<Series>, Error> {
    let pattern = Pattern::new(&args.text(1))?;
    let mut list = args.series();
    list.retain(|series| pattern.is_in(&series.name) == wanted);
    Ok(list)
}

/// The upper percentile of a pair such as 5 and 95, whichever of the two was given.
fn outer(n: Number) -> f64 {
    if n.real() < 50.0 {
        100.0 - n.real()
    } else {
        n.real()
    }
}

fn is_outside(value: Point, (low, high): (Point, Point)) -> bool {
    let (Some(value), Some(low), Some(high)) = (value, low, high) else {
        return true;
    };
    !(value.is_above(low) && value.is_below(high))
}

fn remove_between_percentile(_: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let n = outer(args.required_number(1));
    let mut list = args.series();
    let length = list.iter().map(|series| series.values.len()).min().unwrap_or(0);
    let edges: Vec<(Point, Point)> = (0..length)
        .map(|at| {
            let column: Vec<Point> = list.iter().map(|series| series.values[at]).collect();
            (
                percentile(&column, 100.0 - n, false),
                percentile(&column, n, false),
            )
        })
        .collect();
    list.retain(|series| {
        series
            .values
            .iter()
            .zip(&edges)
            .any(|(value, edges)| is_outside(*value, *edges))
    });
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_below_all_others() {
        let values = [
            None,
            Some(Number::of(1)),
            Some(Number::of(2)),
            Some(Number::of(3)),
        ];
        for (operator, expected) in [
            ("=", [false, false, true, false]),
            ("!=", [true, true, false, true]),
            (">", [false, false, false, true]),
            (">=", [false, false, true, true]),
            ("<", [true, true, false, false]),
            ("<=", [true, true, true, false]),
        ] {
            let found = values.map(|value| holds(value, operator, Number::of(2)));
            assert_eq!(found, expected, "{operator}");
        }
    }
}
