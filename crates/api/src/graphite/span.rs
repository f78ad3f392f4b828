//! The minutes that are read of a name, and the buckets that they are summed to.

use model::{Day, Minute};
use store::{Extent, Grain};

use super::function::Window;
use super::number::{Number, Point};
use super::plan::{MINUTE_S, minutes};

pub(super) const DAY_S: i64 = 86_400;

/// A run of minutes, summed into buckets of `bucket_s`, which divides a day, aligned since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Span {
    pub(super) first: i64,
    pub(super) end: i64,
    pub(super) bucket_s: i64,
}

impl Span {
    pub(super) fn of(window: Window, bucket_s: i64) -> Self {
        let (first, end) = minutes(window);
        Self { first, end, bucket_s }
    }

    pub(super) fn start(self) -> i64 {
        self.first - self.first.rem_euclid(self.bucket_s)
    }

    /// End of the last bucket.
    pub(super) fn stop(self) -> i64 {
        self.start() + self.bucket_s * ((self.end - self.start() + self.bucket_s - 1) / self.bucket_s)
    }

    pub(super) fn len(self) -> usize {
        usize::try_from((self.stop() - self.start()) / self.bucket_s).unwrap_or(usize::MAX)
    }

    pub(super) fn index_of(self, unix_s: i64) -> Option<usize> {
        if !(self.first..self.end).contains(&unix_s) {
            return None;
        }
        usize::try_from((unix_s - self.start()) / self.bucket_s).ok()
    }

    pub(super) fn covers(self, other: Self) -> bool {
        self.first <= other.first && other.end <= self.end
    }

    /// What to ask for: whole days may come as sums where the buckets are days.
    pub(super) fn parts(self) -> Vec<((Minute, Minute), Grain)> {
        let clamp = |unix_s: i64| unix_s.clamp(Minute::FIRST.unix_s(), Minute::LAST.unix_s() + MINUTE_S);
        let (first, end) = (clamp(self.first), clamp(self.end));
        let mut parts = Vec::new();
        let mut add = |first: i64, end: i64, grain| {
            let minute = |unix_s| Minute::from_unix_s(unix_s).ok();
            if first < end
                && let Some(minutes) = minute(first).zip(minute(end - MINUTE_S))
            {
                parts.push((minutes, grain));
            }
        };
        let (head, tail) = (first + (-first).rem_euclid(DAY_S), end - end.rem_euclid(DAY_S));
        if self.bucket_s == DAY_S && head < tail {
            add(first, head, Grain::Minute);
            add(head, tail, Grain::Day);
            add(tail, end, Grain::Minute);
        } else {
            add(first, end, Grain::Minute);
        }
        parts
    }

    /// How many counts are read of a name at most.
    pub(super) fn counts(self) -> usize {
        let counts = self.parts().into_iter().map(|((first, last), grain)| {
            let step_s = match grain {
                Grain::Minute => MINUTE_S,
                Grain::Day => DAY_S,
            };
            usize::try_from((last.unix_s() - first.unix_s()) / step_s + 1).unwrap_or(usize::MAX)
        });
        counts.sum()
    }

    /// What bucket `index` shows of its `sum`: of each of its minutes what a series of minutes shows, summed.
    pub(super) fn shown(self, index: usize, sum: u128, extent: &Extent) -> Point {
        let start = self.start() + self.bucket_s * i64::try_from(index).ok()?;
        let kept = extent.kept_since.map_or(i64::MIN, Day::unix_s);
        let first = start.max(self.first).max(kept);
        let is_there = first < (start + self.bucket_s).min(self.end);
        let is_complete = extent
            .complete_until
            .is_some_and(|until| until.unix_ms() >= (first + MINUTE_S).saturating_mul(1000));
        let value = i128::try_from(sum).map_or(Number::Real(f64::INFINITY), Number::Exact);
        (is_there && (sum > 0 || is_complete)).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use model::Instant;
    use proptest::prelude::*;

    use super::*;
    use crate::buckets::shown;

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
                complete_until: Some(Instant::from_unix_ms((T + 60 * complete) * 1000)),
                kept_since: kept_since.map(|days| Day::containing(T + DAY_S * days)),
            };
            let first = T + 60 * from;
            let minutes: Vec<(i64, u64)> = (0i64..).map(|at| first + 60 * at).zip(counts).collect();
            let span = Span { first, end: first + 60 * i64::try_from(minutes.len()).unwrap(), bucket_s };
            for index in 0..span.len() {
                let of_bucket = || minutes.iter().filter(|(at, _)| span.index_of(*at) == Some(index));
                let sum = of_bucket().map(|(_, count)| u128::from(*count)).sum();
                let minute = |(at, count): &(i64, u64)| shown(u128::from(*count), (*at, *at + 60), &extent);
                let expected = of_bucket().filter_map(minute).reduce(|a, b| a + b);
                let expected = expected.map(|sum| Number::Exact(i128::try_from(sum).unwrap()));
                prop_assert_eq!(span.shown(index, sum, &extent), expected);
            }
        }

        #[test]
        fn every_minute_is_asked_for_once(from in 0i64..5_000, length in 1i64..10_000, bucket_s in prop::sample::select(&[60i64, DAY_S])) {
            let first = T + 60 * from;
            let span = Span { first, end: first + 60 * length, bucket_s };
            let mut at = first;
            for ((begin, last), grain) in span.parts() {
                prop_assert_eq!(begin.unix_s(), at);
                at = last.unix_s() + 60;
                if grain == Grain::Day {
                    prop_assert_eq!((begin.unix_s() % DAY_S, at % DAY_S), (0, 0));
                }
            }
            prop_assert_eq!(at, span.end);
        }
    }

    #[test]
    fn only_counted_years_are_asked_for() {
        let before = Span {
            first: 0,
            end: 60_000,
            bucket_s: 60,
        };
        assert!(before.parts().is_empty());
        let since = Span {
            first: 0,
            end: Minute::FIRST.unix_s() + 60,
            bucket_s: 60,
        };
        assert_eq!(since.parts(), [((Minute::FIRST, Minute::FIRST), Grain::Minute)]);
    }
}
