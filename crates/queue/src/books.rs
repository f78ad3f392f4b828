//! What this process has put into the queue and taken out of it, for the audit of a region.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// The books of this process, as there is one recorder of metrics: whatever it does with the queue is entered here.
pub static BOOKS: Books = Books::new();

/// Exact sums since the process began. A collector enters the first three, a worker the others.
#[derive(Debug)]
pub struct Books {
    acknowledged: AtomicU64,
    doubtful: AtomicU64,
    jobs_put: AtomicU64,
    counted: AtomicU64,
    recognised: AtomicU64,
    jobs_deleted: AtomicU64,
    jobs_buried: AtomicU64,
    jobs_at_start: Mutex<BTreeMap<String, u64>>,
}

/// The books as they are read: JSON at `/books` of a collector or worker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Sum of the counts in jobs that are in the queue, as far as is known.
    pub acknowledged: u64,
    /// Sum of the counts in jobs that may be in the queue once more than that, or not at all.
    pub doubtful: u64,
    /// Jobs that are in the queue, as far as is known.
    pub jobs_put: u64,
    /// Sum of the counts in deleted jobs that were new to the ledger.
    pub counted: u64,
    /// Sum of the counts in deleted jobs that the ledger knew.
    pub recognised: u64,
    /// Jobs whose counts are in the region's outbox, by this process or another.
    pub jobs_deleted: u64,
    /// Jobs that cannot be read.
    pub jobs_buried: u64,
    /// Jobs that had been put into the tube before this process first saw it, by process of beanstalkd.
    pub jobs_at_start: BTreeMap<String, u64>,
}

impl Books {
    const fn new() -> Self {
        Self {
            acknowledged: AtomicU64::new(0),
            doubtful: AtomicU64::new(0),
            jobs_put: AtomicU64::new(0),
            counted: AtomicU64::new(0),
            recognised: AtomicU64::new(0),
            jobs_deleted: AtomicU64::new(0),
            jobs_buried: AtomicU64::new(0),
            jobs_at_start: Mutex::new(BTreeMap::new()),
        }
    }

    /// Enters a job that is in the queue, with the sum of its counts.
    pub fn acknowledge(&self, count: u64) {
        self.acknowledged.fetch_add(count, Ordering::Relaxed);
        self.jobs_put.fetch_add(1, Ordering::Relaxed);
    }

    /// Enters a job that may be in the queue, or in it twice.
    pub fn doubt(&self, count: u64) {
        self.doubtful.fetch_add(count, Ordering::Relaxed);
    }

    /// Enters jobs that were deleted, with the sums of their counts that were new, and that were known.
    pub fn delete(&self, jobs: u64, counted: u64, recognised: u64) {
        self.counted.fetch_add(counted, Ordering::Relaxed);
        self.recognised.fetch_add(recognised, Ordering::Relaxed);
        self.jobs_deleted.fetch_add(jobs, Ordering::Relaxed);
    }

    /// Enters a job that was buried.
    pub fn bury(&self) {
        self.jobs_buried.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether this process has seen that process of beanstalkd before.
    pub(crate) fn knows(&self, process: &str) -> bool {
        let seen = self.jobs_at_start.lock().unwrap_or_else(PoisonError::into_inner);
        seen.contains_key(process)
    }

    pub(crate) fn first_saw(&self, process: &str, jobs: u64) {
        let mut seen = self.jobs_at_start.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(process.to_owned(), jobs);
    }

    /// The figures, each by itself: what happens meanwhile may be in some and not in others.
    pub fn figures(&self) -> Figures {
        let sum = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let seen = self.jobs_at_start.lock().unwrap_or_else(PoisonError::into_inner);
        Figures {
            acknowledged: sum(&self.acknowledged),
            doubtful: sum(&self.doubtful),
            jobs_put: sum(&self.jobs_put),
            counted: sum(&self.counted),
            recognised: sum(&self.recognised),
            jobs_deleted: sum(&self.jobs_deleted),
            jobs_buried: sum(&self.jobs_buried),
            jobs_at_start: seen.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_entered_is_read() {
        let books = Books::new();
        books.acknowledge(7);
        books.acknowledge(3);
        books.doubt(2);
        books.delete(2, 6, 4);
        books.bury();
        assert!(!books.knows("ab"));
        books.first_saw("ab", 5);
        assert!(books.knows("ab"));
        let expected = Figures {
            acknowledged: 10,
            doubtful: 2,
            jobs_put: 2,
            counted: 6,
            recognised: 4,
            jobs_deleted: 2,
            jobs_buried: 1,
            jobs_at_start: BTreeMap::from([("ab".to_owned(), 5)]),
        };
        assert_eq!(books.figures(), expected);
        let text = serde_json::to_string(&books.figures()).unwrap();
        assert_eq!(serde_json::from_str::<Figures>(&text).unwrap(), expected);
    }
}
