//! Functions that fill in values that are not known, or make known ones unknown.

use crate::aggregate::{Aggregate, percentile};
use crate::arguments::Arguments;
use crate::error::Error;
use crate::function::{Frame, Function};
use crate::number::{Number, Point, float_text, general};
use crate::parameter::{DefaultValue, Kind, Parameter, SERIES, optional, required};
use crate::series::{Aligned, Series};

const LIMIT: &[Parameter] = &[
    SERIES,
    optional("limit", Kind::IntegerOrInfinity).or(DefaultValue::Infinity),
];

const BOUND: &[Parameter] = &[SERIES, required("n", Kind::Float)];

const fn of_nulls(
    name: &'static [&'static str],
    group: &'static str,
    description: &'static str,
    run: fn(&mut Frame, Arguments) -> Result<Vec<Series>, Error>,
) -> Function {
    Function {
        names: name,
        group,
        description,
        parameters: BOUND,
        run,
        ..Function::PLAIN
    }
}

pub(crate) const TABLE: &[Function] = &[
    Function {
        parameters: &[
            SERIES,
            optional("default", Kind::Float).or(DefaultValue::Number(0)),
            optional("referenceSeries", Kind::SeriesList),
        ],
        ..of_nulls(
            &["transformNull"],
            "Transform",
            "The default where a value is not known; with reference series, only where one of them is known.",
            transform_null,
        )
    },
    Function {
        parameters: &[SERIES],
        ..of_nulls(
            &["isNonNull"],
            "Transform",
            "1 where a value is known, else 0.",
            |_, mut args| {
                let mut list = args.series();
                for series in &mut list {
                    series.tag("isNonNull", 1);
                    series.renamed(format!("isNonNull({})", series.name));
                    for value in &mut series.values {
                        *value = Some(if value.is_some() {
                            Number::ONE
                        } else {
                            Number::ZERO
                        });
                    }
                }
                Ok(list)
            },
        )
    },
    Function {
        parameters: LIMIT,
        ..of_nulls(
            &["keepLastValue"],
            "Transform",
            "The last known value where none is, for at most so many values in a row.",
            |_, args| filled(args, "keepLastValue", |before, _, _, _| Some(before), true),
        )
    },
    Function {
        parameters: LIMIT,
        ..of_nulls(
            &["interpolate"],
            "Transform",
            "A straight line between known values, over at most so many that are not.",
            |_, args| filled(args, "interpolate", between, false),
        )
    },
    of_nulls(
        &["removeAboveValue"],
        "Filter Data",
        "Nothing for values above n.",
        |_, args| Ok(cut(args, "removeAboveValue", |_, n| Some(n), Number::is_above)),
    ),
    of_nulls(
        &["removeBelowValue"],
        "Filter Data",
        "Nothing for values below n.",
        |_, args| Ok(cut(args, "removeBelowValue", |_, n| Some(n), Number::is_below)),
    ),
    of_nulls(
        &["removeAbovePercentile"],
        "Filter Data",
        "Nothing for values above the series' n-th percentile.",
        |_, args| Ok(cut(args, "removeAbovePercentile", at_percent, Number::is_above)),
    ),
    of_nulls(
        &["removeBelowPercentile"],
        "Filter Data",
        "Nothing for values below the series' n-th percentile.",
        |_, args| Ok(cut(args, "removeBelowPercentile", at_percent, Number::is_below)),
    ),
];

fn transform_null(_: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let default = args.required_number(1);
    let references = args.take(2).unwrap_or_default();
    let known = Aligned::new(&references.iter().collect::<Vec<_>>())?
        .map(|aligned| aligned.rows(|row| row.iter().any(Option::is_some).then_some(default)));
    let mut list = args.series();
    for series in &mut list {
        series.tag("transformNull", float_text(default));
        let shown = general(default);
        match &known {
            Some(known) => {
                series.tag("referenceSeries", 1);
                series.renamed(format!("transformNull({},{shown},referenceSeries)", series.name));
                for (index, value) in series.values.iter_mut().enumerate() {
                    *value = value.or(known.get(index).copied().flatten());
                }
            }
            None => {
                series.renamed(format!("transformNull({},{shown})", series.name));
                series
                    .values
                    .iter_mut()
                    .for_each(|value| *value = value.or(Some(default)));
            }
        }
    }
    Ok(list)
}

/// Fills runs of unknown values, of at most the second argument's length. `fill` gets the value before the run and the one after it, the
/// place in the run from 1, and its length. A run at the end has no value after it: it is filled only with `even_at_end`, and `fill` then
/// gets the value before it for both.
fn filled(
    mut args: Arguments,
    word: &str,
    fill: fn(Number, Number, usize, usize) -> Point,
    even_at_end: bool,
) -> Result<Vec<Series>, Error> {
    let limit = args.number(1).map_or(f64::INFINITY, Number::real);
    let mut list = args.series();
    for series in &mut list {
        series.renamed(format!("{word}({})", series.name));
        let mut before = None;
        let mut run = 0;
        for index in 0..=series.values.len() {
            let value = series.values.get(index).copied();
            let after = match (value, before) {
                (Some(None), _) => {
                    run += 1;
                    continue;
                }
                (None, before) if even_at_end => before,
                (None, _) => None,
                (Some(known), _) => known,
            };
            if let (Some(before), Some(after)) = (before, after)
                && Number::of(run).real() <= limit
            {
                for place in 1..=run {
                    if let Some(value) = series.values.get_mut(index - run + place - 1) {
                        *value = fill(before, after, place, run);
                    }
                }
            }
            (before, run) = (after, 0);
        }
    }
    Ok(list)
}

fn between(before: Number, after: Number, place: usize, run: usize) -> Point {
    let way = after
        .minus(before)
        .times(Number::of(place))
        .over(Number::of(run + 1))?;
    Some(before.plus(way))
}

fn at_percent(series: &Series, n: Number) -> Point {
    percentile(&series.values, n.real(), false)
}

fn cut(
    mut args: Arguments,
    word: &str,
    edge: fn(&Series, Number) -> Point,
    is_beyond: fn(Number, Number) -> bool,
) -> Vec<Series> {
    let n = args.required_number(1);
    let mut list = args.series();
    for series in &mut list {
        series.renamed(format!("{word}({}, {})", series.name, general(n)));
        if let Some(edge) = edge(series, n) {
            series.map(|value| (!is_beyond(value, edge)).then_some(value));
        }
    }
    list
}

/// Whether a series has a value that is known, and as large a share of known ones as asked for.
pub(crate) fn is_known(series: &Series, share: f64) -> bool {
    let known = Aggregate::Count.of(&series.values).map_or(0.0, Number::real);
    known > 0.0 && known / Number::of(series.values.len()).real() >= share
}
