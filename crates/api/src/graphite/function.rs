//! What a function is: its names, its parameters, and how arguments meet them.

use super::Fault;
use super::aggregate::{AGGREGATES, Aggregate};
use super::number::Number;
use super::series::Series;
use super::time;

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

/// What the windows of a function depend on besides its arguments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) now: i64,
    /// Seconds between the values of the first argument.
    pub(super) step: i64,
}

/// What a function finds besides its arguments.
pub(super) struct Frame {
    pub(super) window: Window,
    pub(super) now: i64,
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
            Self::Text => "string",
        }
    }

    fn is_met(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Any, _) => true,
            (Self::SeriesList, value) => matches!(value, Value::Series(_)),
            (_, Value::Series(_)) => false,
            (Self::Text | Self::NodeOrTag | Self::Date, Value::Text(_) | Value::Number(_)) => true,
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
    Tenth,
    Infinity,
    Text(&'static str),
    Boolean(bool),
}

impl Default {
    fn value(self) -> Value {
        match self {
            Self::Number(number) => Value::Number(Number::Exact(i128::from(number))),
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

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Series(Vec<Series>),
    Number(Number),
    Text(String),
    Boolean(bool),
    None,
}

impl Value {
    fn number(&self) -> Option<Number> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => match text.trim().parse() {
                Ok(exact) => Some(Number::Exact(exact)),
                Err(_) => text.trim().parse().ok().map(Number::Real),
            },
            _ => None,
        }
    }

    fn integer(&self) -> Option<i64> {
        match self.number()? {
            Number::Exact(integer) => i64::try_from(integer).ok(),
            Number::Real(_) => None,
        }
    }

    fn boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(boolean) => Some(*boolean),
            Self::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            Self::Number(number) if number.real() == 1.0 => Some(true),
            Self::Number(number) if number.real() == 0.0 => Some(false),
            _ => None,
        }
    }

    /// As a sentence shows it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Series(_) => "series".to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => format!("'{text}'"),
            Self::Boolean(boolean) => boolean.to_string(),
            Self::None => "None".to_owned(),
        }
    }
}

/// Values by the place of their parameter, of the right kind, defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Arguments {
    values: Vec<Value>,
    /// How many of the values are of the last parameter, where it takes many; they come last.
    many: usize,
}

impl Arguments {
    /// # Errors
    /// What is wrong with them, with the function's and the parameter's name.
    pub(super) fn bind(
        name: &str,
        parameters: &'static [Parameter],
        positional: Vec<Value>,
        mut keywords: Vec<(String, Value)>,
    ) -> Result<Self, Fault> {
        let is_many = parameters.last().is_some_and(|last| last.is_multiple);
        let single = parameters.len() - usize::from(is_many);
        if positional.len() > parameters.len() && !is_many {
            return Err(Fault::TooManyParameters(name.to_owned()));
        }
        let mut given = positional.into_iter();
        let mut values = Vec::with_capacity(parameters.len());
        let mut named = |parameter: &Parameter| {
            let at = keywords.iter().position(|(key, _)| key == parameter.name)?;
            Some(keywords.swap_remove(at).1)
        };
        for parameter in parameters.iter().take(single) {
            let value = given.next().or_else(|| named(parameter)).unwrap_or(Value::None);
            values.push(checked(name, parameter, value)?);
        }
        let mut many: Vec<Value> = given.collect();
        if let Some(parameter) = parameters.get(single) {
            many.extend(named(parameter));
            if many.is_empty() && parameter.is_required {
                checked(name, parameter, Value::None)?;
            }
            let checked = many.into_iter().map(|value| checked(name, parameter, value));
            many = checked.collect::<Result<_, _>>()?;
        }
        if let Some((key, _)) = keywords.first() {
            return Err(Fault::UnknownKeyword(name.to_owned(), key.clone()));
        }
        let count = many.len();
        values.extend(many);
        Ok(Self { values, many: count })
    }

    fn single(&self) -> usize {
        self.values.len() - self.many
    }

    /// The first argument, where it is series; they are taken out.
    pub(super) fn series(&mut self) -> Vec<Series> {
        self.series_at(0)
    }

    pub(super) fn series_at(&mut self, at: usize) -> Vec<Series> {
        self.take(at).unwrap_or_default()
    }

    /// The series at `at`, if series are there.
    pub(super) fn take(&mut self, at: usize) -> Option<Vec<Series>> {
        match self.values.get_mut(at) {
            Some(Value::Series(list)) => Some(std::mem::take(list)),
            _ => None,
        }
    }

    /// All series of all arguments.
    pub(super) fn all_series(self) -> Vec<Series> {
        let lists = self.values.into_iter().filter_map(|value| match value {
            Value::Series(list) => Some(list),
            _ => None,
        });
        lists.flatten().collect()
    }

    /// What the last parameter was given, where it takes many.
    pub(super) fn many(&self) -> &[Value] {
        self.values.get(self.single()..).unwrap_or_default()
    }

    pub(super) fn value(&self, at: usize) -> &Value {
        self.values.get(at).unwrap_or(&Value::None)
    }

    pub(super) fn number(&self, at: usize) -> Option<Number> {
        self.value(at).number()
    }

    /// 0 where there is none, which a required parameter excludes.
    pub(super) fn required_number(&self, at: usize) -> Number {
        self.number(at).unwrap_or(Number::ZERO)
    }

    pub(super) fn integer(&self, at: usize) -> i64 {
        self.value(at).integer().unwrap_or(0)
    }

    pub(super) fn boolean(&self, at: usize) -> bool {
        self.value(at).boolean().unwrap_or(false)
    }

    pub(super) fn has(&self, at: usize) -> bool {
        !matches!(self.value(at), Value::None)
    }

    pub(super) fn text(&self, at: usize) -> String {
        match self.value(at) {
            Value::Text(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        }
    }

    /// Seconds of an interval; always more than 0.
    ///
    /// # Errors
    /// `NoInterval` for 0 seconds.
    pub(super) fn length(&self, at: usize) -> Result<i64, Fault> {
        let text = self.text(at);
        match time::interval(&text).map(i64::abs) {
            Some(seconds) if seconds > 0 => Ok(seconds),
            _ => Err(Fault::NoInterval(text)),
        }
    }

    pub(super) fn aggregate(&self, at: usize) -> Aggregate {
        Aggregate::named(&self.text(at)).unwrap_or(Aggregate::Sum)
    }
}

fn checked(function: &str, parameter: &Parameter, value: Value) -> Result<Value, Fault> {
    if value == Value::None {
        return match parameter.default {
            Some(default) => Ok(default.value()),
            None if parameter.is_required => Err(Fault::MissingParameter {
                function: function.to_owned(),
                parameter: parameter.name,
            }),
            None => Ok(value),
        };
    }
    let is_option = match (&value, parameter.kind) {
        (_, Kind::Aggregate | Kind::AggregateOrSeries) => true,
        (Value::Text(text), _) if !parameter.options.is_empty() => parameter.options.contains(&text.as_str()),
        _ => true,
    };
    if is_option && parameter.kind.is_met(&value) {
        return Ok(value);
    }
    Err(Fault::InvalidValue {
        kind: parameter.kind.word(),
        function: function.to_owned(),
        parameter: parameter.name,
        value: value.shown(),
    })
}
