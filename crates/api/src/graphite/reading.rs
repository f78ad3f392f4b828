//! The counts that a plan needs, read out of one snapshot.

use graphite::{Counts, Name, Plan, Read, Reading, Span};
use model::{EventName, Extent, Glob, Minute};
use name_index::Index;
use store::central::{Grain, Matched, Snapshot};
use tokio::sync::OwnedSemaphorePermit;

use crate::centres::Attempt;
use crate::limits::{COUNTS_READ_MAX, MATCHES_MAX, POINTS_MAX, SERIES_MAX, SUMS_MAX};
use crate::patterns;
use crate::reading::{self, Error, Part, Sums, grain_within};
use crate::room::{Busy, Room};

const MINUTE_S: i64 = 60;

const DAY_S: i64 = 86_400;

/// Points whose room a value takes on its way through the functions.
pub(super) const ROOM_PER_VALUE: usize = 2;

/// The counts that were read for all targets of a request.
pub(super) struct Fetched {
    pub(super) counts: Counts,
    /// How many values the functions begin with, or choose from.
    pub(super) looked_at: usize,
    /// Room for the values held here, and for those made of them, until the answer is sent; `None` where no count was read.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

impl Fetched {
    /// The counts for targets that name no series: none, of no centre.
    ///
    /// # Errors
    /// `Graphite` where the plan itself is beyond a limit.
    pub(super) fn nothing(plan: &Plan) -> Result<Self, Error> {
        Ok(Self {
            counts: plan.reading(&[])?.with(Vec::new(), Extent::default()),
            looked_at: 0,
            room: None,
        })
    }
}

/// Reads what `plan` needs of the names that `globs` match, its own patterns or less, out of one snapshot: all targets of a request are as of the same moment.
///
/// Everything is refused before the first count is read. Names are few and cheap to find, and they say exactly how many counts,
/// sums and values will follow: a request that is too large costs the centre no more than its names, and one that is not can be given
/// room for all that it will hold, so that no request that has begun to read is out of memory halfway.
///
/// # Errors
/// `Patterns`, `TooManySeries`, `TooManyMatches`, `TooManyPoints`, `TooManySums`, `TooManyCounts`, `Graphite` and `Busy` before
/// any count is read; `Centre` where the centre is of no use.
pub(super) async fn fetch(
    room: &Room,
    index: Option<&Index>,
    (plan, globs): (&Plan, &[Glob]),
    attempt: Attempt,
) -> Result<Fetched, Error> {
    // Names that are given as a whole, and known to be there, need not be found first.
    if let Some(names) = patterns::literals(globs)
        && index.is_some_and(|index| names.iter().all(|name| index.contains(name)))
        && globs.len().saturating_mul(names.len()) <= MATCHES_MAX
        && let Ok((reading, points, counts)) = prepare(plan, &in_order(&names))
    {
        attempt.may_read(counts)?;
        let room = room.of_points_soon(points).await?;
        let all: Vec<_> = reading.reads().iter().map(sums_of).collect();
        let (_, sums, extent) = reading::read_named(&attempt, index, &names, &all).await?;
        drop(all);
        return Ok(Fetched {
            looked_at: reading.looked_at(),
            counts: reading.with(sums, extent),
            room: Some(room),
        });
    }
    let (snapshot, names) = found(&attempt, globs).await?;
    let (reading, points, counts) = prepare(plan, &names)?;
    let snapshot = attempt.may_read_of(snapshot, counts).await?;
    let (snapshot, reading, room) = match room.of_points(points) {
        Ok(room) => (snapshot, reading, room),
        Err(Busy) => {
            // Nobody waits for room with a connection, or with much memory; and when it is there, there may be other names.
            snapshot.end().await?;
            drop((names, reading));
            let room = room.of_points_soon(points).await?;
            let (snapshot, names) = found(&attempt, globs).await?;
            let (reading, points, counts) = prepare(plan, &names)?;
            let snapshot = attempt.may_read_of(snapshot, counts).await?;
            if points > room.num_permits() {
                return Err(Busy.into());
            }
            (snapshot, reading, room)
        }
    };
    // The snapshot ends before anything is evaluated: functions take time, which would keep its connection and hold up the server's
    // purge of old row versions.
    let all: Vec<_> = reading.reads().iter().map(sums_of).collect();
    let (sums, extent) = reading::read(&attempt, snapshot, &all).await?;
    drop(all);
    Ok(Fetched {
        looked_at: reading.looked_at(),
        counts: reading.with(sums, extent),
        room: Some(room),
    })
}

/// A snapshot, and the names that any of `globs` matches in it, in their order.
///
/// # Errors
/// `TooManySeries`, `TooManyMatches`; `Centre` where the centre is of no use.
async fn found(attempt: &Attempt, globs: &[Glob]) -> Result<(Snapshot, Vec<Name>), Error> {
    let (snapshot, found) = attempt.snapshot(globs, SERIES_MAX).await?;
    let Matched::Names(names) = found else {
        return Err(Error::TooManySeries);
    };
    // The plan matches every name against every pattern, right here where requests are served.
    if globs.len().saturating_mul(names.len()) > MATCHES_MAX {
        return Err(Error::TooManyMatches);
    }
    let names = names.into_iter().map(|name| Name {
        id: name.id,
        name: name.name,
    });
    Ok((snapshot, names.collect()))
}

/// The names in their order, each once.
fn in_order(names: &[EventName<'_>]) -> Vec<Name> {
    let mut names = names.to_vec();
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    let name = |name: &EventName<'_>| Name {
        id: name.id(),
        name: name.to_string(),
    };
    names.iter().map(name).collect()
}

/// What is read of `names`, the points whose room it takes, and how many counts are read for it.
///
/// # Errors
/// `TooManyPoints`, `TooManySums`, `TooManyCounts`, `Graphite`.
fn prepare(plan: &Plan, names: &[Name]) -> Result<(Reading, usize, usize), Error> {
    let reading = plan.reading(names)?;
    // What is held and what is read differ: sums of many names may be one row, which is cheap to hold and dear to read.
    let (mut held, mut counts) = (0_usize, 0_usize);
    for read in reading.reads() {
        held = held.saturating_add(read.span.bucket_count().saturating_mul(read.rows()));
        counts = counts.saturating_add(counts_of(read.span).saturating_mul(read.ids.len()));
    }
    let values = reading.values();
    if values > POINTS_MAX {
        return Err(Error::TooManyPoints);
    }
    if held > SUMS_MAX {
        return Err(Error::TooManySums);
    }
    if counts > COUNTS_READ_MAX {
        return Err(Error::TooManyCounts);
    }
    // Room for the values, too: they are made of the sums while these are still held.
    Ok((reading, held + ROOM_PER_VALUE * values, counts))
}

/// The sums that are read at once.
fn sums_of(read: &Read) -> Sums<'_, impl Fn(usize) -> usize, impl Fn(i64) -> Option<usize>> {
    Sums {
        ids: &read.ids,
        parts: parts(read.span),
        rows: read.rows(),
        length: read.span.bucket_count(),
        row_of: |at| read.row_of(at),
        index_of: |unix_s| read.span.index_of(unix_s),
    }
}

