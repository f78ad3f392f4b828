//! The regions that the centre replicates from, which an operator changes, and which each answer has to know.

#![expect(clippy::disallowed_methods, reason = "what was read has an age")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::lease::Connected;
use crate::clock::Sources;

/// Time for which the regions that were read are taken for those that there are. A region that was added since is not in an answer's claim,
/// as it was not a second before; one that was removed holds it back for so long.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// The regions as they were last read.
#[derive(Default)]
pub(super) struct LastSources(Mutex<Option<Asked>>);

struct Asked {
    at: Instant,
    server: Arc<str>,
    sources: Arc<Sources>,
}

impl LastSources {
    /// The regions, if they were read since, and from the same server.
    pub(super) fn known(&self, connected: &Connected) -> Option<Arc<Sources>> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = last.as_ref()?;
        let is_usable =
            asked.at > connected.at && asked.server == connected.server && asked.at.elapsed() < KNOWN_FOR;
        is_usable.then(|| Arc::clone(&asked.sources))
    }

    /// Notes the regions that were asked for at `at`.
    pub(super) fn note(&self, at: Instant, connected: &Connected, sources: Arc<Sources>) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_none_or(|before| before.at < at) {
            *last = Some(Asked {
                at,
                server: Arc::clone(&connected.server),
                sources,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(last: &LastSources, connected: &Connected) -> Option<String> {
        last.known(connected)?.keys().next().cloned()
    }

    #[test]
    fn the_latest_are_known_for_a_second() {
        let connected = |at, server: &str| Connected {
            at,
            server: server.into(),
        };
        let sources = |name: &str| Arc::new(Sources::from([(name.to_owned(), true)]));
        let (last, of_a) = (LastSources::default(), connected(Instant::now(), "a"));
        assert_eq!(known(&last, &of_a), None);
        let asked = Instant::now();
        last.note(asked, &of_a, sources("eu"));
        last.note(of_a.at, &of_a, sources("old"));
        assert_eq!(known(&last, &of_a).as_deref(), Some("eu"));
        assert_eq!(known(&last, &connected(of_a.at, "b")), None, "of another server");
        let newer = connected(Instant::now(), "a");
        assert_eq!(known(&last, &newer), None, "of another connection");
        let long_ago = asked.checked_sub(2 * KNOWN_FOR).unwrap();
        let last = LastSources::default();
        last.note(long_ago, &of_a, sources("eu"));
        let before = connected(long_ago.checked_sub(KNOWN_FOR).unwrap(), "a");
        assert_eq!(known(&last, &before), None);
    }
}
