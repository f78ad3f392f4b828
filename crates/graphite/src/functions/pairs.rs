//! Functions of two series, or of each of a list with its partner.

use super::combine::{by_key, combined};
use super::groups::key;
use super::transform::of_shares;
use crate::arguments::Arguments;
use crate::error::Error;
use crate::function::{Commutes, Frame, Function};
use crate::number::Point;
use crate::parameter::{Kind, Parameter, SERIES, optional, required};
use crate::series::{Aligned, Series, shortened};
use crate::value::Value;

const PAIRS: &[Parameter] = &[
    required("seriesListFirstPos", Kind::SeriesList),
    required("seriesListSecondPos", Kind::SeriesList),
];

const fn of_pairs(
    name: &'static [&'static str],
    description: &'static str,
    run: fn(&mut Frame, Arguments) -> Result<Vec<Series>, Error>,
) -> Function {
    Function {
        names: name,
        group: "Combine",
        description,
        parameters: PAIRS,
        run,
        combines: true,
        ..Function::PLAIN
    }
}

pub(crate) const TABLE: &[Function] = &[
    Function {
        parameters: &[
            required("dividendSeriesList", Kind::SeriesList),
            required("divisorSeries", Kind::SeriesList),
        ],
        ..of_pairs(
            &["divideSeries"],
            "Every series divided by the one of the second list; nothing where that is 0. Buckets show the average of the quotients.",
            divide,
        )
    },
    Function {
        parameters: &[
            required("dividendSeriesList", Kind::SeriesList),
            required("divisorSeriesList", Kind::SeriesList),
        ],
        ..of_pairs(
            &["divideSeriesLists"],
            "The first series of one list divided by the first of the other, and so on.",
            |_, args| {
                let pairs = paired(args, "divideSeriesLists")?;
                let quotients = pairs.iter().map(|(first, second)| quotient(first, second));
                Ok(of_shares(quotients.collect::<Result<_, _>>()?))
            },
        )
    },
    of_pairs(
        &["sumSeriesLists"],
        "The first series of one list plus the first of the other, and so on.",
        |frame, args| each_combined(frame.x_files_factor, args, "sum", "sumSeriesLists"),
    ),
    of_pairs(
        &["diffSeriesLists"],
        "The first series of one list less the first of the other, and so on.",
        |frame, args| each_combined(frame.x_files_factor, args, "diff", "diffSeriesLists"),
    ),
    of_pairs(
        &["multiplySeriesLists"],
        "The first series of one list times the first of the other, and so on.",
        |frame, args| each_combined(frame.x_files_factor, args, "multiply", "multiplySeriesLists"),
    ),
    Function {
        parameters: &[
            required("seriesListFirstPos", Kind::SeriesList),
            required("seriesListSecondPos", Kind::SeriesList),
            required("func", Kind::Aggregate),
            optional("xFilesFactor", Kind::Float),
        ],
        ..of_pairs(
            &["aggregateSeriesLists"],
            "The first series of one list and the first of the other made one by the function, and so on.",
            |frame, args| {
                let factor = args
                    .number(3)
                    .map(|number| number.real())
                    .or(frame.x_files_factor);
                let word = args.text(2);
                each_combined(factor, args, &word, "aggregateSeriesLists")
            },
        )
    },
    Function {
        parameters: &[
            required("seriesListAvg", Kind::SeriesList),
            required("seriesListWeight", Kind::SeriesList),
            optional("nodes", Kind::NodeOrTag).many(),
        ],
        ..of_pairs(
            &["weightedAverage"],
            "The average of the first list's series, each weighed by the one of the second list that shares the parts of its name.",
            weighted_average,
        )
    },
    Function {
        group: "Special",
        combines: false,
        parameters: &[SERIES, required("fallback", Kind::SeriesList)],
        commutes: Commutes::Always,
        ..of_pairs(
            &["fallbackSeries"],
            "The second list where the first is empty.",
            |_, mut args| {
                let list = args.series();
                Ok(if list.is_empty() { args.series_at(1) } else { list })
            },
        )
    },
];

