//! Closed days are packed, slice by slice, oldest first.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use model::{Day, EventId, Shard};
use store::{Alarm, Error, OpenName, Packed, Packer, Post, Server};
use tokio_util::sync::CancellationToken;

use crate::alarms::alarm;
use crate::findings::Findings;
use crate::retention;

/// A day is packed so long after its end: most of what comes late has come, and each row is written once. By then, and with this to
/// spare, it is packed within the three hours that are promised.
const SETTLES_AFTER_S: i64 = 3_600;

/// What one transaction should take: replication waits no longer for a row that it holds.
const SLICE_TARGET: Duration = Duration::from_millis(20);

/// Names of rare events in one transaction: some 60 kB of SQL.
const NAMES_PER_SLICE_MAX: usize = 500;

/// Passes in a row after which rows that are always held by somebody are an alarm.
const PASSES_HELD_MAX: u32 = 4;

struct Packing {
    packer: Packer,
    centre: Post,
    names_per_slice: usize,
    passes_held: u32,
    shutdown: CancellationToken,
}

/// What a pass could not pack.
#[derive(Default)]
struct Left {
    names: u64,
    oldest: Option<Day>,
    unreadable: Option<Error>,
}

/// Makes a pass every `interval` until `shutdown`, and then drops what is older than `keep_months`.
pub(crate) async fn run(
    centre: &Server,
    (interval, keep_months): (Duration, Option<NonZeroU32>),
    findings: &Findings,
    shutdown: &CancellationToken,
) {
    let mut packing = Packing {
        packer: Packer::new(centre.clone()),
        centre: Post::new(centre.clone()),
        names_per_slice: 1,
        passes_held: 0,
        shutdown: shutdown.clone(),
    };
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
        let outcome = packing.pass().await;
        let mut alarms = packing.alarms(outcome);
        if let Some(months) = keep_months
            && let Err(error) = packing.drop_old(months).await
        {
            let sentence = format!(
                "days that should be dropped are still there: {}",
                error.with_causes()
            );
            alarms.push(alarm("", "retention", sentence));
        }
        findings.set(alarms);
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
            open.insert(shard, self.packer.open_names(shard, before).await?);
        }
        let mut done = BTreeSet::<OpenName>::new();
        while let Some(day) = open.values().flatten().map(|name| name.day).min()
            && !self.shutdown.is_cancelled()
        {
            done.retain(|name| name.day == day);
            let mut queues = BTreeMap::<Shard, Vec<EventId>>::new();
            for (&shard, names) in &open {
                for name in names.iter().filter(|name| name.day == day) {
                    done.insert(*name);
                    queues.entry(shard).or_default().push(name.id);
                }
            }
            let shards: Vec<Shard> = queues.keys().copied().collect();
            self.pack_day(day, queues, &mut left).await?;
            for shard in shards {
                let names = self.packer.open_names(shard, before).await?.into_iter();
                let names = names.filter(|name| name.day >= day && !done.contains(name));
                open.insert(shard, names.collect());
            }
        }
        Ok(left)
    }

    async fn drop_old(&mut self, months: NonZeroU32) -> Result<(), Error> {
        let now_s = self.centre.clock().await?.unix_ms().div_euclid(1000);
        retention::pass(&mut self.centre, months.get(), Day::containing(now_s)).await
    }

    async fn pack_day(
        &mut self,
        day: Day,
        mut queues: BTreeMap<Shard, Vec<EventId>>,
        left: &mut Left,
    ) -> Result<(), Error> {
        while !queues.is_empty() {
            for (&shard, ids) in &mut queues {
                if self.shutdown.is_cancelled() {
                    return Ok(());
                }
                let slice: Vec<EventId> = ids.drain(..self.names_per_slice.min(ids.len())).collect();
                self.pack_slice(shard, day, slice, left).await?;
            }
            queues.retain(|_, ids| !ids.is_empty());
        }
        Ok(())
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
                }
                Ok(Packed::Held) | Err(Error::PackedDay { .. }) if ids.len() > 1 => {
                    slices.push(ids.split_off(ids.len() / 2));
                    slices.push(ids);
                }
                Ok(Packed::Held) => {
                    metrics::counter!("keeper_packing_held_total").increment(1);
                    left.put(day);
                }
                Err(error @ Error::PackedDay { .. }) => {
                    left.put(day);
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
                self.passes_held = if left.oldest.is_some() {
                    self.passes_held + 1
                } else {
                    0
                };
                let first_open = left.oldest.map_or(0, Day::unix_s);
                metrics::gauge!("keeper_packing_left_day_seconds")
                    .set(i32::try_from(first_open).unwrap_or(i32::MAX));
                left.trouble(self.passes_held)
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
    fn put(&mut self, day: Day) {
        self.names += 1;
        self.oldest = Some(self.oldest.map_or(day, |oldest| oldest.min(day)));
    }

    fn trouble(&self, passes_held: u32) -> Option<String> {
        if let Some(error) = &self.unreadable {
            return Some(error.with_causes());
        }
        let day = self.oldest.filter(|_| passes_held >= PASSES_HELD_MAX)?;
        Some(format!(
            "rows of {} names, the oldest of {day}, were held by other transactions in {passes_held} passes; look at \
             information_schema.INNODB_TRX",
            self.names
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
        assert_eq!(left.trouble(9), None);
        left.put(Day::containing(86_400));
        assert_eq!(left.trouble(PASSES_HELD_MAX - 1), None);
        let sentence = left.trouble(PASSES_HELD_MAX).unwrap();
        assert!(
            sentence.starts_with("rows of 1 names, the oldest of 1970-01-02"),
            "{sentence}"
        );
    }
}
