//! Places for reads that take long, and for exports: they are fewer than the connections to a centre, so that short reads find one. Inside each
//! kind, clients take turns by weight. Whoever has a place stops while short ones are read.

#![expect(clippy::disallowed_methods, reason = "stops are measured")]

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use gate::{ClientKey, PlaceLimits};
use store::Place;
use tokio::sync::watch;
use tokio::time::Instant;

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

/// Longest stop of a read in a place for short ones, before what has come from the database is taken in. The database stops, too, as soon as it
/// has sent as much as connections hold.
const STOP_MAX: Duration = Duration::from_millis(20);

/// Longest time of all stops of a read: a third of what its statements may take.
const STOPS_MAX: Duration = Duration::from_secs(5);

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
    short: watch::Sender<usize>,
}

/// A read without a place, as long as this lives.
struct Short<'a>(&'a watch::Sender<usize>);

impl<'a> Short<'a> {
    fn begin(short: &'a watch::Sender<usize>) -> Self {
        short.send_modify(|reads| *reads += 1);
        Self(short)
    }
}

impl Drop for Short<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|reads| *reads -= 1);
    }
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
                beside_short_max: at_once_max,
                waiting_max: WAITING_MAX,
                wait_max: WAIT_LIMIT,
            };
            gate::Places::new(limits, is_fair)
        };
        Self {
            long: places(LONG),
            exports: places(EXPORTS),
            short: watch::Sender::new(0),
        }
    }

    /// Reads in a place or without. In a place it stops while short ones are read.
    pub(crate) async fn read<T>(&self, place: Option<&Place>, read: impl Future<Output = T>) -> T {
        if place.is_none() {
            let _short = Short::begin(&self.short);
            return read.await;
        }
        let mut read = pin!(read);
        let mut short = self.short.subscribe();
        let mut stopped = Duration::ZERO;
        while stopped < STOPS_MAX {
            let since = Instant::now();
            let none = short.wait_for(|reads| *reads == 0);
            // A timeout is no failure: there may always be a short one.
            tokio::time::timeout(STOP_MAX, none).await.ok();
            stopped += since.elapsed();
            if let Some(outcome) = step(read.as_mut()).await {
                return outcome;
            }
        }
        read.await
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
        let taken = places.take(&reader.client, reader.weight, 1).await;
        Ok(Arc::new(taken.map_err(|_| Error::NoPlace(reader.kind))?))
    }
}

/// Goes on with a future once; `None` where it is to be gone on with.
async fn step<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let mut is_polled = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut is_polled, true) {
            return Poll::Ready(None);
        }
        future.as_mut().poll(context).map(Some)
    })
    .await
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

    #[tokio::test(start_paused = true)]
    async fn a_read_in_a_place_stops_for_short_ones_and_not_for_ever() {
        const STEPS: u32 = 5;
        let places = Places::new(true);
        let place = places.take(&reader(Kind::Long)).await.unwrap();
        let steps = async || {
            for _ in 0..STEPS {
                tokio::task::yield_now().await;
            }
        };
        let long = async || {
            let begun = Instant::now();
            places.read(Some(&place), steps()).await;
            begun.elapsed()
        };
        assert_eq!(long().await, Duration::ZERO);
        let short = async |takes| places.read(None, tokio::time::sleep(takes)).await;
        let (took, ()) = tokio::join!(long(), short(STOP_MAX / 2));
        assert_eq!(took, STOP_MAX / 2);
        let (took, ()) = tokio::join!(long(), short(STOP_MAX * 100));
        assert!(
            (STOP_MAX * STEPS..=STOP_MAX * (STEPS + 1)).contains(&took),
            "{took:?}"
        );
        let patient = async {
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
        };
        let begun = Instant::now();
        tokio::select! {
            () = places.read(Some(&place), patient) => {}
            () = short(STOPS_MAX * 2) => unreachable!("it stops for too long"),
        }
        assert!((STOPS_MAX..STOPS_MAX + STOP_MAX).contains(&begun.elapsed()));
        assert_eq!(*places.short.borrow(), 0);
    }
}
