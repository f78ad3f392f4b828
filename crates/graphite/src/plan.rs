//! Plans: a plan is a request whose functions are found, whose arguments are in their places, and of which it is known which names it wants
//! in which windows. All of that is known before anything is read, so that everything comes out of one snapshot and its cost can be refused.

use std::collections::{BTreeMap, HashMap};

use model::Glob;

use crate::arguments::Arguments;
use crate::buckets;
use crate::error::Error;
use crate::function::{Adds, Commutes, Function, Picks, WindowContext};
use crate::functions::find;
use crate::limits::{GROUPINGS_MAX, VISITS_MAX};
use crate::parse::{Call, Expression};
use crate::request::{Options, Request};
use crate::selector::Selector;
use crate::series::Series;
use crate::time;
use crate::value::Value;
use crate::window::{Context, MINUTE_S, Window};

const DAY_S: i64 = 86_400;

/// A planned request: the names that it asks for, and how its series are made of their counts.
#[derive(Debug)]
pub struct Plan {
    pub(crate) options: Options,
    pub(crate) targets: Vec<Node>,
    pub(crate) queries: Vec<Query>,
    /// The ways in which series are added up as they are read.
    pub(crate) groupings: Vec<Grouping>,
    /// Seconds of the buckets that counts are summed to as they are read: a minute, unless larger ones make no difference to the answer.
    pub(crate) bucket_s: i64,
    visits: usize,
    is_heavy: bool,
}

/// A query: the names that a path or a call of `seriesByTag` asks for, and the windows in which it asks for them.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) text: String,
    pub(crate) selector: Selector,
    /// The number of times that each window is wanted, series by series.
    pub(crate) windows: BTreeMap<Window, usize>,
    /// The numbers of series that are picked in each window, each time by what all are.
    pub(crate) picked: BTreeMap<Window, Vec<usize>>,
    /// The number of times that sums of series are wanted, in each window by each grouping, and none of them by itself.
    pub(crate) summed: BTreeMap<(Window, usize), usize>,
}

/// A way of adding up series: a function, and the arguments that it is called with.
pub(crate) struct Grouping {
    adds: Adds,
    arguments: Arguments,
}

impl Grouping {
    /// The group that a series is in.
    pub(crate) fn group_of(&self, series: &Series) -> String {
        (self.adds.group_of)(&self.arguments, series)
    }
}

impl std::fmt::Debug for Grouping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Grouping").field(&self.arguments).finish()
    }
}

/// An expression that is series, in the window that it is evaluated in.
#[derive(Debug)]
pub(crate) enum Node {
    /// All series of the query with this number.
    Series {
        query: usize,
        window: Window,
    },
    /// Some of the query's series.
    Picked {
        query: usize,
        window: Window,
        picks: Picks,
    },
    /// The sums of the query's series, one for each group.
    Sums {
        query: usize,
        window: Window,
        grouping: usize,
    },
    Call(Resolved),
}

/// A call whose function is known.
pub(crate) struct Resolved {
    pub(crate) function: &'static Function,
    pub(crate) window: Window,
    /// The arguments, with an empty list wherever series are one.
    pub(crate) arguments: Arguments,
    /// The series to fill in, by their places among the arguments, in the order in which they were written.
    pub(crate) series: Vec<(usize, Node)>,
    /// The first argument in each of the function's own windows.
    pub(crate) in_own_windows: Vec<Node>,
    /// The interval that it adds up, where all that it is given may come as sums of any part of that.
    pub(crate) adds_by_s: Option<i64>,
}

impl std::fmt::Debug for Resolved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolved")
            .field("function", &self.function.names)
            .field("window", &self.window)
            .field("arguments", &self.arguments)
            .field("series", &self.series)
            .field("in_own_windows", &self.in_own_windows)
            .finish()
    }
}

