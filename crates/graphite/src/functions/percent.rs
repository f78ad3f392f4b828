//! `asPercent`, in all its forms.

use std::collections::BTreeMap;

use super::combine::{by_key, combined};
use super::groups::key;
use super::pairs::joined;
use super::transform::of_shares;
use crate::arguments::Arguments;
use crate::error::Error;
use crate::function::{Frame, Function};
use crate::number::{Number, Point};
use crate::parameter::{Kind, SERIES, optional};
use crate::series::Series;
use crate::value::Value;

pub(crate) const TABLE: &[Function] = &[Function {
    names: &["asPercent", "pct"],
    group: "Combine",
    description: "Every series as percent of the total: the sum of all without one, a number, one series, or as many series as there are. \
                  With nodes, of the total of the series that share these parts of its name. Buckets show the average.",
    parameters: &[
        SERIES,
        optional("total", Kind::Any),
        optional("nodes", Kind::NodeOrTag).many(),
    ],
    run: |frame, args| as_percent(frame, args).map(of_shares),
    combines: true,
    ..Function::PLAIN
}];

fn percent(value: Point, total: Point) -> Point {
    Some(value?.over(total?)?.times(Number::Exact(100)))
}

fn share(series: &Series, total: &Series, name: &str) -> Result<Series, Error> {
    joined(
        format!("asPercent({},{name})", series.name),
        series,
        total,
        percent,
    )
}

fn as_percent(_: &mut Frame, mut args: Arguments) -> Result<Vec<Series>, Error> {
    let nodes = args.many().to_vec();
    let list = args.series();
    let totals = args.take(1);
    if list.is_empty() {
        return Ok(list);
    }
    if !nodes.is_empty() {
        return by_nodes(list, totals, args.value(1), &nodes);
    }
    match (totals, args.number(1)) {
        (Some(totals), _) if totals.len() == 1 => {
            let shares = list
                .iter()
                .map(|series| share(series, &totals[0], &totals[0].name));
            shares.collect()
        }
        (Some(totals), _) if totals.len() == list.len() => {
            let by_name = |mut list: Vec<Series>| {
                list.sort_by(|a, b| a.name.cmp(&b.name));
                list
            };
            let pairs = by_name(list).into_iter().zip(by_name(totals));
            pairs
                .map(|(series, total)| share(&series, &total, &total.name))
                .collect()
        }
        (Some(_), _) => Err(Error::Function {
            function: "asPercent",
            problem: "wants as its total nothing, a number, one series, or as many series as the first argument has",
        }),
        (None, Some(total)) => Ok(list.into_iter().map(|series| of_number(series, total)).collect()),
        (None, None) => {
            let Some(mut sum) = combined(&list, "sum", None)? else {
                return Ok(Vec::new());
            };
            sum.name = format!("sumSeries({})", crate::series::paths(&list));
            list.iter().map(|series| share(series, &sum, &sum.name)).collect()
        }
    }
}

fn of_number(mut series: Series, total: Number) -> Series {
    series.map(|value| percent(Some(value), Some(total)));
    let name = format!("asPercent({},{total})", series.name);
    Series::new(name, series.grid(), series.values)
}

fn by_nodes(
    list: Vec<Series>,
    totals: Option<Vec<Series>>,
    given: &Value,
    nodes: &[Value],
) -> Result<Vec<Series>, Error> {
    if totals.is_none() && *given != Value::None {
        return Err(Error::Function {
            function: "asPercent",
            problem: "wants None or series as its total where it has nodes",
        });
    }
    let groups = by_key(list, |series| key(series, nodes));
    let of_totals = match totals {
        Some(totals) => by_key(totals, |series| key(series, nodes)),
        None => groups.clone(),
    };
    let mut totals = BTreeMap::new();
    let mut keys: Vec<String> = groups.iter().map(|(key, _)| key.clone()).collect();
    for (key, mut group) in of_totals {
        let total = match group.len() {
            1 => group.pop(),
            _ => combined(&group, "sum", None)?,
        };
        if !keys.contains(&key) {
            keys.push(key.clone());
        }
        totals.extend(total.map(|total| (key, total)));
    }
    let mut groups: BTreeMap<String, Vec<Series>> = groups.into_iter().collect();
    let mut shares = Vec::new();
    for key in keys {
        let total = totals.get(&key);
        let unknown = |name: String, of: &Series| Series::new(name, of.grid(), vec![None; of.values.len()]);
        match (groups.remove(&key), total) {
            (Some(group), Some(total)) => {
                for series in group {
                    shares.push(share(&series, total, &total.name)?);
                }
            }
            (Some(group), None) => {
                let missing =
                    |series: &Series| unknown(format!("asPercent({},MISSING)", series.name), series);
                shares.extend(group.iter().map(missing));
            }
            (None, Some(total)) => shares.push(unknown(format!("asPercent(MISSING,{})", total.name), total)),
            (None, None) => {}
        }
    }
    Ok(shares)
}
