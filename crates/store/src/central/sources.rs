//! The regions that the centre replicates from, which an operator changes, and which each answer has to know.

#![expect(clippy::disallowed_methods, reason = "what was read has an age")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time for which the regions that were read are taken for those that there are. A region that was added since is not in an answer's claim,
/// as it was not a second before; one that was removed holds it back for so long.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// The regions as they were last read.
#[derive(Default)]
pub(super) struct LastSources(Mutex<Option<(Instant, Arc<BTreeSet<String>>)>>);

impl LastSources {
    /// The regions, for a connection that was made at `connected`: one that is newer may be another server's.
    pub(super) fn known(&self, connected: Instant) -> Option<Arc<BTreeSet<String>>> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (asked, sources) = last.as_ref()?;
        (*asked > connected && asked.elapsed() < KNOWN_FOR).then(|| Arc::clone(sources))
    }

    /// Notes the regions that were asked for at `asked`.
    pub(super) fn note(&self, asked: Instant, sources: Arc<BTreeSet<String>>) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_none_or(|(before, _)| *before < asked) {
            *last = Some((asked, sources));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_known_for_a_second() {
        let sources = |name: &str| Arc::new(BTreeSet::from([name.to_owned()]));
        let known = |last: &LastSources, at| last.known(at).and_then(|all| all.first().cloned());
        let (last, connected) = (LastSources::default(), Instant::now());
        assert_eq!(known(&last, connected), None);
        let asked = Instant::now();
        last.note(asked, sources("eu"));
        last.note(connected, sources("old"));
        assert_eq!(known(&last, connected).as_deref(), Some("eu"));
        assert_eq!(known(&last, Instant::now()), None, "of another connection");
        let long_ago = asked.checked_sub(2 * KNOWN_FOR).unwrap();
        let last = LastSources::default();
        last.note(long_ago, sources("eu"));
        assert_eq!(known(&last, long_ago.checked_sub(KNOWN_FOR).unwrap()), None);
    }
}
