//! Reading: the counts that are to be read for a plan, and those that were.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::{EventId, Extent};

use crate::error::Error;
use crate::function::Picks;
use crate::number::Point;
use crate::plan::{Grouping, Plan};
use crate::series::Series;
use crate::span::Span;
use crate::window::{MINUTE_S, Window};

/// The memory of a series' name and tags, in values.
pub(crate) const VALUES_PER_SERIES: usize = 32;

/// A name that counts are kept of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The id that its counts are kept under.
    pub id: EventId,
    /// The name itself.
    pub name: String,
}

/// A read: counts of one span to be summed, of each name by itself or of several together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The minutes, and the buckets that they are summed to.
    pub span: Span,
    /// The ids of the names, none twice.
    pub ids: Vec<EventId>,
    /// The sums of several names that it is.
    sums: Option<Sums>,
}

/// Sums of a query's names, one for each group.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sums {
    query: usize,
    grouping: usize,
    /// The row of each name.
    rows: Arc<[usize]>,
    /// The group of each row.
    groups: Arc<[Group]>,
}

/// Names that are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Group {
    /// The place of the first among the query's names.
    first: usize,
    /// How many there are.
    names: usize,
}

impl Read {
    /// The number of rows that are wanted, each of [`Span::bucket_count`] sums.
    pub fn rows(&self) -> usize {
        self.sums
            .as_ref()
            .map_or(self.ids.len(), |sums| sums.groups.len())
    }

