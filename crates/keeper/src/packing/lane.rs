//! A range of days, and one walk through it after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use model::{Day, EventId, Shard};
use store::Error;
use store::upkeep::{MINUTES_PER_TRANSACTION_MAX, Packed, Packer};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::progress;
use super::walk::{Left, Task, Walk};

/// How long the recent days are at work before the others have their share: with three quarters of the time, a day of 500,000 names
/// of every minute is packed within the two hours that are left to it.
const RECENT_TIME_MAX: Duration = Duration::from_secs(30);

/// How long the other days are at work before it is looked whether a recent one has something again.
const OLD_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a walk stays with one of the other days: who floods one does not keep all of them waiting.
const OLD_DAY_TIME_MAX: Duration = Duration::from_secs(30);

/// Names are listed again after so many times what listing them took: for both lanes together that is a tenth of the time.
const LISTING_REST: u32 = 19;

/// Walks in a row in which somebody held a name's rows, after which that is a reason for an alarm.
const WALKS_HELD_MAX: u32 = 4;

pub(super) struct Lane {
    /// Its days, where the given one is the first that is not closed.
    days: fn(Day) -> Range<Day>,
    time_max: Duration,
    day_time_max: Option<Duration>,
    /// Whether a walk is given up when another day closes, which then comes first. Of a walk that takes days, the last ones would
    /// never have their turn.
    begins_anew: bool,
    walk: Option<Walk>,
    /// When the next walk may begin.
    due: Instant,
    /// How long the names of this walk took to be listed.
    listing: Duration,
    /// What the last walk has left that came to its end.
    left: Left,
    /// The names whose rows were held in that one, and in how many walks in a row.
    held: BTreeMap<(Shard, EventId), u32>,
}

impl Lane {
    pub(super) fn recent(due: Instant) -> Self {
        Self {
            days: progress::recent,
            time_max: RECENT_TIME_MAX,
            day_time_max: None,
            begins_anew: true,
            walk: None,
            due,
            listing: Duration::ZERO,
            left: Left::default(),
            held: BTreeMap::new(),
        }
    }

    pub(super) fn old(due: Instant) -> Self {
        Self {
            days: progress::old,
            time_max: OLD_TIME_MAX,
            day_time_max: Some(OLD_DAY_TIME_MAX),
            begins_anew: false,
            ..Self::recent(due)
        }
    }

    /// When it has something to do: in the middle of a walk, now.
    pub(super) fn due(&self) -> Instant {
        self.walk.as_ref().map_or(self.due, |_| Instant::now())
    }

    /// Whether its next share begins a walk.
    pub(super) fn begins(&self, before: Day) -> bool {
        match &self.walk {
            None => self.due <= Instant::now(),
            Some(walk) => self.begins_anew && walk.days != (self.days)(before),
        }
    }

    /// Goes on for its share of the time, and returns a walk that came to its end. `before` is the first day that is not closed. With
    /// `begin`, it begins a walk, which does not see everything where that is true.
    ///
    /// # Errors
    /// The server did not answer, and the walk is given up: it is not known what became of its last slice.
    pub(super) async fn share(
        &mut self,
        packer: &mut Packer,
        (before, now): (Day, model::Instant),
        begin: Option<bool>,
        interval: Duration,
        shutdown: &CancellationToken,
    ) -> Result<Option<Walk>, Error> {
        if let Some(is_blind) = begin {
            let mut walk = Walk::new((self.days)(before), now, self.day_time_max);
            walk.left.is_blind = is_blind;
            self.walk = Some(walk);
            self.listing = Duration::ZERO;
        }
        let begun = Instant::now();
        while begun.elapsed() < self.time_max && !shutdown.is_cancelled() {
            let Some(walk) = &mut self.walk else { break };
            let Some(task) = walk.next() else {
                self.due = Instant::now() + interval.max(LISTING_REST * self.listing);
                return Ok(self.walk.take());
            };
            let is_listing = matches!(task, Task::List { .. });
            let task_begun = Instant::now();
            if let Err(error) = work(packer, walk, task).await {
                self.walk = None;
                self.due = Instant::now() + interval;
                return Err(error);
            }
            if is_listing {
                self.listing += task_begun.elapsed();
            }
        }
        Ok(None)
    }

    /// Remembers what a walk has left.
    pub(super) fn ended(&mut self, left: Left) {
        let walks = |name| self.held.get(name).map_or(1, |walks| walks + 1);
        self.held = left.held.iter().map(|name| (*name, walks(name))).collect();
        self.left = left;
    }

