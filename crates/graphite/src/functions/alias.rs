//! Functions that rename series.

use super::groups::key;
use crate::aggregate::Aggregate;
use crate::arguments::Arguments;
use crate::error::Error;
use crate::function::{Commutes, Frame, Function};
use crate::number::Number;
use crate::parameter::{DefaultValue, Kind, Parameter, SERIES, optional, required};
use crate::regex::Pattern;
use crate::series::{NAME_BYTES_MAX, Series};
use crate::value::Value;

const fn naming(
    name: &'static [&'static str],
    description: &'static str,
    parameters: &'static [Parameter],
    run: fn(&mut Frame, Arguments) -> Result<Vec<Series>, Error>,
) -> Function {
    Function {
        names: name,
        group: "Alias",
        description,
        parameters,
        run,
        commutes: Commutes::Always,
        ..Function::PLAIN
    }
}

pub(crate) const TABLE: &[Function] = &[
    naming(
        &["alias"],
        "Another name.",
        &[SERIES, required("newName", Kind::Text)],
        |_, mut args| {
            let name = args.text(1);
            let mut list = args.series();
            list.iter_mut().for_each(|series| series.name.clone_from(&name));
            Ok(list)
        },
    ),
    Function {
        is_heavy: true,
        ..naming(
            &["aliasSub"],
            "The name with what matches the regular expression replaced; \\1 stands for its first group.",
            &[
                SERIES,
                required("search", Kind::Text),
                required("replace", Kind::Text),
            ],
            |_, mut args| {
                let (pattern, replacement) = (Pattern::new(&args.text(1))?, args.text(2));
                let mut list = args.series();
                for series in &mut list {
                    series.name = pattern.replaced(&series.name, &replacement);
                }
                Ok(list)
            },
        )
    },
    naming(
        &["aliasByNode"],
        "The parts of the name at these positions, from 0; negative ones count from the end.",
        &[SERIES, required("nodes", Kind::NodeOrTag).many()],
        by_node,
    ),
    naming(
        &["aliasByTags"],
        "The values of these tags, or the parts of the name at these positions.",
        &[SERIES, required("tags", Kind::NodeOrTag).many()],
        by_node,
    ),
    naming(
        &["aliasByMetric"],
        "The last part of the name.",
        &[SERIES],
        |_, mut args| {
            let mut list = args.series();
            list.iter_mut()
                .for_each(|series| series.name = part(&series.name, -1, 0));
            Ok(list)
        },
    ),
    Function {
        group: "Special",
        ..naming(
            &["substr"],
            "The parts of the name from one position up to but without the other.",
            &[
                SERIES,
                optional("start", Kind::Node).or(DefaultValue::Number(0)),
                optional("stop", Kind::Node).or(DefaultValue::Number(0)),
            ],
            |_, mut args| {
                let (start, stop) = (args.integer(1), args.integer(2));
                let mut list = args.series();
                list.iter_mut()
                    .for_each(|series| series.name = part(&series.name, start, stop));
                Ok(list)
            },
        )
    },
    Function {
        commutes: Commutes::Never,
        ..naming(
            &["legendValue"],
            "The name, followed by what each function makes of the values.",
            &[SERIES, optional("valuesTypes", Kind::Text).many()],
            legend_value,
        )
    },
];

fn by_node(_: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let nodes = args.many().to_vec();
    let mut list = args.series();
    for series in &mut list {
        series.name = key(series, &nodes);
    }
    Ok(list)
}

/// The parts from `start` to `stop` of the name within the innermost call, as a Python slice has them; 0 for `stop` is the end.
fn part(name: &str, start: i64, stop: i64) -> String {
    let left = name.rfind('(').map_or(0, |at| at + 1);
    let right = name.find(')').unwrap_or(name.len());
    let parts: Vec<&str> = name.get(left..right).unwrap_or_default().split('.').collect();
    let count = i64::try_from(parts.len()).unwrap_or(i64::MAX);
    let place = |at: i64| usize::try_from(if at < 0 { at + count } else { at }.clamp(0, count)).unwrap_or(0);
    let stop = if stop == 0 { parts.len() } else { place(stop) };
    let kept = parts.get(place(start)..stop).unwrap_or_default().join(".");
    kept.split(',').next().unwrap_or_default().to_owned()
}

fn legend_value(_: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let words: Vec<String> = args
        .many()
        .iter()
        .map(|word| match word {
            Value::Text(word) => word.clone(),
            other => other.shown(),
        })
        .collect();
    let mut list = args.series();
    for series in &mut list {
        for word in &words {
            if series.name.len() > NAME_BYTES_MAX {
                break;
            }
            let value = match Aggregate::named(word) {
                Some(aggregate) => aggregate
                    .of(&series.values)
                    .map_or("None".to_owned(), |value: Number| value.to_string()),
                None => "(?)".to_owned(),
            };
            series.name.push_str(&format!(" ({word}: {value})"));
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_those_of_the_innermost_name() {
        for (name, start, stop, expected) in [
            ("a.b.c", -1, 0, "c"),
            ("a.b.c", 1, 0, "b.c"),
            ("a.b.c", 0, 2, "a.b"),
            ("a.b.c", 0, -1, "a.b"),
            ("a.b.c", 5, 0, ""),
            ("a.b.c", 2, 1, ""),
            ("scale(a.b.c,2)", -1, 0, "c"),
            ("sumSeries(a.b,c.d)", 0, 0, "a.b"),
            (")(", 0, 0, ""),
        ] {
            assert_eq!(part(name, start, stop), expected, "{name} {start} {stop}");
        }
    }
}
