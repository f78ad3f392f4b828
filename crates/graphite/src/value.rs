//! Values of the language.

use crate::number::Number;
use crate::series::Series;

/// The value of an expression that was evaluated.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Series(Vec<Series>),
    Number(Number),
    Text(String),
    Boolean(bool),
    None,
}

impl Value {
    pub(crate) fn number(&self) -> Option<Number> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => match text.trim().parse() {
                Ok(exact) => Some(Number::Exact(exact)),
                Err(_) => text.trim().parse().ok().map(Number::Real),
            },
            _ => None,
        }
    }

    pub(crate) fn integer(&self) -> Option<i64> {
        match self.number()? {
            Number::Exact(integer) => i64::try_from(integer).ok(),
            Number::Real(_) => None,
        }
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(boolean) => Some(*boolean),
            Self::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            Self::Number(number) if number.real() == 1.0 => Some(true),
            Self::Number(number) if number.real() == 0.0 => Some(false),
            _ => None,
        }
    }

    /// The value as a sentence shows it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Series(_) => "series".to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => format!("'{text}'"),
            Self::Boolean(boolean) => boolean.to_string(),
            Self::None => "None".to_owned(),
        }
    }
}