    /// The index of the row that the counts of the name at this place of `ids` belong to.
    pub fn row_of(&self, at: usize) -> usize {
        self.sums.as_ref().map_or(at, |sums| sums.rows[at])
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
    looked_at: usize,
}

impl Plan {
    /// The counts that are to be read, given all names that [`Plan::globs`] match, in the order of names.
    ///
    /// # Errors
    /// `TooManyNames` and `TooManyPointsPerSeries` beyond the limits.
    pub fn reading(&self, names: &[Name]) -> Result<Reading, Error> {
        let matched = self
            .queries
            .iter()
            .map(|query| query.selector.kept(names, |name| &name.name));
        let matched: Vec<Vec<Name>> = matched.map(|kept| kept.into_iter().cloned().collect()).collect();
        // Before anything is made of each name in each window.
        let names = self.queries.iter().zip(&matched).map(|(query, names)| {
            let windows = query.windows.len() + query.picked.len() + query.summed.len();
            names.len().saturating_mul(windows)
        });
        let names_max = self.options.context.limits.names_read_max;
        if names.fold(0, usize::saturating_add) > names_max {
            return Err(Error::TooManyNames(names_max));
        }
        let mut reading = Reading {
            bucket_s: self.bucket_s,
            matched,
            reads: Vec::new(),
            values: 0,
            looked_at: 0,
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

impl Grouping {
    /// The row of each name, and the group of each row, in the order in which they begin.
    fn rows_of(&self, names: &[Name]) -> (Arc<[usize]>, Arc<[Group]>) {
        let mut numbers = HashMap::new();
        let mut groups = Vec::new();
        let row = |(at, name): (usize, &Name)| {
            let group = self.group_of(&Series::new(name.name.clone(), (0, 0, MINUTE_S), Vec::new()));
            let row = *numbers.entry(group).or_insert_with(|| {
                groups.push(Group { first: at, names: 0 });
                groups.len() - 1
            });
            groups[row].names += 1;
            row
        };
        let rows = names.iter().enumerate().map(row).collect();
        (rows, groups.into())
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
            for (window, counts) in &query.picked {
                let span = plan.span(*window)?;
                let kept = counts.iter().map(|count| names.len().min(*count));
                let made = kept
                    .fold(0, usize::saturating_add)
                    .saturating_mul(span.bucket_count() + VALUES_PER_SERIES);
                self.values = self.values.saturating_add(made);
                let looked_at = names.len() * counts.len() * span.bucket_count();
                self.looked_at = self.looked_at.saturating_add(looked_at);
                for name in names {
                    spans.entry(name.id).or_default().insert(span);
                }
            }
        }
        let mut wanted = BTreeMap::<Span, Vec<EventId>>::new();
        for (id, spans) in spans {
            let mut hulls = Vec::<Span>::new();
            for span in spans {
                let hull = |last: &Span| Span {
                    end: last.end.max(span.end),
                    ..*last
                };
                match hulls.last_mut() {
                    Some(last) if span.first <= last.end && hull(last).has(*last) && hull(last).has(span) => {
                        *last = hull(last);
                    }
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
            sums: None,
        });
        self.reads.extend(reads);
        Ok(())
    }

    /// Adds the reads of sums, one for each query, window and grouping: what is summed cannot be shared between windows.
    fn want_sums(&mut self, plan: &Plan) -> Result<(), Error> {
        let mut known = HashMap::new();
        for (number, query) in plan.queries.iter().enumerate() {
            for (&(window, grouping), visits) in &query.summed {
                let span = plan.span(window)?;
                let names = &self.matched[number];
                let rows_of = || plan.groupings[grouping].rows_of(names);
                let (rows, groups) = known.entry((number, grouping)).or_insert_with(rows_of);
                let made = groups
                    .len()
                    .saturating_mul(span.bucket_count() + VALUES_PER_SERIES)
                    .saturating_mul(*visits);
                self.values = self.values.saturating_add(made);
                self.reads.push(Read {
                    span,
                    ids: names.iter().map(|name| name.id).collect(),
                    sums: Some(Sums {
                        query: number,
                        grouping,
                        rows: Arc::clone(rows),
                        groups: Arc::clone(groups),
                    }),
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

    /// The number of values that the functions begin with or choose from: the measure of their work.
    pub fn looked_at(&self) -> usize {
        self.values.saturating_add(self.looked_at)
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
            match read.sums {
                Some(sums) => {
                    let groups = sums.groups.iter().copied().zip(rows).collect();
                    counts
                        .summed
                        .insert((sums.query, sums.grouping, read.span), groups);
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

/// The sums of a group.
type Added = (Group, Vec<u128>);

/// The counts that were read for a plan.
#[derive(Debug)]
pub struct Counts {
    bucket_s: i64,
    extent: Extent,
    matched: Vec<Vec<Name>>,
    series: HashMap<EventId, Vec<(Span, Vec<u128>)>>,
    /// The sums of groups of a query's names, where no function looks at each of them, by query, grouping and span.
    summed: HashMap<(usize, usize, Span), Vec<Added>>,
}

impl Counts {
    /// The series of a query in a window that was planned. Their path is its `text`.
    pub(crate) fn series(&self, query: usize, text: &str, window: Window) -> Vec<Series> {
        let span = Span::of(window, self.bucket_s);
        let names = self.matched[query].iter();
        names.map(|name| self.one(name, text, span)).collect()
    }

    fn one(&self, name: &Name, text: &str, span: Span) -> Series {
        series_of(&name.name, text, span, self.values_of(name.id, span))
    }

    /// Those of a query's series that are picked by what they are in a window that was planned so; only they are made.
    pub(crate) fn picked(&self, query: usize, text: &str, window: Window, picks: Picks) -> Vec<Series> {
        let span = Span::of(window, self.bucket_s);
        let picked = picks.of(self.matched[query].iter().collect(), |name| {
            picks.aggregate.of(&self.values_of(name.id, span))
        });
        picked
            .into_iter()
            .map(|name| self.one(name, text, span))
            .collect()
    }

    /// The sums of a query's series, one for each group of a grouping, in a window that was planned so.
    pub(crate) fn sums(&self, (query, grouping): (usize, usize), text: &str, window: Window) -> Vec<Series> {
        let span = Span::of(window, self.bucket_s);
        let groups = self.summed.get(&(query, grouping, span));
        let series = groups.into_iter().flatten().map(|(group, sums)| {
            let first = &self.matched[query][group.first];
            let mut series = series_of(&first.name, text, span, self.shown(sums.iter(), span));
            if group.names > 1 {
                // A sum has only the tags that all of them have in common.
                series.tags.clear();
            }
            series
        });
        series.collect()
    }

    fn values_of(&self, id: EventId, span: Span) -> Vec<Point> {
        let held = self
            .series
            .get(&id)
            .and_then(|held| held.iter().find(|(held, _)| held.has(span)));
        let Some((held, sums)) = held else {
            return vec![None; span.bucket_count()];
        };
        let skipped = usize::try_from((span.start() - held.start()) / self.bucket_s).unwrap_or(usize::MAX);
        self.shown(sums.iter().skip(skipped).take(span.bucket_count()), span)
    }

    /// The values of a span's buckets, whose counts are these sums.
    fn shown<'a>(&self, sums: impl Iterator<Item = &'a u128>, span: Span) -> Vec<Point> {
        let values = sums.enumerate();
        values
            .map(|(index, sum)| span.shown(index, *sum, &self.extent))
            .collect()
    }
}

/// A series of counts, of the query with this text.
fn series_of(name: &str, text: &str, span: Span, values: Vec<Point>) -> Series {
    let grid = (span.start(), span.stop(), span.bucket_s);
    let mut series = Series::new(name.to_owned(), grid, values);
    text.clone_into(&mut series.path);
    series
}
