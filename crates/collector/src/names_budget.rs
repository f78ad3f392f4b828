//! How many distinct names a client may count in a day.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use model::Day;

/// Names of all clients that a collector remembers, some 100 MB: beyond them no client may count a new one today.
const REMEMBERED_MAX: usize = 4_000_000;

/// The names that a client has counted today. Those stay: only names that come when there are as many as allowed overflow. So a repetition
/// of a request is told the same as before, as long as it comes to the same collector on the same day; elsewhere it may be told otherwise,
/// and the ledger counts the one or the other, never both.
#[derive(Debug)]
pub(crate) struct NamesBudget {
    today: RwLock<Today>,
    /// The number of names of all clients.
    of_all: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Today {
    /// `None` before the first name.
    day: Option<Day>,
    /// The hashes of the names, which no client can choose. Of two names with one hash, the second is let in, too.
    names: HashSet<u64, BuildHasherDefault<AsItIs>>,
}

/// Takes a hash as it is.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// The budget while one request is read. Names that are known are looked up under a lock that requests share, which is taken once.
pub(crate) struct Reading<'a> {
    budget: &'a NamesBudget,
    day: Day,
    names_max: usize,
    today: Option<RwLockReadGuard<'a, Today>>,
    /// The names that this request counts as the first of its day.
    pub(crate) new_names: usize,
}

impl NamesBudget {
    pub(crate) fn new(of_all: Arc<AtomicUsize>) -> Self {
        Self {
            today: RwLock::default(),
            of_all,
        }
    }

    /// Forgets the names of days before `today`.
    pub(crate) fn forget_before(&self, today: Day) {
        let mut names = self.today.write().unwrap_or_else(PoisonError::into_inner);
        if names.day.is_some_and(|day| day < today) {
            self.of_all.fetch_sub(names.names.len(), Ordering::Relaxed);
            *names = Today::default();
        }
    }

    /// The budget for a request that is read on `day`, by which at most `names_max` names are let in.
    pub(crate) fn reading(&self, day: Day, names_max: usize) -> Reading<'_> {
        Reading {
            budget: self,
            day,
            names_max,
            today: None,
            new_names: 0,
        }
    }
}

impl Drop for NamesBudget {
    fn drop(&mut self) {
        let today = self.today.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.of_all.fetch_sub(today.names.len(), Ordering::Relaxed);
    }
}

impl<'a> Reading<'a> {
    /// Lets others change the budget, until the next name.
    pub(crate) fn pause(&mut self) {
        self.today = None;
    }

    /// Whether a name may be counted, by its hash.
    pub(crate) fn admits(&mut self, hash: u64) -> bool {
        let budget = self.budget;
        let today: &RwLockReadGuard<'a, Today> = self
            .today
            .get_or_insert_with(|| budget.today.read().unwrap_or_else(PoisonError::into_inner));
        if today.day == Some(self.day) {
            if today.names.contains(&hash) {
                return true;
            }
            if today.names.len() >= self.names_max {
                return false;
            }
        }
        self.today = None;
        self.admit_new(hash)
    }

    fn admit_new(&mut self, hash: u64) -> bool {
        let mut today = self.budget.today.write().unwrap_or_else(PoisonError::into_inner);
        if today.day != Some(self.day) {
            self.budget.of_all.fetch_sub(today.names.len(), Ordering::Relaxed);
            *today = Today {
                day: Some(self.day),
                ..Today::default()
            };
        }
        let has_room =
            today.names.len() < self.names_max && self.budget.of_all.load(Ordering::Relaxed) < REMEMBERED_MAX;
        if has_room && today.names.insert(hash) {
            self.budget.of_all.fetch_add(1, Ordering::Relaxed);
            self.new_names += 1;
        }
        has_room || today.names.contains(&hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: i64) -> Day {
        Day::containing(1_763_787_600 + 86_400 * number)
    }

    #[test]
    fn names_that_are_there_keep_counting() {
        let of_all = Arc::new(AtomicUsize::new(0));
        let budget = NamesBudget::new(Arc::clone(&of_all));
        let mut reading = budget.reading(day(0), 3);
        let admitted: Vec<bool> = [1, 2, 1, 3, 4, 3, 5].map(|hash| reading.admits(hash)).to_vec();
        assert_eq!(admitted, [true, true, true, true, false, true, false]);
        let mut again = budget.reading(day(0), 3);
        assert!(
            again.admits(2) && !again.admits(4),
            "a repetition is told the same"
        );
        assert_eq!(of_all.load(Ordering::Relaxed), 3);
        assert_eq!((reading.new_names, again.new_names), (3, 0));
        drop((reading, again));
        let mut more = budget.reading(day(0), 4);
        assert!(more.admits(4) && !more.admits(5), "the limit was raised");
        drop(more);
        let mut tomorrow = budget.reading(day(1), 3);
        assert!(tomorrow.admits(5) && tomorrow.admits(6) && tomorrow.admits(7) && !tomorrow.admits(1));
        drop(tomorrow);
        assert_eq!(of_all.load(Ordering::Relaxed), 3);
        drop(budget);
        assert_eq!(of_all.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_names_of_all_clients_are_bounded() {
        let of_all = Arc::new(AtomicUsize::new(REMEMBERED_MAX - 1));
        let budget = NamesBudget::new(of_all);
        let mut reading = budget.reading(day(0), 10);
        assert!(reading.admits(1) && !reading.admits(2) && reading.admits(1));
    }
}
