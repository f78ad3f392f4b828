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
use name_index::{Index, Segment, Unsorted};

/// Least pause between two loads.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// A pause is this many times as long as the load before it, so that loads take at most 5 % of a core.
const PAUSES_PER_LOAD: u32 = 19;

/// Names that one statement reads, about. A statement takes a few hundredths of a second, so that a load holds neither a connection nor
/// the server's purge of old row versions for long.
const NAMES_PER_STATEMENT: usize = 30_000;

/// The newest index, if there is one; clones share it.
#[derive(Clone)]
pub(crate) struct Names(watch::Receiver<Loaded>);

/// The outcome of the last load that succeeded.
#[derive(Debug, Clone)]
enum Loaded {
    NotYet,
    Index(Arc<Index>),
    /// What there was when names became more than there is room for.
    Full(Arc<Index>),
    /// There were more names than there is room for, from the beginning.
    TooMany,
}

/// There are more names than the index has room for.
#[derive(Debug, thiserror::Error)]
#[error(
    "the names take more than the {mib} MiB of memory that they may: {}; api.names_index_mib gives them more, with a restart, and \
     'eventtracker names top --by token' shows who makes them",
    if *.has_some { "those that were there before are found as ever, others by their beginnings alone" }
    else { "they are found by their beginnings alone" }
)]
pub(crate) struct Full {
    mib: usize,
    has_some: bool,
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
    /// Bytes that the index may take.
    bytes_max: usize,
}

impl Names {
    /// `None` before the first load, and where there were more names than it may have from the beginning.
    pub(crate) fn index(&self) -> Option<Arc<Index>> {
        match &*self.0.borrow() {
            Loaded::Index(index) | Loaded::Full(index) => Some(Arc::clone(index)),
            Loaded::NotYet | Loaded::TooMany => None,
        }
    }

    /// Whether the index lacks names for want of room.
    pub(super) fn are_full(&self) -> bool {
        matches!(&*self.0.borrow(), Loaded::Full(_))
    }

    /// The reason why there is no index.
    pub(super) fn why_none(&self) -> Error {
        match &*self.0.borrow() {
            Loaded::TooMany => Error::TooManyNames,
            Loaded::NotYet | Loaded::Index(_) | Loaded::Full(_) => Error::NotInMemory,
        }
    }
}

impl Loader {
    /// The loader of an index of at most so many bytes, and what its readers see of it.
    pub(crate) fn new(bytes_max: usize) -> (Self, Names) {
        let (sender, receiver) = watch::channel(Loaded::NotYet);
        (Self { sender, bytes_max }, Names(receiver))
    }

