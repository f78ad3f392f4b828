//! Parsing targets: calls, pipes, keyword arguments, literals and path expressions.
//!
//! The grammar is that of graphite-web's `grammar.py`, without `template()`. A path may hold every character of a name; the characters that
//! a target itself is written with (`( ) { } , ' " \ |`) are taken with a backslash before them. Two names cannot be written without one:
//! as an argument, a name such as `a=b`, whose first `=` follows letters, digits and `_` only, is a keyword: write `a\=b`;
//! and a name that reads as a number, `true`, `false`, `none` or `inf` is that value. Trailing text is refused, where Graphite ignores it.

use std::ops::Range;

use crate::error::Error;
use crate::limits::{DEPTH_MAX, TARGET_BYTES_MAX, VISITS_MAX};
use crate::number::Number;

/// The only function that names series instead of making them of others.
pub(crate) const SERIES_BY_TAG: &str = "seriesByTag";

/// Stands for `inf` in limits.
const INFINITY: f64 = f64::INFINITY;

/// A parsed target, or an argument of a call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    Path(String),
    Tags(Tags),
    Call(Call),
    Number(Number),
    /// The text between the quotes, with its escapes: regular expressions have their own.
    Text(String),
    Boolean(bool),
    None,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) function: String,
    pub(crate) arguments: Vec<Expression>,
    pub(crate) keywords: Vec<(String, Expression)>,
}

/// The call of [`SERIES_BY_TAG`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tags {
    pub(crate) conditions: Vec<Expression>,
    /// The call as it was written, which its series are known by; empty if there are calls in it, which are refused.
    pub(crate) raw: String,
}

impl Expression {
    /// Puts an argument before those of a call.
    fn pipe_in(&mut self, argument: Self) {
        match self {
            Self::Call(call) => call.arguments.insert(0, argument),
            Self::Tags(tags) => tags.conditions.insert(0, argument),
            _ => {}
        }
    }
}

/// Most bytes of memory that the expression of a name, a call or a literal takes, beside its text.
pub(crate) const EXPRESSION_BYTES: usize = 256;

/// Parses a target. `left` is the number of names, calls and literals that there may be yet, and becomes less.
///
/// # Errors
/// `Syntax` where `target` is no expression, `TargetTooLong`, `TooDeep` and `TooManyVisits` beyond the limits.
pub(crate) fn parse_within(target: &str, left: &mut usize) -> Result<Expression, Error> {
    if target.len() > TARGET_BYTES_MAX {
        return Err(Error::TargetTooLong);
    }
    let mut parser = Parser {
        text: target,
        at: 0,
        left,
    };
    let expression = parser.expression(0)?.0;
    parser.skip_space();
    if parser.at < target.len() {
        return Err(parser.wanted("the end of the target"));
    }
    Ok(expression)
}

/// Parses a target within the limit of one request, as [`parse_within`] does.
pub(crate) fn parse(target: &str) -> Result<Expression, Error> {
    let mut left = VISITS_MAX;
    parse_within(target, &mut left)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    left: &'a mut usize,
}

fn is_path_character(c: char) -> bool {
    c.is_ascii_graphic() && !r#"(){},'"\|"#.contains(c)
}

