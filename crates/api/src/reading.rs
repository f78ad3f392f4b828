//! The counts that an answer is made of, read out of one snapshot.

use std::collections::{HashMap, HashSet};

use model::{Buckets, EventId, EventName, Extent, Minute};
use name_index::Index;
use store::central::{Counted, Grain, Snapshot, Wanted};

use crate::centres::{self, AtCentre, Attempt};
use crate::limits::{COUNTS_READ_MAX, MATCHES_MAX, POINTS_MAX, SERIES_MAX, SUMS_MAX};
use crate::patterns;
use crate::places::{Kind, NeedsPlace};
use crate::room::Busy;

/// Reasons for which counts are not read. All limits are checked before a count is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Patterns(#[from] patterns::Error),
    #[error("more than {SERIES_MAX} series: ask for fewer names, or give a pattern with a longer beginning")]
    TooManySeries,
    #[error("more than {POINTS_MAX} points: use a larger step, a shorter range or a narrower pattern")]
    TooManyPoints,
    #[error(
        "more than {SUMS_MAX} counts for functions to look at, one for each name and minute: use a shorter range, a narrower \
         pattern, or summarize(…, '1h') around the names of all targets, which in UTC gives one for each hour"
    )]
    TooManySums,
    #[error(
        "more than {COUNTS_READ_MAX} counts to read, one for each name and minute, or day where whole days will do: use a \
         shorter range, a narrower pattern, or a step of a day"
    )]
    TooManyCounts,
    #[error(
        "all patterns reach so many names that each would be looked at for each pattern more than {MATCHES_MAX} times: ask in \
         several requests"
    )]
    TooManyMatches,
    #[error(
        "so many reads of this kind are in progress, and wait, that none more is begun: try again, or with a shorter range"
    )]
    NoPlace(Kind),
    #[error("the read is not short, and has no place")]
    NeedsPlace,
    #[error(transparent)]
    Graphite(#[from] graphite::Error),
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error(transparent)]
    Centre(#[from] centres::Error),
}

impl From<NeedsPlace> for Error {
    fn from(_: NeedsPlace) -> Self {
        Self::NeedsPlace
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Centre(error.into())
    }
}

impl AtCentre for Error {
    fn of_centre(self) -> Result<centres::Error, Self> {
        match self {
            Self::Centre(error) => Ok(error),
            other => Err(other),
        }
    }
}

/// A range of minutes to be read, both ends included, and what its counts may come as.
pub(crate) type Part = ((Minute, Minute), Grain);

/// The error for a count that no sum has a place for: without it the sums would be less than what was counted.
const NOT_ASKED_FOR: store::Error = store::Error::Shape {
    what: "a count of another name or time than those asked for",
};

/// The sums that the counts of some names are added to: `rows` of `length` each. Only the sums are held, never the counts, and the caller
/// has to hold room for as many points.
pub(crate) struct Sums<'a, R, I> {
    /// The names' ids, of which none comes twice.
    pub(crate) ids: &'a [EventId],
    /// The ranges of minutes that are read.
    pub(crate) parts: Vec<Part>,
    /// How many rows there are: one for each name, or one for all.
    pub(crate) rows: usize,
    /// How many sums a row has: one for each bucket.
    pub(crate) length: usize,
    /// The row of a name, from its index in the ids.
    pub(crate) row_of: R,
    /// The index in its row of the sum that a unix second belongs to, if there is one.
    pub(crate) index_of: I,
}

/// The sums that are wanted from one snapshot, while their counts come.
struct Adding<'a, R, I> {
    all: &'a [Sums<'a, R, I>],
    /// What is wanted from the snapshot, and the index in `all` that it belongs to.
    wanted: Vec<(usize, Wanted<'a>)>,
    /// The rows of each of `all`.
    rows: Vec<Rows>,
    /// The name whose counts come at the moment, and its row: those of one name come together, and its row is looked up once.
    current: Option<(usize, EventId, usize)>,
    /// Whether each count was asked for. Remembered until the end: what is handed a count cannot end the reading.
    is_asked: bool,
}

/// Sums, and the row of each name in them.
struct Rows {
    row_of: HashMap<EventId, usize>,
    sums: Vec<Vec<u128>>,
}

