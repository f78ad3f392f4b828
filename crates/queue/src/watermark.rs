//! The watermark rule: the latest instant before which every job that was put is gone or in the caller's hands.
//!
//! beanstalkd numbers jobs in the order of their creation and never uses a number again as long as it runs. A job has its number
//! before its body has come, and is counted in no state until then. So a worker that remembers below which number no job is left,
//! and looks at each number from there on, sees the jobs that others hold or are putting, and needs nobody's word for them.
//!
//! A number becomes a time by way of fences: jobs of a tube of their own, put only to learn how far the numbers have advanced. Every
//! job with a higher number than a fence was created after it. The time of a fence is that of the worker's monotonic clock:
//! beanstalkd's clock may be set, and does not enter.
//!
//! A job that is gone was counted: workers delete a job only after the transaction with its counts was committed.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use crate::Error;

/// Most numbers that one look asks beanstalkd about, which takes a third of a second. Only after a restart of beanstalkd that never
/// runs empty are there more; the next look goes on from there.
const NUMBERS_PER_LOOK_MAX: usize = 20_000;

/// Most numbers above the low mark that are remembered as gone. Forgetting some only means looking at them again.
const GONE_MAX: usize = 100_000;

/// Most fences remembered: those of the last minutes, and fewer of the hours before. Forgetting one only makes a claim older.
const FENCES_MAX: usize = 512;

/// The tube as a look sees it: beanstalkd's, or a model of it in tests.
pub(crate) trait Tube {
    /// The process and the number of jobs, as of one moment after the look began.
    fn stats(&mut self) -> Result<TubeStats, Error>;
    /// Whether the job `id` is in the tube, in any state or still being put, and somebody could count it.
    fn is_left(&mut self, id: u64) -> Result<bool, Error>;
    /// Puts a fence and removes it. Returns its number, which is above those of all jobs created before; `None` where beanstalkd
    /// takes no jobs at the moment.
    fn fence(&mut self) -> Result<Option<u64>, Error>;
    /// A lower bound of the first number that this process of beanstalkd has given; `fence` is one that it has given.
    fn first_of_process(&mut self, fence: u64) -> Result<u64, Error>;
}

/// The tube by beanstalkd's statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TubeStats {
    /// The id that beanstalkd draws at random when it starts.
    pub(crate) process: String,
    /// The number of jobs in the tube, in any state. A job that is being put is in none.
    pub(crate) jobs: u64,
}

/// The low-water mark of a queue: in the tube of `process`, no job with a number below `lowest` is left that could be counted.
///
/// It stays true as long as that process lives, so any worker may start from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LowMark {
    /// The id that beanstalkd draws at random when it starts. Job numbers of another process mean nothing here.
    pub process: String,
    /// The lowest job number that may still be in the tube.
    pub lowest: u64,
}

/// One worker's knowledge of the job numbers of one beanstalkd process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watermark {
    mark: Option<LowMark>,
    /// Numbers at or above the mark whose jobs are gone.
    gone: BTreeSet<u64>,
    /// Fences: a number, and an instant at which it had not been given yet. Both rise.
    fences: VecDeque<(u64, Instant)>,
    /// A job with a number below this one was not put into this process, but read from an earlier one's log.
    first_of_process: Option<u64>,
}

impl Watermark {
    /// The low mark as of the last look; `None` before the first one.
    pub(crate) fn mark(&self) -> Option<&LowMark> {
        self.mark.as_ref()
    }

    /// Takes note of jobs that this worker deleted after they were committed, so that no look asks for them.
    pub(crate) fn deleted(&mut self, ids: impl IntoIterator<Item = u64>) {
        if self.gone.len() < GONE_MAX {
            self.gone.extend(ids);
        }
    }