fn is_word_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn charge(&mut self) -> Result<(), Error> {
        *self.left = self.left.checked_sub(1).ok_or(Error::TooManyVisits)?;
        Ok(())
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn wanted(&self, what: &'static str) -> Error {
        Error::Syntax {
            what,
            at: self
                .text
                .get(..self.at)
                .map_or(self.at, |head| head.chars().count())
                + 1,
        }
    }

    /// Takes `symbol` if it comes next.
    fn takes(&mut self, symbol: char) -> bool {
        self.skip_space();
        let comes = self.rest().starts_with(symbol);
        if comes {
            self.at += symbol.len_utf8();
        }
        comes
    }

    /// A call or path with all calls that it is piped into, and their depth. `above` is the number of calls around it.
    fn expression(&mut self, above: usize) -> Result<(Expression, usize), Error> {
        self.skip_space();
        let (mut expression, mut depth) = match self.word_before('(') {
            Some(word) => self.call(word, above)?,
            None => {
                self.charge()?;
                (Expression::Path(self.path()?), 0)
            }
        };
        while self.takes('|') {
            self.skip_space();
            let word = self
                .word_before('(')
                .ok_or_else(|| self.wanted("a function after '|'"))?;
            let (mut call, inner) = self.call(word, above)?;
            call.pipe_in(expression);
            depth = inner.max(depth + 1);
            if above + depth > DEPTH_MAX {
                return Err(Error::TooDeep);
            }
            expression = call;
        }
        Ok((expression, depth))
    }

    /// The identifier that comes next if `symbol` follows it; nothing is taken.
    fn word_before(&self, symbol: char) -> Option<Range<usize>> {
        let rest = self.rest();
        let end = rest.find(|c| !is_word_character(c)).unwrap_or(rest.len());
        let is_word = rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let follows = rest
            .get(end..)
            .is_some_and(|tail| tail.trim_start().starts_with(symbol));
        (is_word && follows).then_some(self.at..self.at + end)
    }

    fn call(&mut self, word: Range<usize>, above: usize) -> Result<(Expression, usize), Error> {
        if above >= DEPTH_MAX {
            return Err(Error::TooDeep);
        }
        self.charge()?;
        let began = word.start;
        let function = self.text.get(word.clone()).unwrap_or_default().to_owned();
        if function == "template" {
            return Err(Error::Template);
        }
        self.at = word.end;
        self.takes('(');
        let (mut arguments, mut keywords, mut depth) = (Vec::new(), Vec::new(), 0);
        while !self.takes(')') {
            let is_first = arguments.is_empty() && keywords.is_empty();
            if !is_first && !self.takes(',') {
                return Err(self.wanted("',' or ')'"));
            }
            self.skip_space();
            let keyword = self.word_before('=');
            if let Some(word) = &keyword {
                self.at = word.end;
                self.takes('=');
            }
            let (argument, inner) = self.argument(above + 1)?;
            depth = depth.max(inner);
            match keyword {
                Some(word) => {
                    let key = self.text.get(word).unwrap_or_default();
                    keywords.push((key.to_owned(), argument));
                }
                None if keywords.is_empty() => arguments.push(argument),
                None => return Err(self.wanted("a keyword, as before it,")),
            }
        }
        let call = if function == SERIES_BY_TAG {
            let raw = self.text.get(began..self.at).filter(|_| depth == 0);
            Expression::Tags(Tags {
                conditions: arguments,
                raw: raw.unwrap_or_default().to_owned(),
            })
        } else {
            Expression::Call(Call {
                function,
                arguments,
                keywords,
            })
        };
        Ok((call, depth + 1))
    }

    fn argument(&mut self, above: usize) -> Result<(Expression, usize), Error> {
        self.skip_space();
        if self.rest().starts_with(['"', '\'']) {
            self.charge()?;
            return Ok((Expression::Text(self.quoted()?), 0));
        }
        if let Some(literal) = self.literal() {
            self.charge()?;
            return Ok((literal, 0));
        }
        self.expression(above)
    }

    fn quoted(&mut self) -> Result<String, Error> {
        let mut characters = self.rest().char_indices();
        let quote = characters.next().map_or('"', |(_, quote)| quote);
        while let Some((end, c)) = characters.next() {
            if c == '\\' {
                characters.next();
            } else if c == quote {
                let text = self.rest().get(1..end).unwrap_or_default().to_owned();
                self.at += end + 1;
                return Ok(text);
            }
        }
        Err(self.wanted("a string with its closing quote"))
    }

    /// A number or word of the language that ends where an argument ends.
    fn literal(&mut self) -> Option<Expression> {
        let rest = self.rest();
        let end = rest.find([',', ')', '|']).unwrap_or(rest.len());
        let word = rest.get(..end)?.trim_end();
        let literal = match word.to_ascii_lowercase().as_str() {
            "true" => Expression::Boolean(true),
            "false" => Expression::Boolean(false),
            "none" => Expression::None,
            "inf" => Expression::Number(Number::Real(INFINITY)),
            _ => Expression::Number(number(word)?),
        };
        self.at += word.len();
        Some(literal)
    }

    fn path(&mut self) -> Result<String, Error> {
        let mut path = String::new();
        let mut is_enum = false;
        let mut characters = self.rest().char_indices();
        let end = loop {
            let Some((at, c)) = characters.next() else {
                break self.rest().len();
            };
            match c {
                '\\' => match characters.next() {
                    Some((_, escaped)) => path.push(escaped),
                    None => return Err(self.wanted("a character after '\\'")),
                },
                '{' => is_enum = true,
                '}' => is_enum = false,
                ',' if is_enum => {}
                c if is_path_character(c) => {}
                _ => break at,
            }
            if c != '\\' {
                path.push(c);
            }
        };
        if path.is_empty() {
            return Err(self.wanted("a name, a pattern or a function"));
        }
        self.at += end;
        Ok(path)
    }
}

/// A number: digits, perhaps with a sign, a fraction, an exponent.
fn number(word: &str) -> Option<Number> {
    let digits = word.strip_prefix('-').unwrap_or(word);
    let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    if !(is_plain(whole) && is_plain(fraction) && is_plain(exponent.strip_prefix('-').unwrap_or(exponent))) {
        return None;
    }
    match word.parse::<i64>() {
        Ok(exact) => Some(Number::Exact(i128::from(exact))),
        Err(_) => word.parse().ok().map(Number::Real),
    }
}

#[cfg(test)]
mod tests;
