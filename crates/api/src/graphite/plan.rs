//! Which names the targets want, and of which windows: known before anything is read, so that all of it comes out of one snapshot
//! and what it costs can be refused.

use std::collections::BTreeMap;

use super::catalogue::find;
use super::function::{Arguments, Clock, Commutes, Function, Moment, Value, Window};
use super::parse::{Call, Expression};
use super::tag::Wish;
use super::{Fault, number::Number};
use crate::refusal::Refusal;
use crate::series::PATTERNS_MAX;

/// Names, calls and literals of one request, times the windows that they are evaluated in: a hundred for each target.
pub(super) const VISITS_MAX: usize = 10_000;

/// Seconds from one value as it is read to the next.
pub(super) const MINUTE_S: i64 = 60;

/// Functions with a regular expression; those with windows are heavy, too.
const MATCHING: &[&str] = &["aliasSub", "grep", "exclude"];

pub(super) struct Plan {
    /// By the text that names are asked for with.
    pub(super) wanted: BTreeMap<String, Wanted>,
    /// How many names, calls and literals are evaluated.
    pub(super) visits: usize,
    /// Whether a function takes long over a few values already.
    pub(super) is_heavy: bool,
}

pub(super) struct Wanted {
    pub(super) wish: Wish,
    /// How often each window is wanted, series by series.
    pub(super) windows: BTreeMap<Window, usize>,
    /// How often the sum of all series is, and none of them by itself.
    pub(super) added: BTreeMap<Window, usize>,
}

impl Plan {
    /// # Errors
    /// What is wrong with a function's name or arguments, or with a pattern; `TooManyVisits` beyond the limit.
    pub(super) fn of(
        targets: &[Expression],
        window: Window,
        moment: Moment,
        x_files_factor: Option<f64>,
    ) -> Result<Self, Refusal> {
        let mut planner = Planner {
            // How many of a row's values are known matters then.
            adds: x_files_factor.is_none() && !targets.iter().any(sets_factor),
            wanted: BTreeMap::new(),
            patterns: 0,
            visits: 0,
            is_heavy: false,
            moment,
        };
        for target in targets {
            planner.visit(target, window)?;
        }
        Ok(Self {
            wanted: planner.wanted,
            visits: planner.visits,
            is_heavy: planner.is_heavy,
        })
    }
}

struct Planner {
    /// Whether series may be added up as they are read.
    adds: bool,
    wanted: BTreeMap<String, Wanted>,
    patterns: usize,
    visits: usize,
    is_heavy: bool,
    moment: Moment,
}

impl Planner {
    fn visit(&mut self, expression: &Expression, window: Window) -> Result<(), Refusal> {
        self.charge(1)?;
        match expression {
            Expression::Path(_) => self.want(expression, |wanted| &mut wanted.windows, window),
            Expression::Call(call) if call.function == SERIES_BY_TAG => {
                self.want(expression, |wanted| &mut wanted.windows, window)
            }
            Expression::Call(call) => self.call(call, window),
            _ => Ok(()),
        }
    }

    fn charge(&mut self, visits: usize) -> Result<(), Fault> {
        self.visits += visits;
        if self.visits > VISITS_MAX {
            return Err(Fault::TooManyVisits);
        }
        Ok(())
    }

    /// Names by a path or by tags.
    fn want(
        &mut self,
        names: &Expression,
        how: impl FnOnce(&mut Wanted) -> &mut BTreeMap<Window, usize>,
        window: Window,
    ) -> Result<(), Refusal> {
        if let Expression::Call(call) = names {
            self.is_heavy = true;
            self.charge(call.arguments.len())?;
        }
        let Some(key) = names_key(names) else {
            return Ok(());
        };
        let wanted = match self.wanted.get_mut(key) {
            Some(wanted) => wanted,
            None => {
                let wish = match names {
                    Expression::Call(call) => Wish::of_tags(call)?,
                    _ => Wish::of_path(key)?,
                };
                self.patterns += wish.pattern_count();
                if self.patterns > PATTERNS_MAX {
                    return Err(Refusal::TooManyPatterns);
                }
                self.wanted.entry(key.to_owned()).or_insert(Wanted {
                    wish,
                    windows: BTreeMap::new(),
                    added: BTreeMap::new(),
                })
            }
        };
        *how(wanted).entry(window).or_insert(0) += 1;
        Ok(())
    }

    fn call(&mut self, call: &Call, window: Window) -> Result<(), Refusal> {
        let function = find(&call.function)?;
        self.is_heavy |= function.windows.is_some() || MATCHING.contains(&call.function.as_str());
        let arguments = literals(function, call)?;
        if let Some(names) = added(function, call).filter(|_| self.adds) {
            self.charge(1)?;
            return self.want(names, |wanted| &mut wanted.added, window);
        }
        let first = argument(function, call, 0);
        if let Some(first) = first {
            for window in windows(function, &arguments, first, window, self.moment)? {
                self.visit(first, window)?;
            }
            if is_wanted_as_it_is(function, &arguments, first, window, self.moment)? {
                self.visit(first, window)?;
            }
        }
        for argument in expressions(call).filter(|argument| !is_same(argument, first)) {
            self.visit(argument, window)?;
        }
        Ok(())
    }
}

/// What names are asked for with; `None` of what is neither a path nor by tags.
pub(super) fn names_key(expression: &Expression) -> Option<&str> {
    match expression {
        Expression::Path(path) => Some(path),
        Expression::Call(call) if call.function == SERIES_BY_TAG => Some(&call.raw),
        _ => None,
    }
}

