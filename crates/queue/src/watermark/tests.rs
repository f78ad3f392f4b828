//! The rule against a model of a region: beanstalkd, several workers, their database, and everything that can come between.

#![expect(clippy::disallowed_methods, reason = "a test begins now")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::TIME_TO_RUN_S;

const WORKERS: usize = 3;

const PRODUCERS: usize = 2;

const TIME_TO_RUN_MS: u64 = 1000 * TIME_TO_RUN_S as u64;

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// Its header has come, and its body has not: it has a number, is not acknowledged and counted nowhere.
    BeingPut,
    Ready,
    Reserved {
        by: usize,
        until_ms: u64,
    },
    Buried,
}

#[derive(Debug, Clone)]
struct Job {
    state: State,
    batch: u32,
    is_poison: bool,
}

#[derive(Debug, Clone, Default)]
struct Worker {
    watermark: Watermark,
    /// Jobs and their batches.
    held: BTreeMap<u64, u32>,
    /// A transaction on its way: claim, jobs and their batches.
    looked: Option<(Option<u64>, BTreeMap<u64, u32>)>,
    /// Committed, and not yet deleted.
    to_delete: Vec<u64>,
    /// The beanstalkd process that it is connected to.
    connected_to: u32,
}

#[derive(Debug, Clone)]
struct World {
    begun: Instant,
    now_ms: u64,
    process: u32,
    /// The first number that this process has given.
    first_id: u64,
    next_id: u64,
    /// Refuses puts and serves what it has, as in a drain or with a full disk.
    refuses: bool,
    /// The job that each producer is putting.
    putting: [Option<u64>; PRODUCERS],
    next_batch: u32,
    jobs: BTreeMap<u64, Job>,
    workers: [Worker; WORKERS],
    database_away: bool,
    counted: BTreeSet<u32>,
    /// Put and acknowledged, with the instant.
    acknowledged: BTreeMap<u32, u64>,
    shared: Option<LowMark>,
    claims: usize,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Put,
    /// A producer has sent the header of a put, and its body later on or never.
    Header(usize),
    Body(usize),
    Disconnect(usize),
    Refuse(bool),
    PutPoison,
    /// A reply was lost, or a client tried again: the same batch in another job.
    PutAgain,
    Reserve(usize),
    Look(usize),
    Commit(usize),
    /// The transaction was committed, and the worker does not learn of it.
    CommitUnheard(usize),
    Delete(usize),
    GiveBack(usize),
    Crash(usize),
    Tick(u16),
    Restart,
    Database(bool),
    /// The queue is looked at while the database is away.
    MarkTime(usize),
    Kick,
    /// beanstalkd's clock is set forward: all that is reserved goes back.
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    let worker = 0..WORKERS;
    let producer = 0..PRODUCERS;
    // The queue runs empty now and then, or what is behind a backlog would never be claimed.
    prop_oneof![
        3 => Just(Step::Put),
        3 => producer.clone().prop_map(Step::Header),
        3 => producer.clone().prop_map(Step::Body),
        1 => producer.prop_map(Step::Disconnect),
        // Most of the time all is well.
        4 => prop::bool::weighted(0.2).prop_map(Step::Refuse),
        1 => Just(Step::PutPoison),
        1 => Just(Step::PutAgain),
        12 => worker.clone().prop_map(Step::Reserve),
        8 => worker.clone().prop_map(Step::Look),
        8 => worker.clone().prop_map(Step::Commit),
        1 => worker.clone().prop_map(Step::CommitUnheard),
        8 => worker.clone().prop_map(Step::Delete),
        2 => worker.clone().prop_map(Step::GiveBack),
        1 => worker.prop_map(Step::Crash),
        6 => (1u16..4_000).prop_map(Step::Tick),
        2 => (20_000u16..40_000).prop_map(Step::Tick),
        1 => Just(Step::Restart),
        4 => prop::bool::weighted(0.2).prop_map(Step::Database),
        2 => (0..WORKERS).prop_map(Step::MarkTime),
        1 => Just(Step::Kick),
        1 => Just(Step::Expire),
    ]
}

