//! Descriptions of functions: everything that planning and evaluating ask about a function stands in its description, never in its name.

use crate::aggregate::{Aggregate, sorted};
use crate::arguments::Arguments;
use crate::error::Error;
use crate::number::Point;
use crate::parameter::Parameter;
use crate::series::Series;
use crate::window::{Context, Window};

/// One function under all its names, for the planner, the evaluator and the catalogue.
pub(crate) struct Function {
    pub(crate) names: &'static [&'static str],
    pub(crate) group: &'static str,
    pub(crate) description: &'static str,
    pub(crate) parameters: &'static [Parameter],
    pub(crate) run: fn(&mut Frame, Arguments) -> Result<Vec<Series>, Error>,
    /// The windows, other than the request's, that the first argument is evaluated in.
    pub(crate) windows: Option<Windows>,
    /// Whether summing the values into buckets may as well come before the function.
    pub(crate) commutes: Commutes,
    /// How it only adds series up, if it does.
    pub(crate) adds: Option<Adds>,
    /// By what it keeps some of its series, if it does nothing else.
    pub(crate) picks: Option<fn(&Arguments) -> Picks>,
    /// The interval that it only adds values up by, if it does: what is read may be summed to any part of that.
    pub(crate) adds_by_s: Option<fn(&Arguments, Context) -> Option<i64>>,
    /// Whether it makes one value of several series' values at the same time.
    pub(crate) combines: bool,
    /// Whether it is a line of its own, with fewer values than a series of counts has.
    pub(crate) draws_line: bool,
    /// Whether it changes how many values must be known, for all that is evaluated after it.
    pub(crate) sets_x_files_factor: bool,
    /// Whether it takes long over a few values already.
    pub(crate) is_heavy: bool,
    /// The place of the argument that is the interval between the values that it makes.
    pub(crate) interval_at: Option<usize>,
    /// Whether it applies another function, which must not be of the same kind.
    pub(crate) applies_function: bool,
}

impl Function {
    /// A function without any peculiarity, on which descriptions are based.
    pub(crate) const PLAIN: Self = Self {
        names: &[],
        group: "",
        description: "",
        parameters: &[],
        run: |_, mut args| Ok(args.series()),
        windows: None,
        commutes: Commutes::Never,
        adds: None,
        picks: None,
        adds_by_s: None,
        combines: false,
        draws_line: false,
        sets_x_files_factor: false,
        is_heavy: false,
        interval_at: None,
        applies_function: false,
    };
}

/// A function's own windows, which the planner asks for before anything is read.
pub(crate) struct Windows {
    pub(crate) of: fn(&Arguments, Window, WindowContext) -> Result<Vec<Window>, Error>,
    /// Whether the first argument is wanted in the request's window, too.
    pub(crate) and_as_is: bool,
}

/// When a function commutes with summing into buckets: the sum of its values is then its value of the sums, so counts may be summed as they
/// are read.
#[derive(Clone, Copy)]
pub(crate) enum Commutes {
    Never,
    Always,
    If(fn(&Arguments) -> bool),
}

/// How a function adds series up by group: its outcome is the same for the sum of each group, so that counts may be added up as they are read.
#[derive(Clone, Copy)]
pub(crate) struct Adds {
    /// Whether it does, with these arguments.
    pub(crate) when: fn(&Arguments) -> bool,
    /// The group that a series is in.
    pub(crate) group_of: fn(&Arguments, &Series) -> String,
}

/// Which series a function keeps: the first so many by the aggregate of each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Picks {
    pub(crate) aggregate: Aggregate,
    pub(crate) from_highest: bool,
    pub(crate) count: usize,
}

impl Picks {
    /// Those of `list` that are kept, given the aggregate of each.
    pub(crate) fn of<T>(self, list: Vec<T>, aggregate: impl Fn(&T) -> Point) -> Vec<T> {
        let mut picked = sorted(list, self.from_highest, aggregate);
        picked.truncate(self.count);
        picked
    }
}

/// The context that the windows of a function depend on, besides its arguments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowContext {
    pub(crate) context: Context,
    /// Seconds between the values of the first argument.
    pub(crate) step: i64,
}

/// The frame of a call: what a function finds besides its arguments.
pub(crate) struct Frame {
    pub(crate) window: Window,
    pub(crate) context: Context,
    /// The request's factor, or the one that `setXFilesFactor` has set.
    pub(crate) x_files_factor: Option<f64>,
    /// The first argument in each of the function's windows.
    pub(crate) in_own_windows: Vec<Vec<Series>>,
    /// What the function picks, if it does.
    pub(crate) picks: Option<Picks>,
    /// The end of the window's minutes, where its series may be of longer buckets, which are to be added up.
    pub(crate) minutes_end: Option<i64>,
}