/// The parts of a span that are read one after the other. Whole days may come as sums where the buckets are days, but not the parts of
/// days at both ends.
fn parts(span: Span) -> Vec<Part> {
    let clamp = |unix_s: i64| unix_s.clamp(Minute::FIRST.unix_s(), Minute::LAST.unix_s() + MINUTE_S);
    let (first, end) = (clamp(span.first), clamp(span.end));
    let mut parts = Vec::new();
    let mut add = |first: i64, end: i64, grain| {
        let minute = |unix_s| Minute::from_unix_s(unix_s).ok();
        if first < end
            && let Some(minutes) = minute(first).zip(minute(end - MINUTE_S))
        {
            parts.push((minutes, grain));
        }
    };
    let (head, tail) = (first + (-first).rem_euclid(DAY_S), end - end.rem_euclid(DAY_S));
    if span.bucket_s == DAY_S && head < tail {
        add(first, head, Grain::Minute);
        add(head, tail, Grain::Day);
        add(tail, end, Grain::Minute);
    } else {
        add(first, end, grain_within(&[first, end, span.bucket_s]));
    }
    parts
}

/// How many counts are read for a name at most.
fn counts_of(span: Span) -> usize {
    let counts = parts(span).into_iter().map(|((first, last), grain)| {
        let step_s = match grain {
            Grain::Minute | Grain::Hour => MINUTE_S,
            Grain::Day => DAY_S,
        };
        usize::try_from((last.unix_s() - first.unix_s()) / step_s + 1).unwrap_or(usize::MAX)
    });
    counts.sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A midnight.
    const T: i64 = 1_763_769_600;

    proptest! {
        #[test]
        fn every_minute_is_asked_for_once(from in 0i64..5_000, length in 1i64..10_000, bucket_s in prop::sample::select(&[60i64, 3_600, DAY_S])) {
            let first = T + 60 * from;
            let span = Span { first, end: first + 60 * length, bucket_s };
            let mut at = first;
            for ((begin, last), grain) in parts(span) {
                prop_assert_eq!(begin.unix_s(), at);
                at = last.unix_s() + 60;
                if grain == Grain::Hour {
                    prop_assert_eq!((begin.unix_s() % 3_600, at % 3_600), (0, 0));
                }
                if grain == Grain::Day {
                    prop_assert_eq!((begin.unix_s() % DAY_S, at % DAY_S), (0, 0));
                }
            }
            prop_assert_eq!(at, span.end);
        }
    }

    #[test]
    fn only_counted_years_are_asked_for() {
        let before = Span {
            first: 0,
            end: 60_000,
            bucket_s: 60,
        };
        assert!(parts(before).is_empty());
        let since = Span {
            first: 0,
            end: Minute::FIRST.unix_s() + 60,
            bucket_s: 60,
        };
        assert_eq!(parts(since), [((Minute::FIRST, Minute::FIRST), Grain::Minute)]);
    }
}
