//! Packing closed days. The recent ones come first and have most of the time; of the others each has its turn.

#![expect(clippy::disallowed_methods, reason = "turns are paced by time")]

pub(crate) mod anew;
mod lane;
pub(crate) mod merging;
mod progress;
mod walk;

use std::collections::BTreeSet;
use std::time::Duration;

use model::Day;
use store::upkeep::{self, Alarm, Packer};
use store::{Error, Member};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::lane::Lane;
use self::merging::Merger;
use self::progress::{Overdue, Progress};
use crate::alarms::alarm;
use crate::findings::Findings;

/// Seconds from a day's end until it is closed: most late events have come by then, so each row is written once. Two hours are left of the
/// three within which a day is packed, as is promised.
const SETTLES_AFTER_S: i64 = 3_600;

/// The loop that packs.
struct Packing<'a> {
    packer: Packer,
    merger: &'a Merger,
    centre: upkeep::Centre,
    /// The server as metrics name it.
    server: String,
    /// The recent days, then the others.
    lanes: [Lane; 2],
    /// Pause from the end of a walk to the next one.
    interval: Duration,
    shutdown: CancellationToken,
}

/// Packs the shards of a server until `shutdown`, and begins anew `interval` after all was packed.
pub(crate) async fn run(
    member: &Member,
    merger: &Merger,
    interval: Duration,
    findings: &Findings,
    shutdown: &CancellationToken,
) {
    let mut due = Instant::now() + interval;
    let mut packing = Packing {
        packer: Packer::new(member.server.clone()),
        merger,
        centre: upkeep::Centre::new(member.server.clone()),
        server: crate::label(member),
        lanes: [Lane::recent(due, member.shards), Lane::old(due, member.shards)],
        interval,
        shutdown: shutdown.clone(),
    };
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep_until(due) => {}
        }
        let outcome = packing.turn().await;
        let [recent, old] = &packing.lanes;
        due = match outcome {
            Ok(_) => recent.due().min(old.due()),
            Err(_) => Instant::now() + interval,
        };
        findings.set(packing.alarms(outcome));
    }
}

impl Packing<'_> {
    /// Lets each lane work for its share of the time. Returns the days that have waited for too long.
    async fn turn(&mut self) -> Result<Vec<Overdue>, Error> {
        // The clock before the walks: a walk that begins now packs all that had come by then, and this is what is noted at its end.
        let now = self.centre.clock().await?;
        let before = first_open(now);
        let mut progress = self.progress(before, now).await?;
        // Merge before a walk lists its names: counts in blocks had come, too, and become minutes that the walk finds. If not all of them
        // could be merged, the walk packs what it finds, and its end is not noted.
        let begin = self.lanes.each_ref().map(|lane| lane.begins(before));
        let is_incomplete = begin.contains(&true)
            && !self
                .merger
                .pass(&self.shutdown)
                .await
                .is_ok_and(|left| left.is_none());
        let mut failed = None;
        for (lane, begin) in self.lanes.iter_mut().zip(begin) {
            let share = lane.share(
                &mut self.packer,
                (before, now),
                begin.then_some(is_incomplete),
                self.interval,
                &self.shutdown,
            );
            match share.await {
                Ok(None) => {}
                Ok(Some(walk)) => {
                    // Only at the end of a walk: a note ahead of the work would hide, after a crash, how long minutes have waited.
                    if !walk.left.is_incomplete {
                        let next = progress.after(&walk.days, walk.begun, &walk.left.days);
                        self.centre.note_packed_until(&progress.0, &next.0).await?;
                        progress = next;
                    }
                    lane.ended(walk.left);
                }
                // The other lane has its share all the same.
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
        match failed {
            None => Ok(progress.overdue(&self.open_days(), self.centre.clock().await?)),
            Some(error) => Err(error),
        }
    }

    /// The noted progress; on a centre that has none, it is begun.
    async fn progress(&mut self, before: Day, now: model::Timestamp) -> Result<Progress, Error> {
        let noted = Progress(self.centre.packed_until().await?);
        if !noted.0.is_empty() {
            return Ok(noted);
        }
        let begun = Progress::begun(before, now);
        self.centre.note_packed_until(&noted.0, &begun.0).await?;
        Ok(begun)
    }

    /// The closed days of which it is known that they have unpacked minutes.
    fn open_days(&self) -> BTreeSet<Day> {
        self.lanes.iter().flat_map(Lane::open_days).collect()
    }

    /// The alarm about a turn, if there is anything wrong. Sets the metrics.
    fn alarms(&self, outcome: Result<Vec<Overdue>, Error>) -> Vec<Alarm> {
        let first_open = self.open_days().first().map_or(0, |day| day.unix_s());
        metrics::gauge!("keeper_packing_left_day_seconds", "server" => self.server.clone())
            .set(i32::try_from(first_open).unwrap_or(i32::MAX));
        let mut reason = self.lanes.iter().find_map(Lane::reason);
        let overdue = outcome.unwrap_or_else(|error| {
            metrics::counter!("keeper_packing_failures_total").increment(1);
            reason = Some(error.with_causes());
            Vec::new()
        });
        let Some(trouble) = trouble(&overdue, reason) else {
            return Vec::new();
        };
        tracing::warn!(trouble, "closed days are not all packed");
        let sentence =
            format!("closed days are not all packed, which takes room and loses nothing: {trouble}");
        vec![alarm("", "packing", sentence)]
    }
}

/// The first day that is not closed.
fn first_open(now: model::Timestamp) -> Day {
    Day::containing(now.unix_ms().div_euclid(1000) - SETTLES_AFTER_S)
}

/// The sentence about what is overdue, and why; `None` where nothing is wrong.
fn trouble(overdue: &[Overdue], reason: Option<String>) -> Option<String> {
    let (Some(oldest), Some(newest)) = (overdue.first(), overdue.last()) else {
        return reason;
    };
    let days = match overdue.len() {
        1 => format!("{} has waited since {}", oldest.day, oldest.since),
        days => format!(
            "{days} days have waited for longer than three hours, of which the newest is {} since {}, the oldest {} since {}",
            newest.day, newest.since, oldest.day, oldest.since
        ),
    };
    let reason = reason.unwrap_or_else(|| {
        "there is more to pack than there is time: see keeper_packed_minutes_total and keeper_packing_seconds; the centre is slow, \
         or somebody sends very many events for days past"
            .to_owned()
    });
    Some(format!("{days}; {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alarm_says_which_days_and_why() {
        let overdue = |number: i64| Overdue {
            day: Day::containing(86_400 * number),
            since: model::Timestamp::from_unix_ms(86_400_000 * 20_000),
        };
        assert_eq!(trouble(&[], None), None);
        let reason = || Some("a row is held".to_owned());
        assert_eq!(trouble(&[], reason()).as_deref(), Some("a row is held"));
        let one = trouble(&[overdue(1)], reason()).unwrap();
        assert_eq!(
            one,
            "1970-01-02 has waited since 2024-10-04T00:00:00.000Z; a row is held"
        );
        let many = trouble(&[overdue(1), overdue(2), overdue(9)], None).unwrap();
        let expected = "3 days have waited for longer than three hours, of which the newest is 1970-01-10 since 2024-10-04T00:00:00.000Z, \
                        the oldest 1970-01-02 since 2024-10-04T00:00:00.000Z; there is more to pack than there is time: ";
        assert!(many.starts_with(expected), "{many}");
    }
}
