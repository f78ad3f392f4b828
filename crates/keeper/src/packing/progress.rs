//! Packing's progress: the instant by which everything was packed that had come for a day, by day.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use model::{Day, Minute, Timestamp};

/// Longest time, in milliseconds, from a day's end until it is packed, and from the arrival of late events until they are: this is promised.
const PROMISED_MS: i64 = 3 * 3_600_000;

/// Number of closed days that come before all others: one that is not done when the next one closes is among them for two more.
const RECENT_DAYS: u16 = 3;

/// The closed days that come first, where `before` is the first that is not closed.
pub(super) fn recent(before: Day) -> Range<Day> {
    before.earlier(RECENT_DAYS)..before
}

/// All other closed days.
pub(super) fn old(before: Day) -> Range<Day> {
    Day::from(Minute::FIRST)..before.earlier(RECENT_DAYS)
}

/// The notes at the centre, from which a keeper that was restarted knows since when minutes wait.
///
/// A day with a note has everything packed that had come by the instant noted. A day after the newest note has never been packed to its
/// end. All other days share one note, [`Progress::rest`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Progress(pub(super) BTreeMap<Day, Timestamp>);

/// A day with minutes that have waited for longer than promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Overdue {
    pub(super) day: Day,
    /// The instant since when they may wait: the day's end, or the last at which it was known to have no unpacked minutes.
    pub(super) since: Timestamp,
}

impl Progress {
    /// The first notes of a centre: its minutes are taken to have come now.
    pub(super) fn begun(before: Day, now: Timestamp) -> Self {
        let none = BTreeSet::new();
        let progress = Self::default().after(&old(before), now, &none);
        progress.after(&recent(before), now, &none)
    }

    /// The key of the note on all days that have none of their own: the day before the first one that is counted.
    fn rest() -> Day {
        Day::from(Minute::FIRST).earlier(1)
    }

    /// The instant since when unpacked minutes of `day` may have been there.
    fn since(&self, day: Day) -> Timestamp {
        let end = Timestamp::from_unix_ms(day.end_unix_s().saturating_mul(1000));
        let newest = self.0.keys().next_back();
        let is_known = newest.is_some_and(|newest| *newest >= day);
        let noted = self.0.get(&day).or_else(|| self.0.get(&Self::rest()));
        noted.filter(|_| is_known).map_or(end, |noted| end.max(*noted))
    }

    /// The days of `open` that are overdue, in their order.
    pub(super) fn overdue(&self, open: &BTreeSet<Day>, now: Timestamp) -> Vec<Overdue> {
        let all = open.iter().map(|&day| Overdue {
            day,
            since: self.since(day),
        });
        all.filter(|overdue| now.ms_since(overdue.since) > PROMISED_MS)
            .collect()
    }

    /// The notes after a walk through `days` that began at `begun` and has left some of them: those keep the instant since when they wait.
    pub(super) fn after(&self, days: &Range<Day>, begun: Timestamp, left: &BTreeSet<Day>) -> Self {
        let mut next = self.0.clone();
        next.retain(|day, _| !days.contains(day));
        if days.start <= Day::from(Minute::FIRST) {
            next.insert(Self::rest(), begun);
        } else {
            let each = std::iter::successors(Some(days.start), |day| Some(day.next()));
            next.extend(each.take_while(|day| *day < days.end).map(|day| (day, begun)));
        }
        next.extend(left.iter().map(|&day| (day, self.since(day).min(begun))));
        Self(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    /// A day of 2026 and an hour of it.
    fn at(day: Day, hour: i64) -> Timestamp {
        Timestamp::from_unix_ms(day.unix_s() * 1000 + hour * HOUR_MS)
    }

    fn today() -> Day {
        Day::containing(1_795_478_400)
    }

    /// Everything was looked at on this day at one o'clock.
    fn known() -> Progress {
        Progress::begun(today(), at(today(), 1))
    }

    fn overdue(progress: &Progress, day: Day, now: Timestamp) -> Option<Timestamp> {
        let overdue = progress.overdue(&BTreeSet::from([day]), now);
        overdue.first().map(|overdue| overdue.since)
    }

    #[test]
    fn a_day_is_overdue_three_hours_after_its_end() {
        let progress = known();
        let tomorrow = today().next();
        assert_eq!(overdue(&progress, today(), at(tomorrow, 3)), None);
        let later = at(tomorrow, 3).plus_ms(1);
        assert_eq!(overdue(&progress, today(), later), Some(at(tomorrow, 0)));
    }

    #[test]
    fn what_comes_late_is_overdue_three_hours_after_it_was_last_known_not_to_be_there() {
        let progress = known();
        for day in [today().earlier(1), today().earlier(1_000)] {
            assert_eq!(overdue(&progress, day, at(today(), 4)), None);
            assert_eq!(overdue(&progress, day, at(today(), 5)), Some(at(today(), 1)));
        }
    }

    #[test]
    fn a_day_that_is_left_keeps_its_instant_however_many_walks_pass() {
        let mut progress = known();
        let other = today().earlier(700);
        let left = BTreeSet::from([other, today().earlier(1)]);
        for hour in 2..10 {
            for days in [old(today()), recent(today())] {
                let left = left.iter().copied().filter(|day| days.contains(day)).collect();
                progress = progress.after(&days, at(today(), hour), &left);
            }
        }
        for day in left {
            assert_eq!(overdue(&progress, day, at(today(), 9)), Some(at(today(), 1)));
        }
        assert_eq!(overdue(&progress, today().earlier(699), at(today(), 9)), None);

        // Ten days later yesterday is one of the old ones, and still left.
        let yesterday = today().earlier(1);
        let later = (0..10).fold(today(), |day, _| day.next());
        let (none, left) = (BTreeSet::new(), BTreeSet::from([yesterday]));
        progress = progress.after(&recent(later), at(later, 1), &none);
        progress = progress.after(&old(later), at(later, 1), &left);
        assert_eq!(overdue(&progress, yesterday, at(later, 2)), Some(at(today(), 1)));
        progress = progress.after(&old(later), at(later, 2), &none);
        assert_eq!(overdue(&progress, yesterday, at(later, 3)), None);
        assert_eq!(progress.0.len(), 1 + usize::from(RECENT_DAYS), "{progress:?}");
    }

    #[test]
    fn days_that_ended_while_no_keeper_ran_are_overdue_at_once() {
        let progress = known();
        let back = at(today(), 24 * 6 + 5);
        for number in 0..5 {
            let day = (0..number).fold(today(), |day, _| day.next());
            assert_eq!(
                overdue(&progress, day, back),
                Some(at(day.next(), 0)),
                "{number} days later"
            );
        }
    }

    #[test]
    fn a_centre_that_nothing_is_known_of_begins_with_what_its_first_keeper_sees() {
        let begun = Progress::begun(today(), at(today(), 7));
        for day in [today().earlier(1), today().earlier(5_000)] {
            assert_eq!(overdue(&begun, day, at(today(), 10)), None);
            assert_eq!(overdue(&begun, day, at(today(), 11)), Some(at(today(), 7)));
        }
    }
}
