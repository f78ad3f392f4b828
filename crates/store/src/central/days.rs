//! Days that were unpacked before, so that dashboards, which ask for the same days again and again, are answered without doing it anew.
//!
//! A day is exact at any moment although late events are merged into it: a snapshot that uses it asks for the day's total, which the index
//! has, and each count that is merged makes that greater. Only a day that retention dropped could come again with the same total, and of
//! that nothing is shown. A total at its limit would not grow, so such a day is not kept. A centre that was restored from a backup is another
//! server, with connections of its own: a connection takes only days that were read after it was made.
//!
//! A day that was seen whole in its row is not even asked for while the [past](super::past) shows that nothing was counted for it since.

#![expect(clippy::disallowed_methods, reason = "a day is trusted or not by its age")]

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::{Day, EventId, MINUTES_PER_DAY, Minute, PackedDayError, for_each_packed};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::counts::{Counted, Grain, Wanted};

/// Most bytes of days that are kept, about: 40,000 days of every minute.
const BYTES_MAX: u64 = 64 << 20;

/// Bytes that a day takes besides its counts: its key, its places in the cache, hours.
const DAY_BYTES: u64 = 160;

/// Days that the cache is made for at its beginning.
const DAYS_EXPECTED: usize = 40_000;

/// Most days of one part of a request that are looked for in the cache: what is more would only drive out what others ask for.
pub(super) const DAYS_PER_PART_MAX: usize = 8_192;

/// Time for which a day is taken as it was last seen in the database, as long as nothing was counted for it: so soon is seen what somebody
/// changes in the tables by hand.
const SEEN_FOR: Duration = Duration::from_secs(60);

/// Days that are handed over before other tasks get their turn: half a millisecond.
const DAYS_PER_TURN: usize = 64;

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
    /// The instant when that was done.
    read: Instant,
    /// The sum of its counts; 0 where there was no row.
    pub(super) total: u64,
    counts: Counts,
    /// How it was last seen whole.
    whole: Mutex<Option<Whole>>,
}

/// A sight of a day whose counts were in its row, all of them.
struct Whole {
    /// The instant from which that was asked.
    asked: Instant,
    /// The minutes that were asked for.
    minutes: Range<usize>,
    /// The first day that retention had not dropped then.
    kept_since: Option<Day>,
}

/// Days that are known without asking.
pub(super) struct Standing {
    pub(super) days: Vec<(EventId, Day, Arc<KeptDay>)>,
    /// The first day that retention had not dropped when they were seen.
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
        if self.was_just_merged() {
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

    /// Each day that is wanted, if all of them were read after `connected` and seen whole after `since`, too, and lately, and none was found
    /// merged just now.
    pub(super) fn standing(
        &self,
        wanted: &Wanted<'_>,
        connected: Instant,
        since: Instant,
    ) -> Option<Standing> {
        let (first, last) = wanted.days();
        if self.was_just_merged() || days(first, last).count() * wanted.ids.len() > DAYS_PER_PART_MAX {
            return None;
        }
        let mut standing = Standing {
            days: Vec::new(),
            kept_since: None,
        };
        for &id in wanted.ids {
            for day in days(first, last) {
                let kept = self.kept.get(&(id, day)).filter(|kept| kept.asked > connected)?;
                let kept_since = kept.was_whole(&minutes_of(day, wanted.minutes), since.max(connected))?;
                standing.kept_since = standing.kept_since.max(kept_since);
                standing.days.push((id, day, kept));
            }
        }
        Some(standing)
    }

    fn was_just_merged(&self) -> bool {
        let merged = *self.merged.lock().unwrap_or_else(PoisonError::into_inner);
        merged.is_some_and(|at| at.elapsed() < DISTRUSTED_FOR)
    }

    /// Keeps a day, unless what is kept was read later. Of two that were read at once, the one with more counts was.
    pub(super) fn keep(&self, id: EventId, day: Day, kept: &Arc<KeptDay>) {
        let is_later = |before: Arc<KeptDay>| {
            before.asked > kept.asked || (before.read > kept.asked && before.total >= kept.total)
        };
        if kept.total < u64::MAX && !self.kept.peek(&(id, day)).is_some_and(is_later) {
            self.kept.insert((id, day), Arc::clone(kept));
        }
    }

    /// Whether a day is kept with another total than it has now.
    pub(super) fn was_other(&self, id: EventId, day: Day, total: u64) -> bool {
        self.kept.peek(&(id, day)).is_some_and(|kept| kept.total != total)
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

/// The minutes of `day` that are from `first` to `last`.
pub(super) fn minutes_of(day: Day, (first, last): (Minute, Minute)) -> Range<usize> {
    let start = day.unix_s();
    let minute_of = |unix_s: i64| usize::try_from((unix_s - start).div_euclid(60)).unwrap_or(0);
    minute_of(first.unix_s())..MINUTES_PER_DAY.min(minute_of(last.unix_s() + 60))
}

/// Hands over the counts that are wanted of `all` days, in turns with other tasks.
pub(super) async fn hand_over(
    all: &[(EventId, Day, Arc<KeptDay>)],
    (minutes, grain): ((Minute, Minute), Grain),
    mut each: impl FnMut(EventId, Counted<'_>) + Send,
) {
    for (at, (id, day, kept)) in all.iter().enumerate() {
        if at % DAYS_PER_TURN == DAYS_PER_TURN - 1 {
            tokio::task::yield_now().await;
        }
        kept.for_each(*day, minutes, grain == Grain::Hour, |counted| each(*id, counted));
    }
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
            whole: Mutex::default(),
        }
    }

    /// Notes that its row is as it was in a snapshot that was asked for at `asked`, and whether `minutes` had no other counts.
    pub(super) fn see(&self, minutes: Range<usize>, is_whole: bool, asked: Instant, kept_since: Option<Day>) {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        *whole = is_whole.then_some(Whole {
            asked,
            minutes,
            kept_since,
        });
    }

    /// The first day that was kept when its `minutes` were seen whole, if that was lately, and after `since`.
    fn was_whole(&self, minutes: &Range<usize>, since: Instant) -> Option<Option<Day>> {
        let whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = whole.as_ref()?;
        let has_all = whole.minutes.start <= minutes.start && minutes.end <= whole.minutes.end;
        (has_all && whole.asked > since && whole.asked.elapsed() < SEEN_FOR).then_some(whole.kept_since)
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
        let row = |asked, total| Arc::new(KeptDay::of(asked, total, b"[[0,3]]").unwrap());
        kept.keep(id, of, &row(asked, 3));
        assert!(!all(before), "a day is missing");
        kept.keep(id, of.next(), &Arc::new(KeptDay::none(asked)));
        assert!(all(before) && !all(Instant::now()));
        kept.keep(id, of, &row(before, 2));
        assert!(all(before), "what was read before takes no later one's place");
        kept.forget(id, of);
        kept.keep(id, of, &row(asked, 3));
        assert!(!all(before), "it is read once more");
        *kept.merged.lock().unwrap() = None;
        assert!(all(before));
        kept.kept.remove(&(id, of));
        kept.keep(id, of, &row(asked, u64::MAX));
        assert!(!all(before), "its total would not grow");
    }

    #[test]
    fn memory_is_bounded() {
        let kept = Days::new();
        let counts = day(|minute| u64::from(minute % 7)).pack();
        for number in 0..100_000 {
            let row = KeptDay::of(Instant::now(), 1, counts.as_bytes()).unwrap();
            kept.keep(EventId(number), Day::containing(86_400), &Arc::new(row));
        }
        assert!(kept.kept.weight() <= BYTES_MAX && kept.kept.len() > 30_000);
    }
}