    /// The latest instant known, `now` at most, such that every job acknowledged before is gone or one of `held`, which are about
    /// to be committed. `None` where no such instant is known.
    ///
    /// `now` was read before the first question to beanstalkd; `shared` is what another worker, or this one in an earlier life,
    /// found out.
    ///
    /// # Errors
    /// beanstalkd did not answer. What this watermark knew may be lost with the call; a new one starts from `shared`.
    pub(crate) fn look(
        &mut self,
        tube: &mut impl Tube,
        held: &BTreeSet<u64>,
        shared: Option<&LowMark>,
        now: Instant,
    ) -> Result<Option<Instant>, Error> {
        let stats = tube.stats()?;
        let mut mark = self.low_mark_of(&stats.process, shared);
        if stats.jobs == 0 {
            // A job acknowledged before `now` had a state by then, and has one until it is deleted: so all of them are gone.
            // A job that is being put is not acknowledged, and does not count. But its number is given, so only the numbers
            // of jobs that this process has read from a log may be passed without a look.
            mark.lowest = mark.lowest.max(self.first_of_process.unwrap_or(1));
            self.set(mark);
            return Ok(Some(now));
        }
        // The fence comes before the scan and bounds it: a job that is put meanwhile has a number behind the fence and was
        // acknowledged after `now`, so the scan need not run after it. A fence behind the scan could not be reached by it, and the
        // claim would be one look older.
        self.put_fence(tube, now)?;
        let end = self.fences.back().map_or(0, |&(number, _)| number);
        let reached = self.scan(tube, held, &mut mark.lowest, end)?;
        self.set(mark);
        // Every job below `reached` is gone or held. Any other has a higher number than the latest fence that is not beyond
        // `reached`, and so was created, and acknowledged, after that fence's instant.
        let passed = self.fences.iter().rfind(|&&(number, _)| number <= reached);
        Ok(passed.map(|&(_, at)| at))
    }

    /// Puts a fence and looks at no job: notes which numbers are not given yet at `now`, so that a later look can tell the jobs
    /// behind it from older ones.
    ///
    /// # Errors
    /// As [`Watermark::look`].
    pub(crate) fn mark_time(&mut self, tube: &mut impl Tube, now: Instant) -> Result<(), Error> {
        let mark = self.low_mark_of(&tube.stats()?.process, None);
        self.mark = Some(mark);
        self.put_fence(tube, now)
    }

    /// Puts a fence and remembers it with `now`, which was read before: the fence's number, and all above it, had not been given then.
    fn put_fence(&mut self, tube: &mut impl Tube, now: Instant) -> Result<(), Error> {
        // Refused in a drain or on a full disk: claims then wait for an older fence to be passed, or for an empty queue.
        let Some(number) = tube.fence()? else {
            return Ok(());
        };
        if self.first_of_process.is_none() {
            self.first_of_process = Some(tube.first_of_process(number)?);
        }
        // The fence's own number never belongs to a job that counts.
        self.gone.insert(number);
        self.fences.push_back((number, now));
        if self.fences.len() > FENCES_MAX {
            // Every second one goes, so that old fences thin out while the latest stay close together.
            let mut is_kept = false;
            self.fences.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
        }
        Ok(())
    }

    /// The first number below `end` whose job may be left beside those of `held`, or `end`. Raises `lowest` on the way. Only here
    /// the mark rises over numbers of this process: each was looked at, or deleted by this worker.
    ///
    /// The scan asks for one number after another, while other workers go on. That is safe for numbers, since one that is gone never
    /// comes back. It would not be for states: a job that one worker gives back just after another has counted them escapes both.
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
            // A held job is not asked for: it is still in the tube, but its counts are committed together with the claim.
            let is_held = held.contains(&id);
            if !is_held && !self.gone.contains(&id) {
                // The scan ends at the first job that is left, since no claim may pass it. A number beyond the limit, which was not
                // asked for, counts as left.
                if looks == NUMBERS_PER_LOOK_MAX || tube.is_left(id)? {
                    return Ok(id);
                }
                looks += 1;
                self.gone.insert(id);
            }
            // The mark stops at a held number, although the claim may pass it. If the commit fails, nothing was claimed, but the held
            // jobs go back to the queue, and later looks, which start from the mark, have to find them.
            if id == *lowest && !is_held {
                *lowest += 1;
            }
            id += 1;
        }
        Ok(id)
    }

    /// The low mark to start from in this process: the higher of our own and the shared one. Of a process that is new to us nothing
    /// is known, and all that was known of another is forgotten: a restart of beanstalkd may give a number again.
    fn low_mark_of(&mut self, process: &str, shared: Option<&LowMark>) -> LowMark {
        let own = self.mark.take().filter(|mark| mark.process == process);
        let mut mark = own.unwrap_or_else(|| {
            *self = Self::default();
            LowMark {
                process: process.to_owned(),
                lowest: 1,
            }
        });
        if let Some(shared) = shared.filter(|shared| shared.process == process) {
            mark.lowest = mark.lowest.max(shared.lowest);
        }
        mark
    }

    /// Takes over the mark and forgets what it makes superfluous: numbers below it, and fences below it except the latest, which is
    /// the earliest that a scan can still end behind.
    fn set(&mut self, mark: LowMark) {
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
