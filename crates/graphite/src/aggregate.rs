//! Aggregates: functions of several values, as in graphite-web's `aggfuncs.py`.

use crate::number::{Number, Point};

/// A function of several values, of which some may not be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aggregate {
    Average,
    /// The average, with 0 for values that are not known.
    AverageZero,
    Median,
    Sum,
    Min,
    Max,
    /// The first value less all others.
    Diff,
    /// The standard deviation of the values themselves, not of a sample.
    Stddev,
    Count,
    Range,
    Multiply,
    First,
    Last,
}

/// The words for aggregates in functions' parameters; `first` is one of `consolidateBy` only.
pub(crate) const AGGREGATES: &[&str] = &[
    "average", "avg", "avg_zero", "count", "current", "diff", "last", "max", "median", "min", "multiply",
    "range", "rangeOf", "stddev", "sum", "total",
];

/// The words of `consolidateBy`.
pub(crate) const CONSOLIDATIONS: &[&str] =
    &["sum", "average", "avg", "avg_zero", "min", "max", "first", "last"];

impl Aggregate {
    /// The aggregate of one of [`AGGREGATES`], with or without `Series` after it.
    pub(crate) fn named(word: &str) -> Option<Self> {
        Some(match word.strip_suffix("Series").unwrap_or(word) {
            "average" | "avg" => Self::Average,
            "avg_zero" => Self::AverageZero,
            "median" => Self::Median,
            "sum" | "total" => Self::Sum,
            "min" => Self::Min,
            "max" => Self::Max,
            "diff" => Self::Diff,
            "stddev" => Self::Stddev,
            "count" => Self::Count,
            "range" | "rangeOf" => Self::Range,
            "multiply" => Self::Multiply,
            "last" | "current" => Self::Last,
            _ => return None,
        })
    }

    /// The aggregate of one of [`CONSOLIDATIONS`].
    pub(crate) fn of_consolidation(word: &str) -> Option<Self> {
        match word {
            "first" => Some(Self::First),
            word if CONSOLIDATIONS.contains(&word) => Self::named(word),
            _ => None,
        }
    }

    /// The aggregate of `values`; `None` where no value is known, except for their number.
    pub(crate) fn of(self, values: &[Point]) -> Point {
        let mut known = values.iter().copied().flatten();
        match self {
            Self::Average => average(values),
            Self::AverageZero => known
                .fold(Number::ZERO, Number::plus)
                .over(Number::of(values.len())),
            Self::Median => median(known.collect()),
            Self::Sum => known.reduce(Number::plus),
            Self::Diff => known.reduce(Number::minus),
            Self::Min => known.reduce(|a, b| if b.is_below(a) { b } else { a }),
            Self::Max => known.reduce(|a, b| if b.is_above(a) { b } else { a }),
            Self::Range => Some(Self::Max.of(values)?.minus(Self::Min.of(values)?)),
            Self::Stddev => deviation(values).map(|variance| Number::Real(variance.sqrt())),
            Self::Count => Some(Number::of(known.count())),
            Self::Multiply => values.iter().copied().reduce(|a, b| Some(a?.times(b?))).flatten(),
            Self::First => known.next(),
            Self::Last => values.iter().rev().copied().flatten().next(),
        }
    }
}

pub(crate) fn average(values: &[Point]) -> Point {
    let known = values.iter().flatten().count();
    Aggregate::Sum.of(values)?.over(Number::of(known))
}

fn median(mut known: Vec<Number>) -> Point {
    known.sort_by(|a, b| a.order(*b));
    median_of_sorted(&known)
}

pub(crate) fn median_of_sorted(sorted: &[Number]) -> Point {
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle).copied()?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    sorted
        .get(middle.checked_sub(1)?)?
        .plus(upper)
        .over(Number::Exact(2))
}

/// The variance: the mean of the squares of the distances from the mean.
pub(crate) fn deviation(values: &[Point]) -> Option<f64> {
    let mean = average(values)?.real();
    let squares = values.iter().flatten().map(|value| (value.real() - mean).powi(2));
    let sum: f64 = squares.sum();
    Some(
        Number::Real(sum)
            .over(Number::of(values.iter().flatten().count()))?
            .real(),
    )
}

