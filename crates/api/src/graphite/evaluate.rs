//! Expressions become series: arguments first, then the function.

use std::time::{Duration, Instant};

use super::Fault;
use super::catalogue::find;
use super::fetch::Fetched;
use super::function::{Arguments, Frame, Function, Moment, Value, Window};
use super::parse::{Call, Expression};
use super::plan::{self, SERIES_BY_TAG};
use super::series::Series;

/// Longest work on one request's functions, looked at between two of them: several times that of a large dashboard.
const WORK_LIMIT: Duration = Duration::from_secs(2);

pub(super) struct Evaluation<'a> {
    fetched: &'a Fetched,
    moment: Moment,
    /// Of the request; `setXFilesFactor` changes it for what comes after, as in Graphite.
    x_files_factor: Option<f64>,
    begun: Instant,
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(fetched: &'a Fetched, moment: Moment, x_files_factor: Option<f64>) -> Self {
        Self {
            fetched,
            moment,
            x_files_factor,
            begun: Instant::now(),
        }
    }

    /// # Errors
    /// What a function cannot do; `NoSeries` for a literal.
    pub(super) fn target(&mut self, target: &Expression, window: Window) -> Result<Vec<Series>, Fault> {
        match self.value(target, window)? {
            Value::Series(list) => Ok(list),
            _ => Err(Fault::NoSeries),
        }
    }

    fn value(&mut self, expression: &Expression, window: Window) -> Result<Value, Fault> {
        match expression {
            Expression::Path(path) => Ok(Value::Series(self.read(path, window))),
            Expression::Call(call) if call.function == SERIES_BY_TAG => {
                Ok(Value::Series(self.read(&call.raw, window)))
            }
            Expression::Call(call) => self.call(call, window).map(Value::Series),
            literal => plan::literal(literal).ok_or(Fault::NoSeries),
        }
    }

    fn read(&self, path: &str, window: Window) -> Vec<Series> {
        let mut list = self.fetched.series(path, window);
        if let Some(factor) = self.x_files_factor {
            list.iter_mut().for_each(|series| series.x_files_factor = factor);
        }
        list
    }

    fn call(&mut self, call: &Call, window: Window) -> Result<Vec<Series>, Fault> {
        let function = find(&call.function)?;
        let names = plan::added(function, call).and_then(plan::names_key);
        if let Some(list) = names.and_then(|names| self.fetched.added(names, window)) {
            let list = vec![Value::Series(list)];
            let arguments = Arguments::bind(&call.function, function.parameters, list, Vec::new())?;
            return self.run(function, arguments, window, Vec::new());
        }
        let (mut elsewhere, mut as_it_is) = (Vec::new(), true);
        let first = plan::argument(function, call, 0);
        if let Some(first) = first
            && function.windows.is_some()
        {
            let literals = plan::literals(function, call)?;
            for window in plan::windows(function, &literals, first, window, self.moment)? {
                elsewhere.push(self.target(first, window)?);
            }
            as_it_is = plan::is_wanted_as_it_is(function, &literals, first, window, self.moment)?;
        }
        let mut value = |argument: &Expression| match argument {
            _ if !as_it_is && plan::is_same(argument, first) => Ok(Value::Series(Vec::new())),
            argument => self.value(argument, window),
        };
        let positional = call.arguments.iter().map(&mut value);
        let positional = positional.collect::<Result<_, _>>()?;
        let keywords = call.keywords.iter();
        let keywords = keywords.map(|(key, argument)| Ok((key.clone(), value(argument)?)));
        let keywords = keywords.collect::<Result<_, Fault>>()?;
        let arguments = Arguments::bind(&call.function, function.parameters, positional, keywords)?;
        self.run(function, arguments, window, elsewhere)
    }

    fn run(
        &mut self,
        function: &Function,
        arguments: Arguments,
        window: Window,
        elsewhere: Vec<Vec<Series>>,
    ) -> Result<Vec<Series>, Fault> {
        let mut frame = Frame {
            window,
            moment: self.moment,
            x_files_factor: self.x_files_factor,
            elsewhere,
        };
        if self.begun.elapsed() > WORK_LIMIT {
            return Err(Fault::TooMuchWork);
        }
        let mut outcome = (function.run)(&mut frame, arguments)?;
        outcome.iter_mut().for_each(Series::shorten);
        self.x_files_factor = frame.x_files_factor;
        Ok(outcome)
    }
}
