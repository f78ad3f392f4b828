//! Lanes: a lane is a range of days, and one walk through it after the other. There are two, so that neither recent nor old days keep the
//! other ones waiting.

#![expect(clippy::disallowed_methods, reason = "turns are paced by time")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use model::{Day, EventId, Shard, Shards};
use store::Error;
use store::upkeep::{MINUTES_PER_TRANSACTION_MAX, Packed, Packer};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::progress;
use super::walk::{Leftover, Task, Walk};

/// Longest share of the recent days, before the others have theirs: with three quarters of the time, a day of 500,000 names of every minute
/// is packed within the two hours that are left to it.
const RECENT_TIME_MAX: Duration = Duration::from_secs(30);

/// Longest share of the other days, before a recent one may have something again.
const OLD_TIME_MAX: Duration = Duration::from_secs(10);

/// Longest stay of a walk with one of the other days: whoever floods one does not keep all of them waiting.
const OLD_DAY_TIME_MAX: Duration = Duration::from_secs(30);

/// Rest from listing, as a multiple of the time that listing took: for both lanes together, a tenth of the time is spent on it.
const LISTING_REST: u32 = 19;

/// Longest rest: a keeper that stood still in the middle of a question must not take that for its duration, and what has come meanwhile is
/// promised to be packed within three hours.
const REST_MAX: Duration = Duration::from_secs(30 * 60);

/// Number of walks in a row in which somebody held a name's rows, after which that is a reason for an alarm.
const WALKS_HELD_MAX: u32 = 4;

/// A lane and the walk that it is at.
pub(super) struct Lane {
    /// Its days, where the given one is the first that is not closed.
    days: fn(Day) -> Range<Day>,
    /// The shards through which its walks go.
    shards: Shards,
    /// Its longest share of the time.
    time_max: Duration,
    /// The longest stay of a walk with one day, if there is a limit.
    day_time_max: Option<Duration>,
    /// Whether a walk is given up when another day closes, which then comes first. Not for the old days: a walk through them may take
    /// longer than a day, and its last days would never have their turn.
    begins_anew: bool,
    /// The walk in progress.
    walk: Option<Walk>,
    /// The instant from which the next walk may begin.
    due: Instant,
    /// The time that listing the names of this walk has taken.
    listing: Duration,
    /// The leftover of the last walk that came to its end.
    left: Leftover,
    /// The names whose rows were held in that walk, each with the number of walks in a row.
    held: BTreeMap<(Shard, EventId), u32>,
}

impl Lane {
    /// The lane of the recent days.
    pub(super) fn recent(due: Instant, shards: Shards) -> Self {
        Self {
            shards,
            days: progress::recent,
            time_max: RECENT_TIME_MAX,
            day_time_max: None,
            begins_anew: true,
            walk: None,
            due,
            listing: Duration::ZERO,
            left: Leftover::default(),
            held: BTreeMap::new(),
        }
    }

    /// The lane of all other days.
    pub(super) fn old(due: Instant, shards: Shards) -> Self {
        Self {
            days: progress::old,
            time_max: OLD_TIME_MAX,
            day_time_max: Some(OLD_DAY_TIME_MAX),
            begins_anew: false,
            ..Self::recent(due, shards)
        }
    }

    /// The instant at which it has something to do: in the middle of a walk, now.
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

    /// Works for the lane's share of the time, and returns a walk that came to its end. `before` is the first day that is not closed, `now`
    /// the centre's clock. With `begin`, a walk is begun, and its value says whether there are counts that it cannot find.
    ///
    /// # Errors
    /// The server did not answer, and the walk is given up: whether its last slice was committed is not known. The next walk lists what is
    /// there.
    pub(super) async fn share(
        &mut self,
        packer: &mut Packer,
        (before, now): (Day, model::Timestamp),
        begin: Option<bool>,
        interval: Duration,
        shutdown: &CancellationToken,
    ) -> Result<Option<Walk>, Error> {
        // A walk in progress may be replaced: each of its slices was a transaction of its own, so nothing is half done.
        if let Some(is_incomplete) = begin {
            let mut walk = Walk::new(((self.days)(before), self.shards), now, self.day_time_max);
            walk.left.is_incomplete = is_incomplete;
            self.walk = Some(walk);
            self.listing = Duration::ZERO;
        }
        let begun = Instant::now();
        while begun.elapsed() < self.time_max && !shutdown.is_cancelled() {
            let Some(walk) = &mut self.walk else { break };
            let Some(task) = walk.next() else {
                self.due = Instant::now() + rest(self.listing, interval);
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

    /// Remembers the leftover of a walk that came to its end.
    pub(super) fn ended(&mut self, left: Leftover) {
        let walks = |name| self.held.get(name).map_or(1, |walks| walks + 1);
        self.held = left.held.iter().map(|name| (*name, walks(name))).collect();
        self.left = left;
    }

    /// The days of which it is known that they have unpacked minutes.
    pub(super) fn open_days(&self) -> BTreeSet<Day> {
        let left = self.left.days.iter().copied();
        left.chain(self.walk.iter().flat_map(Walk::open_days)).collect()
    }

    /// The reason why days are left; `None` where there is only much to do.
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

/// The time from a walk's end to the next one, after so much listing.
fn rest(listing: Duration, interval: Duration) -> Duration {
    listing.saturating_mul(LISTING_REST).clamp(interval, REST_MAX)
}

/// Does one task. What the server refuses is left for the next walk: other names and days do not wait for it.
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

/// Packs a slice, by halves where somebody holds one of its rows, or one cannot be read: only that name is left. A transaction that met such
/// a row has changed nothing, so its halves may be tried at once; waiting for the row would keep replication waiting for the other ones.
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
                // It may have left minutes of the same names: one name's day always fits.
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
        // Outside of the transaction, so that no row is held: replication has the centre for at least half of the time.
        tokio::time::sleep(elapsed).await;
        walk.spend(begun.elapsed());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_rests_from_listing_within_limits() {
        let rest = |listing_s| rest(Duration::from_secs(listing_s), Duration::from_secs(30)).as_secs();
        assert_eq!([0, 1, 2, 60, 3_600].map(rest), [30, 30, 38, 1_140, 1_800]);
    }

    #[test]
    fn held_rows_are_a_reason_only_when_they_stay_so() {
        let id = EventId::of("a");
        let mut lane = Lane::old(Instant::now(), Shards::ALL);
        for walk in 1..=WALKS_HELD_MAX {
            assert_eq!(lane.reason(), None, "after {} walks", walk - 1);
            let mut left = Leftover::default();
            left.hold(Shard::of(id), Day::containing(86_400), &[id]);
            lane.ended(left);
        }
        let reason = lane.reason().unwrap();
        assert!(reason.starts_with("rows of 1 names were held"), "{reason}");
        assert_eq!(lane.open_days(), BTreeSet::from([Day::containing(86_400)]));
        lane.ended(Leftover::default());
        assert_eq!((lane.reason(), lane.open_days().len()), (None, 0));
    }
}
