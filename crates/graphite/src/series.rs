//! Series on their way through the functions, and several of them on one grid.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::aggregate::Aggregate;
use crate::error::Error;
use crate::number::Point;
use crate::zone::Zone;

/// Values at equal distances of time, with the name that a graph shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    /// The name that a graph's legend shows.
    pub(crate) name: String,
    /// The expression that it came of, for the names of series that are made of it.
    pub(crate) path: String,
    pub(crate) tags: BTreeMap<String, String>,
    /// Unix seconds of the first value, or the reading of the clock of `zone` then.
    pub(crate) start: i64,
    /// The instant of the value that would follow the last.
    pub(crate) end: i64,
    /// Seconds from one value to the next, at least 1.
    pub(crate) step: i64,
    /// The zone by whose clock `start`, `end` and `step` are. Only for values of one day or several where the zone's clock was changed
    /// between them, so that not all are equally long.
    pub(crate) zone: Option<Zone>,
    /// The way in which several values become one where there are more than can be shown.
    pub(crate) consolidation: Aggregate,
    /// The share of values, from 0 to 1, that must be known for their aggregate to be known.
    pub(crate) x_files_factor: f64,
    pub(crate) values: Vec<Point>,
}

impl Series {
    pub(crate) fn new(name: String, grid: impl Into<Grid>, values: Vec<Point>) -> Self {
        let Grid {
            start,
            end,
            step,
            zone,
        } = grid.into();
        Self {
            tags: BTreeMap::from([("name".to_owned(), name.clone())]),
            path: name.clone(),
            name,
            start,
            end,
            step,
            zone,
            consolidation: Aggregate::Sum,
            x_files_factor: 0.0,
            values,
        }
    }

    /// Cuts name and path, which would grow with every function around the series.
    pub(crate) fn shorten(&mut self) {
        for name in [&mut self.name, &mut self.path] {
            *name = shortened(std::mem::take(name));
        }
    }

    /// Renames the series; series that are made of it are named after the new name.
    pub(crate) fn renamed(&mut self, name: String) {
        self.path.clone_from(&name);
        self.name = name;
    }

    pub(crate) fn tag(&mut self, key: &str, value: impl ToString) {
        self.tags.insert(key.to_owned(), value.to_string());
    }

    pub(crate) fn grid(&self) -> Grid {
        Grid {
            start: self.start,
            end: self.end,
            step: self.step,
            zone: self.zone,
        }
    }

    /// Replaces the values and the instants that they are at.
    pub(crate) fn moved_to(&mut self, grid: Grid, values: Vec<Point>) {
        (self.start, self.end, self.step) = (grid.start, grid.end, grid.step);
        (self.zone, self.values) = (grid.zone, values);
    }

    /// Unix seconds of the value at `index`.
    pub(crate) fn instant(&self, index: usize) -> i64 {
        let at = self.start + self.step * i64::try_from(index).unwrap_or(0);
        self.zone.map_or(at, |zone| zone.unix_s(at))
    }

    /// Seconds of time that each value covers.
    ///
    /// # Errors
    /// `UnevenDays` where not all are equally long.
    pub(crate) fn seconds(&self) -> Result<i64, Error> {
        match self.zone {
            None => Ok(self.step),
            Some(_) => Err(Error::UnevenDays),
        }
    }

    /// Replaces each known value.
    pub(crate) fn map(&mut self, change: impl Fn(crate::number::Number) -> Point) {
        for value in &mut self.values {
            *value = value.and_then(&change);
        }
    }
}

/// The instants of a series' values, as its fields of the same names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) step: i64,
    pub(crate) zone: Option<Zone>,
}

impl From<(i64, i64, i64)> for Grid {
    fn from((start, end, step): (i64, i64, i64)) -> Self {
        Self {
            start,
            end,
            step,
            zone: None,
        }
    }
}

#[cfg(test)]
impl PartialEq<(i64, i64, i64)> for Grid {
    fn eq(&self, other: &(i64, i64, i64)) -> bool {
        *self == Self::from(*other)
    }
}

/// Most bytes of a series' name or path: ten names of events. A series that is made of several has all of their names in its own, again and
/// again.
pub(crate) const NAME_BYTES_MAX: usize = 2_000;

/// Bytes of the end that is kept of a name that is too long; it tells whose query it is.
const NAME_END_BYTES: usize = 100;

/// The name, or its beginning and its end where it is too long.
pub(crate) fn shortened(name: String) -> String {
    if name.len() <= NAME_BYTES_MAX {
        return name;
    }
    let head = name.floor_char_boundary(NAME_BYTES_MAX - NAME_END_BYTES);
    let tail = name.ceil_char_boundary(name.len() - NAME_END_BYTES);
    format!("{}…{}", &name[..head], &name[tail..])
}

