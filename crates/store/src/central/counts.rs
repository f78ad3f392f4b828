//! Counts of names, from all of the places that a count may be in: packed days, minutes and blocks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use model::{Day, EventId, Minute, PackedDayError, Shard, for_each_in_block};
use mysql_async::{QueryResult, TextProtocol};

use super::days::{DAYS_SEEN_MAX, Days, are_too_many, days, hand_over};
use super::kept_day::{KeptDay, for_each_hour, minutes_of};
use super::past::{Seen, SeenDay};
use crate::Error;
use crate::rows::for_each_of;
use crate::server::IDS_PER_STATEMENT;

/// Names that are asked for at once, about: each is twice in the text.
const IDS_PER_SCRIPT_MAX: usize = 10_000;

/// The resolution that counts are asked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// Each minute by itself: packed days are unpacked.
    Minute,
    /// Whole hours: the sum of an hour may come with its first minute.
    Hour,
    /// Whole days: the sum of a day may come with its first minute, and packed days are not unpacked.
    Day,
}

/// Counts of a name, as they come.
#[derive(Debug, Clone, Copy)]
pub enum Counted<'a> {
    /// Of the minute, hour or day that begins at a unix second.
    One(i64, u64),
    /// Of the minutes from a unix second on: the least of them, and what each has more.
    Minutes(i64, u64, &'a [u8]),
}

impl Counted<'_> {
    /// Hands over each by itself: a unix second, and its count, which is not 0.
    pub fn each(self, mut each: impl FnMut(i64, u64)) {
        match self {
            Self::One(unix_s, count) => each(unix_s, count),
            Self::Minutes(first, least, above) => {
                for (at, &more) in (0..).map(|minute| first + 60 * minute).zip(above) {
                    let count = least + u64::from(more);
                    if count > 0 {
                        each(at, count);
                    }
                }
            }
        }
    }
}

/// Reasons for which counts are not all there.
pub(super) enum Trouble {
    /// A row of `EventDay` or `EventBlock`, and what is wrong with it.
    Unreadable(String, PackedDayError),
    /// Late events were merged into a day that was kept, which is forgotten now.
    Merged,
}

impl Trouble {
    /// The error for it, at this server.
    pub(super) fn at(self, server: String) -> Error {
        match self {
            Self::Merged => Error::Merged { server },
            Self::Unreadable(row, source) => Error::PackedDay { server, row, source },
        }
    }
}

/// The counts of some names that are wanted from a snapshot.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The names' ids, of which none comes twice.
    pub ids: &'a [EventId],
    /// The first and the last minute.
    pub minutes: (Minute, Minute),
    /// What the counts may come as.
    pub grain: Grain,
}

impl Wanted<'_> {
    /// The days of the first and of the last minute.
    pub(super) fn days(&self) -> (Day, Day) {
        (Day::from(self.minutes.0), Day::from(self.minutes.1))
    }
}

/// The part of one shard in what is wanted, which is a question of its own.
pub(super) struct Part {
    /// The index of what is wanted.
    at: usize,
    /// Some of its ids, all of one shard, in their order.
    ids: Vec<EventId>,
    minutes: (Minute, Minute),
    grain: Grain,
    days: PackedDays,
}

/// What is asked for of a part's packed days.
enum PackedDays {
    /// The totals of days.
    Totals,
    /// The counts, and whether they are kept.
    Counts { are_kept: bool },
    /// The totals, to see whether these days still are as they were.
    Kept(Vec<(EventId, Day, Arc<KeptDay>)>),
}

