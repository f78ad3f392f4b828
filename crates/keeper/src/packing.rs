//! Closed days are packed, slice by slice, oldest first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use model::{Day, EventId, Minute, Shard};
use store::{
    Alarm, Error, MINUTES_PER_TRANSACTION_MAX, OPEN_NAMES_LISTED_MAX, OpenName, Packed, Packer, Post, Server,
};
use tokio_util::sync::CancellationToken;

use crate::alarms::alarm;
use crate::findings::Findings;

/// A day is packed so long after its end: most of what comes late has come, and each row is written once. By then, and with this to
/// spare, it is packed within the three hours that are promised.
const SETTLES_AFTER_S: i64 = 3_600;

/// What one transaction should take: replication waits no longer for a row that it holds.
const SLICE_TARGET: Duration = Duration::from_millis(20);

/// Names of rare events in one transaction: some 60 kB of SQL.
const NAMES_PER_SLICE_MAX: usize = 500;

/// How long a pass stays with one day. Then another begins, so that what has come late meanwhile for older days is not late for long.
const DAY_TIME_MAX: Duration = Duration::from_secs(30);

/// Passes in a row in which somebody held a name's rows, after which that is an alarm.
const PASSES_HELD_MAX: u32 = 4;

struct Packing {
    packer: Packer,
    centre: Post,
    names_per_slice: usize,
    /// Names that the last passes could not pack, and how many passes.
    held: BTreeMap<(Shard, EventId), u32>,
    shutdown: CancellationToken,
}

/// What a pass could not pack.
#[derive(Default)]
struct Left {
    is_at_its_end: bool,
    names: BTreeSet<(Shard, EventId)>,
    oldest: Option<Day>,
    unreadable: Option<Error>,
}

/// Makes a pass every `interval` until `shutdown`; after one that did not get to its end, at once.
pub(crate) async fn run(
    centre: &Server,
    interval: Duration,
    findings: &Findings,
    shutdown: &CancellationToken,
) {
    let mut packing = Packing {
        packer: Packer::new(centre.clone()),
        centre: Post::new(centre.clone()),
        names_per_slice: 1,
        held: BTreeMap::new(),
        shutdown: shutdown.clone(),
    };
    let mut pause = interval;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let outcome = packing.pass().await;
        let is_at_its_end = outcome.as_ref().map_or(true, |left| left.is_at_its_end);
        pause = if is_at_its_end { interval } else { Duration::ZERO };
        findings.set(packing.alarms(outcome));
    }
}

impl Packing {
    /// Packs what is due, day by day, each day over all shards in turn. No name's day comes twice: what arrives meanwhile for a
    /// day that is done waits for the next pass, or a pass would not end while late events come.
    async fn pass(&mut self) -> Result<Left, Error> {
        let now_s = self.centre.clock().await?.unix_ms().div_euclid(1000);
        let before = Day::containing(now_s - SETTLES_AFTER_S);
        let mut left = Left::default();
        let mut open = BTreeMap::<Shard, Vec<OpenName>>::new();
        for shard in Shard::all() {
            let names = self
                .packer
                .open_names(shard, Minute::FIRST.into(), before)
                .await?;
            open.insert(shard, names);
        }
        let mut done = BTreeSet::<OpenName>::new();
        while let Some(day) = open.values().flatten().map(|name| name.day).min() {
            done.retain(|name| name.day == day);
            let mut queues = BTreeMap::<Shard, Vec<EventId>>::new();
            for (&shard, names) in &open {
                for name in names.iter().filter(|name| name.day == day) {
                    done.insert(*name);
                    queues.entry(shard).or_default().push(name.id);
                }
            }
            if !self.pack_day(day, &mut queues, &mut left).await? {
                return Ok(left);
            }
            for shard in queues.into_keys() {
                // More of the day's names than a list has, or what comes after it.
                let is_full = open
                    .get(&shard)
                    .is_some_and(|names| names.len() >= OPEN_NAMES_LISTED_MAX);
                let from = if is_full { day } else { day.next() };
                let mut names = self.packer.open_names(shard, from, before).await?;
                names.retain(|name| !done.contains(name));
                open.insert(shard, names);
            }
        }
        left.is_at_its_end = true;
        Ok(left)
    }

    /// Whether all of it was tried.
    async fn pack_day(
        &mut self,
        day: Day,
        queues: &mut BTreeMap<Shard, Vec<EventId>>,
        left: &mut Left,
    ) -> Result<bool, Error> {
        let begun = Instant::now();
        // Of another day's names the next may have a thousand times as many minutes.
        self.names_per_slice = 1;
        while queues.values().any(|ids| !ids.is_empty()) {
            for (&shard, ids) in queues.iter_mut() {
                if self.shutdown.is_cancelled() || begun.elapsed() > DAY_TIME_MAX {
                    return Ok(false);
                }
                let slice: Vec<EventId> = ids.drain(..self.names_per_slice.min(ids.len())).collect();
                if !slice.is_empty() {
                    self.pack_slice(shard, day, slice, left).await?;
                }
            }
        }
        Ok(true)
    }

