//! Reading: the counts that are to be read for a plan, and those that were.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::{EventId, Extent};

use crate::error::Error;
use crate::number::Point;
use crate::plan::Plan;
use crate::series::Series;
use crate::span::Span;
use crate::window::Window;

/// The memory of a series' name and tags, in values.
const VALUES_PER_SERIES: usize = 32;

/// A name that counts are kept of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The id that its counts are kept under.
    pub id: EventId,
    /// The name itself.
    pub name: String,
}

/// A read: counts of one span to be summed, of each name by itself or of all together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The minutes, and the buckets that they are summed to.
    pub span: Span,
    /// The ids of the names, none twice.
    pub ids: Vec<EventId>,
    /// The query whose names' sum it is.
    summed_for: Option<usize>,
}

impl Read {
    /// The number of rows that are wanted, each of [`Span::bucket_count`] sums.
    pub fn rows(&self) -> usize {
        match self.summed_for {
            Some(_) => 1,
            None => self.ids.len(),
        }
    }

    /// The index of the row that the counts of the name at this place of `ids` belong to.
    pub fn row_of(&self, at: usize) -> usize {
        match self.summed_for {
            Some(_) => 0,
            None => at,
        }
    }
}

/// The reads of a plan, once the names that there are are known.
#[derive(Debug)]
pub struct Reading {
    bucket_s: i64,
    /// The names of each query, in the order of names.
    matched: Vec<Vec<Name>>,
    reads: Vec<Read>,
    values: usize,
}

impl Plan {
    /// The counts that are to be read, given all names that [`Plan::globs`] match, in the order of names.
    ///
    /// # Errors
    /// `TooManyPointsPerSeries` beyond the limit.
    pub fn reading(&self, names: &[Name]) -> Result<Reading, Error> {
        let matched = self
            .queries
            .iter()
            .map(|query| query.selector.kept(names, |name| &name.name));
        let matched = matched.map(|kept| kept.into_iter().cloned().collect());
        let mut reading = Reading {
            bucket_s: self.bucket_s,
            matched: matched.collect(),
            reads: Vec::new(),
            values: 0,
        };
        reading.want_series(self)?;
        reading.want_sums(self)?;
        Ok(reading)
    }

    fn span(&self, window: Window) -> Result<Span, Error> {
        let span = Span::of(window, self.bucket_s);
        let longest = self.options.context.limits.points_per_series_max;
        if span.bucket_count() > longest {
            return Err(Error::TooManyPointsPerSeries(longest));
        }
        Ok(span)
    }
}

impl Reading {
    /// Adds the reads of series. Spans of one name that overlap are read once.
    fn want_series(&mut self, plan: &Plan) -> Result<(), Error> {
        let mut spans = HashMap::<EventId, BTreeSet<Span>>::new();
        for (query, names) in plan.queries.iter().zip(&self.matched) {
            for (window, visits) in &query.windows {
                let span = plan.span(*window)?;
                let made = names
                    .len()
                    .saturating_mul(span.bucket_count() + VALUES_PER_SERIES)
                    .saturating_mul(*visits);
                self.values = self.values.saturating_add(made);
                for name in names {
                    spans.entry(name.id).or_default().insert(span);
                }
            }
        }
        let mut wanted = BTreeMap::<Span, Vec<EventId>>::new();
        for (id, spans) in spans {
            let mut hulls = Vec::<Span>::new();
            for span in spans {
                match hulls.last_mut() {
                    Some(last) if span.first <= last.end => last.end = last.end.max(span.end),
                    _ => hulls.push(span),
                }
            }
            for hull in hulls {
                wanted.entry(hull).or_default().push(id);
            }
        }
        let reads = wanted.into_iter().map(|(span, ids)| Read {
            span,
            ids,
            summed_for: None,
        });
        self.reads.extend(reads);
        Ok(())
    }

