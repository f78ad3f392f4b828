//! Which names the centre knows already, and how much their popularity has grown since it was last told.

use std::time::{Duration, Instant};

use hashbrown::hash_map::IntoIter;
use hashbrown::{HashMap, HashSet};
use model::{EventId, EventName};

/// How often popularity is sent: every row of it costs the centre as much as a row of counts.
const POPULARITY_INTERVAL: Duration = Duration::from_secs(60);

/// Names of which one flush tells by how much they have grown: a fraction of the rows that the centre takes in a second.
const SENT_MAX: usize = 5_000;

/// Names remembered as known: 38 MB. Beyond it all are forgotten and written again as they come.
const KNOWN_MAX: usize = 2_000_000;

/// Names whose growth is kept until it is sent, 60 MB and as much of those that wait: sent early beyond it.
const GROWN_MAX: usize = 500_000;

type Popularity = HashMap<EventId, (EventName<'static>, u64)>;

#[derive(Debug)]
pub(crate) struct Names {
    known: HashSet<EventId>,
    grown: Popularity,
    /// What has grown until it was due, and is not sent yet.
    waiting: IntoIter<EventId, (EventName<'static>, u64)>,
    /// What the next flush sends.
    sending: Popularity,
    /// When what had grown was due; `None` where all of it is to go with the next flush.
    due: Option<Instant>,
}

impl Names {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            known: HashSet::new(),
            grown: Popularity::new(),
            waiting: Popularity::new().into_iter(),
            sending: Popularity::new(),
            due: Some(now),
        }
    }

    pub(crate) fn known(&self) -> &HashSet<EventId> {
        &self.known
    }

    /// Chooses what the next flush sends.
    pub(crate) fn prepare(&mut self, now: Instant) {
        let Some(due) = self.due else {
            let all = self.waiting.by_ref().chain(self.grown.drain());
            all.for_each(|(id, (name, count))| grow(&mut self.sending, id, name, count));
            return;
        };
        let is_due = now - due >= POPULARITY_INTERVAL || self.grown.len() >= GROWN_MAX;
        if is_due && self.waiting.len() == 0 {
            self.waiting = std::mem::take(&mut self.grown).into_iter();
            self.due = Some(now);
        }
        let is_full = self.grown.len() >= GROWN_MAX;
        let room = if is_full {
            usize::MAX
        } else {
            SENT_MAX.saturating_sub(self.sending.len())
        };
        let some = self.waiting.by_ref().take(room);
        some.for_each(|(id, (name, count))| grow(&mut self.sending, id, name, count));
    }

    /// What was chosen.
    pub(crate) fn popularity(&self) -> &Popularity {
        &self.sending
    }

    pub(crate) fn send_at_once(&mut self) {
        self.due = None;
    }

    /// Takes note of a committed flush: what was chosen was sent, a name that was new was written with its counts, and any other has
    /// grown by them.
    pub(crate) fn committed(
        &mut self,
        totals: &HashMap<EventId, u64>,
        names: HashMap<EventId, EventName<'static>>,
    ) {
        self.sending.clear();
        if self.known.len() > KNOWN_MAX {
            self.known.clear();
        }
        for (id, name) in names {
            let Some(&count) = totals.get(&id) else { continue };
            if self.known.insert(id) {
                continue;
            }
            grow(&mut self.grown, id, name, count);
        }
    }
}

fn grow(popularity: &mut Popularity, id: EventId, name: EventName<'static>, count: u64) {
    let grown = &mut popularity.entry(id).or_insert((name, 0)).1;
    *grown = grown.saturating_add(count);
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
        names.committed(&HashMap::from([(id, 5)]), flushed());
        assert!(names.known().contains(&id));
        names.committed(&HashMap::from([(id, 3)]), flushed());
        names.committed(&HashMap::from([(id, 4)]), flushed());
        names.prepare(start + Duration::from_secs(59));
        assert!(names.popularity().is_empty());
        let minute = start + POPULARITY_INTERVAL;
        names.prepare(minute);
        assert_eq!(names.popularity()[&id].1, 7);
        names.committed(&HashMap::new(), HashMap::new());
        names.prepare(minute + POPULARITY_INTERVAL);
        assert!(names.popularity().is_empty());
    }

    #[test]
    fn very_many_names_are_told_of_one_after_the_other_and_none_is_left_at_the_end() {
        let start = Instant::now();
        let mut names = Names::new(start);
        let all: Vec<EventName<'static>> = (0..2 * SENT_MAX + 10)
            .map(|n| EventName::new(n.to_string()).unwrap())
            .collect();
        let totals: HashMap<EventId, u64> = all.iter().map(|name| (name.id(), 1)).collect();
        let flushed = || all.iter().map(|name| (name.id(), name.clone())).collect();
        names.committed(&totals, flushed());
        names.committed(&totals, flushed());
        names.prepare(start + POPULARITY_INTERVAL);
        assert_eq!(names.popularity().len(), SENT_MAX);
        // A flush that failed is repeated with the same ones.
        names.prepare(start + POPULARITY_INTERVAL);
        assert_eq!(names.popularity().len(), SENT_MAX);
        names.committed(&totals, flushed());
        names.send_at_once();
        names.prepare(start);
        assert_eq!(names.popularity().len(), all.len());
        let sent: u64 = names.popularity().values().map(|grown| grown.1).sum();
        assert_eq!(sent, (2 * all.len() - SENT_MAX) as u64);
    }

    #[test]
    fn a_name_that_was_only_recognised_stays_unknown() {
        let mut names = Names::new(Instant::now());
        let name = EventName::new("a").unwrap();
        names.committed(&HashMap::new(), HashMap::from([(name.id(), name.clone())]));
        assert!(names.known().is_empty());
    }
}
