//! The way of one walk through a range of days: every open day of every name once, the newest day first, a day's names in the
//! order of their ids, which is the order that `EventDay` is written in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::Duration;

use model::{Day, EventId, Instant, Shard};
use store::Error;
use store::upkeep::{OPEN_NAMES_LISTED_MAX, OpenName};

/// What one transaction should take: replication waits no longer for a row that it holds.
const SLICE_TARGET: Duration = Duration::from_millis(20);

/// Names of rare events in one transaction: some 60 kB of SQL.
const NAMES_PER_SLICE_MAX: usize = 500;

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// List the shard's names after one of them.
    List { shard: Shard, after: Option<EventId> },
    Pack {
        shard: Shard,
        day: Day,
        ids: Vec<EventId>,
    },
    /// Look for the next older day of names whose turn in a later day is over.
    Advance {
        shard: Shard,
        before: Day,
        ids: Vec<EventId>,
    },
}

/// A walk through `days`. What arrives meanwhile for what it has passed waits for the next one, or it would not end while late
/// events come.
pub(super) struct Walk {
    pub(super) days: Range<Day>,
    /// By the centre's clock: what had come by then is packed when it ends, but for what it left.
    pub(super) begun: Instant,
    pub(super) left: Left,
    day_time_max: Option<Duration>,
    /// Where each shard's next page of names begins, unless all of them are listed.
    next_pages: BTreeMap<Shard, Option<EventId>>,
    /// What is still to be listed of this page.
    unlisted: BTreeMap<Shard, Option<EventId>>,
    /// The newest open day of each name of this page that has one, by day.
    open: BTreeMap<Day, BTreeMap<Shard, Vec<EventId>>>,
    turn: Option<Turn>,
    /// Names by shard whose day was before the given one, which may have an older one.
    passed: Option<(Day, BTreeMap<Shard, Vec<EventId>>)>,
}

/// A day's turn, of which each shard has a slice after the other: no region's replication has it in its way for long.
struct Turn {
    day: Day,
    waiting: VecDeque<(Shard, VecDeque<EventId>)>,
    done: BTreeMap<Shard, Vec<EventId>>,
    names_per_slice: usize,
    spent: Duration,
}

/// What a walk could not pack.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) days: BTreeSet<Day>,
    /// Those with rows that somebody held.
    pub(super) held: BTreeSet<(Shard, EventId)>,
    /// The first of what was refused or unreadable.
    pub(super) error: Option<Error>,
    /// Whether some names could not even be listed.
    pub(super) is_blind: bool,
}

impl Walk {
    /// With `day_time_max`, a day that has had so much time waits for the next walk.
    pub(super) fn new(days: Range<Day>, begun: Instant, day_time_max: Option<Duration>) -> Self {
        Self {
            days,
            begun,
            left: Left::default(),
            day_time_max,
            next_pages: BTreeMap::new(),
            unlisted: Shard::all().map(|shard| (shard, None)).collect(),
            open: BTreeMap::new(),
            turn: None,
            passed: None,
        }
    }

    /// `None` at the end.
    pub(super) fn next(&mut self) -> Option<Task> {
        loop {
            if let Some((&shard, &after)) = self.unlisted.first_key_value() {
                return Some(Task::List { shard, after });
            }
            if let Some((before, names)) = &mut self.passed {
                if let Some((shard, ids)) = names.pop_first() {
                    let before = *before;
                    return Some(Task::Advance { shard, before, ids });
                }
                self.passed = None;
            }
            if let Some(turn) = &mut self.turn {
                if let Some(task) = turn.next() {
                    return Some(task);
                }
                self.end_turn();
            } else if let Some((day, names)) = self.open.pop_last() {
                self.turn = Some(Turn::new(day, names));
            } else if self.next_pages.is_empty() {
                return None;
            } else {
                self.unlisted = std::mem::take(&mut self.next_pages);
            }
        }
    }

    /// Takes what [`Task::List`] asked for; nothing where it could not be had.
    pub(super) fn listed(&mut self, shard: Shard, names: &[OpenName]) {
        self.unlisted.remove(&shard);
        if let Some(last) = names.last().filter(|_| names.len() >= OPEN_NAMES_LISTED_MAX) {
            self.next_pages.insert(shard, Some(last.id));
        }
        self.add(shard, names);
    }

    /// Takes the older days that [`Task::Advance`] asked for.
    pub(super) fn add(&mut self, shard: Shard, names: &[OpenName]) {
        for name in names {
            let ids = self.open.entry(name.day).or_default().entry(shard).or_default();
            ids.push(name.id);
        }
    }

