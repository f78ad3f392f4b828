//! Arguments of a call, bound to the function's parameters.

use crate::aggregate::Aggregate;
use crate::error::Error;
use crate::number::Number;
use crate::parameter::{Kind, Parameter};
use crate::series::Series;
use crate::time;
use crate::value::Value;

/// The arguments by the place of their parameter, of the right kind and with defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Arguments {
    values: Vec<Value>,
    /// The number of values of the last parameter, where it takes many; they come last.
    many: usize,
}

impl Arguments {
    /// Binds arguments to parameters. Returns them, and the place of each that was given: first of those without a name, then of `keywords`.
    ///
    /// # Errors
    /// `TooManyParameters`, `MissingParameter`, `InvalidValue` or `UnknownKeyword`, with the function's and the parameter's name.
    pub(crate) fn bind(
        name: &str,
        parameters: &'static [Parameter],
        positional: Vec<Value>,
        keywords: Vec<(&str, Value)>,
    ) -> Result<(Self, Vec<usize>), Error> {
        let is_many = parameters.last().is_some_and(|last| last.is_multiple);
        let single = parameters.len() - usize::from(is_many);
        if positional.len() > parameters.len() && !is_many {
            return Err(Error::TooManyParameters(name.to_owned()));
        }
        let mut places: Vec<usize> = (0..positional.len()).collect();
        let mut given: Vec<Value> = positional;
        let without_name = given.len();
        given.resize(without_name.max(single), Value::None);
        let (unnamed, mut unknown) = (given.len(), None);
        let mut taken: Vec<bool> = (0..given.len()).map(|at| at < without_name).collect();
        for (key, value) in keywords {
            let place = match parameters.iter().position(|parameter| parameter.name == key) {
                Some(at) if at < single && !taken[at] => at,
                Some(at) if at == single && given.len() == unnamed => {
                    given.push(Value::None);
                    taken.push(false);
                    unnamed
                }
                _ => {
                    unknown.get_or_insert(key);
                    continue;
                }
            };
            (given[place], taken[place]) = (value, true);
            places.push(place);
        }
        let mut values = Vec::with_capacity(given.len().max(parameters.len()));
        for (at, value) in given.into_iter().enumerate() {
            values.push(checked(name, &parameters[at.min(parameters.len() - 1)], value)?);
        }
        let many = values.len() - single;
        if let Some(parameter) = parameters.get(single).filter(|_| many == 0) {
            checked(name, parameter, Value::None)?;
        }
        match unknown {
            Some(key) => Err(Error::UnknownKeyword(name.to_owned(), key.to_owned())),
            None => Ok((Self { values, many }, places)),
        }
    }

    /// Puts series at an argument that is series, and was empty until they were known.
    pub(crate) fn put(&mut self, at: usize, list: Vec<Series>) {
        if let Some(value) = self.values.get_mut(at) {
            *value = Value::Series(list);
        }
    }

    fn single(&self) -> usize {
        self.values.len() - self.many
    }

    /// The first argument, where it is series; they are taken out.
    pub(crate) fn series(&mut self) -> Vec<Series> {
        self.series_at(0)
    }

    pub(crate) fn series_at(&mut self, at: usize) -> Vec<Series> {
        self.take(at).unwrap_or_default()
    }

    /// The series at `at`, if series are there.
    pub(crate) fn take(&mut self, at: usize) -> Option<Vec<Series>> {
        match self.values.get_mut(at) {
            Some(Value::Series(list)) => Some(std::mem::take(list)),
            _ => None,
        }
    }

    /// All series of all arguments.
    pub(crate) fn all_series(self) -> Vec<Series> {
        let lists = self.values.into_iter().filter_map(|value| match value {
            Value::Series(list) => Some(list),
            _ => None,
        });
        lists.flatten().collect()
    }

    /// The values of the last parameter, where it takes many.
    pub(crate) fn many(&self) -> &[Value] {
        self.values.get(self.single()..).unwrap_or_default()
    }

    pub(crate) fn value(&self, at: usize) -> &Value {
        self.values.get(at).unwrap_or(&Value::None)
    }

    pub(crate) fn number(&self, at: usize) -> Option<Number> {
        self.value(at).number()
    }

    /// The number of a required parameter. Without one it is 0, which [`Arguments::bind`] excludes.
    pub(crate) fn required_number(&self, at: usize) -> Number {
        self.number(at).unwrap_or(Number::ZERO)
    }

    pub(crate) fn integer(&self, at: usize) -> i64 {
        self.value(at).integer().unwrap_or(0)
    }

    pub(crate) fn boolean(&self, at: usize) -> bool {
        self.value(at).boolean().unwrap_or(false)
    }

    pub(crate) fn has(&self, at: usize) -> bool {
        !matches!(self.value(at), Value::None)
    }

    pub(crate) fn text(&self, at: usize) -> String {
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
    pub(crate) fn length(&self, at: usize) -> Result<i64, Error> {
        let text = self.text(at);
        match time::interval(&text).map(i64::abs) {
            Some(seconds) if seconds > 0 => Ok(seconds),
            _ => Err(Error::NoInterval(text)),
        }
    }

    pub(crate) fn aggregate(&self, at: usize) -> Aggregate {
        Aggregate::named(&self.text(at)).unwrap_or(Aggregate::Sum)
    }
}

fn checked(function: &str, parameter: &Parameter, value: Value) -> Result<Value, Error> {
    if value == Value::None {
        return match parameter.default {
            Some(default) => Ok(default.value()),
            None if parameter.is_required => Err(Error::MissingParameter {
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
    Err(Error::InvalidValue {
        kind: parameter.kind.word(),
        function: function.to_owned(),
        parameter: parameter.name,
        value: value.shown(),
    })
}