impl Plan {
    /// Plans a request: nothing is read for it.
    ///
    /// # Errors
    /// `UnknownFunction`, an error of a function's arguments or of a pattern; `TooManyVisits` and `TooManyPatterns` beyond the limits.
    pub fn of(request: Request) -> Result<Self, Error> {
        let Request { targets, options } = request;
        let mut planner = Planner {
            // With a factor it matters how many of a row's values are known, which a sum does not say.
            adds: options.x_files_factor.is_none() && !targets.iter().any(sets_factor),
            context: options.context,
            queries: Vec::new(),
            numbers: HashMap::new(),
            groupings: Vec::new(),
            groupings_by_text: HashMap::new(),
            patterns: 0,
            visits: 0,
            is_heavy: false,
        };
        let window = options.window;
        let targets = targets.iter().map(|target| planner.node(target, window));
        let targets: Vec<Node> = targets.collect::<Result<_, _>>()?;
        let drawn_s = match options.values_max {
            Some(values_max) if options.x_files_factor.is_none() => {
                buckets::to_read_s(window.minutes(), values_max)
            }
            _ => MINUTE_S,
        };
        let read_s = |target: &Node| {
            let added_s = target.added_s()?;
            Some(if target.commutes() { drawn_s } else { added_s })
        };
        let read_s = targets.iter().filter_map(read_s);
        let bucket_s = read_s.reduce(buckets::common_s).unwrap_or(MINUTE_S);
        Ok(Self {
            options,
            targets,
            queries: planner.queries,
            groupings: planner.groupings,
            bucket_s,
            visits: planner.visits,
            is_heavy: planner.is_heavy,
        })
    }

    /// The patterns that match all names that are wanted, and perhaps others; none where no names are.
    pub fn globs(&self) -> Vec<Glob> {
        let globs = self.queries.iter().map(|query| query.selector.glob().clone());
        globs.collect()
    }

    /// The number of visits that the evaluation takes: the names, calls and literals, each as often as its windows ask for.
    pub fn visits(&self) -> usize {
        self.visits
    }

    /// Whether a function takes long over a few values already.
    pub fn is_heavy(&self) -> bool {
        self.is_heavy
    }
}

impl Node {
    /// Whether every function in it commutes with summing into buckets.
    pub(crate) fn commutes(&self) -> bool {
        let Self::Call(call) = self else {
            return true;
        };
        let itself = match call.function.commutes {
            Commutes::Never => false,
            Commutes::Always => true,
            Commutes::If(condition) => condition(&call.arguments),
        };
        let mut series = call.series.iter().map(|(_, node)| node);
        // A line has another step than counts: beside one, values are combined at a common step, which is no part of a bucket.
        let has_line = call.function.combines && self.has_line();
        itself && !has_line && series.all(Self::commutes)
    }

    /// The longest buckets that counts may be summed to as they are read where all of them are added up by intervals; `None` without any.
    fn added_s(&self) -> Option<i64> {
        let Self::Call(call) = self else {
            return Some(MINUTE_S);
        };
        if let Some(seconds) = call.adds_by_s {
            let within_days = buckets::common_s(seconds, DAY_S);
            return Some(if within_days % MINUTE_S == 0 {
                within_days
            } else {
                MINUTE_S
            });
        }
        let series = call.series.iter().map(|(_, node)| node);
        let all = series.chain(&call.in_own_windows);
        all.filter_map(Self::added_s).reduce(buckets::common_s)
    }

    fn has_line(&self) -> bool {
        let Self::Call(call) = self else {
            return false;
        };
        call.function.draws_line || call.series.iter().any(|(_, node)| node.has_line())
    }
}

/// The planner of one request.
struct Planner {
    /// Whether series may be added up as they are read.
    adds: bool,
    context: Context,
    queries: Vec<Query>,
    /// The queries' numbers by their texts: names that are asked for twice are read once.
    numbers: HashMap<String, usize>,
    groupings: Vec<Grouping>,
    /// The groupings' numbers by function and arguments: sums that are asked for twice are read once.
    groupings_by_text: HashMap<String, usize>,
    patterns: usize,
    visits: usize,
    is_heavy: bool,
}

