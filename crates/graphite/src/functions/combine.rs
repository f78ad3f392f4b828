//! Functions that combine several series into one, row by row.

use std::collections::BTreeMap;

use crate::aggregate::{Aggregate, percentile};
use crate::arguments::Arguments;
use crate::error::Error;
use crate::function::{Adds, Commutes, Frame, Function};
use crate::number::{Number, general};
use crate::parameter::{DefaultValue, Kind, Parameter, SERIES, optional, required};
use crate::series::{Aligned, Series, is_enough, paths};

const MANY: &[Parameter] = &[required("seriesLists", Kind::SeriesList).many()];

const fn of_rows(
    names: &'static [&'static str],
    description: &'static str,
    run: fn(&mut Frame, Arguments) -> Result<Vec<Series>, Error>,
    commutes: Commutes,
) -> Function {
    Function {
        names,
        group: "Combine",
        description,
        parameters: MANY,
        run,
        commutes,
        combines: true,
        ..Function::PLAIN
    }
}

pub(crate) const TABLE: &[Function] = &[
    Function {
        adds: Some(Adds {
            when: |_| true,
            group_of: |_, _| String::new(),
        }),
        ..of_rows(
            &["sumSeries", "sum"],
            "The sum of all series.",
            |frame, args| one(frame, args, "sum"),
            Commutes::Always,
        )
    },
    of_rows(
        &["averageSeries", "avg"],
        "The average of all series.",
        |frame, args| one(frame, args, "average"),
        Commutes::Never,
    ),
    of_rows(
        &["minSeries"],
        "The smallest value of all series.",
        |frame, args| one(frame, args, "min"),
        Commutes::Never,
    ),
    of_rows(
        &["maxSeries"],
        "The largest value of all series.",
        |frame, args| one(frame, args, "max"),
        Commutes::Never,
    ),
    of_rows(
        &["diffSeries"],
        "The first series less all others.",
        |frame, args| one(frame, args, "diff"),
        Commutes::Never,
    ),
    of_rows(
        &["stddevSeries"],
        "The standard deviation of all series.",
        |frame, args| one(frame, args, "stddev"),
        Commutes::Never,
    ),
    of_rows(
        &["rangeOfSeries"],
        "The largest value of all series less the smallest.",
        |frame, args| one(frame, args, "rangeOf"),
        Commutes::Never,
    ),
    of_rows(
        &["multiplySeries"],
        "The product of all series.",
        |frame, args| {
            let is_one = args.many().len() == 1;
            let list = args.all_series();
            if is_one && list.len() == 1 {
                Ok(list)
            } else {
                Ok(combined(&list, "multiply", frame.x_files_factor)?
                    .into_iter()
                    .collect())
            }
        },
        Commutes::Never,
    ),
    Function {
        parameters: &[required("seriesList", Kind::SeriesList).many()],
        ..of_rows(
            &["powSeries"],
            "The first series to the power of the second, and so on.",
            pow_series,
            Commutes::Never,
        )
    },
    Function {
        parameters: &[optional("seriesLists", Kind::SeriesList).many()],
        ..of_rows(
            &["countSeries"],
            "How many series there are.",
            count,
            Commutes::Never,
        )
    },
    Function {
        parameters: &[optional("seriesLists", Kind::SeriesList).many()],
        combines: false,
        ..of_rows(
            &["group"],
            "All series of all lists, as one list.",
            |_, args| Ok(args.all_series()),
            Commutes::Always,
        )
    },
    Function {
        parameters: &[
            SERIES,
            required("func", Kind::Aggregate),
            optional("xFilesFactor", Kind::Float),
        ],
        ..of_rows(
            &["aggregate"],
            "All series made one by the function: sum, average, max and so on.",
            |frame, mut args| {
                let factor = args.number(2).map(Number::real).or(frame.x_files_factor);
                let list = args.series();
                Ok(combined(&list, &args.text(1), factor)?.into_iter().collect())
            },
            Commutes::If(|args| args.aggregate(1) == Aggregate::Sum && !args.has(2)),
        )
    },
    Function {
        parameters: &[
            SERIES,
            required("n", Kind::Float),
            optional("interpolate", Kind::Boolean).or(DefaultValue::Boolean(false)),
        ],
        ..of_rows(
            &["percentileOfSeries"],
            "The value below which n percent of the series are, at each time.",
            percentile_of_series,
            Commutes::Never,
        )
    },
];

