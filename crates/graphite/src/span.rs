//! Spans: the minutes that are read of a name, and the buckets that they are summed to.

use model::{Day, Extent};

use crate::number::{Number, Point};
use crate::window::{MINUTE_S, Window};

/// A run of minutes, summed into buckets of `bucket_s`, which divides a day, aligned since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Unix seconds of the first minute.
    pub first: i64,
    /// Unix seconds of the minute after the last.
    pub end: i64,
    /// Seconds of a bucket: whole minutes, and a divisor of a day.
    pub bucket_s: i64,
}

impl Span {
    pub(crate) fn of(window: Window, bucket_s: i64) -> Self {
        let (first, end) = window.minutes();
        Self { first, end, bucket_s }
    }

    /// Unix seconds of the first bucket, which may begin before the first minute.
    pub fn start(self) -> i64 {
        self.first - self.first.rem_euclid(self.bucket_s)
    }

    /// Unix seconds of the end of the last bucket, which may lie behind the last minute.
    pub fn stop(self) -> i64 {
        self.start() + self.bucket_s * ((self.end - self.start() + self.bucket_s - 1) / self.bucket_s)
    }

    /// The number of buckets.
    pub fn bucket_count(self) -> usize {
        usize::try_from((self.stop() - self.start()) / self.bucket_s).unwrap_or(usize::MAX)
    }

    /// The index of the bucket that `unix_s` lies in; `None` outside of the minutes.
    pub fn index_of(self, unix_s: i64) -> Option<usize> {
        if !(self.first..self.end).contains(&unix_s) {
            return None;
        }
        usize::try_from((unix_s - self.start()) / self.bucket_s).ok()
    }

    /// Whether its buckets have those of `other`: not where a bucket of `other` is cut by the begin or the end of that, and no bucket of it.
    pub(crate) fn has(self, other: Self) -> bool {
        let is_edge = |at: i64, own: i64| at == own || at.rem_euclid(self.bucket_s) == 0;
        let covers = self.first <= other.first && other.end <= self.end;
        covers && is_edge(other.first, self.first) && is_edge(other.end, self.end)
    }

    /// The value of bucket `index`, whose counts are `sum`: the sum of the values that a series of minutes has there; `None` where none of
    /// those is known.
    pub(crate) fn shown(self, index: usize, sum: u128, extent: &Extent) -> Point {
        let start = self.start() + self.bucket_s * i64::try_from(index).ok()?;
        let kept = extent.kept_since.map_or(i64::MIN, Day::unix_s);
        let first = start.max(self.first).max(kept);
        let is_there = first < (start + self.bucket_s).min(self.end);
        // Events are shown as soon as there are any. Without events the first minute that is kept decides: it is the first to be complete.
        let is_shown = is_there && extent.shown(sum, (first, first + MINUTE_S)).is_some();
        let value = i128::try_from(sum).map_or(Number::Real(f64::INFINITY), Number::Exact);
        is_shown.then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;
    use proptest::prelude::*;

    use super::*;

    const DAY_S: i64 = 86_400;

    /// A midnight.
    const T: i64 = 1_763_769_600;

    proptest! {
        #[test]
        fn a_bucket_shows_the_sum_of_what_its_minutes_show(
            counts in prop::collection::vec(0u64..3, 1..200),
            from in 0i64..2_000,
            bucket_s in prop::sample::select(&[60i64, 120, 300, 3_600, 86_400]),
            complete in 0i64..2_200,
            kept_since in prop::option::of(0i64..3),
        ) {
            let extent = Extent {
                complete_until: Some(Timestamp::from_unix_ms((T + 60 * complete) * 1000)),
                kept_since: kept_since.map(|days| Day::containing(T + DAY_S * days)),
            };
            let first = T + 60 * from;
            let minutes: Vec<(i64, u64)> = (0i64..).map(|at| first + 60 * at).zip(counts).collect();
            let span = Span { first, end: first + 60 * i64::try_from(minutes.len()).unwrap(), bucket_s };
            for index in 0..span.bucket_count() {
                let of_bucket = || minutes.iter().filter(|(at, _)| span.index_of(*at) == Some(index));
                let sum = of_bucket().map(|(_, count)| u128::from(*count)).sum();
                let minute = |(at, count): &(i64, u64)| extent.shown(u128::from(*count), (*at, *at + 60));
                let expected = of_bucket().filter_map(minute).reduce(|a, b| a + b);
                let expected = expected.map(|sum| Number::Exact(i128::try_from(sum).unwrap()));
                prop_assert_eq!(span.shown(index, sum, &extent), expected);
            }
        }
    }
}
