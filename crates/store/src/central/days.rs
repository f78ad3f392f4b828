//! Days that were unpacked before, so that dashboards, which ask for the same days again and again, are answered without doing it anew.
//!
//! A day is exact at any moment although late events are merged into it: a snapshot that uses it asks for the day's total, which the index
//! has, and each count that is merged makes that greater. Only a day that retention dropped could come again with the same total, and of
//! that nothing is shown. A total at its limit would not grow, so such a day is not kept. A centre that was restored from a backup is another
//! server, with connections of its own: a connection takes only days that were read after it was made.
//!
//! A day that was seen whole in its row is not even asked for while the [past](super::past) shows that nothing was counted for it since.

#![expect(clippy::disallowed_methods, reason = "a day is trusted or not by its age")]

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::{Day, EventId, Minute};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::counts::{Counted, Grain, Wanted};
use super::kept_day::{KeptDay, minutes_of};
use super::lease::Connected;

/// Most bytes of days that are kept, about: 35,000 days of every minute.
const BYTES_MAX: u64 = 64 << 20;

/// Bytes that a day takes besides its counts: its key, its places in the cache, how it was seen.
const DAY_BYTES: u64 = 240;

/// Days that the cache is made for at its beginning.
const DAYS_EXPECTED: usize = 35_000;

/// Most days of a request that are looked for in the cache, and kept there: half of what it holds of days of every minute. What is more would
/// drive out what others ask for, and itself before it is asked for again.
pub(super) const DAYS_PER_REQUEST_MAX: usize = DAYS_EXPECTED / 2;

/// Most days that are taken from memory without asking, for each of what a request wants, and that it sees.
pub(super) const DAYS_SEEN_MAX: usize = 8_192;

/// Days that are handed over before other tasks get their turn: half a millisecond.
const DAYS_PER_TURN: usize = 64;

/// Time for which no day is taken from memory after one was found merged: what is read again must not be late again, however fast events
/// of the past come in.
const DISTRUSTED_FOR: Duration = Duration::from_secs(1);

/// The days, each of which was read at least once.
pub(super) struct Days {
    kept: Cache<(EventId, Day), Arc<KeptDay>, Bytes>,
    /// When a day was last found merged.
    merged: Mutex<Option<Instant>>,
}

/// Days that are known without asking.
pub(super) struct Standing {
    pub(super) days: Vec<(EventId, Day, Arc<KeptDay>)>,
    /// The first day that retention had not dropped when they were seen.
    pub(super) kept_since: Option<Day>,
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

    /// Each day that is wanted, if all of them were read by such connections as `connected` and seen whole after `since`, too, and lately, and
    /// none was found merged just now.
    pub(super) fn standing(
        &self,
        wanted: &Wanted<'_>,
        connected: &Connected,
        since: Instant,
    ) -> Option<Standing> {
        let (first, last) = wanted.days();
        let length = days(first, last).take(DAYS_SEEN_MAX + 1).count();
        if self.was_just_merged() || length * wanted.ids.len() > DAYS_SEEN_MAX {
            return None;
        }
        let since = since.max(connected.at);
        let mut standing = Standing {
            days: Vec::new(),
            kept_since: None,
        };
        for &id in wanted.ids {
            for day in days(first, last) {
                let kept = self
                    .kept
                    .get(&(id, day))
                    .filter(|kept| kept.asked > connected.at)?;
                let minutes = minutes_of(day, wanted.minutes);
                let kept_since = kept.was_whole(&minutes, since, &connected.server)?;
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

    /// Keeps a day, unless what is kept was read later: of two whose readings overlap, that is the one with more counts.
    pub(super) fn keep(&self, id: EventId, day: Day, kept: &Arc<KeptDay>) {
        let is_later = |before: Arc<KeptDay>| before.read > kept.asked && before.total >= kept.total;
        if kept.total < u64::MAX && !self.kept.peek(&(id, day)).is_some_and(is_later) {
            self.kept.insert((id, day), Arc::clone(kept));
        }
    }

    /// Forgets a day that is not any more as it was.
    pub(super) fn forget(&self, id: EventId, day: Day) {
        self.kept.remove(&(id, day));
        *self.merged.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// Whether the days of names whose counts are wanted, each once, are more than a request takes from the cache. What is wanted of a name in
/// other minutes counts anew.
pub(super) fn are_too_many(wanted: &[Wanted<'_>]) -> bool {
    let (mut found, mut count) = (HashSet::new(), 0);
    wanted
        .iter()
        .filter(|wanted| wanted.grain != Grain::Day)
        .any(|wanted| {
            let (first, last) = wanted.days();
            let length = days(first, last).take(DAYS_PER_REQUEST_MAX + 1).count();
            wanted.ids.iter().any(|&id| {
                count += if found.insert((id, first, last)) {
                    length
                } else {
                    0
                };
                count > DAYS_PER_REQUEST_MAX
            })
        })
}

/// The days from `first` to `last`.
pub(super) fn days(first: Day, last: Day) -> impl Iterator<Item = Day> {
    std::iter::successors(Some(first), |day| Some(day.next())).take_while(move |day| *day <= last)
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

/// Weighs a day by the bytes that it takes.
#[derive(Clone)]
struct Bytes;

impl Weighter<(EventId, Day), Arc<KeptDay>> for Bytes {
    fn weight(&self, _: &(EventId, Day), kept: &Arc<KeptDay>) -> u64 {
        DAY_BYTES + kept.counts_bytes() as u64
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a day is older or newer than a connection"
)]
mod tests {
    use super::*;
    use crate::central::kept_day::tests::day;

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