/// The value below which `percent` of the known values lie; between two of them where `interpolate` says so.
pub(crate) fn percentile(values: &[Point], percent: f64, interpolate: bool) -> Point {
    let mut known: Vec<Number> = values.iter().copied().flatten().collect();
    known.sort_by(|a, b| a.order(*b));
    percentile_of_sorted(&known, percent, interpolate)
}

fn percentile_of_sorted(sorted: &[Number], percent: f64, interpolate: bool) -> Point {
    let (first, last) = (sorted.first().copied()?, sorted.last().copied()?);
    let fractional = percent / 100.0 * Number::of(sorted.len() + 1).real();
    let whole = fractional.floor();
    let fraction = fractional - whole;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates, and beyond the last is the last"
    )]
    let mut rank = whole.max(0.0) as usize;
    if !interpolate && fraction > 0.0 {
        rank += 1;
    }
    let value = match rank {
        0 => first,
        rank => sorted.get(rank - 1).copied().unwrap_or(last),
    };
    let next = sorted.get(rank).copied();
    Some(match next {
        Some(next) if interpolate && rank != sorted.len() => {
            value.plus(Number::Real(fraction).times(next.minus(value)))
        }
        _ => value,
    })
}

/// The list sorted by the aggregate of each; equal ones stay in their order, and one that is not known is the smallest.
pub(crate) fn sorted<T>(list: Vec<T>, from_highest: bool, aggregate: impl Fn(&T) -> Point) -> Vec<T> {
    let least = Number::Real(f64::NEG_INFINITY);
    let keyed = list
        .into_iter()
        .map(|item| (aggregate(&item).unwrap_or(least), item));
    let mut keyed: Vec<(Number, T)> = keyed.collect();
    keyed.sort_by(|(a, _), (b, _)| if from_highest { b.order(*a) } else { a.order(*b) });
    keyed.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[i128]) -> Vec<Point> {
        let known = values.iter().map(|value| Some(Number::Exact(*value)));
        std::iter::once(None).chain(known).collect()
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let values = points(&[3, 1, 8]);
        for (word, real) in [
            ("average", 4.0),
            ("avg_zero", 3.0),
            ("median", 3.0),
            ("sum", 12.0),
            ("minSeries", 1.0),
            ("max", 8.0),
            ("diff", -6.0),
            ("count", 3.0),
            ("rangeOf", 7.0),
            ("current", 8.0),
        ] {
            assert_eq!(
                Aggregate::named(word).unwrap().of(&values).unwrap().real(),
                real,
                "{word}"
            );
        }
        assert_eq!(Aggregate::Multiply.of(&values), None);
        assert_eq!(Aggregate::Multiply.of(&values[1..]), Some(Number::Exact(24)));
        assert!((Aggregate::Stddev.of(&values).unwrap().real() - 2.943_920).abs() < 1e-6);
        assert_eq!(Aggregate::Sum.of(&[None]), None);
        assert_eq!(Aggregate::Count.of(&[None]), Some(Number::ZERO));
    }

    #[test]
    fn every_word_is_known() {
        assert!(AGGREGATES.iter().all(|word| Aggregate::named(word).is_some()));
        assert!(
            CONSOLIDATIONS
                .iter()
                .all(|word| Aggregate::of_consolidation(word).is_some())
        );
        assert_eq!(Aggregate::named("p95"), None);
    }

    #[test]
    fn percentiles_are_graphites() {
        let values = points(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        let at = |percent, interpolate| percentile(&values, percent, interpolate).unwrap().real();
        assert_eq!(at(50.0, false), 6.0);
        assert_eq!(at(50.0, true), 5.5);
        assert_eq!(at(95.0, false), 10.0);
        assert_eq!(at(1.0, false), 1.0);
        assert_eq!(at(100.0, true), 10.0);
        assert_eq!(percentile(&[None], 50.0, false), None);
    }
}
