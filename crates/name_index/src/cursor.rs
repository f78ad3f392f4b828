//! Names next to each other, and walking over them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use crate::Index;
use crate::segment::Segment;

/// Names that lie next to each other in the order of names: a range of each segment that has some of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(pub(crate) Vec<(usize, Range<usize>)>);

/// A walk over names in their order.
pub(crate) struct Cursor<'a> {
    index: &'a Index,
    /// The first name that is left of each segment, the segment, and the range of what is left: the first of all on top.
    left: BinaryHeap<Reverse<(&'a str, usize, usize, usize)>>,
}

impl<'a> Cursor<'a> {
    /// A walk over `names`, from their first on.
    pub(crate) fn new(index: &'a Index, names: &Names) -> Self {
        let mut cursor = Self {
            index,
            left: BinaryHeap::with_capacity(names.0.len()),
        };
        for (at, range) in &names.0 {
            cursor.push(*at, range.clone());
        }
        cursor
    }

    fn push(&mut self, at: usize, range: Range<usize>) {
        if !range.is_empty() {
            let name = self.index.segment(at).name(range.start);
            self.left.push(Reverse((name, at, range.start, range.end)));
        }
    }

    /// The first name that is left.
    pub(crate) fn first(&self) -> Option<&'a str> {
        self.left.peek().map(|Reverse((name, ..))| *name)
    }

    /// Takes the first name.
    pub(crate) fn take_first(&mut self) -> Names {
        let mut taken = Names::default();
        if let Some(Reverse((_, at, start, end))) = self.left.pop() {
            taken.0.push((at, start..start + 1));
            self.push(at, start + 1..end);
        }
        taken
    }

    /// Takes the names that begin with `prefix`, as the first does.
    pub(crate) fn take_beginning(&mut self, prefix: &str) -> Names {
        let mut taken = Names::default();
        while self.first().is_some_and(|name| name.starts_with(prefix)) {
            let Some(Reverse((_, at, start, end))) = self.left.pop() else {
                break;
            };
            let after = end_of(self.index.segment(at), start..end, prefix);
            taken.0.push((at, start..after));
            self.push(at, after..end);
        }
        taken
    }
}

impl Names {
    pub(crate) fn of(parts: impl Iterator<Item = (usize, Range<usize>)>) -> Self {
        Self(parts.filter(|(_, range)| !range.is_empty()).collect())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|(_, range)| range.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many ranges they are.
    pub(crate) fn parts(&self) -> usize {
        self.0.len()
    }
}

/// The end of the names that begin with `prefix`, as the first of `range` does. A galloping search: its steps double, since most branches
/// are small.
fn end_of(segment: &Segment, range: Range<usize>, prefix: &str) -> usize {
    let (mut inside, mut step) = (range.start, 1);
    while inside + step < range.end && segment.name(inside + step).starts_with(prefix) {
        inside += step;
        step *= 2;
    }
    let last = (inside + step).min(range.end);
    segment.beginning(inside..last, prefix).end
}
