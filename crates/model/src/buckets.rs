//! Buckets: how the minutes of a series are downsampled to its step.

use crate::{Minute, Step, Timestamp};

/// The buckets of a range that was widened to the step's edges, in UTC. Each is half open, and begins where the one before it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    step: Step,
    /// First unix seconds of the buckets, in order.
    starts: Vec<i64>,
    /// End of the last bucket.
    until_unix_s: i64,
}

impl Buckets {
    /// The buckets of `[from, until)`, of which the part between [`Minute::FIRST`] and the end of [`Minute::LAST`]
    /// is kept. `None` for more than `limit` of them.
    pub fn covering(from: Timestamp, until: Timestamp, step: Step, limit: usize) -> Option<Self> {
        let counted = Minute::FIRST.unix_s()..=Minute::LAST.unix_s() + 60;
        let within = |unix_s: i64| unix_s.clamp(*counted.start(), *counted.end());
        let from_unix_s = step.floor(within(from.unix_ms().div_euclid(1000)));
        let until_unix_s = step.ceil(within(until.unix_ms().saturating_add(999).div_euclid(1000)));
        let starts: Vec<i64> = std::iter::successors(Some(from_unix_s), |&start| match step {
            Step::Month => Some(step.next(start)),
            // Adding is enough where all buckets are equally long, and quicker: a year has half a million minutes.
            step => Some(start + step.seconds()),
        })
        .take_while(|&start| start < until_unix_s)
        .take(limit + 1)
        .collect();
        (starts.len() <= limit).then_some(Self {
            step,
            starts,
            until_unix_s,
        })
    }

    /// How many buckets there are.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether the range has no bucket: it is empty, or outside the years that are counted.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The length of the buckets.
    pub fn step(&self) -> Step {
        self.step
    }

    /// Start of the first bucket, in unix seconds; without buckets their end.
    pub fn first_unix_s(&self) -> i64 {
        self.starts.first().copied().unwrap_or(self.until_unix_s)
    }

    /// End of the last bucket, in unix seconds; it belongs to none.
    pub fn end_unix_s(&self) -> i64 {
        self.until_unix_s
    }

    /// First and last of the minutes that can hold counts; `None` if there are none.
    pub fn minutes(&self) -> Option<(Minute, Minute)> {
        let first = self.first_unix_s().max(Minute::FIRST.unix_s());
        let last = (self.until_unix_s - 60).min(Minute::LAST.unix_s());
        let minute = |unix_s| Minute::from_unix_s(unix_s).ok();
        if first <= last {
            minute(first).zip(minute(last))
        } else {
            None
        }
    }

    /// Index of the bucket that `unix_s` lies in; `None` outside of all.
    pub fn index_of(&self, unix_s: i64) -> Option<usize> {
        let first = *self.starts.first()?;
        if !(first..self.until_unix_s).contains(&unix_s) {
            return None;
        }
        match self.step {
            // Months differ in length.
            Step::Month => self
                .starts
                .partition_point(|&start| start <= unix_s)
                .checked_sub(1),
            step => usize::try_from((unix_s - first) / step.seconds()).ok(),
        }
    }

    /// Whether each bucket is made of whole days, so that counts of days sum up to it.
    pub fn are_of_days(&self) -> bool {
        self.step.seconds() >= Step::Day.seconds()
    }

    /// How many counts a name has in them at most: one a day where they are of days, one a minute otherwise.
    pub fn counts(&self) -> usize {
        let step = if self.are_of_days() {
            Step::Day
        } else {
            Step::Minute
        };
        usize::try_from((self.end_unix_s() - self.first_unix_s()) / step.seconds()).unwrap_or(usize::MAX)
    }

