//! Days that were unpacked before, so that dashboards, which ask for the same days again and again, are answered without doing it anew.
//!
//! A day is exact at any moment although late events are merged into it: a snapshot that uses it asks for the day's total, which the index
//! has, and each count that is merged makes that greater. Only a day that retention dropped could come again with the same total, and of
//! that nothing is shown. A total at its limit would not grow, so such a day is not kept. A centre that was restored from a backup is another
//! server, with connections of its own: a connection takes only days that were read after it was made.

#![expect(clippy::disallowed_methods, reason = "a day is trusted or not by its age")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::{Day, EventId, MINUTES_PER_DAY, Minute, PackedDayError, for_each_packed};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::counts::Counted;

/// Most bytes of days that are kept, about: 40,000 days of every minute.
const BYTES_MAX: u64 = 64 << 20;

/// Bytes that a day takes besides its counts: its key, its places in the cache, hours.
const DAY_BYTES: u64 = 160;

/// Days that the cache is made for at its beginning.
const DAYS_EXPECTED: usize = 40_000;

/// Most days of one part of a request that are looked for in the cache: what is more would only drive out what others ask for.
pub(super) const DAYS_PER_PART_MAX: usize = 8_192;

const HOURS: usize = 24;
const MINUTES_PER_HOUR: usize = MINUTES_PER_DAY / HOURS;

/// Time for which no day is taken from memory after one was found merged: what is read again must not be late again, however fast events
/// of the past come in.
const DISTRUSTED_FOR: Duration = Duration::from_secs(1);

/// The days, each of which was read at least once.
pub(super) struct Days {
    kept: Cache<(EventId, Day), Arc<KeptDay>, Bytes>,
    /// When a day was last found merged.
    merged: Mutex<Option<Instant>>,
}

/// A name's day as it was packed once.
pub(super) struct KeptDay {
    /// The instant from which its row was read.
    asked: Instant,
    /// The sum of its counts; 0 where there was no row.
    pub(super) total: u64,
    counts: Counts,
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

impl Days {
    pub(super) fn new() -> Self {
        Self {
            kept: Cache::with_weighter(DAYS_EXPECTED, BYTES_MAX, Bytes),
            merged: Mutex::default(),
        }
    }

    /// Each day of each of `ids`, if all of them were read after `connected`, and none was found merged just now.
    pub(super) fn all(
        &self,
        ids: &[EventId],
        (first, last): (Day, Day),
        connected: Instant,
    ) -> Option<Vec<(EventId, Day, Arc<KeptDay>)>> {
        let merged = *self.merged.lock().unwrap_or_else(PoisonError::into_inner);
        if merged.is_some_and(|at| at.elapsed() < DISTRUSTED_FOR) {
            return None;
        }
        let mut all = Vec::new();
        for &id in ids {
            for day in days(first, last) {
                let kept = self.kept.get(&(id, day)).filter(|kept| kept.asked > connected)?;
                all.push((id, day, kept));
            }
        }
        Some(all)
    }

    /// Keeps a day whose row was read from `asked` on.
    pub(super) fn keep(&self, id: EventId, day: Day, kept: KeptDay) {
        let newer = |before: Arc<KeptDay>| before.asked > kept.asked;
        if kept.total < u64::MAX && !self.kept.peek(&(id, day)).is_some_and(newer) {
            self.kept.insert((id, day), Arc::new(kept));
        }
    }