    /// Fits the next slices to what one of so many names took.
    pub(super) fn resize(&mut self, names: usize, elapsed: Duration) {
        if let Some(turn) = &mut self.turn
            && turn.names_per_slice == names
        {
            turn.names_per_slice = next_size(names, elapsed);
        }
    }

    /// Takes it from the time of the day whose turn it is.
    pub(super) fn spend(&mut self, elapsed: Duration) {
        let Some(turn) = &mut self.turn else { return };
        turn.spent += elapsed;
        if self.day_time_max.is_some_and(|max| turn.spent > max) {
            if !turn.is_done() {
                self.left.days.insert(turn.day);
            }
            self.end_turn();
        }
    }

    fn end_turn(&mut self) {
        if let Some(turn) = self.turn.take().filter(|turn| turn.day > self.days.start) {
            self.passed = Some((turn.day, turn.end()));
        }
    }

    /// The days of which it is known that they have unpacked minutes.
    pub(super) fn open_days(&self) -> impl Iterator<Item = Day> + '_ {
        let in_turn = self.turn.as_ref().filter(|turn| !turn.is_done());
        let days = in_turn.map(|turn| turn.day).into_iter();
        days.chain(self.open.keys().copied())
            .chain(self.left.days.iter().copied())
    }
}

impl Turn {
    fn new(day: Day, names: BTreeMap<Shard, Vec<EventId>>) -> Self {
        let waiting = names.into_iter().map(|(shard, mut ids)| {
            // Those that came along from a later day are behind those that begin here.
            ids.sort_unstable();
            (shard, ids.into())
        });
        Self {
            day,
            waiting: waiting.collect(),
            done: BTreeMap::new(),
            // The next day's names may have a thousand times as many minutes.
            names_per_slice: 1,
            spent: Duration::ZERO,
        }
    }

    fn next(&mut self) -> Option<Task> {
        let (shard, mut waiting) = self.waiting.pop_front()?;
        let ids: Vec<EventId> = waiting.drain(..self.names_per_slice.min(waiting.len())).collect();
        self.done.entry(shard).or_default().extend(&ids);
        if !waiting.is_empty() {
            self.waiting.push_back((shard, waiting));
        }
        let day = self.day;
        Some(Task::Pack { shard, day, ids })
    }

    fn is_done(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Its names, whether they had their turn or not.
    fn end(self) -> BTreeMap<Shard, Vec<EventId>> {
        let mut names = self.done;
        for (shard, ids) in self.waiting {
            names.entry(shard).or_default().extend(ids);
        }
        names
    }
}

impl Left {
    pub(super) fn hold(&mut self, shard: Shard, day: Day, ids: &[EventId]) {
        self.held.extend(ids.iter().map(|id| (shard, *id)));
        self.days.insert(day);
    }

    /// # Errors
    /// What is no answer of the server's.
    pub(super) fn refuse(&mut self, day: Day, error: Error) -> Result<(), Error> {
        self.days.insert(day);
        self.note(error)
    }

    /// # Errors
    /// What is no answer of the server's.
    pub(super) fn overlook(&mut self, error: Error) -> Result<(), Error> {
        self.is_blind = true;
        self.note(error)
    }

