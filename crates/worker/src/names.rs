//! Which names the centre knows already, and how much their popularity has grown since it was last told.

use std::time::{Duration, Instant};
use std::vec::IntoIter;

use hashbrown::HashMap;
use model::{EventId, EventName};

/// How often popularity is sent: every row of it costs the centre as much as a row of counts.
const POPULARITY_INTERVAL: Duration = Duration::from_secs(60);

/// Names of which one flush tells by how much they have grown: a fraction of the rows that the centre takes in a second.
const SENT_MAX: usize = 5_000;

/// Names remembered as known: 100 MB. Beyond it all are forgotten and written again as they come.
const KNOWN_MAX: usize = 1_000_000;

/// So many whose growth waits to be sent, and one flush tells of all.
const WAITING_MAX: usize = 500_000;

/// A name, and by how much it has grown.
type Growth = (EventId, EventName<'static>, u64);

#[derive(Debug)]
pub(crate) struct Names {
    known: HashMap<EventId, Known>,
    /// What had grown when it was due, and is not sent yet.
    waiting: IntoIter<Growth>,
    /// What the next flush sends.
    sending: Vec<Growth>,
    /// When what had grown was due; `None` where all of it is to go with the next flush.
    due: Option<Instant>,
}

#[derive(Debug)]
struct Known {
    name: EventName<'static>,
    grown: u64,
}

impl Names {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            known: HashMap::new(),
            waiting: Vec::new().into_iter(),
            sending: Vec::new(),
            due: Some(now),
        }
    }

    pub(crate) fn is_known(&self, id: EventId) -> bool {
        self.known.contains_key(&id)
    }

    /// Chooses what the next flush sends.
    pub(crate) fn prepare(&mut self, now: Instant) {
        let Some(due) = self.due else {
            self.take_grown();
            self.sending.extend(self.waiting.by_ref());
            return;
        };
        if now - due >= POPULARITY_INTERVAL && self.waiting.len() == 0 {
            self.take_grown();
            self.due = Some(now);
        }
        let room = if self.waiting.len() > WAITING_MAX {
            usize::MAX
        } else {
            SENT_MAX.saturating_sub(self.sending.len())
        };
        self.sending.extend(self.waiting.by_ref().take(room));
    }

    /// What was chosen; a name may come more than once.
    pub(crate) fn popularity(&self) -> &[Growth] {
        &self.sending
    }

    pub(crate) fn send_at_once(&mut self) {
        self.due = None;
    }

    /// Takes note of a committed flush: what was chosen was sent, a name that was new was written with its counts, and any other has
    /// grown by them. Nothing is held that relies on what was known, where something was counted.
    pub(crate) fn committed(
        &mut self,
        totals: &[(EventId, u64)],
        mut new_names: HashMap<EventId, EventName<'static>>,
    ) {
        self.sending.clear();
        for (id, count) in totals {
            if let Some(known) = self.known.get_mut(id) {
                known.grown = known.grown.saturating_add(*count);
            } else if let Some(name) = new_names.remove(id) {
                self.known.insert(*id, Known { name, grown: 0 });
            }
        }
        if self.known.len() > KNOWN_MAX && !totals.is_empty() {
            self.take_grown();
            self.known.clear();
        }
    }

    /// Puts what has grown behind what waits.
    fn take_grown(&mut self) {
        let mut waiting: Vec<Growth> = self.waiting.by_ref().collect();
        let grown = self.known.iter_mut().filter(|(_, known)| known.grown > 0);
        waiting.extend(grown.map(|(&id, known)| (id, known.name.clone(), std::mem::take(&mut known.grown))));
        self.waiting = waiting.into_iter();
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
        assert!(!names.is_known(id));
        names.committed(&[(id, 5)], HashMap::from([(id, name.clone())]));
        assert!(names.is_known(id));
        names.committed(&[(id, 3)], HashMap::new());
        names.committed(&[(id, 4)], HashMap::from([(id, name.clone())]));
        names.prepare(start + Duration::from_secs(59));
        assert!(names.popularity().is_empty());
        let minute = start + POPULARITY_INTERVAL;
        names.prepare(minute);
        assert_eq!(names.popularity(), [(id, name, 7)]);
        names.committed(&[], HashMap::new());
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
        let totals: Vec<(EventId, u64)> = all.iter().map(|name| (name.id(), 1)).collect();
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
        assert!(names.popularity().len() >= all.len());
        let sent: u64 = names.popularity().iter().map(|grown| grown.2).sum();
        assert_eq!(sent, (2 * all.len() - SENT_MAX) as u64);
    }

    #[test]
    fn a_name_that_was_only_recognised_stays_unknown() {
        let mut names = Names::new(Instant::now());
        let name = EventName::new("a").unwrap();
        names.committed(&[], HashMap::from([(name.id(), name.clone())]));
        assert!(!names.is_known(name.id()));
    }

    #[test]
    fn very_many_are_forgotten_and_their_growth_is_not() {
        let mut names = Names::new(Instant::now());
        let name = |n: usize| EventName::new(n.to_string()).unwrap();
        let all = || (0..KNOWN_MAX).map(|n| (EventId(n as u64), name(n))).collect();
        let totals: Vec<(EventId, u64)> = (0..KNOWN_MAX).map(|n| (EventId(n as u64), 2)).collect();
        names.committed(&totals, all());
        names.committed(&totals[..10], HashMap::new());
        assert!(names.is_known(EventId(7)));
        let more = EventId(KNOWN_MAX as u64);
        names.committed(&[(more, 1)], HashMap::from([(more, name(KNOWN_MAX))]));
        assert!(!names.is_known(EventId(7)));
        names.send_at_once();
        names.prepare(Instant::now());
        let sent: u64 = names.popularity().iter().map(|grown| grown.2).sum();
        assert_eq!((names.popularity().len(), sent), (10, 20));
    }
}
