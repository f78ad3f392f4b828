//! A call's arguments, put where the function's parameters are.

use super::Fault;
use super::aggregate::Aggregate;
use super::function::{Kind, Parameter};
use super::number::Number;
use super::series::Series;
use super::time;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Series(Vec<Series>),
    Number(Number),
    Text(String),
    Boolean(bool),
    None,
}

impl Value {
    pub(super) fn number(&self) -> Option<Number> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => match text.trim().parse() {
                Ok(exact) => Some(Number::Exact(exact)),
                Err(_) => text.trim().parse().ok().map(Number::Real),
            },
            _ => None,
        }
    }

    pub(super) fn integer(&self) -> Option<i64> {
        match self.number()? {
            Number::Exact(integer) => i64::try_from(integer).ok(),
            Number::Real(_) => None,
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
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
