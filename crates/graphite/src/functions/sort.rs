//! Functions that sort series.

use crate::aggregate::{Aggregate, sorted};
use crate::arguments::Arguments;
use crate::error::Error;
use crate::function::{Commutes, Frame, Function};
use crate::number::Number;
use crate::parameter::{DefaultValue, Kind, SERIES, optional};
use crate::series::Series;

const fn sorting(
    name: &'static [&'static str],
    description: &'static str,
    run: fn(&mut Frame, Arguments) -> Result<Vec<Series>, Error>,
) -> Function {
    Function {
        names: name,
        group: "Sorting",
        description,
        parameters: &[SERIES],
        run,
        ..Function::PLAIN
    }
}

pub(crate) const TABLE: &[Function] = &[
    Function {
        parameters: &[
            SERIES,
            optional("func", Kind::Aggregate).or(DefaultValue::Text("average")),
            optional("reverse", Kind::Boolean).or(DefaultValue::Boolean(false)),
        ],
        commutes: Commutes::If(|args| args.aggregate(1) == Aggregate::Sum),
        ..sorting(
            &["sortBy"],
            "By the value of the function, the smallest first.",
            |_, mut args| {
                let (aggregate, reverse) = (args.aggregate(1), args.boolean(2));
                Ok(sorted_by(args.series(), aggregate, reverse))
            },
        )
    },
    Function {
        parameters: &[
            SERIES,
            optional("natural", Kind::Boolean).or(DefaultValue::Boolean(false)),
            optional("reverse", Kind::Boolean).or(DefaultValue::Boolean(false)),
        ],
        commutes: Commutes::Always,
        ..sorting(
            &["sortByName"],
            "By name; naturally, numbers in names count as numbers.",
            |_, mut args| {
                let (natural, reverse) = (args.boolean(1), args.boolean(2));
                let mut list = args.series();
                let key = |series: &Series| {
                    if natural {
                        natural_key(&series.name)
                    } else {
                        series.name.clone()
                    }
                };
                if reverse {
                    list.sort_by_cached_key(|series| std::cmp::Reverse(key(series)));
                } else {
                    list.sort_by_cached_key(key);
                }
                Ok(list)
            },
        )
    },
    Function {
        commutes: Commutes::Always,
        ..sorting(&["sortByTotal"], "By sum, the largest first.", |_, mut args| {
            Ok(sorted_by(args.series(), Aggregate::Sum, true))
        })
    },
    sorting(
        &["sortByMaxima"],
        "By largest value, the largest first.",
        |_, mut args| Ok(sorted_by(args.series(), Aggregate::Max, true)),
    ),
    sorting(
        &["sortByMinima"],
        "By smallest value, the smallest first; without series that are never above 0.",
        |_, mut args| {
            let mut list = args.series();
            let most = |series: &Series| Aggregate::Max.of(&series.values);
            list.retain(|series| most(series).is_some_and(|most| most.is_above(Number::ZERO)));
            Ok(sorted_by(list, Aggregate::Min, false))
        },
    ),
];

fn sorted_by(list: Vec<Series>, aggregate: Aggregate, from_highest: bool) -> Vec<Series> {
    sorted(list, from_highest, |series| aggregate.of(&series.values))
}

/// The name as a key for a natural order: each run of digits is padded to ten.
fn natural_key(name: &str) -> String {
    let mut key = String::with_capacity(name.len());
    let mut rest = name;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits > 0 {
            let run = rest[..digits].trim_start_matches('0');
            key.push_str(&format!("{run:0>10}"));
        }
        let tail = &rest[digits..];
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        key.push_str(&tail[..letters]);
        rest = &tail[letters..];
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names = ["web10.a", "web9.a", "web9.b2", "web09.b10"];
        names.sort_by_key(|name| natural_key(name));
        assert_eq!(names, ["web9.a", "web9.b2", "web09.b10", "web10.a"]);
        assert!(natural_key("9.a") < natural_key("a.9"));
    }
}