impl Planner {
    fn node(&mut self, expression: &Expression, window: Window) -> Result<Node, Error> {
        self.charge(1)?;
        match expression {
            Expression::Path(_) | Expression::Tags(_) => {
                let query = self.query(expression)?;
                *self.queries[query].windows.entry(window).or_insert(0) += 1;
                Ok(Node::Series { query, window })
            }
            Expression::Call(call) => self.call(call, window).map(Node::Call),
            Expression::Number(_) | Expression::Text(_) | Expression::Boolean(_) | Expression::None => {
                Err(Error::NoSeries)
            }
        }
    }

    fn charge(&mut self, visits: usize) -> Result<(), Error> {
        self.visits += visits;
        if self.visits > VISITS_MAX {
            return Err(Error::TooManyVisits);
        }
        Ok(())
    }

    /// The number of the query of `names`, a path or a call of `seriesByTag`; a new one if it was not asked for before.
    fn query(&mut self, names: &Expression) -> Result<usize, Error> {
        let (text, tags) = match names {
            Expression::Path(path) => (path, None),
            Expression::Tags(tags) => (&tags.raw, Some(tags)),
            _ => return Err(Error::NoSeries),
        };
        if let Some(tags) = tags {
            self.is_heavy = true;
            self.charge(tags.conditions.len())?;
        }
        if let Some(number) = self.numbers.get(text) {
            return Ok(*number);
        }
        let selector = match tags {
            Some(tags) => Selector::by_tags(&tags.conditions)?,
            None => Selector::by_path(text)?,
        };
        let patterns_max = self.context.limits.patterns_max;
        self.patterns += selector.pattern_count();
        if self.patterns > patterns_max {
            return Err(Error::TooManyPatterns(patterns_max));
        }
        let number = self.queries.len();
        self.numbers.insert(text.clone(), number);
        self.queries.push(Query {
            text: text.clone(),
            selector,
            windows: BTreeMap::new(),
            picked: BTreeMap::new(),
            summed: BTreeMap::new(),
        });
        Ok(number)
    }

    /// The number of a grouping; `None` where series are not added up as they are read.
    fn grouping(&mut self, function: &Function, arguments: &Arguments) -> Option<usize> {
        let adds = function.adds.filter(|adds| self.adds && (adds.when)(arguments))?;
        let text = format!("{:?} {arguments:?}", function.names);
        if let Some(number) = self.groupings_by_text.get(&text) {
            return Some(*number);
        }
        if self.groupings.len() == GROUPINGS_MAX {
            return None;
        }
        self.groupings.push(Grouping {
            adds,
            arguments: arguments.clone(),
        });
        let number = self.groupings.len() - 1;
        self.groupings_by_text.insert(text, number);
        Some(number)
    }