    /// Adds the reads of sums, one for each query and window: what is summed cannot be shared between windows.
    fn want_sums(&mut self, plan: &Plan) -> Result<(), Error> {
        for (number, query) in plan.queries.iter().enumerate() {
            for (window, visits) in &query.summed {
                let span = plan.span(*window)?;
                let made = (span.bucket_count() + VALUES_PER_SERIES).saturating_mul(*visits);
                self.values = self.values.saturating_add(made);
                self.reads.push(Read {
                    span,
                    ids: self.matched[number].iter().map(|name| name.id).collect(),
                    summed_for: Some(number),
                });
            }
        }
        Ok(())
    }

    /// The reads, in the order in which [`Reading::with`] takes their sums.
    pub fn reads(&self) -> &[Read] {
        &self.reads
    }

    /// The number of values that the functions begin with: the measure of a request's memory.
    pub fn values(&self) -> usize {
        self.values
    }

    /// The counts that were read: `sums` has the rows of each of [`Reading::reads`], in its order, and `extent` the time that is known.
    pub fn with(self, sums: Vec<Vec<Vec<u128>>>, extent: Extent) -> Counts {
        let mut counts = Counts {
            bucket_s: self.bucket_s,
            extent,
            matched: self.matched,
            series: HashMap::new(),
            summed: HashMap::new(),
        };
        for (read, rows) in self.reads.into_iter().zip(sums) {
            match read.summed_for {
                Some(query) => {
                    let sums = rows.into_iter().next().unwrap_or_default();
                    counts.summed.insert((query, read.span), sums);
                }
                None => {
                    for (id, sums) in read.ids.into_iter().zip(rows) {
                        counts.series.entry(id).or_default().push((read.span, sums));
                    }
                }
            }
        }
        counts
    }
}

/// The counts that were read for a plan.
#[derive(Debug)]
pub struct Counts {
    bucket_s: i64,
    extent: Extent,
    matched: Vec<Vec<Name>>,
    series: HashMap<EventId, Vec<(Span, Vec<u128>)>>,
    /// The sums over all names of a query, where no function looks at each of them.
    summed: HashMap<(usize, Span), Vec<u128>>,
}

impl Counts {
    /// The series of a query in a window that was planned. Their path is its `text`.
    pub(crate) fn series(&self, query: usize, text: &str, window: Window) -> Vec<Series> {
        let span = Span::of(window, self.bucket_s);
        let series = self.matched[query].iter().map(|name| {
            let values = self.values_of(name.id, span);
            let mut series = Series::new(
                name.name.clone(),
                (span.start(), span.stop(), self.bucket_s),
                values,
            );
            text.clone_into(&mut series.path);
            series
        });
        series.collect()
    }

    /// The sum of all series of a query, as one series, in a window that was planned so; `None` where the query has no names.
    pub(crate) fn sum(&self, query: usize, text: &str, window: Window) -> Option<Series> {
        let span = Span::of(window, self.bucket_s);
        let names = &self.matched[query];
        let first = names.first()?;
        let sums = self
            .summed
            .get(&(query, span))
            .map(Vec::as_slice)
            .unwrap_or_default();
        let values = sums.iter().enumerate();
        let values = values.map(|(index, sum)| span.shown(index, *sum, &self.extent));
        let grid = (span.start(), span.stop(), self.bucket_s);
        let mut series = Series::new(first.name.clone(), grid, values.collect());
        if names.len() > 1 {
            // A sum has only the tags that all of them have in common.
            series.tags.clear();
        }
        text.clone_into(&mut series.path);
        Some(series)
    }

    fn values_of(&self, id: EventId, span: Span) -> Vec<Point> {
        let held = self
            .series
            .get(&id)
            .and_then(|held| held.iter().find(|(held, _)| held.covers(span)));
        let Some((held, sums)) = held else {
            return vec![None; span.bucket_count()];
        };
        let skipped = usize::try_from((span.start() - held.start()) / self.bucket_s).unwrap_or(usize::MAX);
        let sums = sums.iter().skip(skipped).take(span.bucket_count()).enumerate();
        sums.map(|(index, sum)| span.shown(index, *sum, &self.extent))
            .collect()
    }
}
