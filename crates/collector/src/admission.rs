//! Admission: whether counts are taken, by the memory that others have and by what is known of the queue, and how long they linger.

use std::time::Duration;

use model::QueueDepth;

use crate::lanes::{Lane, Lanes};

/// Most bytes of memory of counts, as requests bring them, that are accepted and not yet in the queue: some 400 jobs, seconds of any
/// disk.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// Bytes of memory of counts for each job: two jobs in a row hold at least twice as much, so it gives their number from above.
const JOB_BYTES_MIN: usize = 30_000;

/// The more jobs no worker has taken, the longer counts wait for company, so that a long outage of the workers fits into fewer jobs:
/// by a step for every so many jobs above those that working workers leave, up to the maximum.
const LINGER_STEP: Duration = Duration::from_millis(5);
const LINGER_STEP_JOBS: u64 = 100;
const LINGER_NONE_BELOW_JOBS: u64 = 1_000;
const LINGER_MAX: Duration = Duration::from_millis(250);

/// Why counts are not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backpressure {
    /// The queue, or the memory for counts that wait for it, has no room.
    Full,
    /// The queue does not answer.
    QueueAway,
}

/// What decides on admission. It is asked and told under the combiner's lock.
#[derive(Debug)]
pub(crate) struct Admission {
    jobs_max: u64,
    /// Bytes of memory of the counts that were admitted and not released, whether or not their clients still wait.
    waiting_bytes: Lanes<usize>,
    /// The number of jobs that were put so far.
    stored: u64,
    /// The number of jobs in the tube when last asked, plus those put since.
    depth: u64,
    /// The number of jobs that no worker had taken when last asked.
    untaken: u64,
    /// Whether the queue does not answer; also until it has answered once.
    is_away: bool,
}

impl Admission {
    /// Admits nothing until the queue has answered; then never more than fits into `jobs_max` jobs together with those in the tube, but for
    /// one of each lane that is on its way there.
    pub(crate) fn new(jobs_max: u64) -> Self {
        Self {
            jobs_max,
            waiting_bytes: Lanes::default(),
            stored: 0,
            depth: 0,
            untaken: 0,
            is_away: true,
        }
    }

    /// Reserves memory for counts, where the queue has room for every job that they may become, together with all that wait already.
    ///
    /// # Errors
    /// Nothing was reserved, and the client is to try again later.
    pub(crate) fn admit(&mut self, bytes: usize) -> Result<(), Backpressure> {
        if self.is_away {
            return Err(Backpressure::QueueAway);
        }
        let in_lane = |lane| self.waiting_bytes.get(lane) + if lane == Lane::of(bytes) { bytes } else { 0 };
        let waiting_bytes: usize = Lane::ALL.map(in_lane).iter().sum();
        let jobs: u64 = Lane::ALL.map(|lane| jobs(in_lane(lane))).iter().sum();
        if waiting_bytes > WAITING_BYTES_MAX || self.depth + jobs > self.jobs_max {
            return Err(Backpressure::Full);
        }
        *self.waiting_bytes.get_mut(Lane::of(bytes)) += bytes;
        Ok(())
    }

    /// Whether so much memory of counts could be admitted if nothing else were waiting, and the queue were empty.
    pub(crate) fn could_admit(&self, bytes: usize) -> bool {
        bytes <= WAITING_BYTES_MAX && jobs(bytes) <= self.jobs_max
    }

    /// Frees the memory of counts that were admitted to a lane, once for each.
    pub(crate) fn release(&mut self, lane: Lane, bytes: usize) {
        *self.waiting_bytes.get_mut(lane) -= bytes;
    }

    /// Takes note of the queue's depth, which was asked for after so many jobs were stored, and admits counts again.
    pub(crate) fn queue_answered(&mut self, depth: &QueueDepth, stored_before: u64) {
        self.depth = depth.jobs() + (self.stored - stored_before);
        self.untaken = depth.ready;
        self.is_away = false;
        metrics::gauge!("collector_queue_jobs").set(u32::try_from(self.depth).unwrap_or(u32::MAX));
    }

    /// Takes note that the queue does not answer: until it does, requests are refused at once instead of waiting in vain.
    pub(crate) fn queue_failed(&mut self) {
        self.is_away = true;
    }

    /// Counts a job that was put since the depth was last asked for, so that the bound on jobs holds in between.
    pub(crate) fn job_stored(&mut self) {
        self.depth += 1;
        self.stored += 1;
    }

    /// The number of jobs that were put so far.
    pub(crate) fn stored(&self) -> u64 {
        self.stored
    }

    /// How long counts linger: `base`, or longer the more jobs no worker has taken.
    pub(crate) fn linger(&self, base: Duration) -> Duration {
        let steps = self.untaken.saturating_sub(LINGER_NONE_BELOW_JOBS) / LINGER_STEP_JOBS;
        let more = LINGER_STEP.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX));
        base.max(more.min(LINGER_MAX))
    }
}

