//! Walks: a walk through a range of days packs every open day of every name once. The newest day comes first, and a day's names come in the
//! order of their ids, which is the order that `EventDay` is stored in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::Duration;

use model::{Day, EventId, Shard, Shards, Timestamp};
use store::Error;
use store::upkeep::{OPEN_NAMES_LISTED_MAX, OpenName};

/// Time that one transaction should take: replication waits no longer for a row that it holds.
const SLICE_TARGET: Duration = Duration::from_millis(20);

/// Most names in one transaction, which rare events reach: some 60 kB of SQL.
const NAMES_PER_SLICE_MAX: usize = 500;

/// The next thing to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// List the shard's names after one of them.
    List { shard: Shard, after: Option<EventId> },
    /// Pack a slice: a day of some names, in one transaction.
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

/// A walk through `days`. Minutes that arrive meanwhile for days that it has passed wait for the next walk, or this one would not end while
/// late events come.
pub(super) struct Walk {
    pub(super) days: Range<Day>,
    /// Its begin by the centre's clock: what had come by then is packed when it ends, but for the leftover.
    pub(super) begun: Timestamp,
    pub(super) left: Leftover,
    /// The longest turn of a day, if there is a limit.
    day_time_max: Option<Duration>,
    /// The last name of each shard's page, after which its next one begins; without the shards that are listed to their end.
    next_pages: BTreeMap<Shard, Option<EventId>>,
    /// The shards of which this page is still to be listed, each with the name after which it begins.
    unlisted: BTreeMap<Shard, Option<EventId>>,
    /// The newest open day of each name of this page that has one, by day.
    open: BTreeMap<Day, BTreeMap<Shard, Vec<EventId>>>,
    turn: Option<Turn>,
    /// The names, by shard, whose turn in the given day is over, and which may have an older day.
    passed: Option<(Day, BTreeMap<Shard, Vec<EventId>>)>,
}

/// A day's turn. The shards have slices in rotation: no table is in replication's way for long.
struct Turn {
    day: Day,
    /// Names that are still to be packed.
    waiting: VecDeque<(Shard, VecDeque<EventId>)>,
    /// Names that had their slice.
    done: BTreeMap<Shard, Vec<EventId>>,
    names_per_slice: usize,
    /// The time that the turn has had.
    spent: Duration,
}

/// The leftover of a walk: what it could not pack.
#[derive(Debug, Default)]
pub(super) struct Leftover {
    /// Days that still have minutes.
    pub(super) days: BTreeSet<Day>,
    /// Names with rows that somebody held.
    pub(super) held: BTreeSet<(Shard, EventId)>,
    /// The first refusal of the server, or row that cannot be read.
    pub(super) error: Option<Error>,
    /// Whether there may be minutes that the walk could not find: names that could not be listed, or counts still in blocks.
    pub(super) is_incomplete: bool,
}

impl Walk {
    /// A walk through these shards at its begin. With `day_time_max`, a day that has had so much time waits for the next walk.
    pub(super) fn new(
        (days, shards): (Range<Day>, Shards),
        begun: Timestamp,
        day_time_max: Option<Duration>,
    ) -> Self {
        Self {
            days,
            begun,
            left: Leftover::default(),
            day_time_max,
            next_pages: BTreeMap::new(),
            unlisted: shards.iter().map(|shard| (shard, None)).collect(),
            open: BTreeMap::new(),
            turn: None,
            passed: None,
        }
    }

    /// The next task; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Task> {
        loop {
            // All shards are listed before the first turn: only then is the newest day known.
            if let Some((&shard, &after)) = self.unlisted.first_key_value() {
                return Some(Task::List { shard, after });
            }
            // Names whose turn is over find their next older day before another day's turn begins: that day may be theirs, and each day
            // has one turn in a page. Only they are asked for: to list the whole shard again for each day would cost as much each time.
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
                // The next page only when this one has nothing left: a walk holds the names of one page in memory.
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

    /// Fits the size of the next slices to the time that one of so many names took. The last slice of a shard, or a half, has fewer names,
    /// and says nothing.
    pub(super) fn resize(&mut self, names: usize, elapsed: Duration) {
        if let Some(turn) = &mut self.turn
            && turn.names_per_slice == names
        {
            turn.names_per_slice = next_size(names, elapsed);
        }
    }

    /// Adds to the time of the day whose turn it is, and ends the turn if it has had too much.
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

    /// Ends a day's turn: its names may have an older day, unless this was the first one.
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
            // Names that have come along from a later day are behind those that begin here.
            ids.sort_unstable();
            (shard, ids.into())
        });
        Self {
            day,
            waiting: waiting.collect(),
            done: BTreeMap::new(),
            // Small at first: this day's names may have a thousand times as many minutes as the last one's.
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

impl Leftover {
    /// Leaves names with rows that somebody holds.
    pub(super) fn hold(&mut self, shard: Shard, day: Day, ids: &[EventId]) {
        self.held.extend(ids.iter().map(|id| (shard, *id)));
        self.days.insert(day);
    }

    /// Leaves a day with a row that was refused.
    ///
    /// # Errors
    /// `error` itself, where it is no answer of the server's.
    pub(super) fn refuse(&mut self, day: Day, error: Error) -> Result<(), Error> {
        self.days.insert(day);
        self.note(error)
    }

    /// Leaves names that could not be listed.
    ///
    /// # Errors
    /// `error` itself, where it is no answer of the server's.
    pub(super) fn overlook(&mut self, error: Error) -> Result<(), Error> {
        self.is_incomplete = true;
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

/// The size of the next slice: as many names as fit into [`SLICE_TARGET`] by the last one, at most twice as many as that had.
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
        Walk::new(
            (day(0)..day(100), Shards::ALL),
            Timestamp::from_unix_ms(0),
            day_time_max,
        )
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