impl World {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            now_ms: 1_000_000,
            process: 1,
            first_id: 1,
            next_id: 1,
            refuses: false,
            putting: [None; PRODUCERS],
            next_batch: 0,
            jobs: BTreeMap::new(),
            workers: std::array::from_fn(|_| Worker {
                connected_to: 1,
                ..Worker::default()
            }),
            database_away: false,
            counted: BTreeSet::new(),
            acknowledged: BTreeMap::new(),
            shared: None,
            claims: 0,
        }
    }

    fn now(&self) -> Instant {
        self.begun + Duration::from_millis(self.now_ms)
    }

    fn ms_of(&self, at: Instant) -> u64 {
        u64::try_from((at - self.begun).as_millis()).unwrap()
    }

    fn put(&mut self, batch: u32, is_poison: bool) {
        let id = self.number(batch, is_poison);
        self.store(id);
    }

    /// Begins to put a job.
    fn number(&mut self, batch: u32, is_poison: bool) -> u64 {
        let state = State::BeingPut;
        let job = Job {
            state,
            batch,
            is_poison,
        };
        self.next_id += 1;
        self.jobs.insert(self.next_id - 1, job);
        self.next_id - 1
    }

    /// Ends it: stored and acknowledged, or refused.
    fn store(&mut self, id: u64) {
        if self.refuses {
            self.jobs.remove(&id);
        } else if let Some(job) = self.jobs.get_mut(&id) {
            job.state = State::Ready;
            if !job.is_poison {
                self.acknowledged.entry(job.batch).or_insert(self.now_ms);
            }
        }
    }

    fn disconnect(&mut self, producer: usize) {
        if let Some(id) = self.putting[producer].take() {
            self.jobs.remove(&id);
        }
    }

    fn connected(&mut self, w: usize) -> bool {
        if self.workers[w].connected_to == self.process {
            return true;
        }
        self.give_back(w);
        false
    }

    fn give_back(&mut self, w: usize) {
        for job in self.jobs.values_mut() {
            if matches!(job.state, State::Reserved { by, .. } if by == w) {
                job.state = State::Ready;
            }
        }
        let worker = &mut self.workers[w];
        worker.held.clear();
        worker.looked = None;
        worker.to_delete.clear();
        worker.connected_to = self.process;
    }

    fn apply(&mut self, step: Step, between: &mut dyn Iterator<Item = Step>) {
        match step {
            Step::Put => {
                self.next_batch += 1;
                self.put(self.next_batch, false);
            }
            Step::Header(p) if self.putting[p].is_none() => {
                self.next_batch += 1;
                self.putting[p] = Some(self.number(self.next_batch, false));
            }
            Step::Body(p) => {
                if let Some(id) = self.putting[p].take() {
                    self.store(id);
                }
            }
            Step::Disconnect(p) => self.disconnect(p),
            Step::Refuse(refuses) => self.refuses = refuses,
            Step::PutPoison => self.put(u32::MAX, true),
            Step::PutAgain if self.next_batch > 0 => self.put(self.next_batch, false),
            Step::Reserve(w) => self.reserve(w),
            Step::Look(w) => self.look(w, between),
            Step::Commit(w) => {
                if let Some(ids) = self.commit(w) {
                    let worker = &mut self.workers[w];
                    ids.iter().for_each(|id| {
                        worker.held.remove(id);
                    });
                    worker.to_delete.extend(ids);
                }
            }
            Step::CommitUnheard(w) => {
                self.commit(w);
                self.give_back(w);
            }
            Step::Delete(w) if self.connected(w) => self.delete(w),
            Step::GiveBack(w) => self.give_back(w),
            Step::Crash(w) => {
                self.give_back(w);
                self.workers[w].watermark = Watermark::default();
            }
            Step::Tick(ms) => self.tick(u64::from(ms)),
            Step::Restart => {
                (0..PRODUCERS).for_each(|p| self.disconnect(p));
                self.process += 1;
                self.refuses = false;
                self.next_id = self.jobs.last_key_value().map_or(1, |(id, _)| id + 1);
                self.first_id = self.next_id;
                for job in self.jobs.values_mut() {
                    if job.state != State::Buried {
                        job.state = State::Ready;
                    }
                }
            }
            Step::Database(away) => self.database_away = away,
            Step::Kick => {
                for job in self.jobs.values_mut().filter(|job| job.state == State::Buried) {
                    job.state = State::Ready;
                }
            }
            Step::Expire => {
                for job in self.jobs.values_mut() {
                    if matches!(job.state, State::Reserved { .. }) {
                        job.state = State::Ready;
                    }
                }
            }
            Step::MarkTime(w) => self.mark_time(w, between),
            Step::Header(_) | Step::PutAgain | Step::Delete(_) => {}
        }
    }

    fn tick(&mut self, ms: u64) {
        self.now_ms += ms;
        for job in self.jobs.values_mut() {
            if matches!(job.state, State::Reserved { until_ms, .. } if until_ms <= self.now_ms) {
                job.state = State::Ready;
            }
        }
    }

    fn reserve(&mut self, w: usize) {
        // A worker takes jobs only between two flushes.
        if !self.connected(w) || self.workers[w].looked.is_some() || !self.workers[w].to_delete.is_empty() {
            return;
        }
        let now_ms = self.now_ms;
        let Some((&id, job)) = self.jobs.iter_mut().find(|(_, job)| job.state == State::Ready) else {
            return;
        };
        if job.is_poison {
            job.state = State::Buried;
        } else {
            job.state = State::Reserved {
                by: w,
                until_ms: now_ms + TIME_TO_RUN_MS,
            };
            self.workers[w].held.insert(id, job.batch);
        }
    }

    fn look(&mut self, w: usize, between: &mut dyn Iterator<Item = Step>) {
        if !self.connected(w) || self.workers[w].looked.is_some() || !self.workers[w].to_delete.is_empty() {
            return;
        }
        let now = self.now();
        let mut watermark = std::mem::take(&mut self.workers[w].watermark);
        let shared = self.shared.clone();
        let held: BTreeSet<u64> = self.workers[w].held.keys().copied().collect();
        let process = self.process;
        let mut busy = Busy {
            world: self,
            looking: w,
            between,
        };
        let passed = watermark.look(&mut busy, &held, shared.as_ref(), now).unwrap();
        if self.process != process {
            return self.give_back(w);
        }
        let claim = passed.map(|at| self.ms_of(at));
        let worker = &mut self.workers[w];
        worker.watermark = watermark;
        worker.looked = Some((claim, worker.held.clone()));
    }

    fn mark_time(&mut self, w: usize, between: &mut dyn Iterator<Item = Step>) {
        if !self.connected(w) {
            return;
        }
        let now = self.now();
        let mut watermark = std::mem::take(&mut self.workers[w].watermark);
        let mut busy = Busy {
            world: self,
            looking: w,
            between,
        };
        watermark.mark_time(&mut busy, now).unwrap();
        self.workers[w].watermark = watermark;
    }

    /// The jobs that were committed; checks what is claimed with them.
    fn commit(&mut self, w: usize) -> Option<Vec<u64>> {
        if self.database_away {
            self.give_back(w);
            return None;
        }
        let (claim, jobs) = self.workers[w].looked.take()?;
        self.counted.extend(jobs.values());
        self.shared = self.workers[w].watermark.mark().cloned().or(self.shared.take());
        if let Some(claim) = claim {
            self.claims += 1;
            for (batch, &at) in &self.acknowledged {
                assert!(
                    at >= claim || self.counted.contains(batch),
                    "batch {batch}, acknowledged at {at}, is not counted, but {claim} is claimed: {self:?}"
                );
            }
        }
        Some(jobs.into_keys().collect())
    }

    fn delete(&mut self, w: usize) {
        let mut deleted = Vec::new();
        for id in std::mem::take(&mut self.workers[w].to_delete) {
            if self
                .jobs
                .get(&id)
                .is_some_and(|job| matches!(job.state, State::Reserved { by, .. } if by == w))
            {
                self.jobs.remove(&id);
                deleted.push(id);
            }
        }
        self.workers[w].watermark.deleted(deleted);
    }
}