/// The parts of all that is wanted, on a connection that was made at `connected`.
pub(super) fn parts(wanted: &[Wanted<'_>], kept: &Days, connected: Instant) -> impl Iterator<Item = Part> {
    let kept = (!are_too_many(wanted)).then_some(kept);
    wanted.iter().enumerate().flat_map(move |(at, wanted)| {
        let mut ids = wanted.ids.to_vec();
        ids.sort_unstable();
        let of_shard = ids.chunk_by(|a, b| Shard::of(*a) == Shard::of(*b));
        let part = |ids: &[EventId]| Part {
            at,
            ids: ids.to_vec(),
            minutes: wanted.minutes,
            grain: wanted.grain,
            days: PackedDays::of(ids, wanted, kept, connected),
        };
        let parts = of_shard.flat_map(|ids| ids.chunks(IDS_PER_STATEMENT)).map(part);
        parts.collect::<Vec<_>>()
    })
}

/// The next of `parts`, as many as are asked for at once.
pub(super) fn batch(parts: &mut impl Iterator<Item = Part>) -> Vec<Part> {
    let mut ids = 0;
    let mut batch = Vec::new();
    while ids < IDS_PER_SCRIPT_MAX
        && let Some(part) = parts.next()
    {
        ids += part.ids.len();
        batch.push(part);
    }
    batch
}

impl PackedDays {
    /// Without a cache where they are not to be kept.
    fn of(ids: &[EventId], wanted: &Wanted<'_>, kept: Option<&Days>, connected: Instant) -> Self {
        if wanted.grain == Grain::Day {
            return Self::Totals;
        }
        let (first, last) = wanted.days();
        let Some(kept) = kept else {
            return Self::Counts { are_kept: false };
        };
        match kept.all(ids, (first, last), connected) {
            Some(all) => Self::Kept(all),
            None => Self::Counts { are_kept: true },
        }
    }
}

/// The questions for all `parts`.
pub(super) fn questions(parts: &[Part]) -> impl Iterator<Item = String> {
    parts.iter().map(Part::question)
}

/// Reads the answers to [`questions`] for each of `parts`, in a snapshot that began at `begun` or after it, and notes what was seen. Returns
/// the first trouble.
pub(super) async fn collect(
    answers: &mut QueryResult<'_, '_, TextProtocol>,
    parts: &[Part],
    (kept, begun): (&Days, Instant),
    seen: &mut Seen,
    each: &mut (impl FnMut(usize, EventId, Counted<'_>) + Send),
) -> Result<Option<Trouble>, mysql_async::Error> {
    let mut trouble = None;
    for part in parts {
        let mut each = |id, counted: Counted<'_>| each(part.at, id, counted);
        let of_days = part.collect_days(answers, (kept, begun), &mut each).await?;
        // Days with counts elsewhere than in their rows, which come together.
        let (mut others, mut last) = (HashSet::new(), None);
        let mut each_other = |id, unix_s, count| {
            let of = (id, Day::containing(unix_s));
            if last.replace(of) != Some(of) {
                others.insert(of);
            }
            each(id, Counted::One(unix_s, count));
        };
        let of_rest = part.collect_rest(answers, &mut each_other).await?;
        let stirred = others.iter().map(|(_, day)| *day).chain(of_days.unkept);
        seen.stirred = seen.stirred.into_iter().chain(stirred).min();
        if seen.days.len() + of_days.kept.len() <= DAYS_SEEN_MAX {
            let seen_day = |(id, day, kept): &(EventId, Day, Arc<KeptDay>)| SeenDay {
                kept: Arc::downgrade(kept),
                minutes: minutes_of(*day, part.minutes),
                // What cannot be read may have counts of any of them.
                is_whole: of_rest.is_none() && !others.contains(&(*id, *day)),
            };
            seen.days.extend(of_days.kept.iter().map(seen_day));
        }
        trouble = trouble.or(of_days.trouble).or(of_rest);
    }
    Ok(trouble)
}

/// What the rows of packed days were.
#[derive(Default)]
struct OfDays {
    /// Those that are in memory as they are.
    kept: Vec<(EventId, Day, Arc<KeptDay>)>,
    /// The first that may be otherwise in memory.
    unkept: Option<Day>,
    trouble: Option<Trouble>,
}

impl Part {
    /// Reads the packed days.
    async fn collect_days(
        &self,
        answers: &mut QueryResult<'_, '_, TextProtocol>,
        (kept, begun): (&Days, Instant),
        each: &mut (impl FnMut(EventId, Counted<'_>) + Send),
    ) -> Result<OfDays, mysql_async::Error> {
        let mut of_days = OfDays::default();
        match &self.days {
            PackedDays::Totals => {
                of_days.unkept = Some(Day::from(self.minutes.0));
                for_each_of(answers, |(id, unix_s, total)| {
                    each(EventId(id), Counted::One(unix_s, total));
                })
                .await?;
            }
            PackedDays::Counts { are_kept } => {
                of_days.unkept = (!are_kept).then(|| Day::from(self.minutes.0));
                let read = self.collect_counts(answers, (kept, begun), *are_kept, &mut of_days, each);
                read.await?;
            }
            PackedDays::Kept(all) => {
                let mut totals = HashMap::new();
                for_each_of(answers, |(id, unix_s, total): (u64, i64, u64)| {
                    totals.insert((EventId(id), Day::containing(unix_s)), total);
                })
                .await?;
                for (id, day, counts) in all {
                    if totals.get(&(*id, *day)).copied().unwrap_or(0) == counts.total {
                        of_days.kept.push((*id, *day, Arc::clone(counts)));
                    } else {
                        kept.forget(*id, *day);
                        of_days.unkept = Some(Day::from(self.minutes.0));
                        of_days.trouble = Some(Trouble::Merged);
                    }
                }
                hand_over(&of_days.kept, (self.minutes, self.grain), each).await;
            }
        }
        Ok(of_days)
    }

    /// Reads the packed days' counts.
    async fn collect_counts(
        &self,
        answers: &mut QueryResult<'_, '_, TextProtocol>,
        (kept, begun): (&Days, Instant),
        are_kept: bool,
        of_days: &mut OfDays,
        each: &mut (impl FnMut(EventId, Counted<'_>) + Send),
    ) -> Result<(), mysql_async::Error> {
        let by_hour = self.grain == Grain::Hour;
        let mut missing: HashSet<(EventId, Day)> = HashSet::new();
        if are_kept {
            missing.extend(self.all_days());
        }
        for_each_of(answers, |(id, unix_s, text, total): (u64, i64, Vec<u8>, u64)| {
            let (id, day) = (EventId(id), Day::containing(unix_s));
            missing.remove(&(id, day));
            let mut each = |counted: Counted<'_>| each(id, counted);
            let read = if by_hour && !are_kept {
                for_each_hour(&text, day, self.minutes, each)
            } else {
                KeptDay::of(begun, total, &text).map(|counts| {
                    counts.for_each(day, self.minutes, by_hour, &mut each);
                    if are_kept {
                        let counts = Arc::new(counts);
                        kept.keep(id, day, &counts);
                        of_days.kept.push((id, day, counts));
                    }
                })
            };
            if let Err(error) = read {
                let row = format!("{}.EventDay, day {day}, eventId {id}", Shard::of(self.ids[0]));
                of_days.trouble.get_or_insert(Trouble::Unreadable(row, error));
            }
        })
        .await?;
        for (id, day) in missing {
            let counts = Arc::new(KeptDay::none(begun));
            kept.keep(id, day, &counts);
            of_days.kept.push((id, day, counts));
        }
        Ok(())
    }

    /// Reads minutes that are not packed, and blocks.
    async fn collect_rest(
        &self,
        answers: &mut QueryResult<'_, '_, TextProtocol>,
        each: &mut (impl FnMut(EventId, i64, u64) + Send),
    ) -> Result<Option<Trouble>, mysql_async::Error> {
        let asked = self.minutes.0.unix_s()..=self.minutes.1.unix_s();
        let mut trouble = None;
        for_each_of(answers, |(id, unix_s, count)| each(EventId(id), unix_s, count)).await?;
        for_each_of(answers, |(unix_s, counts): (i64, Vec<u8>)| {
            let read = for_each_in_block(&counts, |id, minute, count| {
                let at = unix_s + 60 * i64::from(minute);
                if asked.contains(&at) && self.ids.binary_search(&id).is_ok() {
                    each(id, at, count);
                }
            });
            if let Err(error) = read {
                let day = Day::containing(unix_s);
                let row = format!("{}.EventBlock, day {day}", Shard::of(self.ids[0]));
                trouble.get_or_insert(Trouble::Unreadable(row, error));
            }
        })
        .await?;
        Ok(trouble)
    }

    /// Each of its days for each of its ids.
    fn all_days(&self) -> impl Iterator<Item = (EventId, Day)> {
        let (first, last) = (Day::from(self.minutes.0), Day::from(self.minutes.1));
        let of_id = move |&id: &EventId| days(first, last).map(move |day| (id, day));
        self.ids.iter().flat_map(of_id)
    }

    /// The question for the packed days, then for the minutes that are not packed, then for the blocks that may have some of them.
    fn question(&self) -> String {
        let shard = Shard::of(self.ids[0]);
        let (first, last) = self.minutes;
        let (first_day, last_day) = (Day::from(first), Day::from(last));
        // One name is asked for by = and one day by the primary key, which the server is quicker to plan.
        let ids = match self.ids.as_slice() {
            [id] => format!("= {id}"),
            ids => {
                let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                format!("IN ({})", ids.join(","))
            }
        };
        let days = if first_day == last_day {
            format!("= '{first_day}'")
        } else {
            format!("BETWEEN '{first_day}' AND '{last_day}'")
        };
        let what = match &self.days {
            // From the index alone.
            PackedDays::Totals | PackedDays::Kept(_) => "total",
            PackedDays::Counts { .. } => "counts, total",
        };
        // FORCE INDEX: the optimizer might find it cheaper to read the days of all names.
        let index = if what == "total" || first_day < last_day {
            "eventTotal"
        } else {
            "PRIMARY"
        };
        format!(
            "SELECT eventId, UNIX_TIMESTAMP(day), {what} FROM {shard}.EventDay FORCE INDEX ({index}) \
             WHERE eventId {ids} AND day {days}; \
             SELECT eventId, UNIX_TIMESTAMP(createDate), count FROM {shard}.EventMinute \
             WHERE eventId {ids} AND createDate BETWEEN FROM_UNIXTIME({}) AND FROM_UNIXTIME({}); \
             SELECT (TO_DAYS(day) - 719528) * 86400, counts FROM {shard}.EventBlock WHERE day {days}",
            first.unix_s(),
            last.unix_s()
        )
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a connection was made at an instant")]
mod tests {
    use super::*;
    use crate::central::days::DAYS_PER_REQUEST_MAX;

    #[test]
    fn a_request_that_the_cache_cannot_hold_does_not_use_it() {
        const YEAR_S: i64 = 365 * 86_400;
        let ids: Vec<EventId> = (0..200).map(|n| EventId(n << 56)).collect();
        let from = 1_763_769_600;
        let year = [from, from + YEAR_S - 60].map(|at| Minute::from_unix_s(at).unwrap());
        let (cache, connected) = (Days::new(), Instant::now());
        let wanted = |names: std::ops::Range<usize>, grain| Wanted {
            ids: &ids[names],
            minutes: year.into(),
            grain,
        };
        let are_kept = |wanted: &[Wanted<'_>]| {
            let of_part = |part: Part| match part.days {
                PackedDays::Counts { are_kept } => Some(are_kept),
                PackedDays::Totals => None,
                PackedDays::Kept(_) => unreachable!("nothing is kept yet"),
            };
            let all: HashSet<_> = parts(wanted, &cache, connected).map(of_part).collect();
            assert_eq!(all.len(), 1, "all parts alike");
            all.into_iter().next().unwrap()
        };
        let most = DAYS_PER_REQUEST_MAX / 365;
        let (fits, more) = (
            wanted(0..most, Grain::Minute),
            wanted(most..most + 1, Grain::Hour),
        );
        assert_eq!(are_kept(std::slice::from_ref(&fits)), Some(true));
        assert_eq!(
            are_kept(&[fits.clone(), fits.clone()]),
            Some(true),
            "the same days"
        );
        assert_eq!(are_kept(&[fits, more]), Some(false));
        assert_eq!(are_kept(&[wanted(0..200, Grain::Hour)]), Some(false));
        assert_eq!(are_kept(&[wanted(0..200, Grain::Day)]), None);
    }
}
