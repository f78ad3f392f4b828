//! How old the oldest job is that may still be uncounted, whoever holds it.
//!
//! beanstalkd numbers jobs in the order of their creation and never uses a number again as long as it runs. So a worker that
//! remembers below which number no job is left, and looks at each number from there on, sees the jobs that others hold, too,
//! and needs nobody's word for them.

use std::collections::BTreeSet;

use crate::Error;

/// Numbers looked at in one go: a third of a second. Only after a restart of beanstalkd under several busy workers are there
/// more; the next look goes on from there.
const NUMBERS_PER_LOOK_MAX: usize = 20_000;

/// Numbers remembered as gone beyond the mark. Forgetting some only means looking at them again.
const GONE_MAX: usize = 100_000;

/// What a look needs of beanstalkd.
pub(crate) trait Tube {
    /// Jobs of the tube in each state, as of one moment.
    fn counts(&mut self) -> Result<Counts, Error>;
    /// Seconds since the job was created, rounded down; `None` if it is gone, or cannot be counted by anybody.
    fn age_s(&mut self, id: u64) -> Result<Option<u64>, Error>;
    /// A number above those of all jobs that were created before.
    fn fence(&mut self) -> Result<u64, Error>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Random per process of beanstalkd.
    pub(crate) process: String,
    pub(crate) reserved: u64,
    /// Ready, delayed or buried.
    pub(crate) others: u64,
}

/// In the queue of `process` no job with a number below `lowest` is left that could be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub process: String,
    pub lowest: u64,
}

/// What is in the queue beside the jobs that the caller is about to commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oldest {
    /// Nothing that was put before the look began.
    Nothing,
    /// Nothing that was put more than a second earlier than this long ago.
    AgeS(u64),
    /// The look has not come far enough yet.
    NotKnown,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Watermark {
    mark: Option<Mark>,
    /// Numbers from the mark on that are gone.
    gone: BTreeSet<u64>,
    /// The highest number seen, of this process.
    highest: u64,
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

    /// `held` are the jobs about to be committed, all of them surely reserved by the caller still. `shared` is what another
    /// worker, or this one in an earlier life, found out.
    pub(crate) fn look(
        &mut self,
        tube: &mut impl Tube,
        held: &BTreeSet<u64>,
        shared: Option<&Mark>,
    ) -> Result<Oldest, Error> {
        let counts = tube.counts()?;
        let mut mark = self.mark_of(&counts.process, shared);
        self.highest = self.highest.max(held.last().copied().unwrap_or(0));
        if counts.others == 0 && counts.reserved == held.len() as u64 {
            // What was created so far is held here or gone.
            mark.lowest = mark.lowest.max(held.first().copied().unwrap_or(self.highest + 1));
            self.set(mark);
            return Ok(Oldest::Nothing);
        }
        let outcome = self.scan(tube, held, &mut mark.lowest);
        self.set(mark);
        outcome
    }

    fn scan(
        &mut self,
        tube: &mut impl Tube,
        held: &BTreeSet<u64>,
        lowest: &mut u64,
    ) -> Result<Oldest, Error> {
        let mut end = None;
        let mut id = *lowest;
        let mut looks = 0;
        loop {
            if id > self.highest {
                match end {
                    Some(end) if id >= end => return Ok(Oldest::Nothing),
                    Some(_) => {}
                    None => {
                        end = Some(tube.fence()?);
                        continue;
                    }
                }
            }
            let is_held = held.contains(&id);
            if !is_held && !self.gone.contains(&id) {
                if looks == NUMBERS_PER_LOOK_MAX {
                    return Ok(Oldest::NotKnown);
                }
                looks += 1;
                if let Some(age_s) = tube.age_s(id)? {
                    self.highest = self.highest.max(id);
                    return Ok(Oldest::AgeS(age_s));
                }
                self.gone.insert(id);
            }
            if id == *lowest && !is_held {
                *lowest += 1;
            }
            id += 1;
        }
    }

    /// What is known of this process; of a process that is new to us, nothing.
    fn mark_of(&mut self, process: &str, shared: Option<&Mark>) -> Mark {
        let own = self.mark.take().filter(|mark| mark.process == process);
        let mut mark = own.unwrap_or_else(|| {
            self.gone.clear();
            self.highest = 0;
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
        self.mark = Some(mark);
    }
}

#[cfg(test)]
mod tests;
