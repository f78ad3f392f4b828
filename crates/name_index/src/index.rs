//! All names in memory, in segments.

use std::cmp::Reverse;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use model::{EventId, EventName, Glob};

use crate::cursor::Names;
use crate::segment::{Budget, Exceeded, Segment, Unsorted};

/// Names of a segment, about: a new one is made beside the old one, which takes so much more memory for a moment.
const NAMES_PER_SEGMENT: usize = 500_000;

/// Most segments: each is searched, and walked, by itself.
const SEGMENTS_MAX: usize = 64;

/// Bytes of names that one search may match with a pattern, for each 64 of the pattern's tokens: about a second of a core.
const MATCHED_BYTES_MAX: usize = 500_000_000;

/// Bytes of names that one search may look through for pieces of names, one piece after the other: about a second of a core, too.
const SEARCHED_BYTES_MAX: usize = 2_000_000_000;

/// All names: each in the segment that its id belongs to, so that one segment after the other can be made anew.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// The first id of each segment, in their order, and the segment.
    segments: Vec<(EventId, Arc<Segment>)>,
}

/// A search refused because its pattern costs more than a search may.
#[derive(Debug, PartialEq)]
pub struct TooBroad;

impl From<Unsorted> for Index {
    /// An index of a single segment.
    fn from(unsorted: Unsorted) -> Self {
        Self::default().with(
            &(EventId(0)..=EventId(u64::MAX)),
            vec![(EventId(0), unsorted.into())],
        )
    }
}

/// The ranges of ids for segments of so many names in all: equal parts of all ids, which are hashes of names. Those for more names are parts
/// of those for fewer.
pub fn ranges(names: usize) -> Vec<RangeInclusive<EventId>> {
    let count = names
        .div_ceil(NAMES_PER_SEGMENT)
        .next_power_of_two()
        .min(SEGMENTS_MAX);
    let last = u64::MAX / count as u64;
    (0..count as u64)
        .map(|number| number.wrapping_mul(last.wrapping_add(1)))
        .map(|first| EventId(first)..=EventId(first + last))
        .collect()
}

/// Those of `ranges` that take the place of `old`, as [`ranges`] has made both: its parts, or itself where those are longer.
pub fn replacing(
    old: &RangeInclusive<EventId>,
    ranges: &[RangeInclusive<EventId>],
) -> Vec<RangeInclusive<EventId>> {
    let is_inside = |new: &&RangeInclusive<EventId>| old.contains(new.start()) && old.contains(new.end());
    let inside: Vec<_> = ranges.iter().filter(is_inside).cloned().collect();
    if inside.is_empty() {
        vec![old.clone()]
    } else {
        inside
    }
}

impl Index {
    /// The index with other segments for a range of ids, each with its first id.
    #[must_use]
    pub fn with(&self, ids: &RangeInclusive<EventId>, segments: Vec<(EventId, Segment)>) -> Self {
        let others = self
            .segments
            .iter()
            .filter(|(first, _)| !ids.contains(first))
            .cloned();
        let new = segments
            .into_iter()
            .map(|(first, segment)| (first, Arc::new(segment)));
        let mut segments: Vec<_> = others.chain(new).collect();
        segments.sort_unstable_by_key(|(first, _)| *first);
        Self { segments }
    }

    /// The range of ids of each segment, all ids where there is none.
    pub fn ids(&self) -> Vec<RangeInclusive<EventId>> {
        let mut firsts: Vec<EventId> = self.segments.iter().map(|(first, _)| *first).collect();
        if firsts.is_empty() {
            firsts.push(EventId(0));
        }
        let lasts = firsts.iter().skip(1).map(|next| EventId(next.0 - 1));
        let lasts = lasts.chain([EventId(u64::MAX)]);
        firsts
            .iter()
            .zip(lasts)
            .map(|(first, last)| *first..=last)
            .collect()
    }