fn paired(mut args: Arguments, function: &'static str) -> Result<Vec<(Series, Series)>, Error> {
    let (first, second) = (args.series_at(0), args.series_at(1));
    if first.len() != second.len() {
        return Err(Error::Function {
            function,
            problem: "wants two lists of the same number of series",
        });
    }
    Ok(first.into_iter().zip(second).collect())
}

fn each_combined(
    x_files_factor: Option<f64>,
    args: Arguments,
    word: &str,
    function: &'static str,
) -> Result<Vec<Series>, Error> {
    let mut made = Vec::new();
    for (first, second) in paired(args, function)? {
        let names = format!("Series({},{})", first.name, second.name);
        if let Some(mut series) = combined(&[first, second], word, x_files_factor)? {
            series.name = format!("{}{names}", word.strip_suffix("Series").unwrap_or(word));
            made.push(series);
        }
    }
    Ok(made)
}

/// The series `name` that joins two others, row by row.
pub(crate) fn joined(
    name: String,
    first: &Series,
    second: &Series,
    join: impl Fn(Point, Point) -> Point,
) -> Result<Series, Error> {
    let Some(aligned) = Aligned::new(&[first, second])? else {
        return Ok(Series::new(name, first.grid(), Vec::new()));
    };
    let values = aligned.rows(|row| match row {
        [first, second] => join(*first, *second),
        _ => None,
    });
    Ok(Series::new(name, aligned.grid, values))
}

fn quotient(dividend: &Series, divisor: &Series) -> Result<Series, Error> {
    let name = format!("divideSeries({},{})", dividend.name, divisor.name);
    joined(name, dividend, divisor, |a, b| a?.over(b?))
}

fn divide(_: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let (mut dividends, divisors) = (args.series_at(0), args.series_at(1));
    match divisors.as_slice() {
        [] => {
            for series in &mut dividends {
                series.renamed(format!("divideSeries({},MISSING)", series.name));
                series.values.fill(None);
            }
            Ok(dividends)
        }
        [divisor] => {
            let quotients = dividends.iter().map(|dividend| quotient(dividend, divisor));
            Ok(of_shares(quotients.collect::<Result<_, _>>()?))
        }
        _ => Err(Error::Function {
            function: "divideSeries",
            problem: "wants exactly one series as its second argument: sum them, or use divideSeriesLists",
        }),
    }
}

fn weighted_average(frame: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let nodes = args.many().to_vec();
    let (values, weights) = (args.series_at(0), args.series_at(1));
    if values.len() != weights.len() {
        return Err(Error::Function {
            function: "weightedAverage",
            problem: "wants as many weights as series",
        });
    }
    let name = format!(
        "weightedAverage({}, {}, {})",
        sorted_paths(&values),
        sorted_paths(&weights),
        nodes.iter().map(Value::shown).collect::<Vec<_>>().join(",")
    );
    let total = combined(&weights, "sum", frame.x_files_factor)?;
    let by_node = by_key(weights, |series| key(series, &nodes));
    let mut products = Vec::new();
    for (node, group) in by_key(values, |series| key(series, &nodes)) {
        let weight = by_node
            .iter()
            .find(|(other, _)| *other == node)
            .and_then(|(_, weights)| weights.last());
        if let (Some(value), Some(weight)) = (group.last(), weight) {
            products.push(joined(String::new(), value, weight, |a, b| Some(a?.times(b?)))?);
        }
    }
    let (Some(products), Some(total)) = (combined(&products, "sum", frame.x_files_factor)?, total) else {
        return Ok(Vec::new());
    };
    Ok(of_shares(vec![joined(name, &products, &total, |a, b| {
        a?.over(b?)
    })?]))
}

fn sorted_paths(list: &[Series]) -> String {
    let paths: std::collections::BTreeSet<&str> = list.iter().map(|series| series.path.as_str()).collect();
    shortened(paths.into_iter().collect::<Vec<_>>().join(","))
}
