//! Lines of one value, functions that set how series are consolidated, and functions that only change how Graphite itself would draw.

use super::transform::of_shares;
use crate::aggregate::{Aggregate, CONSOLIDATIONS, percentile};
use crate::arguments::Arguments;
use crate::error::Error;
use crate::function::{Commutes, Frame, Function};
use crate::number::{Number, Point, float_text, general};
use crate::parameter::{DefaultValue, Kind, Parameter, SERIES, optional, required};
use crate::series::Series;

const fn special(
    names: &'static [&'static str],
    group: &'static str,
    description: &'static str,
    parameters: &'static [Parameter],
    run: fn(&mut Frame, Arguments) -> Result<Vec<Series>, Error>,
) -> Function {
    Function {
        names,
        group,
        description,
        parameters,
        run,
        ..Function::PLAIN
    }
}

pub(crate) const TABLE: &[Function] = &[
    Function {
        commutes: Commutes::If(|args| args.text(1) == "sum"),
        ..special(
            &["consolidateBy"],
            "Special",
            "How the values of a bucket become one where there are more than can be drawn; by default they are summed.",
            &[
                SERIES,
                required("consolidationFunc", Kind::Text).one_of(CONSOLIDATIONS),
            ],
            |_, args| {
                let word = args.text(1);
                Ok(consolidated(args, &word))
            },
        )
    },
    Function {
        commutes: Commutes::Always,
        ..special(
            &["cumulative"],
            "Special",
            "As consolidateBy(…, 'sum'), which is the default here.",
            &[SERIES],
            |_, args| Ok(consolidated(args, "sum")),
        )
    },
    Function {
        sets_x_files_factor: true,
        ..special(
            &["setXFilesFactor", "xFilesFactor"],
            "Special",
            "Which share of values must be known for what is made of them to be known, from 0 to 1.",
            &[SERIES, required("xFilesFactor", Kind::Float)],
            |frame, mut args| {
                let factor = args.required_number(1);
                frame.x_files_factor = Some(factor.real());
                let mut list = args.series();
                for series in &mut list {
                    series.x_files_factor = factor.real();
                    series.tag("xFilesFactor", float_text(factor));
                }
                Ok(list)
            },
        )
    },
    Function {
        commutes: Commutes::Always,
        draws_line: true,
        ..special(
            &["constantLine"],
            "Special",
            "A line at this value.",
            &[required("value", Kind::Float)],
            |frame, args| Ok(vec![constant(frame, args.required_number(0))]),
        )
    },
    Function {
        commutes: Commutes::Always,
        draws_line: true,
        ..special(
            &["threshold"],
            "Graph",
            "A line at this value, with a name of its own.",
            &[
                required("value", Kind::Float),
                optional("label", Kind::Text),
                optional("color", Kind::Text),
            ],
            |frame, args| {
                let mut series = constant(frame, args.required_number(0));
                if args.has(1) && !args.text(1).is_empty() {
                    series.name = args.text(1);
                }
                Ok(vec![series])
            },
        )
    },
    special(
        &["aggregateLine"],
        "Calculate",
        "A line at what the function makes of all values.",
        &[
            SERIES,
            optional("func", Kind::Aggregate).or(DefaultValue::Text("average")),
            optional("keepStep", Kind::Boolean).or(DefaultValue::Boolean(false)),
        ],
        aggregate_line,
    ),
    special(
        &["nPercentile"],
        "Calculate",
        "A line at the n-th percentile of all values.",
        &[SERIES, required("n", Kind::Float)],
        n_percentile,
    ),
    passed_on(
        &["alpha"],
        &[SERIES, required("alpha", Kind::Float)],
        |_, mut args| Ok(args.series()),
    ),
    passed_on(
        &["color"],
        &[SERIES, required("theColor", Kind::Text)],
        |_, mut args| Ok(args.series()),
    ),
    passed_on(
        &["lineWidth"],
        &[SERIES, required("width", Kind::Float)],
        |_, mut args| Ok(args.series()),
    ),
    passed_on(
        &["dashed"],
        &[
            SERIES,
            optional("dashLength", Kind::Integer).or(DefaultValue::Number(5)),
        ],
        |_, mut args| {
            let length = args.required_number(1);
            let mut list = args.series();
            for series in &mut list {
                series.tag("dashed", length);
                series.name = format!("dashed({}, {})", series.name, general(length));
            }
            Ok(list)
        },
    ),
    passed_on(&["secondYAxis"], &[SERIES], |_, args| {
        Ok(renamed(args, "secondYAxis"))
    }),
    passed_on(&["drawAsInfinite"], &[SERIES], |_, args| {
        Ok(renamed(args, "drawAsInfinite"))
    }),
];

/// A function of old dashboards that passes its series on: Grafana draws by settings of its own.
const fn passed_on(
    names: &'static [&'static str],
    parameters: &'static [Parameter],
    run: fn(&mut Frame, Arguments) -> Result<Vec<Series>, Error>,
) -> Function {
    Function {
        commutes: Commutes::Always,
        ..special(
            names,
            "Graph",
            "The series as they are: how they are drawn is set in the graph.",
            parameters,
            run,
        )
    }
}

fn renamed(mut args: Arguments, word: &str) -> Vec<Series> {
    let mut list = args.series();
    for series in &mut list {
        series.tag(word, 1);
        series.name = format!("{word}({})", series.name);
    }
    list
}

fn consolidated(mut args: Arguments, word: &str) -> Vec<Series> {
    let mut list = args.series();
    for series in &mut list {
        series.consolidation = Aggregate::of_consolidation(word).unwrap_or(Aggregate::Sum);
        series.tag("consolidateBy", word);
        series.renamed(format!("consolidateBy({},\"{word}\")", series.name));
    }
    list
}

/// A line of one value over the whole window: three values, at its begin, middle and end.
pub(crate) fn constant(frame: &Frame, value: Number) -> Series {
    let shown = float_text(value);
    let mut series = line(frame, shown.clone(), Some(value));
    series.path = format!("constantLine({shown})");
    series
}

fn line(frame: &Frame, name: String, value: Point) -> Series {
    let (from, until) = (frame.window.from, frame.window.until);
    let step = ((until - from) / 2).max(1);
    let mut series = Series::new(name, (from, until, step), vec![value; 3]);
    series.consolidation = Aggregate::Average;
    series
}

fn aggregate_line(frame: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let (aggregate, keeps_step) = (args.aggregate(1), args.boolean(2));
    let lines = args.series().into_iter().map(|mut series| {
        let value = aggregate.of(&series.values);
        let shown = value.map_or("None".to_owned(), general);
        let name = format!("aggregateLine({}, {shown})", series.name);
        if !keeps_step {
            return line(frame, name, value);
        }
        series.values.fill(value);
        series.renamed(name);
        series
    });
    Ok(of_shares(lines.collect()))
}

fn n_percentile(_: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let n = args.required_number(1);
    if n.real() <= 0.0 {
        return Err(Error::Function {
            function: "nPercentile",
            problem: "wants a percentage above 0",
        });
    }
    let mut list = args.series();
    list.retain(|series| series.values.iter().any(Option::is_some));
    for series in &mut list {
        let value = percentile(&series.values, n.real(), false);
        let count = usize::try_from((series.end - series.start) / series.step).unwrap_or(0);
        series.values = vec![value; count.min(series.values.len())];
        series.tag("nPercentile", float_text(n));
        series.renamed(format!("nPercentile({}, {})", series.name, general(n)));
    }
    Ok(of_shares(list))
}
