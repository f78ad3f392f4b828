//! `mapSeries` and `reduceSeries`: series whose names differ in one part become the arguments of a function.

use super::combine::by_key;
use super::groups::key;
use crate::arguments::Arguments;
use crate::error::Error;
use crate::function::{Commutes, Frame, Function};
use crate::functions::find;
use crate::parameter::{Kind, SERIES, required};
use crate::series::Series;
use crate::value::Value;

pub(crate) const TABLE: &[Function] = &[
    Function {
        names: &["mapSeries", "map"],
        group: "Combine",
        description: "The series in groups that share the parts of their names at these positions, one group after the other: for reduceSeries.",
        parameters: &[SERIES, required("mapNodes", Kind::NodeOrTag).many()],
        run: |_, mut args| {
            let nodes = args.many().to_vec();
            let groups = by_key(args.series(), |series| key(series, &nodes));
            Ok(groups.into_iter().flat_map(|(_, group)| group).collect())
        },
        commutes: Commutes::Always,
        combines: true,
        ..Function::PLAIN
    },
    Function {
        names: &["reduceSeries", "reduce"],
        group: "Combine",
        description: "What the function makes of the series whose names begin alike and have one of these words at the position, in the order of the words.",
        parameters: &[
            required("seriesLists", Kind::SeriesLists),
            required("reduceFunction", Kind::Text),
            required("reduceNode", Kind::Node),
            required("reduceMatchers", Kind::Text).many(),
        ],
        run: reduce,
        combines: true,
        applies_function: true,
        ..Function::PLAIN
    },
];

fn reduce(frame: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let word = args.text(1);
    let function = find(&word)?;
    if function.windows.is_some() || function.applies_function {
        return Err(Error::Function {
            function: "reduceSeries",
            problem: "wants a function of several series, such as divideSeries or asPercent",
        });
    }
    let words: Vec<String> = args
        .many()
        .iter()
        .map(|word| match word {
            Value::Text(text) => text.clone(),
            other => other.shown(),
        })
        .collect();
    let node = usize::try_from(args.integer(2)).unwrap_or(usize::MAX);
    let mut list = args.series();
    list.retain(|series| {
        series
            .name
            .split('.')
            .nth(node)
            .is_some_and(|part| words.iter().any(|word| word == part))
    });
    let beginning = |series: &Series| series.name.split('.').take(node).collect::<Vec<_>>().join(".");
    let mut made = Vec::new();
    for (beginning, group) in by_key(list, beginning) {
        let named = |word: &String| {
            group
                .iter()
                .rfind(|series| series.name.split('.').nth(node) == Some(word))
                .cloned()
        };
        // A group that lacks one has no outcome.
        let Some(met) = words.iter().map(named).collect::<Option<Vec<_>>>() else {
            continue;
        };
        let values = met
            .into_iter()
            .map(|series| Value::Series(vec![series]))
            .collect();
        let bound = Arguments::bind(&word, function.parameters, values, Vec::new())?.0;
        if let Some(mut series) = (function.run)(frame, bound)?.into_iter().next() {
            series.name = format!("{beginning}.reduce.{word}");
            made.push(series);
        }
    }
    Ok(made)
}
