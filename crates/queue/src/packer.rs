//! Packs counts into jobs, none of which exceeds beanstalkd's limit. Sizes are estimated from above before a count is added, since a
//! job that turned out too large could not be put any more.

use model::{BatchId, COUNT_MAX};

use crate::encode::{ByMinute, Job, push_batch};
use crate::{Count, Counts, Keyed, KeyedBatch, NameTable};

/// Most bytes of a body: beanstalkd's default limit is 65,535 bytes, and a job stays under it.
pub(crate) const JOB_BYTES_MAX: usize = 65_534;

/// Bytes of `{"accepted":1763787600.125,"names":[],"batches":[]}`, with room for any instant.
const ENVELOPE_BYTES: usize = 64;
/// Bytes of `{"id":"0199aa55-0000-7000-8000-000000000000","counts":{}},`, from above.
const BATCH_BYTES: usize = 60;
/// Bytes of `"client":"","content":"0123456789abcdef",`, from above.
const ORIGIN_BYTES: usize = 42;
/// Bytes of `"1763787600":[],`.
const MINUTE_BYTES: usize = 16;

/// Jobs under construction: full ones, and one that is open. In a job, batches share one table of names.
#[derive(Debug)]
pub struct JobPacker {
    new_id: fn() -> BatchId,
    full: Vec<Job>,
    open: OpenJob,
}

#[derive(Debug)]
struct OpenJob {
    /// The number of jobs before it.
    number: usize,
    names: NameTable,
    /// The batches of keyed requests, as they are written in the body.
    batches: String,
    /// The batch of all events without a key, which grows until the job is closed.
    unkeyed: ByMinute,
    /// Length of the body, from above.
    bytes: usize,
    /// The sum of all counts.
    total: u64,
}

/// The places of a table's names in the jobs: for each, the number of the last job that got the name, and its index there.
struct Places(Vec<(usize, u32)>);

impl JobPacker {
    /// A packer without jobs. It asks `new_id` for the id of each batch without a key.
    #[must_use]
    pub fn new(new_id: fn() -> BatchId) -> Self {
        Self {
            new_id,
            full: Vec::new(),
            open: OpenJob::new(0),
        }
    }

    /// Adds counts without a key, name by name, so that few jobs have the same name.
    ///
    /// # Panics
    /// Where an empty job has no room for one count, which a valid name and count always have.
    pub fn add(&mut self, counts: Counts) {
        let (names, counts) = counts.into_sorted();
        let mut places = Places::of(&names);
        for (number, minute, mut count) in counts {
            while count > 0 {
                let part = count.min(COUNT_MAX);
                if !self.open.add(&names, &mut places, (number, minute, part)) {
                    self.close();
                    let is_added = self.open.add(&names, &mut places, (number, minute, part));
                    assert!(is_added, "an empty job has room for any count");
                }
                count -= part;
            }
        }
    }

    /// Adds the batches of a keyed request, each whole: it is counted or recognised by its id, and so is never split.
    ///
    /// # Panics
    /// Where an empty job has no room for a batch: one that is not cut by [`model::Piece`].
    pub fn add_keyed(&mut self, keyed: &Keyed) {
        let mut places = Places::of(&keyed.names);
        for batch in &keyed.batches {
            if !self.open.add_batch(&keyed.names, &mut places, batch) {
                self.close();
                let is_added = self.open.add_batch(&keyed.names, &mut places, batch);
                assert!(is_added, "an empty job has room for any piece");
            }
        }
    }

    /// All jobs, none of them empty.
    #[must_use]
    pub fn finish(mut self) -> Vec<Job> {
        if !self.open.is_empty() {
            self.close();
        }
        self.full
    }