/// Between any two commands of a look, others go on.
struct Busy<'a> {
    world: &'a mut World,
    looking: usize,
    between: &'a mut dyn Iterator<Item = Step>,
}

impl Busy<'_> {
    fn others_go_on(&mut self) {
        let Some(step) = self.between.next() else { return };
        match step {
            Step::Restart | Step::Look(_) | Step::MarkTime(_) | Step::Tick(4_000..) => {}
            Step::Reserve(w)
            | Step::Commit(w)
            | Step::CommitUnheard(w)
            | Step::Delete(w)
            | Step::GiveBack(w)
            | Step::Crash(w)
                if w == self.looking => {}
            step => self.world.apply(step, &mut std::iter::empty()),
        }
    }
}

impl Tube for Busy<'_> {
    fn stats(&mut self) -> Result<TubeStats, Error> {
        self.others_go_on();
        let jobs = self.world.jobs.values();
        Ok(TubeStats {
            process: self.world.process.to_string(),
            jobs: jobs.filter(|job| job.state != State::BeingPut).count() as u64,
        })
    }

    fn is_left(&mut self, id: u64) -> Result<bool, Error> {
        self.others_go_on();
        let job = self.world.jobs.get(&id);
        Ok(job.is_some_and(|job| !(job.is_poison && job.state == State::Buried)))
    }

    fn fence(&mut self) -> Result<Option<u64>, Error> {
        self.others_go_on();
        self.world.next_id += 1;
        Ok((!self.world.refuses).then_some(self.world.next_id - 1))
    }

    fn first_of_process(&mut self, _fence: u64) -> Result<u64, Error> {
        Ok(self.world.first_id)
    }
}

