//! Evaluation: a plan becomes series, of each call its arguments first, then the function.

#![expect(clippy::disallowed_methods, reason = "work is limited by time")]

use std::time::Instant;

use crate::buckets;
use crate::error::Error;
use crate::function::Frame;
use crate::limits::WORK_LIMIT;
use crate::output::Output;
use crate::plan::{Node, Plan, Resolved};
use crate::reading::Counts;
use crate::request::Format;
use crate::series::Series;

impl Plan {
    /// Evaluates the plan on the counts that its reading asked for, and consolidates the series to the number of values that can be shown.
    ///
    /// # Errors
    /// The refusal of a function, such as `Function`, `Steps` or `UnevenDays`; `UnevenRaw` for a format that cannot show the values;
    /// `TooMuchWork` beyond the limit of time.
    pub fn evaluate(&self, counts: &Counts) -> Result<Output, Error> {
        let mut list = self.series(counts)?;
        let options = &self.options;
        if options.format == Format::Raw && list.iter().any(|series| series.zone.is_some()) {
            return Err(Error::UnevenRaw);
        }
        if let Some(values_max) = options.values_max {
            buckets::consolidate(&mut list, options.window.minutes(), values_max);
        }
        Ok(Output::of(list, options))
    }

    pub(crate) fn series(&self, counts: &Counts) -> Result<Vec<Series>, Error> {
        let mut evaluation = Evaluation {
            plan: self,
            counts,
            x_files_factor: self.options.x_files_factor,
            begun: Instant::now(),
        };
        let mut list = Vec::new();
        for target in &self.targets {
            list.extend(evaluation.node(target)?);
        }
        Ok(list)
    }
}

struct Evaluation<'a> {
    plan: &'a Plan,
    counts: &'a Counts,
    /// The request's factor; `setXFilesFactor` changes it for all that is evaluated after it, as in Graphite.
    x_files_factor: Option<f64>,
    begun: Instant,
}

impl Evaluation<'_> {
    fn node(&mut self, node: &Node) -> Result<Vec<Series>, Error> {
        match node {
            Node::Series { query, window } => {
                let text = &self.plan.queries[*query].text;
                Ok(self.with_factor(self.counts.series(*query, text, *window)))
            }
            Node::Picked { query, window, picks } => {
                let text = &self.plan.queries[*query].text;
                Ok(self.with_factor(self.counts.picked(*query, text, *window, *picks)))
            }
            Node::Sums {
                query,
                window,
                grouping,
            } => {
                let text = &self.plan.queries[*query].text;
                Ok(self.counts.sums((*query, *grouping), text, *window))
            }
            Node::Call(call) => self.call(call),
        }
    }

    fn with_factor(&self, mut list: Vec<Series>) -> Vec<Series> {
        if let Some(factor) = self.x_files_factor {
            list.iter_mut().for_each(|series| series.x_files_factor = factor);
        }
        list
    }

    fn call(&mut self, call: &Resolved) -> Result<Vec<Series>, Error> {
        let in_own_windows = call.in_own_windows.iter().map(|node| self.node(node));
        let in_own_windows = in_own_windows.collect::<Result<_, _>>()?;
        let mut arguments = call.arguments.clone();
        for (place, node) in &call.series {
            arguments.put(*place, self.node(node)?);
        }
        if self.begun.elapsed() > WORK_LIMIT {
            return Err(Error::TooMuchWork);
        }
        let mut frame = Frame {
            window: call.window,
            context: self.plan.options.context,
            x_files_factor: self.x_files_factor,
            in_own_windows,
            picks: call.function.picks.map(|picks| picks(&arguments)),
            minutes_end: call.adds_by_s.map(|_| call.window.minutes().1),
        };
        let mut outcome = (call.function.run)(&mut frame, arguments)?;
        outcome.iter_mut().for_each(Series::shorten);
        self.x_files_factor = frame.x_files_factor;
        Ok(outcome)
    }
}
