//! The claims and the first day that is kept, as they were read last: what the end of every snapshot asks for, and changes once a second.
//!
//! A claim stays true: what a snapshot had, every later one has. So the claims of an earlier snapshot are those of a later one, too, and only
//! say less. The first day that is kept does not: but the keeper notes what it drops, and waits for [`NOTED_BEFORE_DROP`], before it drops
//! it. Who has read the notes since, by its own clock, misses none.

#![expect(clippy::disallowed_methods, reason = "what was read has an age")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Ending;

/// Age up to which what was read is taken for a snapshot that begins now.
const TAKEN_FOR: Duration = Duration::from_millis(100);

/// Age up to which the first day that is kept is that of counts that have just been read.
const KEPT_FOR: Duration = Duration::from_millis(500);

/// Time that the keeper lets pass between noting what it drops, and dropping it.
pub(crate) const NOTED_BEFORE_DROP: Duration = Duration::from_secs(1);

const _: () = assert!(KEPT_FOR.as_millis() < NOTED_BEFORE_DROP.as_millis());

/// What was read last.
#[derive(Default)]
pub(super) struct LastEnding(Mutex<Option<Read>>);

/// What was read, by a question that was asked at this instant.
#[derive(Clone)]
pub(super) struct Read {
    asked: Instant,
    pub(super) ending: Arc<Ending>,
}

impl LastEnding {
    /// What was read, for a snapshot that begins now on a connection that was made at `connected`: one that is newer may be another server's.
    pub(super) fn known(&self, connected: Instant) -> Option<Read> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = last.as_ref()?;
        (read.asked > connected && read.age() < TAKEN_FOR).then(|| read.clone())
    }

    /// Notes what was read.
    pub(super) fn note(&self, read: Read) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_none_or(|before| before.asked < read.asked) {
            *last = Some(read);
        }
    }
}

impl Read {
    /// What a question of now has read.
    pub(super) fn new(asked: Instant, ending: Ending) -> Self {
        Self {
            asked,
            ending: Arc::new(ending),
        }
    }

    pub(super) fn age(&self) -> Duration {
        self.asked.elapsed()
    }

    /// Whether no day was dropped since that it does not know of.
    pub(super) fn knows_kept(&self) -> bool {
        self.age() < KEPT_FOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_is_known_for_a_moment() {
        let read = |asked| Read::new(asked, Ending::default());
        let (last, connected) = (LastEnding::default(), Instant::now());
        assert!(last.known(connected).is_none());
        last.note(read(Instant::now()));
        last.note(read(connected));
        assert!(last.known(connected).is_some_and(|read| read.knows_kept()));
        assert!(last.known(Instant::now()).is_none(), "of another connection");
        let long_ago = Instant::now().checked_sub(KEPT_FOR).unwrap();
        let last = LastEnding::default();
        last.note(read(long_ago));
        assert!(last.known(long_ago.checked_sub(KEPT_FOR).unwrap()).is_none());
        assert!(!read(long_ago).knows_kept());
    }
}