    /// How many names it has.
    pub fn len(&self) -> usize {
        self.segments().map(Segment::len).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        self.segments().map(Segment::bytes).sum()
    }

    /// Whether `name` is one of the names.
    pub fn contains(&self, name: &EventName<'_>) -> bool {
        let id = name.id();
        let after = self.segments.partition_point(|(first, _)| *first <= id);
        let segment = after.checked_sub(1).map(|at| &self.segments[at].1);
        segment.is_some_and(|segment| segment.contains(name.as_str()))
    }

    /// The `limit` most popular names that match, and how often each was counted, the most popular first, equally popular ones by name: all
    /// names without a pattern, names that contain it where it has no wildcard, else whole names.
    ///
    /// # Errors
    /// `TooBroad` where the search would take longer than a second, about.
    pub fn search(&self, pattern: Option<&Glob>, limit: usize) -> Result<Vec<(&str, u64)>, TooBroad> {
        let text_bytes: usize = self.segments().map(Segment::text_bytes).sum();
        let mut budget = Budget {
            matched_bytes: MATCHED_BYTES_MAX,
            needles_max: SEARCHED_BYTES_MAX / text_bytes.max(1),
        };
        let mut found = Vec::new();
        for segment in self.segments() {
            let places = segment
                .search(pattern, limit, &mut budget)
                .map_err(|Exceeded| TooBroad)?;
            found.extend(places.into_iter().map(|at| segment.entry(at)));
        }
        found.sort_unstable_by_key(|&(name, popularity)| (Reverse(popularity), name));
        found.truncate(limit);
        Ok(found)
    }

    /// All names.
    pub fn names(&self) -> Names {
        let all = self.segments().map(|segment| 0..segment.len());
        Names::of(all.enumerate())
    }

    /// Those of `within` that begin with `prefix`.
    pub fn beginning(&self, within: &Names, prefix: &str) -> Names {
        let parts = within.0.iter();
        Names::of(parts.map(|(at, range)| (*at, self.segment(*at).beginning(range.clone(), prefix))))
    }

    /// Their popularity, summed up.
    pub fn popularity(&self, names: &Names) -> u64 {
        let parts = names.0.iter();
        parts
            .map(|(at, range)| self.segment(*at).popularity(range))
            .fold(0, u64::wrapping_add)
    }

    /// The first of them in the order of names.
    pub fn first(&self, names: &Names) -> Option<&str> {
        let firsts = names
            .0
            .iter()
            .map(|(at, range)| self.segment(*at).name(range.start));
        firsts.min()
    }

    /// The first `limit` of them, in the order of names.
    pub fn in_order(&self, names: &Names, limit: usize) -> Vec<&str> {
        let first = |(at, range): &(usize, Range<usize>)| {
            let segment = self.segment(*at);
            range.clone().take(limit).map(|at| segment.name(at))
        };
        let mut first: Vec<&str> = names.0.iter().flat_map(first).collect();
        first.sort_unstable();
        first.truncate(limit);
        first
    }

    fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().map(|(_, segment)| &**segment)
    }

    pub(crate) fn segment(&self, at: usize) -> &Segment {
        &self.segments[at].1
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segment(names: &[(&str, u64)], ids: &RangeInclusive<EventId>) -> Segment {
        let mut unsorted = Unsorted::default();
        for (name, popularity) in names.iter().filter(|(name, _)| ids.contains(&EventId::of(name))) {
            assert!(unsorted.push(name, *popularity));
        }
        unsorted.into()
    }

    /// An index of as many segments as there are for so many names.
    pub(crate) fn index_as_of(as_of: usize, names: &[(&str, u64)]) -> Index {
        let segments = ranges(as_of)
            .into_iter()
            .map(|ids| (*ids.start(), segment(names, &ids)));
        Index::default().with(&(EventId(0)..=EventId(u64::MAX)), segments.collect())
    }

    pub(crate) fn index(names: &[(&str, u64)]) -> Index {
        index_as_of(3_000_000, names)
    }

    fn found<'a>(index: &'a Index, pattern: &str, limit: usize) -> Vec<&'a str> {
        let glob = Glob::for_search(pattern).unwrap();
        let found = index.search(Some(&glob), limit).unwrap();
        found.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn the_most_popular_come_first_and_equals_by_name() {
        let index = index(&[
            ("web.b", 2),
            ("shop.item.sold", 9),
            ("web.a", 2),
            ("shop.sold", 3),
        ]);
        let all = index.search(None, 3).unwrap();
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
    fn names_next_to_each_other_have_the_sum_of_their_popularity() {
        let index = index(&[("a.b", 1), ("a.c", u64::MAX), ("a", 4), ("b", 5), ("a-b", 7)]);
        let beginning = |text| index.beginning(&index.names(), text);
        let below_a = beginning("a.");
        assert_eq!((index.first(&below_a), below_a.len()), (Some("a.b"), 2));
        assert_eq!(index.in_order(&beginning("a"), 3), ["a", "a-b", "a.b"]);
        assert_eq!(index.popularity(&beginning("b")), 5);
        assert_eq!(index.popularity(&below_a), 0, "modulo 2^64");
        assert_eq!(beginning("c").len(), 0);
        for (name, is_one) in [("a.b", true), ("a.d", false)] {
            assert_eq!(index.contains(&EventName::new(name).unwrap()), is_one);
        }
    }

    #[test]
    fn ranges_for_more_names_are_parts_of_those_for_fewer() {
        assert_eq!(ranges(0), [EventId(0)..=EventId(u64::MAX)]);
        let (few, many) = (ranges(900_000), ranges(5_000_000));
        assert_eq!((few.len(), many.len()), (2, 16));
        let all = |ranges: &[RangeInclusive<EventId>]| {
            let follow = ranges
                .windows(2)
                .all(|pair| pair[0].end().0 + 1 == pair[1].start().0);
            follow && ranges[0].start().0 == 0 && ranges[ranges.len() - 1].end().0 == u64::MAX
        };
        assert!(all(&few) && all(&many));
        let inside = |part: &RangeInclusive<EventId>| {
            few.iter()
                .any(|of| of.contains(part.start()) && of.contains(part.end()))
        };
        assert!(many.iter().all(inside));
    }

    #[test]
    fn a_segment_is_replaced_by_others() {
        let names: Vec<String> = (0..1_000).map(|n| format!("name.{n}")).collect();
        let rows: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let mut index = index_as_of(900_000, &rows);
        assert_eq!(index.ids(), ranges(900_000));
        for (as_of, expected) in [
            (5_000_000, 5_000_000),
            (900_000, 5_000_000),
            (9_000_000, 9_000_000),
        ] {
            for old in index.ids() {
                let new = replacing(&old, &ranges(as_of)).into_iter();
                let new = new.map(|ids| (*ids.start(), segment(&rows, &ids)));
                index = index.with(&old, new.collect());
                assert_eq!(index.len(), 1_000);
            }
            assert_eq!(index.ids(), ranges(expected));
        }
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
            as_of in prop::sample::select(&[1usize, 3_000_000]),
        ) {
            let Ok(glob) = Glob::for_search(&pattern) else { return Ok(()) };
            let rows: Vec<_> = names.iter().map(|(name, &popularity)| (name.as_str(), popularity)).collect();
            let index = index_as_of(as_of, &rows);
            let mut expected: Vec<_> = rows
                .into_iter()
                .filter(|(name, _)| match glob.literal() {
                    Some(part) => name.contains(part),
                    None => glob.matcher().matches(name),
                })
                .collect();
            expected.sort_by_key(|&(name, popularity)| (Reverse(popularity), name));
            expected.truncate(limit);
            let found = index.search(Some(&glob), limit).unwrap();
            prop_assert_eq!(found, expected, "{}", pattern);
        }
    }
}
