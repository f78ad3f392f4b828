//! Moving functions: each value is made of the window before it. The window of the first value lies before the range, and is read, too.

use std::collections::VecDeque;

use super::shift::{moving_windows, window_length};
use crate::aggregate::{Aggregate, average, median_of_sorted};
use crate::arguments::Arguments;
use crate::error::Error;
use crate::function::{Frame, Function, Windows};
use crate::number::{Number, Point};
use crate::parameter::{DefaultValue, Kind, Parameter, SERIES, optional, required};
use crate::series::{Series, is_enough};

/// Most work of a call, where each window is looked at anew: values of all series, times those of their windows, times the cost of one.
/// About a second.
const WORK_MAX: usize = 500_000_000;

/// The cost of a value of a window, in units of about two nanoseconds; a sorted window only moves its values.
const fn cost(aggregate: Aggregate) -> usize {
    match aggregate {
        Aggregate::Median => 1,
        // These go through the window several times.
        Aggregate::Stddev | Aggregate::Range => 8,
        _ => 4,
    }
}

const WINDOW: Parameter = required("windowSize", Kind::IntegerOrInterval);
const FACTOR: Parameter = optional("xFilesFactor", Kind::Float);

const fn moving(
    name: &'static [&'static str],
    description: &'static str,
    run: fn(&mut Frame, Arguments) -> Result<Vec<Series>, Error>,
) -> Function {
    Function {
        names: name,
        group: "Calculate",
        description,
        parameters: &[SERIES, WINDOW, FACTOR],
        run,
        windows: Some(Windows {
            of: moving_windows,
            and_as_is: false,
        }),
        ..Function::PLAIN
    }
}

pub(crate) const TABLE: &[Function] = &[
    moving(
        &["movingAverage"],
        "The average of the window before each value.",
        |frame, args| windows(frame, &args, "average", 2),
    ),
    moving(
        &["movingSum"],
        "The sum of the window before each value.",
        |frame, args| windows(frame, &args, "sum", 2),
    ),
    moving(
        &["movingMin"],
        "The smallest value of the window before each.",
        |frame, args| windows(frame, &args, "min", 2),
    ),
    moving(
        &["movingMax"],
        "The largest value of the window before each.",
        |frame, args| windows(frame, &args, "max", 2),
    ),
    moving(
        &["movingMedian"],
        "The median of the window before each value.",
        |frame, args| windows(frame, &args, "median", 2),
    ),
    Function {
        parameters: &[
            SERIES,
            WINDOW,
            optional("func", Kind::Aggregate).or(DefaultValue::Text("average")),
            FACTOR,
        ],
        ..moving(
            &["movingWindow"],
            "What the function makes of the window before each value.",
            |frame, args| windows(frame, &args, &args.text(2), 3),
        )
    },
    Function {
        parameters: &[SERIES, WINDOW],
        ..moving(
            &["exponentialMovingAverage"],
            "The average of all values before, of which later ones weigh more.",
            exponential,
        )
    },
    Function {
        parameters: &[
            SERIES,
            required("points", Kind::Integer),
            optional("windowTolerance", Kind::Float).or(DefaultValue::Tenth),
        ],
        windows: None,
        ..moving(
            &["stdev"],
            "The standard deviation of the last values up to each.",
            deviation,
        )
    },
];

/// The number of values in the window that a call asks for, and the window as names show it.
fn window(args: &Arguments, step: i64) -> (usize, String) {
    match args.number(1) {
        Some(Number::Exact(count)) => (usize::try_from(count).unwrap_or(usize::MAX), count.to_string()),
        _ => {
            let seconds = args.length(1).unwrap_or(step);
            let count = usize::try_from(seconds / step).unwrap_or(usize::MAX);
            (count, format!("\"{}\"", args.text(1)))
        }
    }
}

fn windows(frame: &mut Frame, args: &Arguments, word: &str, factor_at: usize) -> Result<Vec<Series>, Error> {
    let aggregate = Aggregate::named(word).unwrap_or(Aggregate::Average);
    let factor = args.number(factor_at).map(Number::real);
    let mut capitals = word.chars();
    let first = capitals.next().map(|c| c.to_ascii_uppercase());
    let tag = format!(
        "moving{}{}",
        first.unwrap_or_default(),
        capitals.as_str().to_ascii_lowercase()
    );
    let (mut made, mut work) = (Vec::new(), 0);
    let limits = frame.context.limits;
    for mut series in frame.in_own_windows.drain(..).flatten() {
        let (count, shown) = window(args, series.step);
        series.tag(&tag, args.text(1));
        series.renamed(format!("{tag}({},{shown})", series.name));
        let factor = factor.unwrap_or(series.x_files_factor);
        series.values = slid(&series.values, count, factor, aggregate, &mut work)?;
        series.start += window_length(args, series.step, limits)?;
        if aggregate == Aggregate::Sum {
            // A count is in as many values as the window holds, so their sum would count it so often.
            series.consolidation = Aggregate::Average;
        }
        made.push(series);
    }
    Ok(made)
}

