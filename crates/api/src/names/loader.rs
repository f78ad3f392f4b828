//! The loader, which keeps the index of names up to date.

#![expect(clippy::disallowed_methods, reason = "loads are paced by how long they take")]

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use model::EventId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::error::Error;
use crate::centres::{self, Attempt, Centres};
use name_index::{Index, NAMES_MAX, TEXT_BYTES_MAX, Unsorted};

/// Least pause between two loads.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// A pause is this many times as long as the load before it, so that loads take at most 5 % of a core.
const PAUSES_PER_LOAD: u32 = 19;

/// Names that one statement reads, about. A statement takes a few hundredths of a second, so that a load holds neither a connection nor
/// the server's purge of old row versions for long.
const NAMES_PER_STATEMENT: usize = 30_000;

/// Statements of the first load, which does not know how many names there are.
const FIRST_STATEMENTS: usize = 32;

/// The newest index, if there is one; clones share it.
#[derive(Clone)]
pub(crate) struct Names(watch::Receiver<Loaded>);

/// The outcome of the last load that succeeded.
#[derive(Debug, Clone)]
enum Loaded {
    NotYet,
    Index(Arc<Index>),
    /// More names than [`NAMES_MAX`], or more bytes of them than [`TEXT_BYTES_MAX`].
    TooMany,
}

/// Reasons for which names were not loaded.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Centre(#[from] centres::Error),
    #[error("the index of names could not be made")]
    Died(#[source] tokio::task::JoinError),
}

/// The one task that loads names.
pub(crate) struct Loader {
    sender: watch::Sender<Loaded>,
    /// Statements of the next load, so that each reads about [`NAMES_PER_STATEMENT`] names.
    statements: usize,
}

impl Names {
    /// `None` before the first load, and for more names than the index takes.
    pub(crate) fn index(&self) -> Option<Arc<Index>> {
        match &*self.0.borrow() {
            Loaded::Index(index) => Some(Arc::clone(index)),
            Loaded::NotYet | Loaded::TooMany => None,
        }
    }

    /// The reason why there is no index.
    pub(super) fn why_none(&self) -> Error {
        match &*self.0.borrow() {
            Loaded::TooMany => Error::TooManyNames,
            Loaded::NotYet | Loaded::Index(_) => Error::NotInMemory,
        }
    }
}

impl Loader {
    /// The loader, and what its readers see of it.
    pub(crate) fn new() -> (Self, Names) {
        let (sender, receiver) = watch::channel(Loaded::NotYet);
        let loader = Self {
            sender,
            statements: FIRST_STATEMENTS,
        };
        (loader, Names(receiver))
    }

    /// Loads all names again and again, until `shutdown`. A load that fails leaves the last index in place: no name is ever removed, so
    /// that one only lacks the newest.
    pub(crate) async fn run(mut self, centres: Centres, shutdown: CancellationToken) {
        let mut fails = false;
        let forever = async {
            loop {
                let begun = std::time::Instant::now();
                let outcome = self.load(&centres).await;
                let took = begun.elapsed();
                match &outcome {
                    Ok(()) => metrics::histogram!("api_names_load_seconds").record(took.as_secs_f64()),
                    Err(_) => metrics::counter!("api_names_load_failures_total").increment(1),
                }
                if let Err(error) = &outcome
                    && !fails
                {
                    let error: &dyn std::error::Error = error;
                    tracing::warn!(
                        error,
                        "names could not be read: searches go on with those of before"
                    );
                }
                fails = outcome.is_err();
                tokio::time::sleep(PAUSE_MIN.max(took * PAUSES_PER_LOAD)).await;
            }
        };
        shutdown.run_until_cancelled(forever).await;
    }

    /// Loads all names once. The new index replaces the old one in one step at the end: a search sees all of either.
    async fn load(&mut self, centres: &Centres) -> Result<(), LoadError> {
        let mut all = Unsorted::default();
        for ids in parts(self.statements) {
            let part = centres.ask(|attempt| read(attempt, ids.clone())).await?;
            // The first part that finds no room ends the load, so that no more is held than the index may have.
            if part.is_none_or(|part| !all.append(&part)) {
                if !matches!(self.sender.send_replace(Loaded::TooMany), Loaded::TooMany) {
                    tracing::warn!(
                        "more than {NAMES_MAX} names, or {TEXT_BYTES_MAX} bytes of them: searches go to the database"
                    );
                }
                return Ok(());
            }
        }
        // Sorting a million names takes a second, for which no other task may wait.
        let index = tokio::task::spawn_blocking(move || Index::from(all));
        let index = index.await.map_err(LoadError::Died)?;
        self.statements = index.len().div_ceil(NAMES_PER_STATEMENT).max(1);
        gauge("api_names", index.len());
        gauge("api_names_index_bytes", index.bytes());
        self.sender.send_replace(Loaded::Index(Arc::new(index)));
        Ok(())
    }
}

/// The names of a range of ids, in no order; `None` where there is no room for all.
///
/// The buffer begins empty with each attempt: it is made inside of the work, so a part that a centre gave before it failed is not kept.
async fn read(attempt: Attempt, ids: RangeInclusive<EventId>) -> Result<Option<Unsorted>, centres::Error> {
    let mut part = Unsorted::default();
    let mut is_room = true;
    let each = |name: &str, popularity| is_room &= part.push(name, popularity);
    attempt.central().names_with_ids(&ids, each).await?;
    Ok(is_room.then_some(part))
}

/// All ids, in `count` ranges of about the same length. Ids are hashes of names, so each range has about as many names.
fn parts(count: usize) -> impl Iterator<Item = RangeInclusive<EventId>> {
    let count = u64::try_from(count).unwrap_or(1).max(1);
    let length = u64::MAX / count;
    (0..count).map(move |n| {
        let last = if n + 1 == count {
            u64::MAX
        } else {
            (n + 1) * length - 1
        };
        EventId(n * length)..=EventId(last)
    })
}

fn gauge(name: &'static str, value: usize) {
    // Names and their bytes are far below 2^32.
    metrics::gauge!(name).set(u32::try_from(value).map_or(f64::INFINITY, f64::from));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_index_the_reason_is_said() {
        let (loader, names) = Loader::new();
        assert!(names.why_none().to_string().contains("not in memory yet"));
        loader.sender.send_replace(Loaded::TooMany);
        assert!(names.index().is_none() && names.why_none().to_string().contains("too many"));
    }

    #[test]
    fn parts_are_all_ids() {
        for count in [1, 2, 3, 32, 167] {
            let parts: Vec<_> = parts(count).collect();
            assert_eq!(parts.len(), count);
            assert_eq!((parts[0].start().0, parts[count - 1].end().0), (0, u64::MAX));
            for pair in parts.windows(2) {
                assert_eq!(pair[0].end().0 + 1, pair[1].start().0);
            }
        }
    }
}
