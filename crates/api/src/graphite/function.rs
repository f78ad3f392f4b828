//! What a function is: its names, its parameters, and how arguments meet them.

use super::Fault;
use super::aggregate::{AGGREGATES, Aggregate};
pub(super) use super::arguments::{Arguments, Value};
use super::number::Number;
use super::series::Series;
use super::time;
use super::zone::Zone;

/// One function under all its names: the evaluator and the catalogue both live on these.
pub(super) struct Function {
    pub(super) names: &'static [&'static str],
    pub(super) group: &'static str,
    pub(super) description: &'static str,
    pub(super) parameters: &'static [Parameter],
    pub(super) run: fn(&mut Frame, Arguments) -> Result<Vec<Series>, Fault>,
    /// The windows, other than the request's, that the first argument is evaluated in.
    pub(super) windows: Option<Windows>,
    /// Whether summing the values into buckets may as well come before the function.
    pub(super) commutes: Commutes,
}

pub(super) struct Windows {
    pub(super) of: fn(&Arguments, Window, Clock) -> Result<Vec<Window>, Fault>,
    /// Whether the first argument is wanted in the request's window, too.
    pub(super) and_as_is: bool,
}

/// Where a bucket's sum of a function's values is the function's value of the buckets' sums.
#[derive(Clone, Copy)]
pub(super) enum Commutes {
    Never,
    Always,
    /// Always, and the function is nothing but the sum of its series, so that their counts may be added up as they are read.
    AsSum,
    If(fn(&Arguments) -> bool),
}

/// Unix seconds; as in Graphite, values after `from` and up to `until` are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Window {
    pub(super) from: i64,
    pub(super) until: i64,
}

impl Window {
    pub(super) fn moved(self, seconds: i64) -> Self {
        Self {
            from: self.from.saturating_add(seconds),
            until: self.until.saturating_add(seconds),
        }
    }

    pub(super) fn begun_at(self, from: i64) -> Self {
        Self { from, ..self }
    }
}

/// When it is, and by which clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: i64,
    pub(super) zone: Zone,
}

/// What the windows of a function depend on besides its arguments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) moment: Moment,
    /// Seconds between the values of the first argument.
    pub(super) step: i64,
}

/// What a function finds besides its arguments.
pub(super) struct Frame {
    pub(super) window: Window,
    pub(super) moment: Moment,
    /// Of the request, or as `setXFilesFactor` left it.
    pub(super) x_files_factor: Option<f64>,
    /// The first argument in each of the function's windows.
    pub(super) elsewhere: Vec<Vec<Series>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
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
    /// Groups of them, which come one after the other.
    SeriesLists,
    Tag,
    Text,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
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

    pub(super) fn is_met(self, value: &Value) -> bool {
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

#[derive(Debug, Clone, Copy)]
pub(super) enum Default {
    Number(i64),
    /// 0, where the function wants to know that none was given.
    Implied,
    Tenth,
    Infinity,
    Text(&'static str),
    Boolean(bool),
}

impl Default {
    pub(super) fn value(self) -> Value {
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

pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) is_required: bool,
    pub(super) default: Option<Default>,
    /// Takes all further arguments; only the last one can.
    pub(super) is_multiple: bool,
    pub(super) options: &'static [&'static str],
    pub(super) suggestions: &'static [&'static str],
}

pub(super) const fn optional(name: &'static str, kind: Kind) -> Parameter {
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

pub(super) const fn required(name: &'static str, kind: Kind) -> Parameter {
    Parameter {
        is_required: true,
        ..optional(name, kind)
    }
}

impl Parameter {
    pub(super) const fn or(self, default: Default) -> Self {
        Self {
            default: Some(default),
            ..self
        }
    }

    pub(super) const fn many(self) -> Self {
        Self {
            is_multiple: true,
            ..self
        }
    }

    pub(super) const fn one_of(self, options: &'static [&'static str]) -> Self {
        Self { options, ..self }
    }
}

/// The first parameter of nearly all functions.
pub(super) const SERIES: Parameter = required("seriesList", Kind::SeriesList);