/// The aggregate of the window before each of `values` that has a full one. Adds the work that it takes to `work`.
fn slid(
    values: &[Point],
    count: usize,
    factor: f64,
    aggregate: Aggregate,
    work: &mut usize,
) -> Result<Vec<Point>, Error> {
    // A window shorter than a step holds nothing.
    if count == 0 {
        return Ok(vec![None; values.len()]);
    }
    let is_exact = values
        .iter()
        .flatten()
        .all(|value| matches!(value, Number::Exact(_)));
    match aggregate {
        Aggregate::Sum | Aggregate::Average if is_exact => Ok(running_sums(values, count, factor, aggregate)),
        Aggregate::Min => Ok(running_extremes(values, count, factor, Number::is_below)),
        Aggregate::Max => Ok(running_extremes(values, count, factor, Number::is_above)),
        _ => {
            let windows = values.len().saturating_sub(count);
            *work = work.saturating_add(windows.saturating_mul(count).saturating_mul(cost(aggregate)));
            if *work > WORK_MAX {
                return Err(Error::TooMuchWork);
            }
            if aggregate == Aggregate::Median {
                return Ok(running_medians(values, count, factor));
            }
            let of = |window: &[Point]| {
                let known: Vec<Point> = window.iter().copied().filter(Option::is_some).collect();
                if is_enough(known.len(), count, factor) {
                    aggregate.of(&known)
                } else {
                    None
                }
            };
            Ok(values.windows(count).take(windows).map(of).collect())
        }
    }
}

fn running_sums(values: &[Point], count: usize, factor: f64, aggregate: Aggregate) -> Vec<Point> {
    let (mut sum, mut known) = (Number::ZERO, 0usize);
    let mut sums = Vec::with_capacity(values.len().saturating_sub(count));
    for (index, value) in values.iter().enumerate() {
        if index >= count {
            let of = if aggregate == Aggregate::Sum { 1 } else { known };
            sums.push(if is_enough(known, count, factor) {
                sum.over(Number::of(of))
            } else {
                None
            });
            if let Some(leaves) = values[index - count] {
                (sum, known) = (sum.minus(leaves), known - 1);
            }
        }
        if let Some(comes) = value {
            (sum, known) = (sum.plus(*comes), known + 1);
        }
    }
    sums
}

fn running_extremes(
    values: &[Point],
    count: usize,
    factor: f64,
    is_beyond: fn(Number, Number) -> bool,
) -> Vec<Point> {
    // Places and values that no later one of the window is beyond, the extreme first.
    let mut candidates = VecDeque::<(usize, Number)>::new();
    let mut known = 0usize;
    let mut extremes = Vec::with_capacity(values.len().saturating_sub(count));
    for (index, value) in values.iter().enumerate() {
        if index >= count {
            let extreme = candidates.front().map(|(_, value)| *value);
            extremes.push(extreme.filter(|_| is_enough(known, count, factor)));
            known -= usize::from(values[index - count].is_some());
            if candidates.front().is_some_and(|(at, _)| *at == index - count) {
                candidates.pop_front();
            }
        }
        if let Some(value) = value {
            known += 1;
            while candidates
                .back()
                .is_some_and(|(_, last)| !is_beyond(*last, *value))
            {
                candidates.pop_back();
            }
            candidates.push_back((index, *value));
        }
    }
    extremes
}

fn running_medians(values: &[Point], count: usize, factor: f64) -> Vec<Point> {
    let Some((first, later)) = values.split_at_checked(count) else {
        return Vec::new();
    };
    let mut sorted: Vec<Number> = first.iter().copied().flatten().collect();
    sorted.sort_by(|a, b| a.order(*b));
    let below = |sorted: &[Number], value: Number| sorted.partition_point(|other| other.is_below(value));
    let mut medians = Vec::with_capacity(later.len());
    for (leaves, comes) in values.iter().zip(later) {
        medians.push(median_of_sorted(&sorted).filter(|_| is_enough(sorted.len(), count, factor)));
        if let Some(leaves) = leaves {
            // Of equal ones it does not matter which.
            sorted.remove(below(&sorted, *leaves));
        }
        if let Some(comes) = comes {
            sorted.insert(below(&sorted, *comes), *comes);
        }
    }
    medians
}

