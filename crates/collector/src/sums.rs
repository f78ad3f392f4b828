//! Sums of a request's events, made before anything is locked that requests share.

use hashbrown::HashMap;
use model::{Event, EventName, Minute};

/// Sums per name and minute. At most 10,000 events of at most 10⁹ each, so none overflows.
#[derive(Debug, Default)]
pub(crate) struct Sums<'a>(HashMap<(EventName<'a>, Minute), u64>);

impl<'a> Sums<'a> {
    pub(crate) fn add(&mut self, event: Event<'a>) {
        *self.0.entry((event.name, event.minute)).or_insert(0) += event.count;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each name and minute once.
    pub(crate) fn into_counts(self) -> Vec<(EventName<'a>, Minute, u64)> {
        let counts = self.0.into_iter();
        counts
            .map(|((name, minute), count)| (name, minute, count))
            .collect()
    }
}