    /// Packs a slice, by halves where somebody holds one of its rows: only that name is left for the next pass.
    async fn pack_slice(
        &mut self,
        shard: Shard,
        day: Day,
        slice: Vec<EventId>,
        left: &mut Left,
    ) -> Result<(), Error> {
        let mut slices = vec![slice];
        while let Some(mut ids) = slices.pop() {
            let begun = Instant::now();
            let outcome = self.packer.pack(shard, day, &ids).await;
            let elapsed = begun.elapsed();
            match outcome {
                Ok(Packed::Moved {
                    minutes,
                    days,
                    merged,
                }) => {
                    metrics::counter!("keeper_packed_minutes_total").increment(minutes);
                    metrics::counter!("keeper_packed_days_total").increment(days);
                    metrics::counter!("keeper_packed_days_merged_total").increment(merged);
                    metrics::histogram!("keeper_packing_seconds").record(elapsed.as_secs_f64());
                    if ids.len() == self.names_per_slice {
                        self.names_per_slice = next_size(self.names_per_slice, elapsed);
                    }
                    if minutes >= MINUTES_PER_TRANSACTION_MAX {
                        slices.push(ids);
                    }
                }
                Ok(Packed::Held) | Err(Error::PackedDay { .. }) if ids.len() > 1 => {
                    slices.push(ids.split_off(ids.len() / 2));
                    slices.push(ids);
                }
                Ok(Packed::Held) => {
                    metrics::counter!("keeper_packing_held_total").increment(1);
                    left.put(shard, day, ids[0]);
                }
                Err(error @ Error::PackedDay { .. }) => {
                    left.put(shard, day, ids[0]);
                    left.unreadable.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
            // Replication has the centre for at least half of the time.
            tokio::time::sleep(elapsed).await;
        }
        Ok(())
    }

    fn alarms(&mut self, outcome: Result<Left, Error>) -> Vec<Alarm> {
        let trouble = match outcome {
            Ok(left) => {
                let passes = |name| self.held.get(name).map_or(1, |passes| passes + 1);
                self.held = left.names.iter().map(|name| (*name, passes(name))).collect();
                let first_open = left.oldest.map_or(0, Day::unix_s);
                metrics::gauge!("keeper_packing_left_day_seconds")
                    .set(i32::try_from(first_open).unwrap_or(i32::MAX));
                left.trouble(&self.held)
            }
            Err(error) => {
                metrics::counter!("keeper_packing_failures_total").increment(1);
                Some(error.with_causes())
            }
        };
        let Some(trouble) = trouble else { return Vec::new() };
        tracing::warn!(trouble, "closed days are not all packed");
        let sentence =
            format!("closed days are not all packed, which takes room and loses nothing: {trouble}");
        vec![alarm("", "packing", sentence)]
    }
}

impl Left {
    fn put(&mut self, shard: Shard, day: Day, id: EventId) {
        self.names.insert((shard, id));
        self.oldest = Some(self.oldest.map_or(day, |oldest| oldest.min(day)));
    }

    fn trouble(&self, held: &BTreeMap<(Shard, EventId), u32>) -> Option<String> {
        if let Some(error) = &self.unreadable {
            return Some(error.with_causes());
        }
        let names = held.values().filter(|&&passes| passes >= PASSES_HELD_MAX).count();
        let day = self.oldest.filter(|_| names > 0)?;
        Some(format!(
            "rows of {names} names were held by other transactions in {PASSES_HELD_MAX} passes or more, the oldest is of {day}; \
             look at information_schema.INNODB_TRX"
        ))
    }
}

/// As many names as fit into [`SLICE_TARGET`] by the last slice, at most twice as many as it had.
fn next_size(names: usize, elapsed: Duration) -> usize {
    let elapsed_us = elapsed.as_micros().max(1);
    let fitting = names as u128 * SLICE_TARGET.as_micros() / elapsed_us;
    let fitting = usize::try_from(fitting).unwrap_or(usize::MAX);
    fitting.clamp(1, (2 * names).min(NAMES_PER_SLICE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_grows_and_shrinks_with_what_it_takes() {
        assert_eq!(next_size(4, Duration::from_millis(40)), 2);
        assert_eq!(next_size(4, Duration::from_millis(1)), 8);
        assert_eq!(next_size(1, Duration::from_secs(1)), 1);
        assert_eq!(
            next_size(NAMES_PER_SLICE_MAX, Duration::ZERO),
            NAMES_PER_SLICE_MAX
        );
    }

    #[test]
    fn held_rows_are_an_alarm_only_when_they_stay_so() {
        let mut left = Left::default();
        let id = EventId::of("a");
        let name = (Shard::of(id), id);
        left.put(name.0, Day::containing(86_400), id);
        let trouble = |passes| left.trouble(&BTreeMap::from([(name, passes)]));
        assert_eq!(trouble(PASSES_HELD_MAX - 1), None);
        let sentence = trouble(PASSES_HELD_MAX).unwrap();
        assert!(sentence.starts_with("rows of 1 names were held"), "{sentence}");
        assert!(sentence.contains("the oldest is of 1970-01-02"), "{sentence}");
    }
}