fn run(steps: &[Step]) -> World {
    let mut world = World::new();
    for &step in steps {
        world.apply(step, &mut std::iter::empty());
    }
    world
}

/// Its number is one that the worker has just deleted.
#[test]
fn numbers_of_an_earlier_process_mean_nothing() {
    let counted = [
        Step::Put,
        Step::Reserve(0),
        Step::Look(0),
        Step::Commit(0),
        Step::Delete(0),
    ];
    let again = [
        Step::Restart,
        Step::GiveBack(0),
        Step::GiveBack(1),
        Step::Put,
        Step::Reserve(1),
        Step::Tick(1),
        Step::Look(0),
        Step::Commit(0),
    ];
    assert_eq!(run(&[&counted[..], &again[..]].concat()).claims, 1);
}

/// It has the lowest number, and is in no state while another job is counted. Whoever takes it afterwards, it holds claims back.
#[test]
fn a_job_that_is_being_put_is_not_passed() {
    let steps = [
        Step::MarkTime(0),
        Step::Header(0),
        Step::Put,
        Step::Reserve(0),
        Step::Look(0),
        Step::Commit(0),
        Step::Delete(0),
        Step::Body(0),
        Step::Reserve(1),
        Step::Tick(1),
        Step::Look(0),
        Step::Commit(0),
    ];
    assert_eq!(run(&steps).claims, 2);
}

/// In a drain, or with a full disk.
#[test]
fn where_puts_are_refused_the_queue_empties_and_claims_wait() {
    let claims = |steps: &[Step]| run(steps).claims;
    let mut steps = vec![
        Step::Put,
        Step::Put,
        Step::Refuse(true),
        Step::Reserve(0),
        Step::Tick(1),
    ];
    let flush = [Step::Look(0), Step::Commit(0), Step::Delete(0)];
    steps.extend(flush);
    assert_eq!(claims(&steps), 0);
    steps.extend([Step::Reserve(0), Step::Tick(1)]);
    steps.extend(flush);
    assert_eq!(claims(&steps), 0);
    steps.extend(flush);
    assert_eq!(claims(&steps), 1, "the queue is empty");
}

/// What was put while the database was away is told apart afterwards by when it was put.
#[test]
fn a_backlog_is_dated() {
    let steps = [
        Step::Put,
        Step::Tick(1_000),
        Step::MarkTime(0),
        Step::Tick(1_000),
        Step::Put,
        Step::Reserve(0),
        Step::Look(0),
    ];
    let mut world = run(&steps);
    let (claim, _) = world.workers[0].looked.take().unwrap();
    assert_eq!(claim, Some(1_001_000));
}

