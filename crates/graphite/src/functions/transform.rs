//! Functions that change every value by itself.

use crate::aggregate::Aggregate;
use crate::arguments::Arguments;
use crate::error::Error;
use crate::function::{Commutes, Frame, Function};
use crate::number::{Number, Point, float_text, general};
use crate::parameter::{DefaultValue, Kind, Parameter, SERIES, optional, required};
use crate::series::Series;

/// A function of one list of series that makes each anew from its own values.
pub(crate) const fn of_values(
    names: &'static [&'static str],
    description: &'static str,
    run: fn(&mut Frame, Arguments) -> Result<Vec<Series>, Error>,
) -> Function {
    Function {
        names,
        group: "Transform",
        description,
        parameters: &[SERIES],
        run,
        ..Function::PLAIN
    }
}

const FACTOR: &[Parameter] = &[SERIES, required("factor", Kind::Float)];

const fn by_factor(
    names: &'static [&'static str],
    description: &'static str,
    run: fn(&mut Frame, Arguments) -> Result<Vec<Series>, Error>,
) -> Function {
    Function {
        parameters: FACTOR,
        ..of_values(names, description, run)
    }
}

/// Whether a factor keeps sums exact: floats are rounded in another order.
fn is_exact(number: Option<Number>) -> bool {
    matches!(number, Some(Number::Exact(_)))
}

pub(crate) const TABLE: &[Function] = &[
    Function {
        commutes: Commutes::If(|args| is_exact(args.number(1))),
        ..by_factor(&["scale"], "Every value times the factor.", |_, args| {
            with_factor(args, "scale", |value, factor| Some(value.times(factor)))
        })
    },
    by_factor(&["offset"], "Every value plus the factor.", |_, args| {
        with_factor(args, "offset", |value, factor| Some(value.plus(factor)))
    }),
    Function {
        parameters: &[SERIES, required("constant", Kind::Float)],
        ..of_values(&["add"], "Every value plus the constant.", |_, args| {
            with_factor(args, "add", |value, factor| Some(value.plus(factor)))
        })
    },
    by_factor(&["pow"], "Every value to the power of the factor.", |_, args| {
        with_factor(args, "pow", Number::power).map(of_shares)
    }),
    of_values(&["absolute"], "Every value without its sign.", |_, args| {
        Ok(named_only(args, "absolute", |value| Some(value.magnitude())))
    }),
    of_values(
        &["invert"],
        "1 divided by every value; nothing for 0.",
        |_, args| {
            Ok(of_shares(named_only(args, "invert", |value| {
                Number::ONE.over(value)
            })))
        },
    ),
    of_values(&["squareRoot"], "The square root of every value.", |_, args| {
        Ok(of_shares(named_only(args, "squareRoot", |value| {
            value.power(Number::Real(0.5))
        })))
    }),
    of_values(&["exp"], "e to the power of every value.", |_, args| {
        Ok(of_shares(named_only(args, "exp", |value| {
            Some(Number::Real(value.real().exp()))
        })))
    }),
    of_values(&["sigmoid"], "Every value pressed between 0 and 1.", |_, args| {
        Ok(of_shares(named_only(args, "sigmoid", |value| {
            Number::ONE.over(Number::Real(1.0 + (-value.real()).exp()))
        })))
    }),
    of_values(
        &["logit"],
        "The logarithm of the odds of every value between 0 and 1.",
        |_, args| {
            Ok(of_shares(named_only(args, "logit", |value| {
                let logit = (value.real() / (1.0 - value.real())).ln();
                logit.is_finite().then_some(Number::Real(logit))
            })))
        },
    ),
    Function {
        parameters: &[
            SERIES,
            optional("base", Kind::Integer).or(DefaultValue::Number(10)),
        ],
        ..of_values(
            &["log"],
            "The logarithm of every value; nothing for 0 and less.",
            logarithm,
        )
    },
    Function {
        parameters: &[
            SERIES,
            optional("precision", Kind::Integer).or(DefaultValue::Implied),
        ],
        ..of_values(
            &["round"],
            "Every value rounded to so many decimal places.",
            round,
        )
    },
    of_values(
        &["offsetToZero"],
        "Every value less the smallest of its series.",
        |_, mut args| {
            let mut list = args.series();
            for series in &mut list {
                let least = Aggregate::Min.of(&series.values);
                series.tag(
                    "offsetToZero",
                    least.map_or("None".to_owned(), |least| least.to_string()),
                );
                series.renamed(format!("offsetToZero({})", series.name));
                series.map(|value| Some(value.minus(least?)));
            }
            Ok(list)
        },
    ),
    of_values(
        &["minMax"],
        "Every value as a share of the way from the smallest of its series to the largest.",
        min_max,
    ),
    Function {
        parameters: &[SERIES, required("seconds", Kind::Float)],
        ..of_values(
            &["scaleToSeconds"],
            "Counts per minute as counts per so many seconds. Buckets show the average: the rate does not depend on their size.",
            scale_to_seconds,
        )
    },
];

