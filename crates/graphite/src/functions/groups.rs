//! Functions that group series by parts of their names.

use super::combine::{by_key, combined};
use crate::aggregate::Aggregate;
use crate::arguments::Arguments;
use crate::error::Error;
use crate::function::{Adds, Commutes, Frame, Function};
use crate::number::Number;
use crate::parameter::{DefaultValue, Kind, Parameter, SERIES, optional, required};
use crate::parse::{Expression, parse};
use crate::series::Series;
use crate::value::Value;

const POSITIONS: &[Parameter] = &[SERIES, optional("position", Kind::Node).many()];

const fn grouping(
    names: &'static [&'static str],
    description: &'static str,
    run: fn(&mut Frame, Arguments) -> Result<Vec<Series>, Error>,
) -> Function {
    Function {
        names,
        group: "Combine",
        description,
        parameters: POSITIONS,
        run,
        combines: true,
        ..Function::PLAIN
    }
}

pub(crate) const TABLE: &[Function] = &[
    Function {
        commutes: Commutes::Always,
        adds: Some(Adds {
            when: |_| true,
            group_of: |args, series| without(series, &positions(args)),
        }),
        ..grouping(
            &["sumSeriesWithWildcards"],
            "Sums of the series whose names are equal without the parts at these positions.",
            |frame, args| without_parts(frame, args, "sum"),
        )
    },
    grouping(
        &["averageSeriesWithWildcards"],
        "Averages of the series whose names are equal without the parts at these positions.",
        |frame, args| without_parts(frame, args, "average"),
    ),
    grouping(
        &["multiplySeriesWithWildcards"],
        "Products of the series whose names are equal without the parts at these positions.",
        |frame, args| without_parts(frame, args, "multiply"),
    ),
    Function {
        parameters: &[
            SERIES,
            required("func", Kind::Aggregate),
            optional("position", Kind::Node).many(),
        ],
        ..grouping(
            &["aggregateWithWildcards"],
            "Series whose names are equal without the parts at these positions, made one by the function.",
            |frame, args| {
                let word = args.text(1);
                without_parts(frame, args, &word)
            },
        )
    },
    Function {
        parameters: &[
            SERIES,
            required("nodeNum", Kind::NodeOrTag),
            optional("callback", Kind::AggregateOrSeries).or(DefaultValue::Text("average")),
        ],
        commutes: Commutes::If(|args| args.aggregate(2) == Aggregate::Sum),
        adds: Some(Adds {
            when: |args| args.aggregate(2) == Aggregate::Sum,
            group_of: |args, series| key(series, std::slice::from_ref(args.value(1))),
        }),
        ..grouping(
            &["groupByNode"],
            "Series that share the part of their names at this position, made one by the function.",
            |frame, mut args| {
                let (list, node, word) = (args.series(), args.value(1).clone(), args.text(2));
                grouped(frame, list, &word, &[node])
            },
        )
    },
    Function {
        parameters: &[
            SERIES,
            required("callback", Kind::AggregateOrSeries),
            optional("nodes", Kind::NodeOrTag).many(),
        ],
        commutes: Commutes::If(|args| args.aggregate(1) == Aggregate::Sum),
        adds: Some(Adds {
            when: |args| args.aggregate(1) == Aggregate::Sum,
            group_of: |args, series| key(series, args.many()),
        }),
        ..grouping(
            &["groupByNodes"],
            "Series that share the parts of their names at these positions, made one by the function.",
            |frame, mut args| {
                let (list, word) = (args.series(), args.text(1));
                let nodes = args.many().to_vec();
                grouped(frame, list, &word, &nodes)
            },
        )
    },
    Function {
        parameters: &[
            SERIES,
            required("callback", Kind::AggregateOrSeries),
            required("tags", Kind::Tag).many(),
        ],
        ..grouping(
            &["groupByTags"],
            "Series that share the values of these tags, made one by the function.",
            by_tags,
        )
    },
];

fn without_parts(frame: &mut Frame, mut args: Arguments, word: &str) -> Result<Vec<Series>, Error> {
    let positions = positions(&args);
    let groups = by_key(args.series(), |series| without(series, &positions));
    each_combined(frame, groups, word)
}

