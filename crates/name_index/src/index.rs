//! All names in memory, to be searched in milliseconds and walked as a tree.

use std::cmp::Reverse;
use std::ops::Range;

use memchr::memmem;
use model::Glob;

/// Names that the index takes. With more there is none, and searches go to the database.
pub const NAMES_MAX: usize = 5_000_000;

/// Bytes of all names, each with its separator: with the rest of the index, and a new one beside the old, this is a gigabyte.
pub const TEXT_BYTES_MAX: usize = 256 << 20;

/// Bytes of names that one search may match with a pattern, for each 64 of the pattern's tokens: about a second of a core.
const MATCHED_BYTES_MAX: usize = 500_000_000;

/// Bytes of names that one search may look through for pieces of names, one piece after the other: about a second of a core, too.
const SEARCHED_BYTES_MAX: usize = 2_000_000_000;

/// The character between names in the index's text, which no name has.
const SEPARATOR: char = '\n';

/// Names as they are read, in no order.
#[derive(Debug, Default)]
pub struct Unsorted {
    text: String,
    rows: Vec<(Range<u32>, u64)>,
}

/// All names, in two orders: that of popularity, in which searches want them, and that of names, in which they make a tree.
#[derive(Debug)]
pub struct Index {
    /// A separator, then the names, each with one behind it: the most popular first, equally popular ones by name. A search that looks
    /// through it from its beginning finds the best first, and can stop.
    text: String,
    /// The offset in the text at which each name begins, and at which one more would.
    starts: Vec<u32>,
    /// Popularity of each name, in the same order.
    popularity: Vec<u64>,
    /// For each name, in the order of names, its place in the order of popularity.
    by_name: Vec<u32>,
    /// Prefix sums: the popularity of all names before one, in the order of names, modulo 2^64; and at the end that of all.
    popularity_before: Vec<u64>,
}

/// A search refused because its pattern costs more than a search may.
#[derive(Debug, PartialEq)]
pub struct TooBroad;