fn one(frame: &mut Frame, args: Arguments, word: &str) -> Result<Vec<Series>, Error> {
    Ok(combined(&args.all_series(), word, frame.x_files_factor)?
        .into_iter()
        .collect())
}

/// The series that aggregates all of `list`, row by row; none where the list is empty. `word` names the aggregate, with or without `Series`.
pub(crate) fn combined(
    list: &[Series],
    word: &str,
    x_files_factor: Option<f64>,
) -> Result<Option<Series>, Error> {
    let word = word.strip_suffix("Series").unwrap_or(word);
    let aggregate = Aggregate::named(word).unwrap_or(Aggregate::Sum);
    let Some(aligned) = Aligned::new(&list.iter().collect::<Vec<_>>())? else {
        return Ok(None);
    };
    let factor = x_files_factor.unwrap_or(0.0);
    let values = aligned.rows(|row| {
        let known = row.iter().flatten().count();
        if is_enough(known, row.len(), factor) {
            aggregate.of(row)
        } else {
            None
        }
    });
    let mut series = Series::new(format!("{word}Series({})", paths(list)), aligned.grid, values);
    if let Some((first, others)) = list.split_first() {
        let mut shared = first.tags.clone();
        shared.retain(|key, value| others.iter().all(|other| other.tags.get(key) == Some(value)));
        shared
            .entry("name".to_owned())
            .or_insert_with(|| series.name.clone());
        series.tags = shared;
        series.consolidation = first.consolidation;
    }
    series.tag("aggregatedBy", word);
    series.x_files_factor = factor;
    if matches!(aggregate, Aggregate::Count | Aggregate::Stddev) {
        series.consolidation = Aggregate::Average;
    }
    Ok(Some(series))
}

fn count(frame: &mut Frame, args: Arguments) -> Result<Vec<Series>, Error> {
    if args.many().is_empty() {
        let mut series = super::special::constant(frame, Number::ZERO);
        "0".clone_into(&mut series.name);
        "countSeries()".clone_into(&mut series.path);
        return Ok(vec![series]);
    }
    let list = args.all_series();
    let Some(aligned) = Aligned::new(&list.iter().collect::<Vec<_>>())? else {
        return Ok(list);
    };
    let values = aligned.rows(|row| Some(Number::of(row.len())));
    let mut series = Series::new(format!("countSeries({})", paths(&list)), aligned.grid, values);
    series.consolidation = Aggregate::Average;
    Ok(vec![series])
}

fn pow_series(_: &mut Frame, args: Arguments) -> Result<Vec<Series>, Error> {
    let list = args.all_series();
    let Some(aligned) = Aligned::new(&list.iter().collect::<Vec<_>>())? else {
        return Ok(list);
    };
    let names: Vec<&str> = list.iter().map(|series| series.name.as_str()).collect();
    let values = aligned.rows(|row| row.iter().copied().reduce(|a, b| a?.power(b?)).flatten());
    let mut series = Series::new(format!("powSeries({})", names.join(",")), aligned.grid, values);
    series.consolidation = Aggregate::Average;
    Ok(vec![series])
}

fn percentile_of_series(_: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let (percent, interpolate) = (args.required_number(1), args.boolean(2));
    if percent.real() <= 0.0 {
        return Err(Error::Function {
            function: "percentileOfSeries",
            problem: "wants a percentage above 0",
        });
    }
    let list = args.series();
    let (Some(first), Some(aligned)) = (list.first(), Aligned::new(&list.iter().collect::<Vec<_>>())?) else {
        return Ok(list);
    };
    let name = format!("percentileOfSeries({},{})", first.path, general(percent));
    let values = aligned.rows(|row| percentile(row, percent.real(), interpolate));
    Ok(vec![Series::new(name, aligned.grid, values)])
}

/// The series grouped by a key of theirs, in the order in which the keys first appear.
pub(crate) fn by_key(list: Vec<Series>, key: impl Fn(&Series) -> String) -> Vec<(String, Vec<Series>)> {
    let mut places = BTreeMap::<String, usize>::new();
    let mut groups = Vec::<(String, Vec<Series>)>::new();
    for series in list {
        let key = key(&series);
        let place = *places.entry(key.clone()).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, group)) => group.push(series),
            None => groups.push((key, vec![series])),
        }
    }
    groups
}