    /// The days of which it is known that they have unpacked minutes.
    pub(super) fn open_days(&self) -> BTreeSet<Day> {
        let left = self.left.days.iter().copied();
        left.chain(self.walk.iter().flat_map(Walk::open_days)).collect()
    }

    /// Why days are left, unless there is only much to do.
    pub(super) fn reason(&self) -> Option<String> {
        let lefts = self.walk.iter().map(|walk| &walk.left).chain([&self.left]);
        if let Some(error) = lefts.filter_map(|left| left.error.as_ref()).next() {
            return Some(error.with_causes());
        }
        let names = self
            .held
            .values()
            .filter(|&&walks| walks >= WALKS_HELD_MAX)
            .count();
        (names > 0).then(|| {
            format!(
                "rows of {names} names were held by other transactions each of the last {WALKS_HELD_MAX} times or more; look at \
                 information_schema.INNODB_TRX"
            )
        })
    }
}

/// What the server refuses is left for the next walk: other names and days do not wait for it.
async fn work(packer: &mut Packer, walk: &mut Walk, task: Task) -> Result<(), Error> {
    match task {
        Task::Pack { shard, day, ids } => return pack(packer, walk, shard, day, ids).await,
        Task::List { shard, after } => {
            let names = packer.open_names(shard, &walk.days, after).await;
            let names = names.or_else(|error| walk.left.overlook(error).map(|()| Vec::new()))?;
            walk.listed(shard, &names);
        }
        Task::Advance { shard, before, ids } => {
            let days = walk.days.start..before;
            let names = packer.open_among(shard, &days, &ids).await;
            let names = names.or_else(|error| walk.left.overlook(error).map(|()| Vec::new()))?;
            walk.add(shard, &names);
        }
    }
    Ok(())
}

/// Packs a slice, by halves where somebody holds one of its rows, or one cannot be read: only that name is left.
async fn pack(
    packer: &mut Packer,
    walk: &mut Walk,
    shard: Shard,
    day: Day,
    slice: Vec<EventId>,
) -> Result<(), Error> {
    let mut slices = vec![slice];
    while let Some(mut ids) = slices.pop() {
        let begun = Instant::now();
        let outcome = packer.pack(shard, day, &ids).await;
        let elapsed = begun.elapsed();
        let is_to_be_halved = match outcome {
            Ok(Packed::Moved {
                minutes,
                days,
                merged,
            }) => {
                metrics::counter!("keeper_packed_minutes_total").increment(minutes);
                metrics::counter!("keeper_packed_days_total").increment(days);
                metrics::counter!("keeper_packed_days_merged_total").increment(merged);
                metrics::histogram!("keeper_packing_seconds").record(elapsed.as_secs_f64());
                walk.resize(ids.len(), elapsed);
                // There may be more of it.
                minutes >= MINUTES_PER_TRANSACTION_MAX
            }
            Ok(Packed::Held) | Err(Error::PackedDay { .. } | Error::OutsideDay { .. }) if ids.len() > 1 => {
                true
            }
            Ok(Packed::Held) => {
                metrics::counter!("keeper_packing_held_total").increment(1);
                walk.left.hold(shard, day, &ids);
                false
            }
            Err(error) => {
                walk.left.refuse(day, error)?;
                false
            }
        };
        if is_to_be_halved && ids.len() > 1 {
            slices.push(ids.split_off(ids.len() / 2));
            slices.push(ids);
        }
        // Replication has the centre for at least half of the time.
        tokio::time::sleep(elapsed).await;
        walk.spend(begun.elapsed());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_rows_are_a_reason_only_when_they_stay_so() {
        let id = EventId::of("a");
        let mut lane = Lane::old(Instant::now());
        for walk in 1..=WALKS_HELD_MAX {
            assert_eq!(lane.reason(), None, "after {} walks", walk - 1);
            let mut left = Left::default();
            left.hold(Shard::of(id), Day::containing(86_400), &[id]);
            lane.ended(left);
        }
        let reason = lane.reason().unwrap();
        assert!(reason.starts_with("rows of 1 names were held"), "{reason}");
        assert_eq!(lane.open_days(), BTreeSet::from([Day::containing(86_400)]));
        lane.ended(Left::default());
        assert_eq!((lane.reason(), lane.open_days().len()), (None, 0));
    }
}
