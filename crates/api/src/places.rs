//! Places for reads that take long, and for exports: they are fewer than the connections to a centre, so that short reads find one. Inside each
//! kind, clients take turns by weight.

use std::sync::Arc;
use std::time::Duration;

use gate::{ClientKey, PlaceLimits};
use store::Place;

use crate::reading::Error;

/// Counts, of a name in a minute or in a day, up to which a read is short and needs no place: a tenth of a second, some 700 names over a day
/// by the minute.
const SHORT_COUNTS_MAX: usize = 1_000_000;

/// Places of each kind, of eight connections.
const LONG: usize = 2;
const EXPORTS: usize = 1;

/// Requests that wait for a place of one kind at most, and for how long.
const WAITING_MAX: usize = 100;
const WAIT_LIMIT: Duration = Duration::from_secs(5);

/// A kind of reads that are not short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Long,
    /// What becomes a file.
    Export,
}

impl Kind {
    /// What its limit is called in a refusal.
    pub(crate) fn limit(self) -> &'static str {
        match self {
            Self::Long => "long_reads_at_once",
            Self::Export => "exports_at_once",
        }
    }
}

/// Who reads.
pub(crate) struct Reader {
    pub(crate) client: ClientKey,
    pub(crate) weight: u32,
    /// What a read of his is that is not short.
    pub(crate) kind: Kind,
}

/// The places of the api.
#[derive(Debug)]
pub(crate) struct Places {
    long: gate::Places,
    exports: gate::Places,
}

/// A read has no place, and is not short.
#[derive(Debug)]
pub(crate) struct NeedsPlace;

/// Whether so many counts may be read in a place, or without.
pub(crate) fn may_read(place: Option<&Place>, counts: usize) -> Result<(), NeedsPlace> {
    if place.is_none() && counts > SHORT_COUNTS_MAX {
        return Err(NeedsPlace);
    }
    Ok(())
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
            long: places(LONG),
            exports: places(EXPORTS),
        }
    }

    /// A place, when it is the reader's turn. It goes with the statement at the database: of a client that has left, it is given back when
    /// that has ended.
    ///
    /// # Errors
    /// `NoPlace` where none comes free in time.
    pub(crate) async fn take(&self, reader: &Reader) -> Result<Place, Error> {
        let places = match reader.kind {
            Kind::Long => &self.long,
            Kind::Export => &self.exports,
        };
        let taken = places.take(&reader.client, reader.weight).await;
        Ok(Arc::new(taken.map_err(|_| Error::NoPlace(reader.kind))?))
    }
}

#[cfg(test)]
mod tests {
    use model::Client;

    use super::*;

    fn reader(kind: Kind) -> Reader {
        Reader {
            client: ClientKey::Token(Client::of("grafana")),
            weight: 1,
            kind,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_is_not_short_takes_a_place_of_its_kind() {
        let places = Places::new(true);
        assert!(may_read(None, SHORT_COUNTS_MAX).is_ok());
        assert!(may_read(None, SHORT_COUNTS_MAX + 1).is_err());
        let (long, export) = (reader(Kind::Long), reader(Kind::Export));
        let mut taken = Vec::new();
        for _ in 0..LONG {
            taken.push(places.take(&long).await.unwrap());
        }
        assert!(may_read(Some(&taken[0]), usize::MAX).is_ok());
        // Each is given back at the end of its statement, whoever waits for it.
        let statement = Arc::clone(&taken[0]);
        taken.clear();
        let more = places.take(&long).await.unwrap();
        let refused = places.take(&long).await;
        assert!(matches!(refused, Err(Error::NoPlace(Kind::Long))));
        drop(places.take(&export).await.unwrap());
        drop((statement, more));
        places.take(&long).await.unwrap();
    }
}
