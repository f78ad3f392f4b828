//! Functions that make each value of those before it.

use super::transform::{of_shares, of_values};
use crate::aggregate::Aggregate;
use crate::arguments::Arguments;
use crate::error::Error;
use crate::function::{Frame, Function};
use crate::number::{Number, Point};
use crate::parameter::{Kind, Parameter, SERIES, optional, required};
use crate::series::Series;

const BOUNDED: &[Parameter] = &[
    SERIES,
    optional("maxValue", Kind::Float),
    optional("minValue", Kind::Float),
];

const fn bounded(
    name: &'static [&'static str],
    description: &'static str,
    run: fn(&mut Frame, Arguments) -> Result<Vec<Series>, Error>,
) -> Function {
    Function {
        parameters: BOUNDED,
        ..of_values(name, description, run)
    }
}

pub(crate) const TABLE: &[Function] = &[
    of_values(
        &["derivative"],
        "Every value less the one before it.",
        |_, args| {
            Ok(each(args, "derivative", |series, _| {
                let mut before = None;
                series.values.iter_mut().for_each(|value| {
                    let own = *value;
                    *value = own
                        .zip(before)
                        .map(|(own, before): (Number, Number)| own.minus(before));
                    before = own;
                });
            }))
        },
    ),
    bounded(
        &["nonNegativeDerivative"],
        "Every value less the one before it; nothing where it fell, unless a maximum says where a counter begins again.",
        |_, args| Ok(each(args, "nonNegativeDerivative", rises)),
    ),
    bounded(
        &["perSecond"],
        "How much a value rises per second. It is meant for running totals: counts per minute become rates by scaleToSeconds(…, 1).",
        |_, args| {
            let list = each(args, "perSecond", |series, args| {
                rises(series, args);
                let step = Number::Exact(i128::from(series.step));
                series.map(|value| Some(value.over(step)?.rounded(6)));
            });
            list.iter().try_for_each(|series| series.seconds().map(drop))?;
            Ok(of_shares(list))
        },
    ),
    of_values(
        &["integral"],
        "The sum of all values up to each. Buckets show the last of theirs.",
        |_, args| {
            let mut list = each(args, "integral", |series, _| {
                let mut sum = Number::ZERO;
                for value in series.values.iter_mut().flatten() {
                    sum = sum.plus(*value);
                    *value = sum;
                }
            });
            list.iter_mut()
                .for_each(|series| series.consolidation = Aggregate::Last);
            Ok(list)
        },
    ),
    Function {
        parameters: &[SERIES, required("intervalUnit", Kind::Text)],
        ..of_values(
            &["integralByInterval"],
            "The sum of all values up to each, beginning anew every interval from the range's start. Buckets show the last of theirs.",
            integral_by_interval,
        )
    },
    Function {
        parameters: &[SERIES, required("steps", Kind::Integer)],
        ..of_values(&["delay"], "Every value so many steps later.", delay)
    },
    Function {
        group: "Special",
        ..of_values(
            &["changed"],
            "1 where a value differs from the last known one, else 0.",
            |_, mut args| {
                let mut list = args.series();
                for series in &mut list {
                    series.renamed(format!("changed({})", series.name));
                    let mut before: Point = None;
                    for value in &mut series.values {
                        let differs = matches!((*value, before), (Some(own), Some(before)) if own.order(before).is_ne());
                        before = value.or(before);
                        *value = Some(if differs { Number::ONE } else { Number::ZERO });
                    }
                }
                Ok(list)
            },
        )
    },
];

fn each(mut args: Arguments, word: &str, change: fn(&mut Series, &Arguments)) -> Vec<Series> {
    let mut list = args.series();
    for series in &mut list {
        series.tag(word, 1);
        series.renamed(format!("{word}({})", series.name));
        change(series, &args);
    }
    list
}

/// Replaces each value by its rise; a value beyond the bounds counts as not known.
fn rises(series: &mut Series, args: &Arguments) {
    let (most, least) = (args.number(1), args.number(2));
    let mut before = None;
    for value in &mut series.values {
        let own = value.filter(|own| {
            most.is_none_or(|most| !own.is_above(most)) && least.is_none_or(|least| !own.is_below(least))
        });
        *value = own
            .zip(before)
            .and_then(|(own, before)| rise(own, before, most, least));
        before = own;
    }
}

fn rise(own: Number, before: Number, most: Point, least: Point) -> Point {
    if !own.is_below(before) {
        return Some(own.minus(before));
    }
    match (most, least) {
        // The counter went on to the maximum and began again.
        (Some(most), least) => {
            let around = most.plus(Number::ONE).plus(own).minus(before);
            Some(around.minus(least.unwrap_or(Number::ZERO)))
        }
        (None, Some(least)) => Some(own.minus(least)),
        (None, None) => None,
    }
}

fn integral_by_interval(frame: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let (length, unit) = (args.length(1)?, args.text(1));
    let mut list = args.series();
    for series in &mut list {
        series.tag("integralByInterval", &unit);
        series.renamed(format!("integralByInterval({},'{unit}')", series.name));
        let from = frame.window.from;
        let begun = series.zone.map_or(from, |zone| zone.local_s(from));
        let (mut sum, mut at) = (Number::ZERO, series.start - begun);
        for value in &mut series.values {
            if at.div_euclid(length) != (at - series.step).div_euclid(length) {
                sum = Number::ZERO;
            }
            sum = value.map_or(sum, |value| sum.plus(value));
            *value = Some(sum);
            at += series.step;
        }
        series.consolidation = Aggregate::Last;
    }
    Ok(list)
}

fn delay(_: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let steps = args.integer(1);
    let mut list = args.series();
    for series in &mut list {
        series.tag("delay", steps);
        series.renamed(format!("delay({},{steps})", series.name));
        let count = usize::try_from(steps.unsigned_abs())
            .unwrap_or(usize::MAX)
            .min(series.values.len());
        if steps < 0 {
            series.values.rotate_left(count);
            series
                .values
                .iter_mut()
                .rev()
                .take(count)
                .for_each(|value| *value = None);
        } else {
            series.values.rotate_right(count);
            series
                .values
                .iter_mut()
                .take(count)
                .for_each(|value| *value = None);
        }
    }
    Ok(list)
}
