//! A name's day in memory: its counts in the smallest form, and how it was last seen.

#![expect(clippy::disallowed_methods, reason = "a day is trusted or not by its age")]

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::{Day, MINUTES_PER_DAY, Minute, PackedDayError, for_each_packed};

use super::counts::Counted;

/// Time for which a day is taken as it was last seen in the database, as long as nothing was counted for it: so soon is seen what somebody
/// changes in the tables by hand.
const SEEN_FOR: Duration = Duration::from_secs(60);

const HOURS: usize = 24;
const MINUTES_PER_HOUR: usize = MINUTES_PER_DAY / HOURS;

/// A name's day as it was packed once.
pub(super) struct KeptDay {
    /// An instant before the snapshot that its row was read in.
    pub(super) asked: Instant,
    /// The instant when that was done.
    pub(super) read: Instant,
    /// The sum of its counts; 0 where there was no row.
    pub(super) total: u64,
    counts: Counts,
    /// How it was seen last, if it was whole then.
    seen: Mutex<Option<Sight>>,
}

/// A sight of a day whose counts were in its row, all of them.
pub(super) struct Sight {
    /// An instant before the snapshot that showed it.
    pub(super) asked: Instant,
    /// The server that it was of.
    pub(super) server: Arc<str>,
    /// The minutes that were asked for.
    pub(super) minutes: Range<usize>,
    /// The first day that retention had not dropped then.
    pub(super) kept_since: Option<Day>,
}

enum Counts {
    None,
    /// The minutes with events.
    Few(Box<[(u16, u64)]>),
    /// Every minute as what it has more than the least of all, and the sums of hours.
    Near(u64, Box<([u8; MINUTES_PER_DAY], [u64; HOURS])>),
    /// Every minute.
    Any(Box<[u64; MINUTES_PER_DAY]>),
}

/// The minutes of `day` that are from `first` to `last`.
pub(super) fn minutes_of(day: Day, (first, last): (Minute, Minute)) -> Range<usize> {
    let start = day.unix_s();
    let minute_of = |unix_s: i64| usize::try_from((unix_s - start).div_euclid(60)).unwrap_or(0);
    minute_of(first.unix_s())..MINUTES_PER_DAY.min(minute_of(last.unix_s() + 60))
}

/// Hands over the sum of each hour of `minutes` with its first minute, from the text of a day's row, which is not kept. What is beyond 64
/// bits comes in several parts.
///
/// # Errors
/// The text is no packed day; nothing was handed over.
pub(super) fn for_each_hour(
    text: &[u8],
    day: Day,
    minutes: (Minute, Minute),
    mut each: impl FnMut(Counted<'_>),
) -> Result<(), PackedDayError> {
    let mut hours = [0_u128; HOURS];
    for_each_packed(text, |minute, count| {
        hours[usize::from(minute) / MINUTES_PER_HOUR] += u128::from(count);
    })?;
    let asked = minutes_of(day, minutes);
    let starts = (0..MINUTES_PER_DAY).step_by(MINUTES_PER_HOUR);
    for (unix_s, (start, mut left)) in (day.unix_s()..).step_by(3_600).zip(starts.zip(hours)) {
        while left > 0 && asked.contains(&start) {
            let part = u64::try_from(left).unwrap_or(u64::MAX);
            each(Counted::One(unix_s, part));
            left -= u128::from(part);
        }
    }
    Ok(())
}

impl KeptDay {
    /// A day that has no row.
    pub(super) fn none(asked: Instant) -> Self {
        Self::new(asked, 0, Counts::None)
    }

    fn new(asked: Instant, total: u64, counts: Counts) -> Self {
        Self {
            asked,
            read: Instant::now(),
            total,
            counts,
            seen: Mutex::default(),
        }
    }

    /// Notes how it was seen just now: its row is as it was, and `None` where there are counts elsewhere, too.
    pub(super) fn see(&self, sight: Option<Sight>) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = sight;
    }

    /// The first day that was kept when its `minutes` were seen whole, if that was lately, after `since`, and at `server`.
    pub(super) fn was_whole(
        &self,
        minutes: &Range<usize>,
        since: Instant,
        server: &str,
    ) -> Option<Option<Day>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.as_ref().filter(|seen| *seen.server == *server)?;
        let has_all = seen.minutes.start <= minutes.start && minutes.end <= seen.minutes.end;
        (has_all && seen.asked > since && seen.asked.elapsed() < SEEN_FOR).then_some(seen.kept_since)
    }

    /// A day from the text of its row.
    ///
    /// # Errors
    /// The text is no packed day.
    pub(super) fn of(asked: Instant, total: u64, text: &[u8]) -> Result<Self, PackedDayError> {
        let mut minutes = Box::new([0; MINUTES_PER_DAY]);
        let mut busy = 0;
        for_each_packed(text, |minute, count| {
            minutes[usize::from(minute)] = count;
            busy += 1;
        })?;
        let counts = Counts::of(minutes, busy);
        Ok(Self::new(asked, total, counts))
    }

    /// The bytes that its counts take, besides those of every day.
    pub(super) fn counts_bytes(&self) -> usize {
        match &self.counts {
            Counts::None => 0,
            Counts::Few(minutes) => size_of_val::<[_]>(minutes),
            Counts::Near(_, near) => size_of_val(&**near),
            Counts::Any(_) => MINUTES_PER_DAY * size_of::<u64>(),
        }
    }

    /// Hands the counts of `asked` to `each`. With `by_hour`, which asks for whole hours, the sum of an hour may come with its first minute.
    pub(super) fn for_each(
        &self,
        day: Day,
        minutes: (Minute, Minute),
        by_hour: bool,
        mut each: impl FnMut(Counted<'_>),
    ) {
        let start = day.unix_s();
        let asked = minutes_of(day, minutes);
        let at = |minute: usize| start + 60 * i64::try_from(minute).unwrap_or(0);
        let mut one = |minute: usize, count: u64| {
            if count > 0 && asked.contains(&minute) {
                each(Counted::One(at(minute), count));
            }
        };
        match &self.counts {
            Counts::None => {}
            Counts::Few(minutes) => {
                for &(minute, count) in minutes {
                    one(minute.into(), count);
                }
            }
            Counts::Near(_, near) if by_hour => {
                for (hour, &sum) in near.1.iter().enumerate() {
                    one(hour * MINUTES_PER_HOUR, sum);
                }
            }
            Counts::Near(least, near) => {
                let above = near.0.get(asked.clone()).unwrap_or_default();
                each(Counted::Minutes(at(asked.start), *least, above));
            }
            Counts::Any(minutes) => {
                for (minute, &count) in minutes.iter().enumerate() {
                    one(minute, count);
                }
            }
        }
    }
}

