//! Until when every job that was put is gone or in the caller's hands, whoever holds the others.
//!
//! beanstalkd numbers jobs in the order of their creation and never uses a number again as long as it runs. A job has its number
//! before its body has come, and is counted in no state until then. So a worker that remembers below which number no job is left,
//! and looks at each number from there on, sees the jobs that others hold or are putting, and needs nobody's word for them.
//! Since when a number was not given yet it knows by its own monotonic clock, from the fences that it has put: beanstalkd's clock
//! may be set, and does not enter.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use crate::Error;

/// Numbers looked at in one go: a third of a second. Only after a restart of beanstalkd that never runs empty are there
/// more; the next look goes on from there.
const NUMBERS_PER_LOOK_MAX: usize = 20_000;

/// Numbers remembered as gone beyond the mark. Forgetting some only means looking at them again.
const GONE_MAX: usize = 100_000;

/// Fences remembered: those of the last minutes, and fewer of the hours before.
const FENCES_MAX: usize = 512;

/// What a look needs of beanstalkd.
pub(crate) trait Tube {
    /// As of one moment.
    fn counts(&mut self) -> Result<Counts, Error>;
    /// Whether a job is in the tube, in any state or still being put, that somebody could count.
    fn is_left(&mut self, id: u64) -> Result<bool, Error>;
    /// A number above those of all jobs that were created before; `None` where beanstalkd takes no jobs at the moment.
    fn fence(&mut self) -> Result<Option<u64>, Error>;
    /// A number that is not above the first one that this process of beanstalkd has given, where it has given `fence`.
    fn first_of_process(&mut self, fence: u64) -> Result<u64, Error>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Random per process of beanstalkd.
    pub(crate) process: String,
    /// Jobs of the tube in any state. One that is being put is in none.
    pub(crate) jobs: u64,
}

/// In the queue of `process` no job with a number below `lowest` is left that could be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub process: String,
    pub lowest: u64,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Watermark {
    mark: Option<Mark>,
    /// Numbers from the mark on that are gone.
    gone: BTreeSet<u64>,
    /// Numbers that had not been given yet at an instant, in the order of both.
    fences: VecDeque<(u64, Instant)>,
    /// What has a number below it was not put into this process, but is from an earlier one's log.
    first_of_process: Option<u64>,
}

impl Watermark {
    pub(crate) fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    /// Takes note of jobs that this worker deleted after they were committed.
    pub(crate) fn deleted(&mut self, ids: impl IntoIterator<Item = u64>) {
        if self.gone.len() < GONE_MAX {
            self.gone.extend(ids);
        }
    }

    /// The latest instant known, `now` at most, such that every job acknowledged before is gone or one of `held`, which are about
    /// to be committed. `now` is before the look; `shared` is what another worker, or this one in an earlier life, found out.
    pub(crate) fn look(
        &mut self,
        tube: &mut impl Tube,
        held: &BTreeSet<u64>,
        shared: Option<&Mark>,
        now: Instant,
    ) -> Result<Option<Instant>, Error> {
        let counts = tube.counts()?;
        let mut mark = self.mark_of(&counts.process, shared);
        if counts.jobs == 0 {
            // A job that is being put is not acknowledged, and does not count. But its number is given, so only the numbers
            // of jobs that this process has read from a log may be passed without a look.
            mark.lowest = mark.lowest.max(self.first_of_process.unwrap_or(1));
            self.set(mark);
            return Ok(Some(now));
        }
        self.fence(tube, now)?;
        let end = self.fences.back().map_or(0, |&(number, _)| number);
        let reached = self.scan(tube, held, &mut mark.lowest, end)?;
        self.set(mark);
        let passed = self.fences.iter().rfind(|&&(number, _)| number <= reached);
        Ok(passed.map(|&(_, at)| at))
    }

    /// Notes which numbers are not given yet at `now`, so that the jobs behind can be told from older ones later on.
    pub(crate) fn mark_time(&mut self, tube: &mut impl Tube, now: Instant) -> Result<(), Error> {
        let mark = self.mark_of(&tube.counts()?.process, None);
        self.mark = Some(mark);
        self.fence(tube, now)
    }

    fn fence(&mut self, tube: &mut impl Tube, now: Instant) -> Result<(), Error> {
        let Some(number) = tube.fence()? else {
            return Ok(());
        };
        if self.first_of_process.is_none() {
            self.first_of_process = Some(tube.first_of_process(number)?);
        }
        self.gone.insert(number);
        self.fences.push_back((number, now));
        if self.fences.len() > FENCES_MAX {
            let mut is_kept = false;
            self.fences.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
        }
        Ok(())
    }

    /// The first number below `end` that may be left beside those of `held`, or `end`. Only here the mark rises over numbers of
    /// this process: each was looked at, or deleted by this worker.
    fn scan(
        &mut self,
        tube: &mut impl Tube,
        held: &BTreeSet<u64>,
        lowest: &mut u64,
        end: u64,
    ) -> Result<u64, Error> {
        let mut id = *lowest;
        let mut looks = 0;
        while id < end {
            let is_held = held.contains(&id);
            if !is_held && !self.gone.contains(&id) {
                if looks == NUMBERS_PER_LOOK_MAX || tube.is_left(id)? {
                    return Ok(id);
                }
                looks += 1;
                self.gone.insert(id);
            }
            if id == *lowest && !is_held {
                *lowest += 1;
            }
            id += 1;
        }
        Ok(id)
    }

    /// What is known of this process; of a process that is new to us, nothing.
    fn mark_of(&mut self, process: &str, shared: Option<&Mark>) -> Mark {
        let own = self.mark.take().filter(|mark| mark.process == process);
        let mut mark = own.unwrap_or_else(|| {
            *self = Self::default();
            Mark {
                process: process.to_owned(),
                lowest: 1,
            }
        });
        if let Some(shared) = shared.filter(|shared| shared.process == process) {
            mark.lowest = mark.lowest.max(shared.lowest);
        }
        mark
    }

    fn set(&mut self, mark: Mark) {
        self.gone = self.gone.split_off(&mark.lowest);
        while self
            .fences
            .get(1)
            .is_some_and(|&(number, _)| number <= mark.lowest)
        {
            self.fences.pop_front();
        }
        self.mark = Some(mark);
    }
}

#[cfg(test)]
mod tests;