    fn close(&mut self) {
        let next = OpenJob::new(self.open.number + 1);
        let mut job = std::mem::replace(&mut self.open, next);
        if !job.unkeyed.is_empty() {
            push_batch(&mut job.batches, (self.new_id)(), None, &job.unkeyed);
        }
        self.full.push(Job {
            names: job.names,
            batches: job.batches,
            total: job.total,
            bytes_max: job.bytes,
        });
    }
}

impl Places {
    fn of(names: &NameTable) -> Self {
        Self(vec![(usize::MAX, 0); names.len()])
    }
}

impl OpenJob {
    fn new(number: usize) -> Self {
        Self {
            number,
            names: NameTable::default(),
            batches: String::new(),
            unkeyed: ByMinute::new(),
            bytes: ENVELOPE_BYTES + BATCH_BYTES,
            total: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.unkeyed.is_empty()
    }

    /// The index of a name in this job, or `next` where it has none yet; and the bytes that the name adds to the body, 0 where it is
    /// there. Remembers `next` as the name's index, so the caller has to add the name or to close the job.
    fn index(&self, names: &NameTable, places: &mut Places, number: u32, next: usize) -> (u32, usize) {
        let place = &mut places.0[number as usize];
        if place.0 == self.number {
            return (place.1, 0);
        }
        let name = names.get(number);
        let next = u32::try_from(next).expect("a job has fewer names than bytes");
        let (index, bytes) = self
            .names
            .find(name)
            .map_or((next, name_bytes(name.name)), |index| (index, 0));
        *place = (self.number, index);
        (index, bytes)
    }

    /// Adds a count without a key; `false`, and nothing added, where there is no room for it.
    fn add(&mut self, names: &NameTable, places: &mut Places, (number, minute, count): Count) -> bool {
        let (index, name_bytes) = self.index(names, places, number, self.names.len());
        let minute_bytes = if self.unkeyed.contains_key(&minute) {
            0
        } else {
            MINUTE_BYTES
        };
        let bytes = self.bytes + name_bytes + minute_bytes + pair_bytes(index, count);
        if bytes > JOB_BYTES_MAX {
            return false;
        }
        if name_bytes != 0 {
            self.names.number_of(names.get(number));
        }
        self.unkeyed.entry(minute).or_default().push((index, count));
        self.bytes = bytes;
        self.total = self.total.saturating_add(count);
        true
    }

    /// Adds a batch; `false`, and nothing added, where there is no room for it.
    fn add_batch(&mut self, names: &NameTable, places: &mut Places, batch: &KeyedBatch) -> bool {
        let KeyedBatch { id, origin, counts } = batch;
        let mut bytes = self.bytes + BATCH_BYTES + ORIGIN_BYTES + origin.client.as_str().len();
        let (mut by_minute, mut new_names, mut total) = (ByMinute::new(), Vec::new(), self.total);
        for &(number, minute, count) in counts {
            let next = self.names.len() + new_names.len();
            let (index, name_bytes) = self.index(names, places, number, next);
            if name_bytes != 0 {
                new_names.push(number);
            }
            bytes += name_bytes + pair_bytes(index, count);
            by_minute.entry(minute).or_default().push((index, count));
            total = total.saturating_add(count);
        }
        bytes += MINUTE_BYTES * by_minute.len();
        if bytes > JOB_BYTES_MAX {
            return false;
        }
        for number in new_names {
            self.names.number_of(names.get(number));
        }
        push_batch(&mut self.batches, *id, Some(origin), &by_minute);
        (self.bytes, self.total) = (bytes, total);
        true
    }
}

/// Bytes of `"name",`: no character of a name needs escaping.
fn name_bytes(name: &str) -> usize {
    name.len() + 3
}

/// Bytes of `[index,count],`.
fn pair_bytes(index: u32, count: u64) -> usize {
    4 + digits(u64::from(index)) + digits(count)
}

fn digits(n: u64) -> usize {
    n.checked_ilog10()
        .map_or(1, |log| usize::try_from(log).unwrap_or(usize::MAX) + 1)
}

#[cfg(test)]
mod tests;
