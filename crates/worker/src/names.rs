//! Which names the centre knows already, and how much their popularity has grown since it was last told.

use std::time::{Duration, Instant};
use std::vec::IntoIter;

use hashbrown::HashMap;
use model::{EventId, EventName};

/// How often popularity is sent: every row of it costs the centre as much as a row of counts.
const POPULARITY_INTERVAL: Duration = Duration::from_secs(60);

/// Names of which one flush tells by how much they have grown: a fraction of the rows that the centre takes in a second.
const SENT_MAX: usize = 5_000;

/// Memory of names remembered as known, and of one beside its text. Beyond it all are forgotten and written again as they come.
const KNOWN_BYTES_MAX: usize = 128 << 20;
const KNOWN_OVERHEAD_BYTES: usize = 80;

/// So many whose growth waits to be sent: more go with the next flush.
const WAITING_MAX: usize = 1_000_000;

/// A name, and by how much it has grown.
type Growth = (EventId, EventName<'static>, u64);

#[derive(Debug)]
pub(crate) struct Names {
    known: HashMap<EventId, Known>,
    known_bytes: usize,
    /// What had grown when it was due, and is not sent yet.
    waiting: IntoIter<Growth>,
    /// What the next flush sends.
    sending: Vec<Growth>,
    /// Whether the last flush failed: perhaps it was too large for its time.
    has_failed: bool,
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
            known_bytes: 0,
            waiting: Vec::new().into_iter(),
            sending: Vec::new(),
            has_failed: false,
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
        let excess = self.waiting.len().saturating_sub(WAITING_MAX);
        let excess = if self.has_failed { 0 } else { excess };
        let room = SENT_MAX.saturating_sub(self.sending.len()).max(excess);
        self.sending.extend(self.waiting.by_ref().take(room));
    }

    /// What was chosen; a name may come more than once.
    pub(crate) fn popularity(&self) -> &[Growth] {
        &self.sending
    }

    /// Takes note of a flush that failed: what was chosen goes with those after it.
    pub(crate) fn failed(&mut self) {
        self.has_failed = true;
        let rest = self.sending.split_off(SENT_MAX.min(self.sending.len()));
        self.waiting = rest
            .into_iter()
            .chain(self.waiting.by_ref())
            .collect::<Vec<_>>()
            .into_iter();
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
        self.has_failed = false;
        for (id, count) in totals {
            if let Some(known) = self.known.get_mut(id) {
                known.grown = known.grown.saturating_add(*count);
            } else if let Some(name) = new_names.remove(id) {
                self.known_bytes += name.as_str().len() + KNOWN_OVERHEAD_BYTES;
                self.known.insert(*id, Known { name, grown: 0 });
            }
        }
        if self.known_bytes > KNOWN_BYTES_MAX && !totals.is_empty() {
            self.take_grown();
            self.known.clear();
            self.known_bytes = 0;
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
#[expect(clippy::disallowed_methods, reason = "a test begins now")]
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
        let ids: hashbrown::HashSet<EventId> = names.popularity().iter().map(|grown| grown.0).collect();
        assert_eq!(ids.len(), all.len());
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
        let long = "x".repeat(model::NAME_BYTES_MAX - 7);
        let name = |n: u64| EventName::new(format!("{long}{n:07}")).unwrap();
        let fit = KNOWN_BYTES_MAX / (model::NAME_BYTES_MAX + KNOWN_OVERHEAD_BYTES);
        let totals: Vec<(EventId, u64)> = (0..fit as u64).map(|n| (EventId(n), 2)).collect();
        names.committed(&totals, (0..fit as u64).map(|n| (EventId(n), name(n))).collect());
        names.committed(&totals[..10], HashMap::new());
        assert!(names.is_known(EventId(7)));
        let more = (fit as u64..).map(EventId).take(2);
        names.committed(
            &more.clone().map(|id| (id, 1)).collect::<Vec<_>>(),
            more.map(|id| (id, name(id.0))).collect(),
        );
        assert!(!names.is_known(EventId(7)));
        names.send_at_once();
        names.prepare(Instant::now());
        let sent: u64 = names.popularity().iter().map(|grown| grown.2).sum();
        assert_eq!((names.popularity().len(), sent), (10, 20));
    }

    #[test]
    fn what_was_too_much_for_a_flush_goes_with_several() {
        let start = Instant::now();
        let mut names = Names::new(start);
        let growth = |n: usize| (EventId(n as u64), EventName::new(n.to_string()).unwrap(), 1);
        let all = WAITING_MAX + 3 * SENT_MAX;
        names.waiting = (0..all).map(growth).collect::<Vec<_>>().into_iter();
        names.prepare(start);
        assert_eq!(names.popularity().len(), 3 * SENT_MAX);
        for _ in 0..2 {
            names.failed();
            names.prepare(start);
            assert_eq!(
                (names.popularity().len(), names.waiting.len()),
                (SENT_MAX, all - SENT_MAX)
            );
        }
        names.committed(&[], HashMap::new());
        names.prepare(start);
        assert_eq!(names.waiting.len(), WAITING_MAX);
    }
}
