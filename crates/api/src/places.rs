//! Places for reads: some for short ones, some for long ones, some for exports, so that none waits for reads of another kind. Inside each,
//! clients take turns by weight.

use std::sync::Arc;
use std::time::Duration;

use gate::{ClientKey, PlaceLimits};
use store::Place;

use crate::reading::Error;

/// Counts, of a name in a minute or in a day, up to which a read is short: a tenth of a second, some 700 names over a day by the minute.
const SHORT_COUNTS_MAX: usize = 1_000_000;

/// Places of each kind. All of them together are fewer than the connections to a centre, so that whoever has one finds a connection.
const SHORT: usize = 4;
const LONG: usize = 2;
const EXPORTS: usize = 1;

/// Requests that wait for a place of one kind at most, and for how long.
const WAITING_MAX: usize = 100;
const WAIT_LIMIT: Duration = Duration::from_secs(5);

/// A kind of reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of at most [`SHORT_COUNTS_MAX`] counts.
    Short,
    /// Of more.
    Long,
    /// Of more, to be kept in a file.
    Export,
}

impl Kind {
    /// What its limit is called in a refusal.
    pub(crate) fn limit(self) -> &'static str {
        match self {
            Self::Short => "short_reads_at_once",
            Self::Long => "long_reads_at_once",
            Self::Export => "exports_at_once",
        }
    }
}

/// Who reads.
pub(crate) struct Reader {
    pub(crate) client: ClientKey,
    pub(crate) weight: u32,
    /// Whether what is read becomes a file.
    pub(crate) exports: bool,
}

/// The places of the api.
#[derive(Debug)]
pub(crate) struct Places {
    short: gate::Places,
    long: gate::Places,
    exports: gate::Places,
}

/// A read's place. It goes with the statement at the database: of a client that has left, it is given back when that has ended.
#[derive(Clone)]
pub(crate) struct Seat {
    kind: Kind,
    pub(crate) place: Place,
}

/// A read is too long for its place.
#[derive(Debug)]
pub(crate) struct TooLong;

impl Seat {
    /// Whether so many counts may be read in this place.
    pub(crate) fn may_read(&self, counts: usize) -> Result<(), TooLong> {
        if self.kind == Kind::Short && counts > SHORT_COUNTS_MAX {
            return Err(TooLong);
        }
        Ok(())
    }
}

impl Places {
    /// Places that clients take turns for; ones that are not fair go to whoever comes first.
    pub(crate) fn new(is_fair: bool) -> Self {
        let places = |at_once_max| {
            let limits = PlaceLimits {
                at_once_max,
                waiting_max: WAITING_MAX,
                wait_max: WAIT_LIMIT,
            };
            gate::Places::new(limits, is_fair)
        };
        Self {
            short: places(SHORT),
            long: places(LONG),
            exports: places(EXPORTS),
        }
    }

    /// A place for a short read, when it is the reader's turn. A read that turns out to be too long for that, once its names are known, is done
    /// again in a [`Places::longer`] one.
    ///
    /// # Errors
    /// `NoPlace` where no place comes free in time.
    pub(crate) async fn short(&self, reader: &Reader) -> Result<Seat, Error> {
        self.seat(Kind::Short, reader).await
    }

    /// A place for a read that is too long for `seat`, which is given back first.
    ///
    /// # Errors
    /// `NoPlace` where no place comes free in time.
    pub(crate) async fn longer(&self, seat: Seat, reader: &Reader) -> Result<Seat, Error> {
        drop(seat);
        let kind = if reader.exports { Kind::Export } else { Kind::Long };
        self.seat(kind, reader).await
    }

    async fn seat(&self, kind: Kind, reader: &Reader) -> Result<Seat, Error> {
        let places = match kind {
            Kind::Short => &self.short,
            Kind::Long => &self.long,
            Kind::Export => &self.exports,
        };
        let taken = places.take(&reader.client, reader.weight).await;
        Ok(Seat {
            kind,
            place: Arc::new(taken.map_err(|_| Error::NoPlace(kind))?),
        })
    }
}

#[cfg(test)]
mod tests {
    use model::Client;

    use super::*;

    fn reader(exports: bool) -> Reader {
        Reader {
            client: ClientKey::Token(Client::of("grafana")),
            weight: 1,
            exports,
        }
    }

    /// The kind of the place in which a read of so many counts is done.
    async fn kind(places: &Places, exports: bool, counts: usize) -> Result<Kind, Error> {
        let seat = places.short(&reader(exports)).await?;
        match seat.may_read(counts) {
            Ok(()) => Ok(seat.kind),
            Err(TooLong) => Ok(places.longer(seat, &reader(exports)).await?.kind),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn short_reads_never_wait_for_long_ones() {
        let places = Places::new(true);
        let (short, long) = (SHORT_COUNTS_MAX, SHORT_COUNTS_MAX + 1);
        assert_eq!(kind(&places, true, short).await.unwrap(), Kind::Short);
        assert_eq!(kind(&places, false, long).await.unwrap(), Kind::Long);
        assert_eq!(kind(&places, true, long).await.unwrap(), Kind::Export);
        let mut taken = Vec::new();
        for _ in 0..LONG {
            taken.push(places.seat(Kind::Long, &reader(false)).await.unwrap());
        }
        // Each is given back at the end of its statement, whoever waits for it.
        let statement = Arc::clone(&taken[0].place);
        taken.clear();
        let more = places.seat(Kind::Long, &reader(false)).await.unwrap();
        let refused = kind(&places, false, long).await;
        assert!(matches!(refused, Err(Error::NoPlace(Kind::Long))), "{refused:?}");
        assert_eq!(kind(&places, false, short).await.unwrap(), Kind::Short);
        assert_eq!(kind(&places, true, long).await.unwrap(), Kind::Export);
        drop((statement, more));
        assert_eq!(kind(&places, false, long).await.unwrap(), Kind::Long);
    }
}