impl Unsorted {
    /// Adds a name; false, and nothing is added, where there is no room for it.
    pub fn push(&mut self, name: &str, popularity: u64) -> bool {
        if self.rows.len() >= NAMES_MAX || self.text.len() + self.rows.len() + name.len() + 2 > TEXT_BYTES_MAX
        {
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
}

impl From<Unsorted> for Index {
    fn from(Unsorted { text, mut rows }: Unsorted) -> Self {
        rows.sort_unstable_by(|(a, _), (b, _)| slice(&text, a).cmp(slice(&text, b)));
        let mut before = 0_u64;
        let popularities = rows.iter().map(|&(_, popularity)| popularity);
        let sums = popularities.map(|popularity| {
            before = before.wrapping_add(popularity);
            before
        });
        let popularity_before = std::iter::once(0).chain(sums).collect();
        let mut by_popularity: Vec<u32> = (0..offset(rows.len())).collect();
        // The sort is stable: equally popular names stay in the order of names.
        by_popularity.sort_by_key(|&at| Reverse(rows[place(at)].1));

        let mut ordered = String::with_capacity(text.len() + rows.len() + 1);
        ordered.push(SEPARATOR);
        let (mut starts, mut by_name) = (Vec::with_capacity(rows.len() + 1), vec![0; rows.len()]);
        let mut popularity = Vec::with_capacity(rows.len());
        for (at, &in_names) in (0..).zip(&by_popularity) {
            let (range, times) = &rows[place(in_names)];
            starts.push(offset(ordered.len()));
            popularity.push(*times);
            by_name[place(in_names)] = at;
            ordered.push_str(slice(&text, range));
            ordered.push(SEPARATOR);
        }
        starts.push(offset(ordered.len()));
        Self {
            text: ordered,
            starts,
            popularity,
            by_name,
            popularity_before,
        }
    }
}

impl Index {
    /// How many names it has.
    pub fn len(&self) -> usize {
        self.popularity.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        self.text.len()
            + size_of::<u32>() * (self.starts.len() + self.by_name.len())
            + size_of::<u64>() * (self.popularity.len() + self.popularity_before.len())
    }

    /// The name at a place in the order of popularity, and how often it was counted.
    ///
    /// # Panics
    /// Beyond [`Index::len`], as do the other three that take places.
    pub fn entry(&self, at: usize) -> (&str, u64) {
        let range = self.starts[at]..self.starts[at + 1] - 1;
        (slice(&self.text, &range), self.popularity[at])
    }

    /// The name at a place in the order of names.
    pub fn name(&self, at: usize) -> &str {
        self.entry(place(self.by_name[at])).0
    }

    /// Popularity of a range in the order of names, summed up.
    pub fn popularity(&self, range: &Range<usize>) -> u64 {
        self.popularity_before[range.end].wrapping_sub(self.popularity_before[range.start])
    }

    /// The names within a range, in the order of names, that begin with `prefix`: a range of the same order.
    pub fn beginning(&self, within: Range<usize>, prefix: &str) -> Range<usize> {
        let places = &self.by_name[within.clone()];
        let name = |&at: &u32| self.entry(place(at)).0;
        let first = places.partition_point(|at| name(at) < prefix);
        let count = places[first..].partition_point(|at| name(at).starts_with(prefix));
        within.start + first..within.start + first + count
    }

    /// Whether `name` is one of the names.
    pub fn contains(&self, name: &str) -> bool {
        let found = self
            .by_name
            .binary_search_by(|&at| self.entry(place(at)).0.cmp(name));
        found.is_ok()
    }

    /// Places, in the order of popularity, of the `limit` most popular names that match: all names without a pattern, names that
    /// contain it where it has no wildcard, else whole names.
    ///
    /// # Errors
    /// `TooBroad` where the search would take longer than a second, about.
    pub fn search(&self, pattern: Option<&Glob>, limit: usize) -> Result<Vec<usize>, TooBroad> {
        let Some(pattern) = pattern else {
            return Ok((0..self.len().min(limit)).collect());
        };
        if let Some(part) = pattern.literal() {
            return Ok(self.with_one_of(vec![part.to_owned()]).take(limit).collect());
        }
        let mut matcher = pattern.matcher();
        let words = pattern.token_count().div_ceil(64);
        let mut budget = MATCHED_BYTES_MAX;
        let affordable = SEARCHED_BYTES_MAX / self.text.len().max(1);
        // Looking for a piece that every match has is far faster than matching; only what has one is matched. Where there is no such
        // piece, or looking for all of them would take too long, every name is matched, within the budget.
        let needles = pattern.needles(SEPARATOR).map(distinct);
        let candidates: Box<dyn Iterator<Item = usize>> = match needles {
            Some(needles) if needles.len() <= affordable => Box::new(self.with_one_of(needles)),
            _ => Box::new(0..self.len()),
        };
        let mut found = Vec::new();
        for at in candidates {
            let (name, _) = self.entry(at);
            budget = budget.checked_sub(name.len() * words).ok_or(TooBroad)?;
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
        let mut needles = Needles::new(self.text.as_bytes(), needles);
        let mut from = 0;
        std::iter::from_fn(move || {
            let inside = offset(needles.next(from)?);
            let at = self.starts.partition_point(|&start| start <= inside) - 1;
            // On with the separator behind this name: a needle may begin with it.
            from = place(self.starts[at + 1]) - 1;
            Some(at)
        })
    }
}

/// A search for the next of several needles. Each is looked for by itself, at several gigabytes a second, since patterns with many
/// alternatives are rare.
struct Needles<'a> {
    text: &'a [u8],
    /// Each needle with the offset at which it was found last; the text's length for nowhere.
    finders: Vec<(memmem::Finder<'static>, usize)>,
}

impl<'a> Needles<'a> {
    fn new(text: &'a [u8], needles: Vec<String>) -> Self {
        let finder = |needle: String| {
            let finder = memmem::Finder::new(&needle).into_owned();
            let first = finder.find(text).unwrap_or(text.len());
            (finder, first)
        };
        Self {
            text,
            finders: needles.into_iter().map(finder).collect(),
        }
    }

    /// The offset of the next needle from `from` on; behind its separator where it begins with one, so that it lies in a name.
    fn next(&mut self, from: usize) -> Option<usize> {
        let mut first = self.text.len();
        for (finder, at) in &mut self.finders {
            if *at < from {
                *at = finder
                    .find(&self.text[from..])
                    .map_or(self.text.len(), |hit| from + hit);
            }
            first = first.min(*at);
        }
        let byte = char::from(*self.text.get(first)?);
        Some(if byte == SEPARATOR { first + 1 } else { first })
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

/// An offset or a count as it is stored, in four bytes: [`TEXT_BYTES_MAX`] and [`NAMES_MAX`] are far below 2^32.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// A stored offset or place as an index.
fn place(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn index(names: &[(&str, u64)]) -> Index {
        let mut unsorted = Unsorted::default();
        for (name, popularity) in names {
            assert!(unsorted.push(name, *popularity));
        }
        Index::from(unsorted)
    }

    fn found<'a>(index: &'a Index, pattern: &str, limit: usize) -> Vec<&'a str> {
        let glob = Glob::for_search(pattern).unwrap();
        let places = index.search(Some(&glob), limit).unwrap();
        places.into_iter().map(|at| index.entry(at).0).collect()
    }

    #[test]
    fn the_most_popular_come_first_and_equals_by_name() {
        let index = index(&[
            ("web.b", 2),
            ("shop.item.sold", 9),
            ("web.a", 2),
            ("shop.sold", 3),
        ]);
        let all: Vec<_> = index
            .search(None, 3)
            .unwrap()
            .into_iter()
            .map(|at| index.entry(at))
            .collect();
        assert_eq!(all, [("shop.item.sold", 9), ("shop.sold", 3), ("web.a", 2)]);
        assert_eq!(found(&index, "sold", 10), ["shop.item.sold", "shop.sold"]);
        assert_eq!(found(&index, "sold", 1), ["shop.item.sold"]);
        assert_eq!(found(&index, "shop.*", 10), ["shop.item.sold", "shop.sold"]);
        assert_eq!(found(&index, "*.item.s*", 10), ["shop.item.sold"]);
        assert_eq!(found(&index, "{web,shop}.?*", 10).len(), 4);
        assert_eq!(found(&index, "op.*", 10), [""; 0]);
        assert_eq!(found(&index, "*.sol", 10), [""; 0]);
        assert_eq!(found(&index, "{,}", 10), [""; 0]);
        assert_eq!(found(&index, "[sw]*b", 10), ["web.b"]);
    }

    #[test]
    fn a_range_of_names_has_the_sum_of_its_popularity() {
        let index = index(&[("a.b", 1), ("a.c", u64::MAX), ("a", 4), ("b", 5), ("a-b", 7)]);
        let below_a = index.beginning(0..index.len(), "a.");
        assert_eq!((index.name(below_a.start), below_a.len()), ("a.b", 2));
        assert_eq!(index.popularity(&index.beginning(0..5, "b")), 5);
        assert_eq!(index.beginning(0..5, "c").len(), 0);
    }

    #[test]
    fn a_pattern_that_costs_too_much_is_refused() {
        let mut unsorted = Unsorted::default();
        for n in 0..100_000 {
            assert!(unsorted.push(&format!("{}{n}", "a".repeat(200)), 1));
        }
        let index = Index::from(unsorted);
        let costly = format!("*{}*{{x,y,z,w}}{{x,y,z}}", "a".repeat(150));
        let costly = Glob::for_search(&costly).unwrap();
        assert_eq!(index.search(Some(&costly), 10), Err(TooBroad));
        let letters = "{q,w,e,r,t,y,u,i,o,p,s,d,f,g,h,j,k,l,z,x,c,v}";
        let many = Glob::for_search(&format!("{letters}{letters}*")).unwrap();
        assert_eq!(index.search(Some(&many), 10), Err(TooBroad));
        let cheap = Glob::for_search("*a*x").unwrap();
        assert_eq!(index.search(Some(&cheap), 10), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn finds_what_a_matcher_finds_one_by_one(
            names in prop::collection::hash_map("[abc.]{1,8}", 0u64..4, 0..40),
            pattern in "([abc.?*]|\\[ab\\]|\\{[ab*]{0,2},[bc.]{0,2}\\}){1,6}",
            limit in 1usize..6,
        ) {
            let Ok(glob) = Glob::for_search(&pattern) else { return Ok(()) };
            let rows: Vec<_> = names.iter().map(|(name, &popularity)| (name.as_str(), popularity)).collect();
            let index = index(&rows);
            let mut expected: Vec<_> = rows
                .into_iter()
                .filter(|(name, _)| match glob.literal() {
                    Some(part) => name.contains(part),
                    None => glob.matcher().matches(name),
                })
                .collect();
            expected.sort_by_key(|&(name, popularity)| (Reverse(popularity), name));
            expected.truncate(limit);
            let found: Vec<_> = index.search(Some(&glob), limit).unwrap().into_iter().map(|at| index.entry(at)).collect();
            prop_assert_eq!(found, expected, "{}", pattern);
        }
    }
}