/// The names whose series a call does nothing with but to add them up.
pub(super) fn added<'a>(function: &Function, call: &'a Call) -> Option<&'a Expression> {
    match (function.commutes, &call.arguments[..]) {
        (Commutes::AsSum, [names]) if call.keywords.is_empty() => names_key(names).map(|_| names),
        _ => None,
    }
}

/// Whether a call in it changes how many of a row's values must be known.
fn sets_factor(expression: &Expression) -> bool {
    let Expression::Call(call) = expression else {
        return false;
    };
    let sets_it = find(&call.function).is_ok_and(|function| function.names.contains(&"setXFilesFactor"));
    sets_it || expressions(call).any(sets_factor)
}

/// What a call gives for the function's parameter at `at`: by its place, or by its name.
pub(super) fn argument<'a>(function: &Function, call: &'a Call, at: usize) -> Option<&'a Expression> {
    call.arguments.get(at).or_else(|| {
        let name = function.parameters.get(at)?.name;
        let given = call.keywords.iter().find(|(key, _)| key == name)?;
        Some(&given.1)
    })
}

/// All arguments of a call, those with a name last.
fn expressions(call: &Call) -> impl Iterator<Item = &Expression> {
    let keywords = call.keywords.iter().map(|(_, value)| value);
    call.arguments.iter().chain(keywords)
}

/// Whether `expression` is that place of the target, not one that reads the same.
pub(super) fn is_same(expression: &Expression, other: Option<&Expression>) -> bool {
    other.is_some_and(|other| std::ptr::eq(expression, other))
}

pub(super) const SERIES_BY_TAG: &str = "seriesByTag";

/// The windows besides `window` that `first`, the first argument, is evaluated in.
pub(super) fn windows(
    function: &Function,
    arguments: &Arguments,
    first: &Expression,
    window: Window,
    moment: Moment,
) -> Result<Vec<Window>, Fault> {
    let Some(windows) = &function.windows else {
        return Ok(Vec::new());
    };
    let clock = Clock {
        moment,
        step: step(first),
    };
    (windows.of)(arguments, window, clock)
}

/// Whether `first` is evaluated in the request's own window.
pub(super) fn is_wanted_as_it_is(
    function: &Function,
    arguments: &Arguments,
    first: &Expression,
    window: Window,
    moment: Moment,
) -> Result<bool, Fault> {
    Ok(match &function.windows {
        Some(needs) => needs.and_as_is || windows(function, arguments, first, window, moment)?.is_empty(),
        None => true,
    })
}

/// A call's arguments before anything was read: its series are empty.
pub(super) fn literals(function: &Function, call: &Call) -> Result<Arguments, Fault> {
    let value = |expression: &Expression| literal(expression).unwrap_or(Value::Series(Vec::new()));
    let keywords = call
        .keywords
        .iter()
        .map(|(key, argument)| (key.clone(), value(argument)));
    Arguments::bind(
        &call.function,
        function.parameters,
        call.arguments.iter().map(value).collect(),
        keywords.collect(),
    )
}

pub(super) fn literal(expression: &Expression) -> Option<Value> {
    Some(match expression {
        Expression::Number(number) => Value::Number(*number),
        Expression::Text(text) => Value::Text(text.clone()),
        Expression::Boolean(boolean) => Value::Boolean(*boolean),
        Expression::None => Value::None,
        Expression::Path(_) | Expression::Call(_) => return None,
    })
}

/// Seconds between the values of an expression: a minute, or the longest interval that is summed to on the way.
fn step(expression: &Expression) -> i64 {
    let Expression::Call(call) = expression else {
        return MINUTE_S;
    };
    let interval = match call.function.as_str() {
        "summarize" | "smartSummarize" | "hitcount" => {
            let function = find(&call.function).ok();
            function.and_then(|function| argument(function, call, 1))
        }
        _ => None,
    };
    let own = match interval {
        Some(Expression::Text(interval)) => super::time::interval(interval),
        _ => None,
    };
    own.map(i64::abs)
        .or_else(|| expressions(call).map(step).max())
        .unwrap_or(MINUTE_S)
        .max(MINUTE_S)
}

/// Whether every function of `expression` lets values be summed into buckets before it.
pub(super) fn commutes(expression: &Expression) -> bool {
    let Expression::Call(call) = expression else {
        return true;
    };
    if call.function == SERIES_BY_TAG {
        return true;
    }
    let Some(function) = find(&call.function).ok() else {
        return false;
    };
    let itself = match function.commutes {
        Commutes::Never => false,
        Commutes::Always | Commutes::AsSum => true,
        Commutes::If(condition) => literals(function, call).is_ok_and(|arguments| condition(&arguments)),
    };
    // Beside a line, whose step is another, rows are of values summed to a step that is no part of a bucket.
    let is_of_rows = function.group == "Combine" && call.function != "group";
    itself && !(is_of_rows && has_line(expression)) && expressions(call).all(commutes)
}

/// Whether a line of one value is in it, the only series of another step that commutes.
fn has_line(expression: &Expression) -> bool {
    let Expression::Call(call) = expression else {
        return false;
    };
    matches!(call.function.as_str(), "constantLine" | "threshold") || expressions(call).any(has_line)
}

/// Whether a factor keeps sums exact: floats are rounded in another order.
pub(super) fn is_exact(number: Option<Number>) -> bool {
    matches!(number, Some(Number::Exact(_)))
}

/// First second of the minutes of `window`, and of the minute after them: as Whisper counts them, after `from` and up to `until`, at least one.
pub(super) fn minutes(window: Window) -> (i64, i64) {
    let next = |unix_s: i64| unix_s - unix_s.rem_euclid(MINUTE_S) + MINUTE_S;
    let first = next(window.from);
    (first, next(window.until).max(first + MINUTE_S))
}