/// A series' name without the parts at `positions`.
fn without(series: &Series, positions: &[usize]) -> String {
    let parts = series.name.split('.').enumerate();
    let kept = parts
        .filter(|(at, _)| !positions.contains(at))
        .map(|(_, part)| part);
    kept.collect::<Vec<_>>().join(".")
}

fn positions(args: &Arguments) -> Vec<usize> {
    args.many().iter().filter_map(position).collect()
}

fn position(value: &Value) -> Option<usize> {
    match value {
        Value::Number(Number::Exact(at)) => usize::try_from(*at).ok(),
        _ => None,
    }
}

fn each_combined(
    frame: &Frame,
    groups: Vec<(String, Vec<Series>)>,
    word: &str,
) -> Result<Vec<Series>, Error> {
    let mut made = Vec::with_capacity(groups.len());
    for (key, group) in groups {
        if let Some(mut series) = combined(&group, word, frame.x_files_factor)? {
            series.name = key;
            made.push(series);
        }
    }
    Ok(made)
}

fn grouped(frame: &Frame, list: Vec<Series>, word: &str, nodes: &[Value]) -> Result<Vec<Series>, Error> {
    each_combined(
        frame,
        by_key(list, |series| key(series, nodes)),
        as_callback(word),
    )
}

/// The word as paths show it: `avg` is no function's name, and stands for `average`.
fn as_callback(word: &str) -> &str {
    if word == "avg" { "average" } else { word }
}

/// The parts of a series' name at `nodes`, joined by dots. A name that is a call counts as the first name in it. A node without such a part
/// stands for the tag of its name.
pub(crate) fn key(series: &Series, nodes: &[Value]) -> String {
    let inner = if series.name.ends_with(')') {
        first_path(&series.name)
    } else {
        None
    };
    let name = inner.as_deref().unwrap_or(&series.name);
    let name = name.split(';').next().unwrap_or(name);
    let parts: Vec<&str> = name.split('.').collect();
    let part = |node: &Value| {
        let (at, tag) = match node {
            Value::Number(Number::Exact(at)) => (Some(*at), ""),
            Value::Text(text) => (None, text.as_str()),
            // No tag is named so.
            _ => (None, ""),
        };
        let count = i128::try_from(parts.len()).unwrap_or(0);
        let at = at.map(|at| if at < 0 { at + count } else { at });
        let part = at.and_then(|at| parts.get(usize::try_from(at).ok()?));
        part.map_or_else(
            || series.tags.get(tag).cloned().unwrap_or_default(),
            |part| (*part).to_owned(),
        )
    };
    nodes.iter().map(part).collect::<Vec<_>>().join(".")
}

fn first_path(name: &str) -> Option<String> {
    let mut expression = parse(name).ok()?;
    loop {
        match expression {
            Expression::Path(path) => return Some(path),
            Expression::Call(call) => expression = call.arguments.into_iter().next()?,
            _ => return None,
        }
    }
}

fn by_tags(frame: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let (list, word) = (args.series(), args.text(1));
    let mut tags: Vec<String> = args
        .many()
        .iter()
        .map(|tag| match tag {
            Value::Text(text) => text.clone(),
            other => other.shown(),
        })
        .collect();
    tags.sort_unstable();
    let names_its_own = tags.iter().any(|tag| tag == "name");
    let tag = |series: &Series, key: &str| series.tags.get(key).cloned().unwrap_or_default();
    let shared = match list.split_first() {
        Some((first, others))
            if others
                .iter()
                .all(|other| tag(other, "name") == tag(first, "name")) =>
        {
            tag(first, "name")
        }
        _ => word.clone(),
    };
    let groups = by_key(list, |series| {
        let name = if names_its_own {
            tag(series, "name")
        } else {
            shared.clone()
        };
        let others = tags.iter().filter(|key| *key != "name");
        let pairs = others.map(|key| format!("{key}={}", tag(series, key)));
        std::iter::once(name).chain(pairs).collect::<Vec<_>>().join(";")
    });
    let mut made = each_combined(frame, groups, as_callback(&word))?;
    for series in &mut made {
        let name = series.name.clone();
        let mut parts = name.split(';');
        series.tags.clear();
        series.tag("name", parts.next().unwrap_or_default());
        parts
            .filter_map(|pair| pair.split_once('='))
            .for_each(|(key, value)| series.tag(key, value));
        series.renamed(name.clone());
    }
    Ok(made)
}