fn with_factor(
    mut args: Arguments,
    word: &str,
    change: fn(Number, Number) -> Point,
) -> Result<Vec<Series>, Error> {
    let factor = args.required_number(1);
    let mut list = args.series();
    for series in &mut list {
        series.tag(word, float_text(factor));
        let shown = if word == "add" {
            format!("{:.0}", factor.real().trunc())
        } else {
            general(factor)
        };
        series.renamed(format!("{word}({},{shown})", series.name));
        series.map(|value| change(value, factor));
    }
    Ok(list)
}

fn named_only(mut args: Arguments, word: &str, change: fn(Number) -> Point) -> Vec<Series> {
    let mut list = args.series();
    for series in &mut list {
        series.tag(word, tag_of(word));
        series.renamed(format!("{word}({})", series.name));
        series.map(change);
    }
    list
}

/// The tag's value that Graphite gives to a function's series.
fn tag_of(word: &str) -> &str {
    match word {
        "exp" => "e",
        "sigmoid" | "logit" => word,
        _ => "1",
    }
}

/// The series with averages as their consolidation: shares no longer add up.
pub(crate) fn of_shares(mut list: Vec<Series>) -> Vec<Series> {
    list.iter_mut()
        .for_each(|series| series.consolidation = Aggregate::Average);
    list
}

fn logarithm(_: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let base = args.required_number(1);
    if base.real() <= 0.0 || base.real() == 1.0 {
        return Err(Error::Function {
            function: "log",
            problem: "wants a base above 0 other than 1",
        });
    }
    let mut list = args.series();
    for series in &mut list {
        series.tag("log", base);
        series.renamed(format!("log({}, {base})", series.name));
        let known = |value: Number| {
            value
                .is_above(Number::ZERO)
                .then(|| value.real().ln() / base.real().ln())
        };
        series.map(|value| known(value).map(Number::Real));
    }
    Ok(of_shares(list))
}

fn round(_: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let given = args.has(1).then(|| args.integer(1));
    // A float has 17 digits, and an exponent of at most 308.
    let places = i32::try_from(given.unwrap_or(0).clamp(-308, 17)).unwrap_or(0);
    let mut list = args.series();
    for series in &mut list {
        series.tag("round", places);
        let name = match given {
            Some(_) => format!("round({},{places})", series.name),
            None => format!("round({})", series.name),
        };
        series.renamed(name);
        series.map(|value| Some(value.rounded(places)));
    }
    Ok(list)
}

fn min_max(_: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let mut list = args.series();
    for series in &mut list {
        series.renamed(format!("minMax({})", series.name));
        let (least, most) = (
            Aggregate::Min.of(&series.values),
            Aggregate::Max.of(&series.values),
        );
        series.map(|value| {
            value
                .minus(least?)
                .over(most?.minus(least?))
                .or(Some(Number::Real(0.0)))
        });
    }
    Ok(of_shares(list))
}

fn scale_to_seconds(_: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let seconds = args.required_number(1);
    let mut list = args.series();
    for series in &mut list {
        series.tag("scaleToSeconds", float_text(seconds));
        series.renamed(format!(
            "scaleToSeconds({},{:.0})",
            series.name,
            seconds.real().trunc()
        ));
        let step = Number::Exact(i128::from(series.seconds()?));
        series.map(|value| Some(value.times(seconds).over(step)?.rounded(6)));
    }
    Ok(of_shares(list))
}