impl Counts {
    /// The smallest form of a day's counts, of which `busy` are not 0.
    fn of(minutes: Box<[u64; MINUTES_PER_DAY]>, busy: usize) -> Self {
        const FEW_MAX: usize = MINUTES_PER_DAY / size_of::<(u16, u64)>();
        if busy == 0 {
            return Self::None;
        }
        if busy <= FEW_MAX {
            let few = (0..).zip(*minutes).filter(|&(_, count)| count > 0);
            return Self::Few(few.collect());
        }
        let least = minutes.iter().copied().min().unwrap_or(0);
        let mut near = Box::new(([0; MINUTES_PER_DAY], [0_u64; HOURS]));
        for (minute, &count) in minutes.iter().enumerate() {
            let sum = &mut near.1[minute / MINUTES_PER_HOUR];
            let (Ok(above), Some(added)) = (u8::try_from(count - least), sum.checked_add(count)) else {
                return Self::Any(minutes);
            };
            near.0[minute] = above;
            *sum = added;
        }
        Self::Near(least, near)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a day was asked for at an instant")]
pub(super) mod tests {
    use model::DayCounts;

    use super::*;

    /// A day with a count for each minute.
    pub(in crate::central) fn day(count: impl Fn(u16) -> u64) -> DayCounts {
        let mut day = DayCounts::default();
        for minute in 0..1_440 {
            day.add(minute, count(minute)).unwrap();
        }
        day
    }

    fn second_hour(of: Day) -> (Minute, Minute) {
        let ends = [of.unix_s() + 3_600, of.unix_s() + 7_200 - 60];
        ends.map(|at| Minute::from_unix_s(at).unwrap()).into()
    }

    fn sum(kept: &KeptDay, of: Day, by_hour: bool) -> (u64, usize) {
        let (mut sum, mut parts) = (0, 0);
        kept.for_each(of, second_hour(of), by_hour, |counted| {
            counted.each(|_, count| {
                sum += count;
                parts += 1;
            });
        });
        (sum, parts)
    }

    #[test]
    fn each_form_gives_what_was_packed() {
        let asked = Instant::now();
        let of = Day::containing(1_763_787_600);
        for (counts, hour, minutes, hours) in [
            (day(|_| 0), 0, 0, 0),
            (day(|minute| u64::from(minute == 61) * 7), 7, 1, 1),
            (
                day(|minute| 1_000 + u64::from(minute % 2) * 255),
                60 * 1_000 + 30 * 255,
                60,
                1,
            ),
            (
                day(|minute| 1_000 + u64::from(minute % 2) * 256),
                60 * 1_000 + 30 * 256,
                60,
                60,
            ),
            (day(|_| 1 << 55), 60 << 55, 60, 1),
        ] {
            let text = counts.pack();
            let kept = KeptDay::of(asked, counts.total(), text.as_bytes()).unwrap();
            assert_eq!(sum(&kept, of, false), (hour, minutes));
            assert_eq!(sum(&kept, of, true), (hour, hours));
            let mut sums = Vec::new();
            for_each_hour(text.as_bytes(), of, second_hour(of), |counted| {
                counted.each(|unix_s, count| sums.push((unix_s, count)));
            })
            .unwrap();
            let expected = (hour > 0).then_some((of.unix_s() + 3_600, hour));
            assert_eq!(sums, Vec::from_iter(expected));
        }
        assert!(KeptDay::of(asked, 1, b"[[0").is_err());
        let mut sum = 0;
        for_each_hour(
            b"[[60,18446744073709551615],[61,2]]",
            of,
            second_hour(of),
            |counted| {
                counted.each(|_, count| sum += u128::from(count));
            },
        )
        .unwrap();
        assert_eq!(sum, u128::from(u64::MAX) + 2);
        let read = for_each_hour(b"[[0,1]", of, second_hour(of), |_| unreachable!());
        assert!(read.is_err());
    }
}