/// Another worker has counted it and holds one job more: as many are reserved as the first believes to hold.
#[test]
fn a_job_held_for_too_long_vouches_for_nothing() {
    let steps = [
        Step::MarkTime(0),
        Step::MarkTime(1),
        Step::Put,
        Step::Reserve(0),
        Step::Tick(31_000),
        Step::Reserve(1),
        Step::Look(1),
        Step::Commit(1),
        Step::Delete(1),
        Step::Put,
        Step::Reserve(1),
        Step::Tick(1),
        Step::Look(0),
        Step::Commit(0),
    ];
    assert_eq!(run(&steps).claims, 2);
    let expired = steps.map(|step| match step {
        Step::Tick(31_000) => Step::Expire,
        step => step,
    });
    assert_eq!(run(&expired).claims, 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Whoever crashes, stops, gives jobs back or takes them over: nothing acknowledged before a claim is uncounted.
    #[test]
    fn a_claim_is_never_ahead_of_the_counts(
        steps in prop::collection::vec(step(), 1..250),
        between in prop::collection::vec(step(), 0..60),
    ) {
        let mut world = World::new();
        let mut between = between.into_iter();
        for step in steps {
            world.apply(step, &mut between);
        }
    }

    /// Whatever happened, a worker that is left in peace catches up.
    #[test]
    fn the_claims_catch_up(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in steps {
            world.apply(step, &mut std::iter::empty());
        }
        for step in [Step::Database(false), Step::Refuse(false), Step::Body(0), Step::Body(1)] {
            world.apply(step, &mut std::iter::empty());
        }
        (0..WORKERS).for_each(|w| world.give_back(w));
        for _ in 0..world.jobs.len() {
            world.apply(Step::Reserve(0), &mut std::iter::empty());
        }
        let now_ms = world.now_ms;
        world.apply(Step::Look(0), &mut std::iter::empty());
        let claim = world.workers[0].looked.as_ref().and_then(|(claim, _)| *claim);
        prop_assert_eq!(claim, Some(now_ms));
    }
}

/// A tube whose jobs are just there or gone.
#[derive(Default)]
struct Numbers {
    left: BTreeSet<u64>,
    next: u64,
    asked: Vec<u64>,
}

impl Numbers {
    fn new(left: impl IntoIterator<Item = u64>, next: u64) -> Self {
        let (left, asked) = (left.into_iter().collect(), Vec::new());
        Self { left, next, asked }
    }
}

impl Tube for Numbers {
    fn stats(&mut self) -> Result<TubeStats, Error> {
        Ok(TubeStats {
            process: "ab12".to_owned(),
            jobs: 1,
        })
    }

    fn is_left(&mut self, id: u64) -> Result<bool, Error> {
        self.asked.push(id);
        Ok(self.left.contains(&id))
    }

    fn fence(&mut self) -> Result<Option<u64>, Error> {
        self.next += 1;
        Ok(Some(self.next - 1))
    }

    fn first_of_process(&mut self, _: u64) -> Result<u64, Error> {
        Ok(1)
    }
}

fn mark(lowest: u64) -> LowMark {
    LowMark {
        process: "ab12".to_owned(),
        lowest,
    }
}

#[test]
fn no_number_is_asked_for_that_is_known_to_be_gone() {
    let (mut watermark, mut tube, now) = (Watermark::default(), Numbers::new([4], 5), Instant::now());
    watermark.deleted([1, 2]);
    // Another process' numbers are forgotten with it, so the mark has to be of this one.
    watermark.mark = Some(mark(1));
    let claim = watermark.look(&mut tube, &BTreeSet::new(), None, now).unwrap();
    assert_eq!((claim, &tube.asked[..]), (None, &[3, 4][..]));
    assert_eq!(watermark.mark(), Some(&mark(4)));
    tube.left.clear();
    tube.asked.clear();
    let claim = watermark.look(&mut tube, &BTreeSet::new(), None, now).unwrap();
    assert_eq!((claim, &tube.asked[..]), (Some(now), &[4][..]));
    assert_eq!(watermark.mark(), Some(&mark(6)));
}

#[test]
fn the_claim_passes_what_is_held_and_the_mark_does_not() {
    let (mut watermark, mut tube, now) = (Watermark::default(), Numbers::new([2], 4), Instant::now());
    let claim = watermark
        .look(&mut tube, &BTreeSet::from([2]), None, now)
        .unwrap();
    assert_eq!((claim, &tube.asked[..]), (Some(now), &[1, 3][..]));
    assert_eq!(watermark.mark(), Some(&mark(2)));
}

#[test]
fn what_others_know_of_this_process_counts() {
    for (shared, first) in [
        (mark(3), 3),
        (
            LowMark {
                process: "cd34".to_owned(),
                lowest: 3,
            },
            1,
        ),
    ] {
        let (mut watermark, mut tube) = (Watermark::default(), Numbers::new([], 5));
        watermark
            .look(&mut tube, &BTreeSet::new(), Some(&shared), Instant::now())
            .unwrap();
        assert_eq!(tube.asked[0], first);
    }
}

#[test]
fn a_look_asks_for_so_many_numbers_and_the_next_one_goes_on() {
    let last = u64::try_from(NUMBERS_PER_LOOK_MAX).unwrap() + 7;
    let (mut watermark, mut tube) = (Watermark::default(), Numbers::new([], last + 1));
    for asked in [NUMBERS_PER_LOOK_MAX, 7] {
        tube.asked.clear();
        watermark
            .look(&mut tube, &BTreeSet::new(), None, Instant::now())
            .unwrap();
        assert_eq!(tube.asked.len(), asked);
    }
}

#[test]
fn memory_has_its_limits() {
    let (mut watermark, mut tube) = (Watermark::default(), Numbers::new([], 1));
    let mut most = 0;
    for _ in 0..=FENCES_MAX {
        watermark.mark_time(&mut tube, Instant::now()).unwrap();
        most = most.max(watermark.fences.len());
    }
    assert_eq!((most, watermark.fences.len()), (FENCES_MAX, FENCES_MAX / 2 + 1));
    let all = u64::try_from(GONE_MAX).unwrap();
    let mut watermark = Watermark::default();
    watermark.deleted(1..=all);
    watermark.deleted([all + 1]);
    assert_eq!(watermark.gone.len(), GONE_MAX);
}
