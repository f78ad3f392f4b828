//! Consolidation: where there are more values than can be shown, they are aggregated into buckets.
//!
//! A bucket begins at a multiple of its size since 1970, and its size is one that people and clocks use, so that it does not change from
//! refresh to refresh, hours and days are made of whole ones, and sums of packed days can be used as they are. At the edges of the range a
//! bucket holds what of it lies in the range: all buckets together sum to the range's total. Its time is its first second, which may lie
//! before the range.

use crate::number::Point;
use crate::series::{Series, enough};

const MINUTE_S: i64 = 60;
const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 86_400;

/// The sizes of buckets in seconds. Each up to a day divides the day; the larger ones are multiples of a day.
const SIZES_S: [i64; 18] = [
    MINUTE_S,
    2 * MINUTE_S,
    3 * MINUTE_S,
    5 * MINUTE_S,
    10 * MINUTE_S,
    15 * MINUTE_S,
    20 * MINUTE_S,
    30 * MINUTE_S,
    HOUR_S,
    2 * HOUR_S,
    3 * HOUR_S,
    4 * HOUR_S,
    6 * HOUR_S,
    12 * HOUR_S,
    DAY_S,
    2 * DAY_S,
    7 * DAY_S,
    14 * DAY_S,
];

/// Most sizes that are tried one by one: ten years of fortnights are 260.
const FACTORS_TRIED_MAX: i64 = 1_000;

/// The smallest size, in seconds, of buckets of which `[start, end)` has at most `values_max`, for values every `step` seconds; `step` where
/// there are no more values than that. For a single one, the whole range.
pub(crate) fn size_s((start, end): (i64, i64), step: i64, values_max: usize) -> i64 {
    let values_max = i64::try_from(values_max).unwrap_or(i64::MAX);
    if (end - start) / step <= values_max {
        return step;
    }
    if values_max == 1 {
        return end - start;
    }
    let count = |size: i64| (end - 1).div_euclid(size) - start.div_euclid(size) + 1;
    let fits = |size: &i64| *size > step && count(*size) <= values_max;
    let mut listed = SIZES_S.into_iter().filter(|size| size % step == 0);
    listed
        .find(fits)
        .unwrap_or_else(|| further_size_s(end - start, step, values_max, fits))
}

/// The smallest multiple of the longest listed size, or of the step where that is no multiple of it, that `fits`: it is close behind the
/// smallest that may. Far behind is only where a bucket begins in the middle of the range, and there any that is long enough does.
fn further_size_s(length: i64, step: i64, values_max: i64, fits: impl Fn(&i64) -> bool) -> i64 {
    let unit = match SIZES_S.last() {
        Some(last) if last % step == 0 => *last,
        _ => step,
    };
    let first = (length / unit / values_max).max(1);
    let mut tried =
        (first..=first.saturating_add(FACTORS_TRIED_MAX)).map_while(|factor| unit.checked_mul(factor));
    // One bucket less than there may be, as the first and the last are cut.
    let surely = (length / (values_max - 1) / unit + 1).saturating_mul(unit);
    tried.find(fits).unwrap_or(surely)
}

/// The seconds that counts of `range` may be summed to as they are read, if at most `values_max` values are wanted: a divisor of a day, and
/// of each bucket. A single value is of the range as it is, not of buckets.
pub(crate) fn to_read_s(range: (i64, i64), values_max: usize) -> i64 {
    match size_s(range, MINUTE_S, values_max) {
        _ if values_max == 1 => MINUTE_S,
        size if DAY_S % size == 0 => size,
        size if size % DAY_S == 0 => DAY_S,
        _ => MINUTE_S,
    }
}

/// The longest buckets that those of both lengths are made of.
pub(crate) fn common_s(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { common_s(b, a.rem_euclid(b)) }
}

/// Consolidates each of `list`, of a request for `range`, to at most `values_max` values.
pub(crate) fn consolidate(list: &mut [Series], range: (i64, i64), values_max: usize) {
    for series in list {
        let range = match series.zone {
            None => (range.0.min(series.start), range.1.max(series.end)),
            Some(_) => (series.start, series.end),
        };
        let size = size_s(range, series.step, values_max);
        if values_max == 1 {
            let (all, factor) = (series.values.len(), series.x_files_factor);
            series.values = vec![enough(&series.values, all, factor, series.consolidation)];
            series.step = (series.end - series.start).max(series.step);
        } else if size > series.step {
            into_buckets(series, size);
        }
    }
}

