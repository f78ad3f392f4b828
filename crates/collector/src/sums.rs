//! Sums of a request's events, made before anything is locked that requests share.

use hashbrown::HashMap;
use model::{Event, EventName, Minute};

/// Text of an event for which there is room from the beginning: half of all events may be of another name and minute.
const TEXT_BYTES_PER_SUM: usize = 128;

/// Sums per name and minute. At most 10,000 events of at most 10⁹ each, so none overflows.
#[derive(Debug, Default)]
pub(crate) struct Sums<'a>(HashMap<(EventName<'a>, Minute), u64>);

impl<'a> Sums<'a> {
    /// Of the events in so much text, or more.
    pub(crate) fn of_text(bytes: usize) -> Self {
        Self(HashMap::with_capacity(bytes / TEXT_BYTES_PER_SUM))
    }

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
