//! Segments: names of a range of ids, to be searched in milliseconds and walked in their order.

use std::cmp::Reverse;
use std::ops::Range;

use model::Glob;

use crate::needles::{Needles, SEPARATOR};

/// Bytes of the names of one segment, each with its separator: offsets are of four bytes.
const TEXT_BYTES_MAX: usize = 256 << 20;

/// Names for which there is one offset: the others are found from there, separator by separator.
const NAMES_PER_START: usize = 8;

/// Names for which there is one sum of popularity.
const NAMES_PER_SUM: usize = 16;

/// Names as they are read, in no order.
#[derive(Debug, Default)]
pub struct Unsorted {
    text: String,
    rows: Vec<(Range<u32>, u64)>,
}

/// Names in two orders: that of popularity, in which searches want them, and that of names, in which they make a tree.
#[derive(Debug)]
pub struct Segment {
    /// A separator, then the names, each with one behind it: the most popular first, equally popular ones by name. A search that looks
    /// through it from its beginning finds the best first, and can stop.
    text: String,
    /// The offset in the text at which every [`NAMES_PER_START`]th name begins.
    starts: Vec<u32>,
    popularity: Popularity,
    /// For each name, in the order of names, its place in the order of popularity.
    by_name: Vec<u32>,
    /// Prefix sums: the popularity of all names before every [`NAMES_PER_SUM`]th, in the order of names, modulo 2^64.
    popularity_before: Vec<u64>,
}

/// How often each name was counted, the most popular first: few were counted so often that it takes eight bytes.
#[derive(Debug, Default)]
struct Popularity {
    large: Vec<u64>,
    small: Vec<u32>,
}

/// What a search may still cost.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Bytes of names that may be matched with the pattern.
    pub(crate) matched_bytes: usize,
    /// Pieces of names that may be looked for, one after the other.
    pub(crate) needles_max: usize,
}

/// A search that costs more than it may.
#[derive(Debug)]
pub(crate) struct Exceeded;

impl Unsorted {
    /// Adds a name; false, and nothing is added, where there is no room for it.
    pub fn push(&mut self, name: &str, popularity: u64) -> bool {
        if self.text.len() + self.rows.len() + name.len() + 2 > TEXT_BYTES_MAX {
            return false;
        }
        let start = offset(self.text.len());
        self.text.push_str(name);
        self.rows.push((start..offset(self.text.len()), popularity));
        true
    }

    /// Adds all names of `other`; false where there is no room for all, and some may have been added.
    pub fn append(&mut self, other: &Self) -> bool {
        other
            .rows
            .iter()
            .all(|(range, popularity)| self.push(slice(&other.text, range), *popularity))
    }

    /// How many names it has.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl From<Unsorted> for Segment {
    fn from(Unsorted { text, mut rows }: Unsorted) -> Self {
        rows.sort_unstable_by(|(a, _), (b, _)| slice(&text, a).cmp(slice(&text, b)));
        let mut popularity_before = Vec::with_capacity(rows.len() / NAMES_PER_SUM + 1);
        let mut before = 0_u64;
        for (at, (_, popularity)) in rows.iter().enumerate() {
            if at.is_multiple_of(NAMES_PER_SUM) {
                popularity_before.push(before);
            }
            before = before.wrapping_add(*popularity);
        }
        let mut by_popularity: Vec<u32> = (0..offset(rows.len())).collect();
        // The sort is stable: equally popular names stay in the order of names.
        by_popularity.sort_by_key(|&at| Reverse(rows[place(at)].1));

        let mut ordered = String::with_capacity(text.len() + rows.len() + 1);
        ordered.push(SEPARATOR);
        let mut starts = Vec::with_capacity(rows.len() / NAMES_PER_START + 1);
        let (mut popularity, mut by_name) = (Popularity::default(), vec![0; rows.len()]);
        for (at, &in_names) in (0..).zip(&by_popularity) {
            let (range, times) = &rows[place(in_names)];
            if place(at).is_multiple_of(NAMES_PER_START) {
                starts.push(offset(ordered.len()));
            }
            popularity.push(*times);
            by_name[place(in_names)] = at;
            ordered.push_str(slice(&text, range));
            ordered.push(SEPARATOR);
        }
        popularity.small.shrink_to_fit();
        Self {
            text: ordered,
            starts,
            popularity,
            by_name,
            popularity_before,
        }
    }
}

impl Popularity {
    /// Adds that of the next name, which is no more popular than those before.
    fn push(&mut self, times: u64) {
        match u32::try_from(times) {
            Ok(times) => self.small.push(times),
            Err(_) => self.large.push(times),
        }
    }

    fn get(&self, at: usize) -> u64 {
        match at.checked_sub(self.large.len()) {
            None => self.large[at],
            Some(at) => u64::from(self.small[at]),
        }
    }
}