    fn note(&mut self, error: Error) -> Result<(), Error> {
        let is_of_a_row = matches!(error, Error::PackedDay { .. } | Error::OutsideDay { .. });
        if !is_of_a_row && !error.is_answer() {
            return Err(error);
        }
        self.error.get_or_insert(error);
        Ok(())
    }
}

/// As many names as fit into [`SLICE_TARGET`] by the last slice, at most twice as many as it had.
fn next_size(names: usize, elapsed: Duration) -> usize {
    let elapsed_us = elapsed.as_micros().max(1);
    let fitting = names as u128 * SLICE_TARGET.as_micros() / elapsed_us;
    let fitting = usize::try_from(fitting).unwrap_or(usize::MAX);
    fitting.clamp(1, (2 * names).min(NAMES_PER_SLICE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: i64) -> Day {
        Day::containing(86_400 * number)
    }

    fn shard(number: u64) -> Shard {
        Shard::of(EventId(number << 59))
    }

    fn walk(day_time_max: Option<Duration>) -> Walk {
        Walk::new(day(0)..day(100), Instant::from_unix_ms(0), day_time_max)
    }

    /// Answers for a centre that holds `rows`, and packs them; what is packed in order.
    fn follow(
        walk: &mut Walk,
        rows: &mut BTreeSet<(Shard, EventId, Day)>,
        page: usize,
        took: Duration,
    ) -> Vec<(i64, Vec<u64>)> {
        let mut packed = Vec::new();
        while let Some(task) = walk.next() {
            let newest = |of: Shard, before: Day, ids: &dyn Fn(EventId) -> bool| {
                let mut newest = BTreeMap::new();
                for &(shard, id, day) in rows.iter() {
                    if shard == of && ids(id) && walk.days.contains(&day) && day < before {
                        newest.insert(id, day);
                    }
                }
                newest.into_iter().map(|(id, day)| OpenName { day, id })
            };
            match task {
                Task::List { shard, after } => {
                    let end = walk.days.end;
                    let all = newest(shard, end, &|id| after.is_none_or(|after| id > after));
                    let names: Vec<OpenName> = all.take(page).collect();
                    let is_full = names.len() == page;
                    walk.listed(shard, &names);
                    if is_full {
                        walk.next_pages.insert(shard, names.last().map(|name| name.id));
                    }
                }
                Task::Advance { shard, before, ids } => {
                    let names: Vec<OpenName> = newest(shard, before, &|id| ids.contains(&id)).collect();
                    walk.add(shard, &names);
                }
                Task::Pack { shard, day, ids } => {
                    for id in &ids {
                        assert!(rows.remove(&(shard, *id, day)), "{id} of {day} comes twice");
                    }
                    packed.push((day.unix_s() / 86_400, ids.iter().map(|id| id.0).collect()));
                    walk.resize(ids.len(), took);
                    walk.spend(2 * took);
                }
            }
        }
        packed
    }

    #[test]
    fn the_newest_day_comes_first_and_each_in_the_order_of_ids() {
        let first = shard(0);
        let rows = [(5, 9), (7, 9), (6, 3), (5, 3), (8, 1), (5, 0), (1, 100)];
        let mut rows: BTreeSet<_> = rows
            .iter()
            .map(|&(id, number)| (first, EventId(id), day(number)))
            .collect();
        rows.insert((shard(1), EventId(1 << 59), day(9)));
        let mut walk = walk(None);
        let packed = follow(&mut walk, &mut rows, 100, Duration::from_millis(20));
        let expected = [
            (9, vec![5]),
            (9, vec![1 << 59]),
            (9, vec![7]),
            (3, vec![5]),
            (3, vec![6]),
            (1, vec![8]),
            (0, vec![5]),
        ];
        assert_eq!(packed, expected);
        assert_eq!(rows.len(), 1, "what the walk is not for");
        assert!(walk.left.days.is_empty());
    }

    #[test]
    fn a_page_of_names_follows_another() {
        let first = shard(0);
        let all = (1..=10u64).flat_map(|id| (0..5).map(move |number| (first, EventId(id), day(number))));
        let mut rows: BTreeSet<_> = all.collect();
        let packed = follow(&mut walk(None), &mut rows, 4, Duration::ZERO);
        assert!(rows.is_empty(), "{rows:?}");
        let names: usize = packed.iter().map(|(_, ids)| ids.len()).sum();
        assert_eq!(names, 50);
    }

    #[test]
    fn a_day_that_takes_long_lets_the_others_have_their_turn() {
        let first = shard(0);
        let mut rows: BTreeSet<_> = (1..=100u64).map(|id| (first, EventId(id), day(9))).collect();
        rows.insert((first, EventId(3), day(2)));
        rows.insert((first, EventId(90), day(2)));
        let mut walk = walk(Some(Duration::from_secs(10)));
        let packed = follow(&mut walk, &mut rows, 1_000, Duration::from_secs(1));
        let of = |number| packed.iter().filter(|(day, _)| *day == number).count();
        assert_eq!((of(9), of(2)), (6, 2));
        assert_eq!(walk.left.days, BTreeSet::from([day(9)]));
        assert_eq!(walk.open_days().collect::<Vec<_>>(), [day(9)]);
    }

    #[test]
    fn a_slice_grows_and_shrinks_with_what_it_takes() {
        assert_eq!(next_size(4, Duration::from_millis(40)), 2);
        assert_eq!(next_size(4, Duration::from_millis(1)), 8);
        assert_eq!(next_size(1, Duration::from_secs(1)), 1);
        assert_eq!(
            next_size(NAMES_PER_SLICE_MAX, Duration::ZERO),
            NAMES_PER_SLICE_MAX
        );
    }
}
