//! Which names the centre knows already, and how much their popularity has grown since it was last told.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use model::{EventId, EventName};

/// How often popularity is sent: every row of it costs the centre as much as a row of counts.
const POPULARITY_INTERVAL: Duration = Duration::from_secs(60);

/// Names remembered as known: 16 MB. Beyond it all are forgotten and written again as they come.
const KNOWN_MAX: usize = 1_000_000;

/// Names whose growth is kept until it is sent: sent early beyond it.
const GROWN_MAX: usize = 50_000;

type Popularity = HashMap<EventId, (EventName<'static>, u64)>;

pub(crate) static NO_POPULARITY: LazyLock<Popularity> = LazyLock::new(HashMap::new);

#[derive(Debug)]
pub(crate) struct Names {
    known: HashSet<EventId>,
    grown: Popularity,
    /// None where what has grown is to be sent with the next flush.
    sent: Option<Instant>,
}

impl Names {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            known: HashSet::new(),
            grown: Popularity::new(),
            sent: Some(now),
        }
    }

    pub(crate) fn known(&self) -> &HashSet<EventId> {
        &self.known
    }

    pub(crate) fn popularity_due(&self, now: Instant) -> Option<&Popularity> {
        let due =
            self.sent.is_none_or(|sent| now - sent >= POPULARITY_INTERVAL) || self.grown.len() >= GROWN_MAX;
        (due && !self.grown.is_empty()).then_some(&self.grown)
    }

    pub(crate) fn send_at_once(&mut self) {
        self.sent = None;
    }

    /// Takes note of a committed flush: a name that was new was written with its counts, any other has grown by them.
    pub(crate) fn committed(
        &mut self,
        totals: &HashMap<EventId, u64>,
        names: HashMap<EventId, EventName<'static>>,
        popularity_sent: bool,
        now: Instant,
    ) {
        if popularity_sent {
            self.grown.clear();
            self.sent = Some(now);
        }
        if self.known.len() > KNOWN_MAX {
            self.known.clear();
        }
        for (id, name) in names {
            let Some(&count) = totals.get(&id) else { continue };
            if self.known.insert(id) {
                continue;
            }
            let grown = &mut self.grown.entry(id).or_insert((name, 0)).1;
            *grown = grown.saturating_add(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn popularity_is_sent_once_a_minute_and_adds_up() {
        let start = Instant::now();
        let mut names = Names::new(start);
        let name = EventName::new("a").unwrap();
        let id = name.id();
        let flushed = || HashMap::from([(id, name.clone())]);
        assert!(!names.known().contains(&id));
        names.committed(&HashMap::from([(id, 5)]), flushed(), false, start);
        assert!(names.known().contains(&id));
        names.committed(&HashMap::from([(id, 3)]), flushed(), false, start);
        names.committed(&HashMap::from([(id, 4)]), flushed(), false, start);
        assert!(names.popularity_due(start + Duration::from_secs(59)).is_none());
        let minute = start + POPULARITY_INTERVAL;
        assert_eq!(names.popularity_due(minute).unwrap()[&id].1, 7);
        names.committed(&HashMap::new(), HashMap::new(), true, minute);
        assert!(names.popularity_due(minute + POPULARITY_INTERVAL).is_none());
    }

    #[test]
    fn a_name_that_was_only_recognised_stays_unknown() {
        let start = Instant::now();
        let mut names = Names::new(start);
        let name = EventName::new("a").unwrap();
        names.committed(
            &HashMap::new(),
            HashMap::from([(name.id(), name.clone())]),
            false,
            start,
        );
        assert!(names.known().is_empty());
    }
}
