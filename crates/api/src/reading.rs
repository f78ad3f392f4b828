//! The counts that an answer is made of, read out of one snapshot.

use std::collections::HashMap;

use model::{Buckets, EventId, Minute};
use store::central::{Grain, Snapshot};

use crate::centres::{self, AtCentre};
use crate::limits::{COUNTS_READ_MAX, MATCHES_MAX, POINTS_MAX, SERIES_MAX};
use crate::patterns;
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
        "more than {COUNTS_READ_MAX} counts to read, one for each name and minute, or day where whole days will do: use a \
         shorter range, a narrower pattern, or a step of a day"
    )]
    TooManyCounts,
    #[error(
        "all patterns reach so many names that each would be looked at for each pattern more than {MATCHES_MAX} times: ask in \
         several requests"
    )]
    TooManyMatches,
    #[error(transparent)]
    Graphite(#[from] graphite::Error),
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error(transparent)]
    Centre(#[from] centres::Error),
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

/// A range of minutes to be read, both ends included, and whether sums of whole days will do.
pub(crate) type Part = ((Minute, Minute), Grain);

/// The error for a count that no sum has a place for: without it the sums would be less than what was counted.
const NOT_ASKED_FOR: store::Error = store::Error::Shape {
    what: "a count of another name or time than those asked for",
};

/// The sums that counts are added to: `rows` of `length` each.
pub(crate) struct Sums<R, I> {
    /// How many rows there are: one for each name, or one for all.
    pub(crate) rows: usize,
    /// How many sums a row has: one for each bucket.
    pub(crate) length: usize,
    /// The row of a name, from its index in the ids.
    pub(crate) row_of: R,
    /// The index in its row of the sum that a unix second belongs to, if there is one.
    pub(crate) index_of: I,
}

impl<R, I> Sums<R, I>
where
    R: Fn(usize) -> usize,
    I: Fn(i64) -> Option<usize> + Sync,
{
    /// Adds up the counts of `ids`, of which none comes twice, while their rows arrive: only the sums are held, never the counts. The
    /// caller has to hold room for as many points as there are sums.
    ///
    /// # Errors
    /// `Query`, `TimedOut` or `PackedDay` as of [`Snapshot::counts`]; `Shape` where the database gives what was not asked for.
    pub(crate) async fn read(
        self,
        snapshot: &mut Snapshot,
        ids: &[EventId],
        parts: impl IntoIterator<Item = Part>,
    ) -> Result<Vec<Vec<u128>>, store::Error> {
        let rows = ids.iter().enumerate().map(|(at, &id)| (id, (self.row_of)(at)));
        let rows: HashMap<EventId, usize> = rows.collect();
        let index_of = &self.index_of;
        let mut sums = vec![vec![0_u128; self.length]; self.rows];
        // The counts of one name come together: its row is looked up once.
        let mut current = None;
        // Remembered until the end: what is handed a count cannot end the reading.
        let mut is_asked = true;
        for (minutes, grain) in parts {
            let add = |id, unix_s, count| {
                if current.is_none_or(|(of, _)| of != id) {
                    current = rows.get(&id).map(|&row| (id, row));
                }
                match (current, index_of(unix_s)) {
                    (Some((_, row)), Some(index)) => sums[row][index] += u128::from(count),
                    _ => is_asked = false,
                }
            };
            snapshot.counts(ids, minutes, grain, add).await?;
        }
        if is_asked { Ok(sums) } else { Err(NOT_ASKED_FOR) }
    }
}

/// The sum of each bucket, for each of `ids`, of which none comes twice. The caller has to hold room for as many points.
///
/// # Errors
/// The database's, as of [`Sums::read`].
pub(crate) async fn sums_by_bucket(
    snapshot: &mut Snapshot,
    ids: &[EventId],
    buckets: &Buckets,
) -> Result<Vec<Vec<u128>>, store::Error> {
    let sums = Sums {
        rows: ids.len(),
        length: buckets.len(),
        row_of: |at| at,
        index_of: |unix_s| buckets.index_of(unix_s),
    };
    let grain = if buckets.are_of_days() {
        Grain::Day
    } else {
        Grain::Minute
    };
    let part = buckets.minutes().map(|minutes| (minutes, grain));
    sums.read(snapshot, ids, part).await
}