/// The paths of `list`, each once, in order; no longer than a name may be.
pub(crate) fn paths<'a>(list: impl IntoIterator<Item = &'a Series>) -> String {
    let mut seen = std::collections::BTreeSet::new();
    let paths = list.into_iter().map(|series| series.path.as_str());
    let mut joined = String::new();
    for path in paths.filter(|path| seen.insert(*path)) {
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(path);
        if joined.len() > NAME_BYTES_MAX {
            break;
        }
    }
    shortened(joined)
}

/// Several series on the smallest step that all of theirs divide, as Graphite's `normalize`: each from its own first value.
pub(crate) struct Aligned<'a> {
    pub(crate) grid: Grid,
    columns: Vec<Cow<'a, [Point]>>,
}

impl<'a> Aligned<'a> {
    /// The series on their common step; `None` without series.
    ///
    /// # Errors
    /// `Steps` where no step is a multiple of all, `UnevenDays` where only some are of days of a zone.
    pub(crate) fn new(list: &[&'a Series]) -> Result<Option<Self>, Error> {
        let Some(first) = list.first() else {
            return Ok(None);
        };
        let mut step = first.step;
        if list.iter().any(|series| series.zone != first.zone) {
            return Err(Error::UnevenDays);
        }
        for series in list {
            step = lowest_common_multiple(step, series.step).ok_or(Error::Steps)?;
        }
        let (mut start, mut end) = (first.start, first.end);
        for series in list {
            (start, end) = (start.min(series.start), end.max(series.end));
        }
        let columns = list.iter().map(|series| consolidated(series, step / series.step));
        Ok(Some(Self {
            grid: Grid {
                start,
                end: end - (end - start) % step,
                step,
                zone: first.zone,
            },
            columns: columns.collect(),
        }))
    }

    /// Makes a value of each row; values that a shorter series lacks are not known.
    pub(crate) fn rows(&self, mut make: impl FnMut(&[Point]) -> Point) -> Vec<Point> {
        let length = self.columns.iter().map(|column| column.len()).max().unwrap_or(0);
        let mut row = vec![None; self.columns.len()];
        let mut made = Vec::with_capacity(length);
        for index in 0..length {
            for (value, column) in row.iter_mut().zip(&self.columns) {
                *value = column.get(index).copied().flatten();
            }
            made.push(make(&row));
        }
        made
    }
}

fn consolidated(series: &Series, values_per_point: i64) -> Cow<'_, [Point]> {
    match usize::try_from(values_per_point) {
        Ok(0 | 1) => Cow::Borrowed(&series.values),
        count => {
            let count = count.unwrap_or(usize::MAX);
            let chunks = series.values.chunks(count);
            Cow::Owned(
                chunks
                    .map(|chunk| enough(chunk, count, series.x_files_factor, series.consolidation))
                    .collect(),
            )
        }
    }
}

/// The aggregate of `values`, of which there could be `of`, if any is known and as many as `x_files_factor` asks for.
pub(crate) fn enough(values: &[Point], of: usize, x_files_factor: f64, aggregate: Aggregate) -> Point {
    let known = values.iter().flatten().count();
    if is_enough(known, of, x_files_factor) {
        aggregate.of(values)
    } else {
        None
    }
}

pub(crate) fn is_enough(known: usize, of: usize, x_files_factor: f64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a share of at most millions")]
    let share = known as f64 / of as f64;
    known > 0 && share >= x_files_factor
}

fn lowest_common_multiple(a: i64, b: i64) -> Option<i64> {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x.max(1)).checked_mul(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Number;

    fn series(step: i64, values: &[i128]) -> Series {
        let end = step * i64::try_from(values.len()).unwrap();
        let values = values.iter().map(|value| Some(Number::Exact(*value))).collect();
        Series::new("a".to_owned(), (0, end, step), values)
    }

    #[test]
    fn a_finer_series_is_summed_to_the_step_of_the_coarser() {
        let (fine, coarse) = (series(60, &[1, 2, 3, 4]), series(120, &[10, 20]));
        let aligned = Aligned::new(&[&fine, &coarse]).unwrap().unwrap();
        assert_eq!(aligned.grid, (0, 240, 120));
        let sums = aligned.rows(|row| Aggregate::Sum.of(row));
        assert_eq!(sums, [Some(Number::Exact(13)), Some(Number::Exact(27))]);
    }

    #[test]
    fn long_names_keep_their_beginning_and_end() {
        let short = shortened(format!("sum({}) A", "é,".repeat(2_000)));
        assert!(short.len() <= NAME_BYTES_MAX + 3 && short.starts_with("sum(é") && short.ends_with(",) A"));
        assert!(short.contains('…'));
    }

    #[test]
    fn no_common_step_is_a_fault() {
        let (a, b) = (series(i64::MAX, &[]), series(i64::MAX - 1, &[]));
        assert!(matches!(Aligned::new(&[&a, &b]), Err(Error::Steps)));
        assert!(Aligned::new(&[]).unwrap().is_none());
    }
}