    /// First second of bucket `index`, and that of the next.
    pub fn edges(&self, index: usize) -> (i64, i64) {
        (
            self.starts[index],
            self.starts.get(index + 1).copied().unwrap_or(self.until_unix_s),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_rfc3339(text).unwrap()
    }

    fn buckets(from: &str, until: &str, step: Step) -> Buckets {
        Buckets::covering(at(from), at(until), step, 10_000).unwrap()
    }

    #[test]
    fn counts_are_those_of_days_or_of_minutes() {
        let of = |step| buckets("2025-11-22T00:00:00Z", "2025-11-24T00:00:00Z", step);
        let days = of(Step::Day);
        assert!(days.are_of_days() && of(Step::Week).are_of_days() && !of(Step::SixHours).are_of_days());
        assert_eq!((days.counts(), of(Step::Hour).counts()), (2, 2_880));
        assert!(!days.is_empty());
        assert!(buckets("2025-11-22T00:00:00Z", "2025-11-22T00:00:00Z", Step::Day).is_empty());
    }

    #[test]
    fn the_last_minute_has_its_bucket() {
        let last = Timestamp::from_unix_ms(1000 * Minute::LAST.unix_s());
        let buckets = Buckets::covering(last, last.plus_ms(180_000), Step::Minute, 10).unwrap();
        assert_eq!((buckets.len(), buckets.edges(0).0), (1, Minute::LAST.unix_s()));
    }

    #[test]
    fn a_range_is_widened_to_the_step() {
        let hours = buckets("2026-03-01T10:30:00.5Z", "2026-03-01T12:00:00.001Z", Step::Hour);
        assert_eq!(hours.first_unix_s() * 1000, at("2026-03-01T10:00:00Z").unix_ms());
        assert_eq!(hours.end_unix_s() * 1000, at("2026-03-01T13:00:00Z").unix_ms());
        assert_eq!(hours.len(), 3);
        let months = buckets("2027-12-31T23:59:00Z", "2028-02-29T00:00:00Z", Step::Month);
        assert_eq!(months.len(), 3);
        assert_eq!(months.edges(2).0 * 1000, at("2028-02-01T00:00:00Z").unix_ms());
        assert_eq!(months.edges(2).1 * 1000, at("2028-03-01T00:00:00Z").unix_ms());
    }

    #[test]
    fn a_bucket_starts_with_its_first_instant() {
        let days = buckets("2026-03-01T00:00:00Z", "2026-03-03T00:00:00Z", Step::Day);
        let midnight = days.edges(1).0;
        assert_eq!(days.index_of(midnight - 60), Some(0));
        assert_eq!(days.index_of(midnight), Some(1));
        assert_eq!(days.index_of(days.first_unix_s() - 60), None);
        assert_eq!(days.index_of(days.end_unix_s()), None);
    }

    #[test]
    fn only_counted_years_are_kept() {
        let all = buckets("0001-01-01T00:00:00Z", "9999-01-01T00:00:00Z", Step::Month);
        assert_eq!(all.minutes(), Some((Minute::FIRST, Minute::LAST)));
        assert_eq!(all.len(), 38 * 12 + 1);
        let before = buckets("1990-01-01T00:00:00Z", "1995-01-01T00:00:00Z", Step::Minute);
        assert_eq!((before.len(), before.minutes()), (0, None));
        let week = buckets("1990-01-01T00:00:00Z", "2000-01-01T00:01:00Z", Step::Week);
        assert_eq!(week.first_unix_s() * 1000, at("1999-12-27T00:00:00Z").unix_ms());
        assert_eq!(week.minutes().unwrap().0, Minute::FIRST);
    }

    #[test]
    fn too_many_buckets_are_refused() {
        let (from, until) = (at("2026-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z"));
        assert!(Buckets::covering(from, until, Step::Minute, 1439).is_none());
        assert_eq!(
            Buckets::covering(from, until, Step::Minute, 1440).map(|b| b.len()),
            Some(1440)
        );
    }

    proptest! {
        #[test]
        fn every_minute_of_the_range_lies_in_one_bucket(
            from in 946_684_800i64..2_000_000_000,
            length_s in 1i64..4_000_000,
            step in prop::sample::select(&Step::ALL),
        ) {
            let instant = |unix_s: i64| Timestamp::from_unix_ms(unix_s * 1000);
            let buckets = Buckets::covering(instant(from), instant(from + length_s), step, 100_000).unwrap();
            let mut at = from - from.rem_euclid(60);
            while at < from + length_s {
                let (start, end) = buckets.edges(buckets.index_of(at).unwrap());
                prop_assert!(start <= at && at < end);
                at += 6_060;
            }
            for index in 1..buckets.len() {
                prop_assert_eq!(buckets.edges(index - 1).1, buckets.edges(index).0);
            }
        }
    }
}