    fn call(&mut self, call: &Call, window: Window) -> Result<Resolved, Error> {
        let function = find(&call.function)?;
        self.is_heavy |= function.windows.is_some() || function.is_heavy;
        let (arguments, places) = bound(function, call)?;
        let mut resolved = Resolved {
            function,
            window,
            arguments,
            series: Vec::new(),
            in_own_windows: Vec::new(),
            adds_by_s: None,
        };
        if let Some(names) = only_names(call)
            && let Some(grouping) = self.grouping(function, &resolved.arguments)
        {
            self.charge(expressions(call).count())?;
            let query = self.query(names)?;
            *self.queries[query].summed.entry((window, grouping)).or_insert(0) += 1;
            resolved.series.push((
                0,
                Node::Sums {
                    query,
                    window,
                    grouping,
                },
            ));
            return Ok(resolved);
        }
        if let Some((names, picks)) = only_names(call).zip(function.picks) {
            self.charge(expressions(call).count())?;
            let (query, picks) = (self.query(names)?, picks(&resolved.arguments));
            let counts = self.queries[query].picked.entry(window).or_default();
            counts.push(picks.count);
            resolved.series.push((0, Node::Picked { query, window, picks }));
            return Ok(resolved);
        }
        let first = expressions(call).zip(&places).find(|(_, place)| **place == 0);
        let mut as_it_is = true;
        if let Some((windows, (first, _))) = function.windows.as_ref().zip(first) {
            let context = WindowContext {
                context: self.context,
                step: step(first),
            };
            let own_windows = (windows.of)(&resolved.arguments, window, context)?;
            as_it_is = windows.and_as_is || own_windows.is_empty();
            for window in own_windows {
                resolved.in_own_windows.push(self.node(first, window)?);
            }
        }
        for (expression, place) in expressions(call).zip(places) {
            if place == 0 && !as_it_is {
                continue;
            }
            if literal(expression).is_some() {
                self.charge(1)?;
            } else {
                resolved.series.push((place, self.node(expression, window)?));
            }
        }
        // With a factor it matters how many of an interval's minutes are known.
        let mut series = resolved.series.iter().map(|(_, node)| node);
        let commute = series.all(|node| node.commutes() && !node.has_line());
        let adds_by_s = function.adds_by_s.filter(|_| self.adds && commute);
        resolved.adds_by_s = adds_by_s.and_then(|of| of(&resolved.arguments, self.context));
        Ok(resolved)
    }
}

/// The names that are a call's only series, if it has no other.
fn only_names(call: &Call) -> Option<&Expression> {
    let names = call.arguments.first()?;
    let are_names = matches!(names, Expression::Path(_) | Expression::Tags(_));
    let mut others = expressions(call).skip(1);
    (are_names && others.all(|other| literal(other).is_some())).then_some(names)
}

/// Whether an expression has a call that changes how many of a row's values must be known.
fn sets_factor(expression: &Expression) -> bool {
    let Expression::Call(call) = expression else {
        return false;
    };
    find(&call.function).is_ok_and(|function| function.sets_x_files_factor)
        || expressions(call).any(sets_factor)
}

/// All arguments of a call, keywords last.
fn expressions(call: &Call) -> impl Iterator<Item = &Expression> {
    let keywords = call.keywords.iter().map(|(_, value)| value);
    call.arguments.iter().chain(keywords)
}

/// A call's arguments before anything was read, with empty series, and the place of each.
fn bound(function: &Function, call: &Call) -> Result<(Arguments, Vec<usize>), Error> {
    let value = |expression: &Expression| literal(expression).unwrap_or(Value::Series(Vec::new()));
    let keywords = call
        .keywords
        .iter()
        .map(|(key, argument)| (key.as_str(), value(argument)));
    Arguments::bind(
        &call.function,
        function.parameters,
        call.arguments.iter().map(value).collect(),
        keywords.collect(),
    )
}

fn literal(expression: &Expression) -> Option<Value> {
    Some(match expression {
        Expression::Number(number) => Value::Number(*number),
        Expression::Text(text) => Value::Text(text.clone()),
        Expression::Boolean(boolean) => Value::Boolean(*boolean),
        Expression::None => Value::None,
        Expression::Path(_) | Expression::Tags(_) | Expression::Call(_) => return None,
    })
}

/// Seconds between the values of an expression: a minute, or the longest interval that is summed to on the way.
fn step(expression: &Expression) -> i64 {
    let Expression::Call(call) = expression else {
        return MINUTE_S;
    };
    let interval = find(&call.function).ok().and_then(|function| {
        let at = function.interval_at?;
        let named = |(key, _): &&(String, Expression)| *key == function.parameters[at].name;
        let keyword = || call.keywords.iter().find(named).map(|(_, value)| value);
        call.arguments.get(at).or_else(keyword)
    });
    let own = match interval {
        Some(Expression::Text(interval)) => time::interval(interval),
        _ => None,
    };
    own.map(i64::abs)
        .or_else(|| expressions(call).map(step).max())
        .unwrap_or(MINUTE_S)
        .max(MINUTE_S)
}