impl<'a, R, I> Adding<'a, R, I>
where
    R: Fn(usize) -> usize,
    I: Fn(i64) -> Option<usize>,
{
    fn new(all: &'a [Sums<'a, R, I>]) -> Self {
        let mut wanted = Vec::new();
        let mut rows = Vec::new();
        for (at, sums) in all.iter().enumerate() {
            let of_part = |&(minutes, grain): &Part| Wanted {
                ids: sums.ids,
                minutes,
                grain,
            };
            wanted.extend(sums.parts.iter().map(|part| (at, of_part(part))));
            let row_of = sums
                .ids
                .iter()
                .enumerate()
                .map(|(at, &id)| (id, (sums.row_of)(at)));
            rows.push(Rows {
                row_of: row_of.collect(),
                sums: vec![vec![0; sums.length]; sums.rows],
            });
        }
        Self {
            all,
            wanted,
            rows,
            current: None,
            is_asked: true,
        }
    }

    /// What is wanted from the snapshot.
    fn wanted(&self) -> Vec<Wanted<'a>> {
        self.wanted.iter().map(|(_, wanted)| wanted.clone()).collect()
    }

    /// Adds counts to the sums that they were wanted for.
    fn add(&mut self, wanted: usize, id: EventId, counted: Counted<'_>) {
        let at = self.wanted[wanted].0;
        let Rows { row_of, sums } = &mut self.rows[at];
        if self
            .current
            .is_none_or(|(of, current, _)| (of, current) != (at, id))
        {
            self.current = row_of.get(&id).map(|&row| (at, id, row));
        }
        let Some((.., row)) = self.current else {
            self.is_asked = false;
            return;
        };
        let (sums, index_of) = (&mut sums[row], &self.all[at].index_of);
        if let Counted::Minutes(first, least, above) = counted
            && let Some(sums) = each_its_own(sums, above.len(), (index_of, first))
        {
            for (sum, &more) in sums.iter_mut().zip(above) {
                *sum += u128::from(least + u64::from(more));
            }
            return;
        }
        counted.each(|unix_s, count| match index_of(unix_s) {
            Some(index) => sums[index] += u128::from(count),
            None => self.is_asked = false,
        });
    }

    /// The sums of each, row by row.
    ///
    /// # Errors
    /// `Shape` where the database gave what was not asked for.
    fn sums(self) -> Result<Vec<Vec<Vec<u128>>>, store::Error> {
        if self.is_asked {
            Ok(self.rows.into_iter().map(|rows| rows.sums).collect())
        } else {
            Err(NOT_ASKED_FOR)
        }
    }
}

/// The sums of so many minutes from `first` on, where each minute has one of its own.
fn each_its_own<'a>(
    sums: &'a mut [u128],
    minutes: usize,
    (index_of, first): (&impl Fn(i64) -> Option<usize>, i64),
) -> Option<&'a mut [u128]> {
    const MINUTE_S: i64 = 60;
    let after = i64::try_from(minutes.checked_sub(1)?).ok()?;
    let (begin, last) = (index_of(first)?, index_of(first + MINUTE_S * after)?);
    // Buckets of whole minutes do not overlap: so many for as many minutes are of a minute each.
    (last - begin == minutes - 1).then(|| &mut sums[begin..=last])
}

/// The grain that counts may come in where buckets are shorter than days, and begin and end at multiples of all of `seconds`.
pub(crate) fn grain_within(seconds: &[i64]) -> Grain {
    const HOUR_S: i64 = 3_600;
    if seconds.iter().all(|seconds| seconds % HOUR_S == 0) {
        Grain::Hour
    } else {
        Grain::Minute
    }
}

/// The sum of each bucket, for each of `ids`, of which none comes twice.
pub(crate) fn by_bucket<'a>(
    ids: &'a [EventId],
    buckets: &'a Buckets,
) -> Sums<'a, impl Fn(usize) -> usize, impl Fn(i64) -> Option<usize>> {
    let grain = if buckets.are_of_days() {
        Grain::Day
    } else {
        grain_within(&[buckets.step().seconds()])
    };
    Sums {
        ids,
        parts: buckets
            .minutes()
            .map(|minutes| (minutes, grain))
            .into_iter()
            .collect(),
        rows: ids.len(),
        length: buckets.len(),
        row_of: |at| at,
        index_of: |unix_s| buckets.index_of(unix_s),
    }
}

/// The rest of a `snapshot` of this attempt: all sums, and the time of which they are known.
///
/// # Errors
/// `Database` as of [`Snapshot::read`], or where it gives what was not asked for; `GoesBack` where the centre lacks counts.
pub(crate) async fn read<R, I>(
    attempt: &Attempt,
    snapshot: Snapshot,
    all: &[Sums<'_, R, I>],
) -> Result<(Vec<Vec<Vec<u128>>>, Extent), centres::Error>
where
    R: Fn(usize) -> usize + Sync,
    I: Fn(i64) -> Option<usize> + Sync,
{
    let mut adding = Adding::new(all);
    let wanted = adding.wanted();
    let add = |wanted, id, counted: Counted<'_>| adding.add(wanted, id, counted);
    // The clocks come last, but in the same snapshot: they say until when these counts, and no later ones, are complete.
    let extent = attempt.read_of(snapshot, &wanted, add).await?;
    Ok((adding.sums()?, extent))
}

/// All sums of `names`, which are given as a whole, in one round trip; and the ids of those that were ever counted, in no order. Names that
/// are all in `index` were counted, and are not looked up.
///
/// # Errors
/// `Database` as of [`store::central::Central::read`], or where it gives what was not asked for; `GoesBack` where the centre lacks counts.
pub(crate) async fn read_named<R, I>(
    attempt: &Attempt,
    index: Option<&Index>,
    names: &[EventName<'_>],
    all: &[Sums<'_, R, I>],
) -> Result<(HashSet<EventId>, Vec<Vec<Vec<u128>>>, Extent), centres::Error>
where
    R: Fn(usize) -> usize + Sync,
    I: Fn(i64) -> Option<usize> + Sync,
{
    let mut adding = Adding::new(all);
    let wanted = adding.wanted();
    let add = |wanted, id, counted: Counted<'_>| adding.add(wanted, id, counted);
    let is_in_index = |name: &EventName<'_>| index.is_some_and(|index| index.contains(name));
    let are_known = names.iter().all(is_in_index);
    let asked = if are_known { &[] } else { names };
    let (found, extent) = attempt.read(asked, &wanted, add).await?;
    let counted = if are_known {
        names.iter().map(EventName::id).collect()
    } else {
        found.iter().map(|name| name.id).collect()
    };
    Ok((counted, adding.sums()?, extent))
}