fn exponential(frame: &mut Frame, args: Arguments) -> Result<Vec<Series>, Error> {
    let mut made = Vec::new();
    let limits = frame.context.limits;
    for mut series in frame.in_own_windows.drain(..).flatten() {
        let (count, shown) = window(&args, series.step);
        // The weight of an interval is its seconds, not its values, as in Graphite.
        let weight = match args.number(1) {
            Some(count) => 2.0 / (count.real() + 1.0),
            None => 2.0 / (Number::Exact(i128::from(args.length(1)?)).real() + 1.0),
        };
        series.tag("exponentialMovingAverage", args.text(1));
        series.renamed(format!("exponentialMovingAverage({},{shown})", series.name));
        let (head, tail) = series.values.split_at(count.min(series.values.len()));
        let mut mean = average(head).map_or(0.0, Number::real);
        let rounded = |mean: f64| Some(Number::Real(mean).rounded(6));
        let mut values = vec![rounded(mean)];
        for value in tail {
            values.push(value.and_then(|value| {
                mean = weight * value.real() + (1.0 - weight) * mean;
                rounded(mean)
            }));
        }
        series.start += window_length(&args, series.step, limits)?;
        series.values = values;
        made.push(series);
    }
    Ok(made)
}

fn deviation(_: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let points = usize::try_from(args.integer(1)).ok().filter(|points| *points > 0);
    let Some(points) = points else {
        return Err(Error::Function {
            function: "stdev",
            problem: "wants at least one point",
        });
    };
    let tolerance = args.required_number(2).real();
    let mut list = args.series();
    for series in &mut list {
        series.tag("stdev", points);
        series.renamed(format!("stdev({},{points})", series.name));
        let (mut known, mut sum, mut squares) = (0usize, Number::ZERO, Number::ZERO);
        let mut made = Vec::with_capacity(series.values.len());
        for (index, value) in series.values.iter().enumerate() {
            if let Some(leaves) = index.checked_sub(points).and_then(|at| series.values[at]) {
                (known, sum, squares) = (known - 1, sum.minus(leaves), squares.minus(leaves.times(leaves)));
            }
            if let Some(comes) = value {
                (known, sum, squares) = (known + 1, sum.plus(*comes), squares.plus(comes.times(*comes)));
            }
            let variance = Number::of(known).times(squares).minus(sum.times(sum)).real();
            let is_wanted = Number::of(known).real() / Number::of(points).real() >= tolerance;
            // Of none known there is none.
            let deviation = Number::Real(variance.sqrt()).over(Number::of(known));
            made.push(deviation.filter(|_| is_wanted && variance >= 0.0));
        }
        series.values = made;
        series.consolidation = Aggregate::Average;
    }
    Ok(list)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test begins now")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn running_windows_are_those_looked_at_anew(
            values in prop::collection::vec(prop::option::of(-50i128..50), 0..60),
            count in 1usize..12,
            factor in prop::sample::select(&[0.0, 0.5, 1.0]),
        ) {
            let values: Vec<Point> = values.into_iter().map(|value| value.map(Number::Exact)).collect();
            let aggregates = [Aggregate::Sum, Aggregate::Average, Aggregate::Min, Aggregate::Max, Aggregate::Median];
            for aggregate in aggregates {
                let anew = (count..values.len()).map(|end| {
                    let window = &values[end - count..end];
                    let known = window.iter().flatten().count();
                    if is_enough(known, count, factor) { aggregate.of(window) } else { None }
                });
                prop_assert_eq!(slid(&values, count, factor, aggregate, &mut 0).unwrap(), anew.collect::<Vec<_>>());
            }
        }
    }

    /// Of three values, one has two before it.
    #[test]
    fn windows_that_run_cost_nothing_and_others_as_much_as_is_said() {
        let (exact, real) = (Number::Exact(1), Number::Real(0.5));
        for (number, aggregate, cost) in [
            (exact, Aggregate::Sum, 0),
            (exact, Aggregate::Average, 0),
            (exact, Aggregate::Min, 0),
            (real, Aggregate::Max, 0),
            (exact, Aggregate::Median, 1),
            (real, Aggregate::Sum, 4),
            (exact, Aggregate::Stddev, 8),
            (exact, Aggregate::Range, 8),
        ] {
            let values = [Some(number); 3];
            let mut work = WORK_MAX - 2 * cost;
            assert!(
                slid(&values, 2, 0.0, aggregate, &mut work).is_ok(),
                "{aggregate:?}"
            );
            assert_eq!(work, WORK_MAX, "{aggregate:?}");
            let again = slid(&values, 2, 0.0, aggregate, &mut work);
            assert_eq!(again.is_err(), cost > 0, "{aggregate:?}");
        }
    }

    #[test]
    fn what_takes_too_long_is_refused() {
        let values = vec![Some(Number::Real(0.5)); 60_000];
        assert_eq!(
            slid(&values, 30_000, 0.0, Aggregate::Median, &mut 0),
            Err(Error::TooMuchWork)
        );
        let began = std::time::Instant::now();
        let year = vec![Some(Number::ZERO); 525_600];
        assert_eq!(
            slid(&year, 525_500, 0.0, Aggregate::Median, &mut 0)
                .unwrap()
                .len(),
            100
        );
        assert!(began.elapsed() < std::time::Duration::from_secs(2));
        assert_eq!(
            slid(&values, 30_000, 0.0, Aggregate::Max, &mut 0).unwrap().len(),
            30_000
        );
    }
}