impl Segment {
    /// How many names it has.
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        self.text.len()
            + size_of::<u32>() * (self.starts.len() + self.by_name.len() + self.popularity.small.len())
            + size_of::<u64>() * (self.popularity.large.len() + self.popularity_before.len())
    }

    /// Bytes that a search looks through.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// The name at a place in the order of popularity, and how often it was counted.
    pub(crate) fn entry(&self, at: usize) -> (&str, u64) {
        let from = place(self.starts[at / NAMES_PER_START]);
        let mut separators = memchr::memchr_iter(b'\n', &self.text.as_bytes()[from..]).map(|end| from + end);
        let start = match at % NAMES_PER_START {
            0 => from,
            before => separators.nth(before - 1).map_or(from, |end| end + 1),
        };
        let end = separators.next().unwrap_or(self.text.len());
        (&self.text[start..end], self.popularity.get(at))
    }

    /// The name at a place in the order of names.
    pub(crate) fn name(&self, at: usize) -> &str {
        self.entry(place(self.by_name[at])).0
    }

    /// Popularity of a range in the order of names, summed up.
    pub(crate) fn popularity(&self, range: &Range<usize>) -> u64 {
        self.before(range.end).wrapping_sub(self.before(range.start))
    }

    /// Popularity of all names before one, in the order of names.
    fn before(&self, end: usize) -> u64 {
        let Some(&(mut sum)) = self.popularity_before.get(end / NAMES_PER_SUM) else {
            // Behind the last, where that ends a run of names.
            return end
                .checked_sub(1)
                .map_or(0, |last| self.before(last).wrapping_add(self.times(last)));
        };
        for at in end - end % NAMES_PER_SUM..end {
            sum = sum.wrapping_add(self.times(at));
        }
        sum
    }

    /// How often the name at a place in the order of names was counted.
    fn times(&self, at: usize) -> u64 {
        self.popularity.get(place(self.by_name[at]))
    }

    /// The names within a range, in the order of names, that begin with `prefix`: a range of the same order.
    pub(crate) fn beginning(&self, within: Range<usize>, prefix: &str) -> Range<usize> {
        let places = &self.by_name[within.clone()];
        let name = |&at: &u32| self.entry(place(at)).0;
        let first = places.partition_point(|at| name(at) < prefix);
        let count = places[first..].partition_point(|at| name(at).starts_with(prefix));
        within.start + first..within.start + first + count
    }

    /// Whether `name` is one of the names.
    pub(crate) fn contains(&self, name: &str) -> bool {
        let found = self
            .by_name
            .binary_search_by(|&at| self.entry(place(at)).0.cmp(name));
        found.is_ok()
    }

    /// Places, in the order of popularity, of the `limit` most popular names that match: all names without a pattern, names that
    /// contain it where it has no wildcard, else whole names.
    ///
    /// # Errors
    /// `Exceeded` where the search costs more than `budget`, of which what it costs is taken.
    pub(crate) fn search(
        &self,
        pattern: Option<&Glob>,
        limit: usize,
        budget: &mut Budget,
    ) -> Result<Vec<usize>, Exceeded> {
        let Some(pattern) = pattern else {
            return Ok((0..self.len().min(limit)).collect());
        };
        if let Some(part) = pattern.literal() {
            return Ok(self.with_one_of(vec![part.to_owned()]).take(limit).collect());
        }
        let mut matcher = pattern.matcher();
        let words = pattern.token_count().div_ceil(64);
        // Looking for a piece that every match has is far faster than matching; only what has one is matched. Where there is no such
        // piece, or looking for all of them would take too long, every name is matched, within the budget.
        let needles = pattern.needles(SEPARATOR).map(distinct);
        let candidates: Box<dyn Iterator<Item = usize>> = match needles {
            Some(needles) if needles.len() <= budget.needles_max => Box::new(self.with_one_of(needles)),
            _ => Box::new(0..self.len()),
        };
        let mut found = Vec::new();
        for at in candidates {
            let (name, _) = self.entry(at);
            let left = budget.matched_bytes.checked_sub(name.len() * words);
            budget.matched_bytes = left.ok_or(Exceeded)?;
            if matcher.matches(name) {
                found.push(at);
                if found.len() == limit {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Places, in the order of popularity, of the names that contain one of `needles`; a needle may begin or end with a separator.
    fn with_one_of(&self, needles: Vec<String>) -> impl Iterator<Item = usize> + use<'_> {
        let text = self.text.as_bytes();
        let mut needles = Needles::new(text, needles);
        let mut from = 0;
        std::iter::from_fn(move || {
            let inside = needles.next(from)?;
            let run = self.starts.partition_point(|&start| place(start) <= inside) - 1;
            let before = memchr::memchr_iter(b'\n', &text[place(self.starts[run])..inside]).count();
            // On with the separator behind this name: a needle may begin with it.
            from = inside + memchr::memchr(b'\n', &text[inside..])?;
            Some(run * NAMES_PER_START + before)
        })
    }
}

fn distinct(mut needles: Vec<String>) -> Vec<String> {
    needles.sort_unstable();
    needles.dedup();
    needles
}

fn slice<'a>(text: &'a str, range: &Range<u32>) -> &'a str {
    &text[place(range.start)..place(range.end)]
}

/// An offset or a count as it is stored, in four bytes: [`TEXT_BYTES_MAX`] is far below 2^32.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// A stored offset or place as an index.
fn place(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