    /// Loads all names again and again, until `shutdown`. A load that fails leaves the last index in place: no name is ever removed, so
    /// that one only lacks the newest. `say` is called after each load with whether there were more names than there is room for; then it
    /// is the last, since they do not become fewer.
    pub(crate) async fn run(
        self,
        centres: Centres,
        say: impl Fn(Option<&Full>),
        shutdown: CancellationToken,
    ) {
        let mut fails = false;
        let forever = async {
            loop {
                let begun = std::time::Instant::now();
                let outcome = self.load_or_stay(&centres).await;
                let took = begun.elapsed();
                match &outcome {
                    Ok(Some(full)) => {
                        tracing::warn!("{full}");
                        say(Some(full));
                        return;
                    }
                    Ok(None) => {
                        metrics::histogram!("api_names_load_seconds").record(took.as_secs_f64());
                        say(None);
                    }
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

    /// Loads all names once; stays with those of before where that would take more memory than it may have.
    async fn load_or_stay(&self, centres: &Centres) -> Result<Option<Full>, LoadError> {
        if let Some(index) = self.load(centres).await? {
            gauge("api_names", index.len());
            gauge("api_names_index_bytes", index.bytes());
            return Ok(None);
        }
        let mut has_some = false;
        self.sender.send_modify(|loaded| {
            *loaded = match &*loaded {
                Loaded::Index(index) | Loaded::Full(index) => {
                    has_some = true;
                    Loaded::Full(Arc::clone(index))
                }
                Loaded::NotYet | Loaded::TooMany => Loaded::TooMany,
            };
        });
        Ok(Some(Full {
            mib: self.bytes_max >> 20,
            has_some,
        }))
    }

    /// Loads all names once, segment by segment: a new segment replaces the old one as soon as it is made, so that little is there twice. The
    /// first index comes as a whole. `None` for more names than there is room for.
    async fn load(&self, centres: &Centres) -> Result<Option<Index>, LoadError> {
        let mut index = match &*self.sender.borrow() {
            Loaded::Index(index) | Loaded::Full(index) => Index::clone(index),
            Loaded::NotYet | Loaded::TooMany => Index::default(),
        };
        let names = if index.is_empty() {
            estimate(centres).await?
        } else {
            index.len()
        };
        let ranges = name_index::ranges(names);
        let statements = (names / ranges.len()).div_ceil(NAMES_PER_STATEMENT);
        for old in index.ids() {
            let new = name_index::replacing(&old, &ranges);
            let (mut segments, mut bytes) = (Vec::new(), 0);
            for ids in new {
                let segment = segment(centres, &ids, statements).await?;
                bytes += segment.as_ref().map_or(0, Segment::bytes);
                match segment.filter(|_| bytes <= self.bytes_max) {
                    Some(segment) => segments.push((*ids.start(), segment)),
                    None => return Ok(None),
                }
            }
            index = index.with(&old, segments);
            if index.bytes() > self.bytes_max {
                return Ok(None);
            }
            self.sender.send_replace(Loaded::Index(Arc::new(index.clone())));
        }
        Ok(Some(index))
    }
}

/// How many names there are, about: as many times the names of a part of all ids as there are parts. Ids are hashes of names.
async fn estimate(centres: &Centres) -> Result<usize, LoadError> {
    const PARTS: usize = 64;
    let ids = EventId(0)..=EventId(u64::MAX / PARTS as u64);
    let sample = centres.ask(|attempt| read(attempt, ids.clone())).await?;
    Ok(PARTS * sample.map_or(0, |sample| sample.len()))
}

/// The segment of a range of ids, read with so many statements; `None` for more names than there is room for.
async fn segment(
    centres: &Centres,
    ids: &RangeInclusive<EventId>,
    statements: usize,
) -> Result<Option<Segment>, LoadError> {
    let mut all = Unsorted::default();
    for ids in parts(ids, statements) {
        let part = centres.ask(|attempt| read(attempt, ids.clone())).await?;
        if part.is_none_or(|part| !all.append(&part)) {
            return Ok(None);
        }
    }
    // Sorting half a million names takes half a second, for which no other task may wait.
    let sorted = tokio::task::spawn_blocking(move || Segment::from(all));
    Ok(Some(sorted.await.map_err(LoadError::Died)?))
}

/// The names of a range of ids, in no order; `None` where there is no room for all.
async fn read(attempt: Attempt, ids: RangeInclusive<EventId>) -> Result<Option<Unsorted>, centres::Error> {
    let each = |(part, is_full): &mut (Unsorted, bool), name: &str, popularity| {
        *is_full |= !part.push(name, popularity);
    };
    let (part, is_full) = attempt.central().names_with_ids(&ids, each).await?;
    Ok((!is_full).then_some(part))
}

/// A range of ids in `count` parts of about the same length.
fn parts(ids: &RangeInclusive<EventId>, count: usize) -> impl Iterator<Item = RangeInclusive<EventId>> {
    let (first, last) = (ids.start().0, ids.end().0);
    let count = u64::try_from(count).unwrap_or(1).max(1);
    let length = (last - first) / count;
    (0..count).map(move |n| {
        let last = if n + 1 == count {
            last
        } else {
            first + (n + 1) * length - 1
        };
        EventId(first + n * length)..=EventId(last)
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
        let (loader, names) = Loader::new(1 << 20);
        assert!(names.why_none().to_string().contains("not in memory yet"));
        loader.sender.send_replace(Loaded::TooMany);
        assert!(names.index().is_none() && names.why_none().to_string().contains("too many"));
    }

    #[test]
    fn parts_are_all_ids() {
        for of in name_index::ranges(2_000_000) {
            for count in [1, 2, 3, 32, 167] {
                let parts: Vec<_> = parts(&of, count).collect();
                assert_eq!(parts.len(), count);
                assert_eq!((parts[0].start(), parts[count - 1].end()), (of.start(), of.end()));
                for pair in parts.windows(2) {
                    assert_eq!(pair[0].end().0 + 1, pair[1].start().0);
                }
            }
        }
    }
}
