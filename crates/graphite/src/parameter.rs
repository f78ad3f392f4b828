//! Parameters of functions: the arguments that they take, and their defaults.

use crate::aggregate::{AGGREGATES, Aggregate};
use crate::number::Number;
use crate::time;
use crate::value::Value;

/// The kind of arguments that a parameter takes, as Graphite names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Aggregate,
    AggregateOrSeries,
    Any,
    Boolean,
    Date,
    Float,
    Integer,
    IntegerOrInfinity,
    IntegerOrInterval,
    Interval,
    Node,
    NodeOrTag,
    SeriesList,
    /// Groups of series, one after the other.
    SeriesLists,
    Tag,
    Text,
}

impl Kind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Aggregate => "aggFunc",
            Self::AggregateOrSeries => "aggOrSeriesFunc",
            Self::Any => "any",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Float => "float",
            Self::Integer => "integer",
            Self::IntegerOrInfinity => "intOrInf",
            Self::IntegerOrInterval => "intOrInterval",
            Self::Interval => "interval",
            Self::Node => "node",
            Self::NodeOrTag => "nodeOrTag",
            Self::SeriesList => "seriesList",
            Self::SeriesLists => "seriesLists",
            Self::Tag => "tag",
            Self::Text => "string",
        }
    }

    pub(crate) fn is_met(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Any, _) => true,
            (Self::SeriesList | Self::SeriesLists, value) => matches!(value, Value::Series(_)),
            (_, Value::Series(_)) => false,
            (Self::Text | Self::Tag | Self::NodeOrTag | Self::Date, Value::Text(_) | Value::Number(_))
            | (Self::Text, Value::Boolean(_)) => true,
            (Self::Aggregate | Self::AggregateOrSeries, Value::Text(word)) => {
                Aggregate::named(word).is_some()
            }
            (Self::Boolean, value) => value.boolean().is_some(),
            (Self::Float, value) => value.number().is_some(),
            (Self::Integer | Self::Node, value) => value.integer().is_some(),
            (Self::IntegerOrInfinity, value) => {
                value.integer().is_some() || value.number().is_some_and(|n| n.real() == f64::INFINITY)
            }
            (Self::IntegerOrInterval, Value::Number(Number::Exact(_))) => true,
            (Self::Interval | Self::IntegerOrInterval, Value::Text(text)) => time::interval(text).is_some(),
            _ => false,
        }
    }
}

/// The value of a parameter for which no argument is given.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DefaultValue {
    Number(i64),
    /// 0, where the function wants to know that none was given.
    Implied,
    Tenth,
    Infinity,
    Text(&'static str),
    Boolean(bool),
}

impl DefaultValue {
    pub(crate) fn value(self) -> Value {
        match self {
            Self::Number(number) => Value::Number(Number::Exact(i128::from(number))),
            Self::Implied => Value::None,
            Self::Tenth => Value::Number(Number::Real(0.1)),
            Self::Infinity => Value::Number(Number::Real(f64::INFINITY)),
            Self::Text(text) => Value::Text(text.to_owned()),
            Self::Boolean(boolean) => Value::Boolean(boolean),
        }
    }
}

/// A parameter of a function.
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) is_required: bool,
    pub(crate) default: Option<DefaultValue>,
    /// Whether it takes all further arguments; only the last one can.
    pub(crate) is_multiple: bool,
    pub(crate) options: &'static [&'static str],
    pub(crate) suggestions: &'static [&'static str],
}

pub(crate) const fn optional(name: &'static str, kind: Kind) -> Parameter {
    Parameter {
        name,
        kind,
        is_required: false,
        default: None,
        is_multiple: false,
        options: match kind {
            Kind::Aggregate | Kind::AggregateOrSeries => AGGREGATES,
            _ => &[],
        },
        suggestions: match kind {
            Kind::IntegerOrInterval => &["5", "7", "10", "1min", "5min", "10min", "30min", "1hour"],
            Kind::Interval => &["10min", "1h", "6h", "12h", "1d", "2d", "7d", "14d", "30d"],
            _ => &[],
        },
    }
}

pub(crate) const fn required(name: &'static str, kind: Kind) -> Parameter {
    Parameter {
        is_required: true,
        ..optional(name, kind)
    }
}

impl Parameter {
    pub(crate) const fn or(self, default: DefaultValue) -> Self {
        Self {
            default: Some(default),
            ..self
        }
    }

    pub(crate) const fn many(self) -> Self {
        Self {
            is_multiple: true,
            ..self
        }
    }

    pub(crate) const fn one_of(self, options: &'static [&'static str]) -> Self {
        Self { options, ..self }
    }
}

/// The first parameter of nearly all functions.
pub(crate) const SERIES: Parameter = required("seriesList", Kind::SeriesList);