    /// Forgets a day that is not any more as it was.
    pub(super) fn forget(&self, id: EventId, day: Day) {
        self.kept.remove(&(id, day));
        *self.merged.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// The days from `first` to `last`.
pub(super) fn days(first: Day, last: Day) -> impl Iterator<Item = Day> {
    std::iter::successors(Some(first), |day| Some(day.next())).take_while(move |day| *day <= last)
}

impl KeptDay {
    /// A day that has no row.
    pub(super) fn none(asked: Instant) -> Self {
        Self {
            asked,
            total: 0,
            counts: Counts::None,
        }
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
        Ok(Self { asked, total, counts })
    }

    /// Hands the counts of `asked` to `each`. With `by_hour`, which asks for whole hours, the sum of an hour may come with its first minute.
    pub(super) fn for_each(
        &self,
        day: Day,
        (first, last): (Minute, Minute),
        by_hour: bool,
        mut each: impl FnMut(Counted<'_>),
    ) {
        let start = day.unix_s();
        let minute_of = |unix_s: i64| usize::try_from((unix_s - start).div_euclid(60)).unwrap_or(0);
        let asked = minute_of(first.unix_s())..MINUTES_PER_DAY.min(minute_of(last.unix_s() + 60));
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

/// Weighs a day by the bytes that it takes.
#[derive(Clone)]
struct Bytes;

impl Weighter<(EventId, Day), Arc<KeptDay>> for Bytes {
    fn weight(&self, _: &(EventId, Day), kept: &Arc<KeptDay>) -> u64 {
        let bytes = match &kept.counts {
            Counts::None => 0,
            Counts::Few(minutes) => size_of_val::<[_]>(minutes),
            Counts::Near(..) => MINUTES_PER_DAY,
            Counts::Any(_) => MINUTES_PER_DAY * size_of::<u64>(),
        };
        DAY_BYTES + bytes as u64
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a day is older or newer than a connection"
)]
mod tests {
    use model::DayCounts;

    use super::*;

    fn day(count: impl Fn(u16) -> u64) -> DayCounts {
        let mut day = DayCounts::default();
        for minute in 0..1_440 {
            day.add(minute, count(minute)).unwrap();
        }
        day
    }

    fn sum(kept: &KeptDay, of: Day, by_hour: bool) -> (u64, usize) {
        let (mut sum, mut parts) = (0, 0);
        let asked =
            [of.unix_s() + 3_600, of.unix_s() + 7_200 - 60].map(|at| Minute::from_unix_s(at).unwrap());
        kept.for_each(of, asked.into(), by_hour, |counted| {
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
            let kept = KeptDay::of(asked, counts.total(), counts.pack().as_bytes()).unwrap();
            assert_eq!(sum(&kept, of, false), (hour, minutes));
            assert_eq!(sum(&kept, of, true), (hour, hours));
        }
        assert!(KeptDay::of(asked, 1, b"[[0").is_err());
    }

    #[test]
    fn a_connection_takes_what_was_read_after_it_was_made() {
        let before = Instant::now();
        let kept = Days::new();
        let (id, of) = (EventId(7), Day::containing(1_763_787_600));
        let all = |connected| kept.all(&[id], (of, of.next()), connected).is_some();
        let asked = Instant::now();
        let row = || KeptDay::of(asked, 3, b"[[0,3]]").unwrap();
        kept.keep(id, of, row());
        assert!(!all(before), "a day is missing");
        kept.keep(id, of.next(), KeptDay::none(asked));
        assert!(all(before) && !all(Instant::now()));
        kept.keep(id, of, KeptDay::of(before, 2, b"[[0,2]]").unwrap());
        assert!(all(before), "what was read before takes no later one's place");
        kept.forget(id, of);
        kept.keep(id, of, row());
        assert!(!all(before), "it is read once more");
        *kept.merged.lock().unwrap() = None;
        assert!(all(before));
        kept.kept.remove(&(id, of));
        kept.keep(id, of, KeptDay::of(asked, u64::MAX, b"[[0,3]]").unwrap());
        assert!(!all(before), "its total would not grow");
    }

    #[test]
    fn memory_is_bounded() {
        let kept = Days::new();
        let counts = day(|minute| u64::from(minute % 7)).pack();
        for number in 0..100_000 {
            let row = KeptDay::of(Instant::now(), 1, counts.as_bytes()).unwrap();
            kept.keep(EventId(number), Day::containing(86_400), row);
        }
        assert!(kept.kept.weight() <= BYTES_MAX && kept.kept.len() > 30_000);
    }
}