/// The number of jobs, from above, that counts become which take so much memory.
fn jobs(bytes: usize) -> u64 {
    match bytes {
        0 => 0,
        bytes => (1 + bytes / JOB_BYTES_MIN) as u64,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn depth(ready: u64) -> QueueDepth {
        QueueDepth {
            ready,
            ..QueueDepth::default()
        }
    }

    #[test]
    fn nothing_is_admitted_while_the_queue_is_away() {
        let mut admission = Admission::new(10);
        assert_eq!(admission.admit(1), Err(Backpressure::QueueAway), "not asked yet");
        admission.queue_answered(&depth(0), admission.stored());
        assert_eq!(admission.admit(1), Ok(()));
        admission.queue_failed();
        assert_eq!(admission.admit(1), Err(Backpressure::QueueAway));
    }

    #[test]
    fn jobs_that_were_put_while_the_depth_was_asked_for_take_room() {
        let mut admission = Admission::new(2);
        let before = admission.stored();
        admission.job_stored();
        admission.queue_answered(&depth(1), before);
        assert_eq!(admission.admit(1), Err(Backpressure::Full));
        admission.queue_answered(&depth(1), admission.stored());
        assert_eq!(admission.admit(1), Ok(()));
    }

    #[test]
    fn jobs_that_were_put_since_the_depth_was_asked_for_take_room() {
        let mut admission = Admission::new(3);
        admission.queue_answered(&depth(1), admission.stored());
        assert_eq!(admission.admit(1), Ok(()));
        admission.job_stored();
        assert_eq!(admission.admit(1), Ok(()));
        admission.job_stored();
        assert_eq!(admission.admit(1), Err(Backpressure::Full));
        admission.queue_answered(&depth(0), admission.stored());
        assert_eq!(admission.admit(1), Ok(()));
        assert!(admission.could_admit(2 * JOB_BYTES_MIN) && !admission.could_admit(3 * JOB_BYTES_MIN));
        assert!(!Admission::new(u64::MAX).could_admit(WAITING_BYTES_MAX + 1));
    }

    #[test]
    fn counts_linger_the_longer_the_more_jobs_wait() {
        let mut admission = Admission::new(u64::MAX);
        let ms = Duration::from_millis;
        for (ready, lingers) in [(0, 2), (1_000, 2), (1_100, 5), (2_000, 50), (1_000_000, 250)] {
            admission.queue_answered(&depth(ready), admission.stored());
            assert_eq!(admission.linger(ms(2)), ms(lingers), "{ready}");
        }
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Admit(usize),
        ReleaseFirst,
        Answered(u64),
        Failed,
        Stored,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1usize..20 << 20).prop_map(Step::Admit),
            2 => Just(Step::ReleaseFirst),
            1 => (0u64..1_500).prop_map(Step::Answered),
            1 => Just(Step::Failed),
            2 => Just(Step::Stored),
        ]
    }

    proptest! {
        #[test]
        fn what_is_admitted_fits_into_memory_and_queue(steps in prop::collection::vec(any_step(), 1..100), jobs_max in 1u64..2_000) {
            let mut admission = Admission::new(jobs_max);
            let (mut admitted, mut known, mut jobs) = (Vec::<usize>::new(), false, 0);
            for step in steps {
                match step {
                    Step::Admit(bytes) => {
                        let waiting = admitted.iter().sum::<usize>() + bytes;
                        let becomes = |lane| {
                            let of_lane = admitted.iter().chain([&bytes]).filter(|bytes| Lane::of(**bytes) == lane);
                            super::jobs(of_lane.sum())
                        };
                        let becomes: u64 = Lane::ALL.map(becomes).iter().sum();
                        let fits = known && waiting <= WAITING_BYTES_MAX && jobs + becomes <= jobs_max;
                        prop_assert_eq!(admission.admit(bytes).is_ok(), fits);
                        admitted.extend(fits.then_some(bytes));
                    }
                    Step::ReleaseFirst if !admitted.is_empty() => {
                        let bytes = admitted.remove(0);
                        admission.release(Lane::of(bytes), bytes);
                    }
                    Step::ReleaseFirst => {}
                    Step::Answered(ready) => {
                        admission.queue_answered(&depth(ready), admission.stored());
                        (known, jobs) = (true, ready);
                    }
                    Step::Failed => {
                        admission.queue_failed();
                        known = false;
                    }
                    Step::Stored => {
                        admission.job_stored();
                        jobs += 1;
                    }
                }
            }
            let waiting: usize = Lane::ALL.map(|lane| *admission.waiting_bytes.get(lane)).iter().sum();
            prop_assert_eq!(waiting, admitted.iter().sum::<usize>());
        }
    }
}