fn into_buckets(series: &mut Series, size: i64) {
    let bucket_of = |index: usize| {
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        (series.start + index * series.step).div_euclid(size)
    };
    let mut buckets: Vec<Point> = Vec::new();
    let mut rest = series.values.as_slice();
    let mut at = 0;
    while !rest.is_empty() {
        // One at a time where a bucket begins between two values' instants.
        let length = (1..=rest.len())
            .find(|length| bucket_of(at + length) != bucket_of(at))
            .unwrap_or(rest.len());
        let (bucket, tail) = rest.split_at(length);
        buckets.push(enough(
            bucket,
            bucket.len(),
            series.x_files_factor,
            series.consolidation,
        ));
        (at, rest) = (at + length, tail);
    }
    let start = series.start.div_euclid(size) * size;
    let count = i64::try_from(buckets.len()).unwrap_or(i64::MAX);
    (series.start, series.end, series.step) = (start, start + count * size, size);
    series.values = buckets;
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test begins now")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::aggregate::Aggregate;
    use crate::number::Number;

    /// Within that of every series here.
    const RANGE: (i64, i64) = (600, 601);

    fn series(start: i64, step: i64, count: i64) -> Series {
        let values = (0..count)
            .map(|value| Some(Number::Exact(i128::from(value))))
            .collect();
        Series::new("a".to_owned(), (start, start + step * count, step), values)
    }

    #[test]
    fn buckets_begin_at_multiples_of_their_size() {
        let mut list = [series(600 - 120, 60, 12)];
        consolidate(&mut list, RANGE, 4);
        assert_eq!(list[0].grid(), (300, 1200, 300));
        let sums: Vec<f64> = list[0].values.iter().map(|sum| sum.unwrap().real()).collect();
        assert_eq!(sums, [1.0, 20.0, 45.0]);
    }

    #[test]
    fn few_values_stay_as_they_are() {
        let mut list = [series(60, 60, 12)];
        consolidate(&mut list, RANGE, 12);
        assert_eq!(list[0].grid(), (60, 780, 60));
    }

    #[test]
    fn one_value_is_of_the_whole_range() {
        let mut list = [series(60, 60, 12)];
        consolidate(&mut list, RANGE, 1);
        assert_eq!(list[0].values, [Some(Number::Exact(66))]);
        assert_eq!(list[0].start, 60);
    }

    #[test]
    fn a_size_for_a_range_of_ages_is_found_at_once() {
        for (range, step, values_max) in [
            ((0, 4_000_000_000_000_000_000), 60, 2),
            ((-2_000_000_000_000_000_001, 2_000_000_000_000_000_000), 420, 2),
            ((599, 4_000_000_000_000_000_000), 43_199, 3),
            ((-1, 40_000_000_000), 1, 2),
        ] {
            let began = std::time::Instant::now();
            let size = size_s(range, step, values_max);
            assert!(
                began.elapsed() < std::time::Duration::from_millis(100),
                "{range:?}"
            );
            let count = (range.1 - 1).div_euclid(size) - range.0.div_euclid(size) + 1;
            assert!(
                size % step == 0 && usize::try_from(count).unwrap() <= values_max,
                "{range:?}: {size}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_value_is_lost_or_doubled(
            start in 0i64..10_000_000,
            step in prop::sample::select(&[1i64, 60, 300, 420, 3_600, 86_400, 43_199]),
            count in 1i64..3_000,
            values_max in 1usize..500,
        ) {
            let before = series(start, step, count);
            let mut list = [before.clone()];
            consolidate(&mut list, RANGE, values_max);
            let [after] = list;
            prop_assert!(after.values.len() <= values_max.max(1));
            prop_assert_eq!(Aggregate::Sum.of(&after.values), Aggregate::Sum.of(&before.values));
            if after.step != before.step && values_max > 1 {
                prop_assert_eq!(after.start.rem_euclid(after.step), 0);
                prop_assert_eq!(after.step % before.step, 0);
            }
        }

        #[test]
        fn what_is_read_is_a_part_of_a_bucket_and_of_a_day(start in 0i64..100_000, count in 1i64..1_000_000, values_max in 1usize..500) {
            let range = (60 * start, 60 * (start + count));
            let read = to_read_s(range, values_max);
            prop_assert_eq!(size_s(range, MINUTE_S, values_max) % read, 0);
            prop_assert_eq!(DAY_S % read, 0);
        }
    }
}
