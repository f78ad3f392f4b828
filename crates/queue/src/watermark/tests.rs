//! The rule against a model of a region: beanstalkd, several workers, their database, and everything that can come between.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::TIME_TO_RUN_S;

const WORKERS: usize = 3;

const TIME_TO_RUN_MS: u64 = 1000 * TIME_TO_RUN_S as u64;

/// As the worker has it: a job reserved longer ago may have gone back.
const SURE_MS: u64 = TIME_TO_RUN_MS - 5_000;

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Ready,
    Reserved { by: usize, until_ms: u64 },
    Buried,
}

#[derive(Debug, Clone)]
struct Job {
    created_ms: u64,
    state: State,
    batch: u32,
    is_poison: bool,
}

#[derive(Debug, Clone, Default)]
struct Worker {
    watermark: Watermark,
    /// With the instant of each reservation.
    held: BTreeMap<u64, (u64, u32)>,
    /// A transaction on its way: claim, jobs and their batches.
    looked: Option<(Option<u64>, BTreeMap<u64, u32>)>,
    /// Committed, and not yet deleted.
    to_delete: Vec<u64>,
    /// The beanstalkd process that it is connected to.
    connected_to: u32,
}

#[derive(Debug, Clone)]
struct World {
    now_ms: u64,
    process: u32,
    next_id: u64,
    next_batch: u32,
    jobs: BTreeMap<u64, Job>,
    workers: [Worker; WORKERS],
    database_away: bool,
    counted: BTreeSet<u32>,
    /// Put and acknowledged, with the instant.
    acknowledged: BTreeMap<u32, u64>,
    shared: Option<Mark>,
    claims: usize,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Put,
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
    Kick,
}

fn step() -> impl Strategy<Value = Step> {
    let worker = 0..WORKERS;
    prop_oneof![
        8 => Just(Step::Put),
        1 => Just(Step::PutPoison),
        2 => Just(Step::PutAgain),
        8 => worker.clone().prop_map(Step::Reserve),
        6 => worker.clone().prop_map(Step::Look),
        6 => worker.clone().prop_map(Step::Commit),
        1 => worker.clone().prop_map(Step::CommitUnheard),
        5 => worker.clone().prop_map(Step::Delete),
        2 => worker.clone().prop_map(Step::GiveBack),
        1 => worker.prop_map(Step::Crash),
        6 => (1u16..4_000).prop_map(Step::Tick),
        2 => (20_000u16..40_000).prop_map(Step::Tick),
        1 => Just(Step::Restart),
        1 => any::<bool>().prop_map(Step::Database),
        1 => Just(Step::Kick),
    ]
}

impl World {
    fn new() -> Self {
        Self {
            now_ms: 1_000_000,
            process: 1,
            next_id: 1,
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

    fn put(&mut self, batch: u32, is_poison: bool) {
        let created_ms = self.now_ms;
        let state = State::Ready;
        let job = Job {
            created_ms,
            state,
            batch,
            is_poison,
        };
        self.jobs.insert(self.next_id, job);
        self.next_id += 1;
        if !is_poison {
            self.acknowledged.entry(batch).or_insert(created_ms);
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
                self.process += 1;
                self.next_id = self.jobs.last_key_value().map_or(1, |(id, _)| id + 1);
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
            Step::PutAgain | Step::Delete(_) => {}
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
            self.workers[w].held.insert(id, (now_ms, job.batch));
        }
    }

    fn look(&mut self, w: usize, between: &mut dyn Iterator<Item = Step>) {
        if !self.connected(w) || self.workers[w].looked.is_some() || !self.workers[w].to_delete.is_empty() {
            return;
        }
        let began_ms = self.now_ms;
        let mut watermark = std::mem::take(&mut self.workers[w].watermark);
        let shared = self.shared.clone();
        let sure = |world: &Self| -> BTreeSet<u64> {
            let held = world.workers[w].held.iter();
            held.filter(|(_, (at, _))| at + SURE_MS > world.now_ms)
                .map(|(&id, _)| id)
                .collect()
        };
        let held = sure(self);
        let process = self.process;
        let mut busy = Busy {
            world: self,
            looking: w,
            between,
        };
        let oldest = watermark.look(&mut busy, &held, shared.as_ref()).unwrap();
        // Where time passed meanwhile, the worker looks at its own clock again and gives up what it is no longer sure of.
        if self.process != process || sure(self) != held {
            return self.give_back(w);
        }
        let claim = match oldest {
            Oldest::Nothing => Some(began_ms),
            Oldest::AgeS(age_s) => Some(began_ms.saturating_sub(1000 * (age_s + 1))),
            Oldest::NotKnown => None,
        };
        let worker = &mut self.workers[w];
        worker.watermark = watermark;
        let jobs = worker.held.iter().map(|(&id, &(_, batch))| (id, batch)).collect();
        worker.looked = Some((claim, jobs));
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
            Step::Restart | Step::Look(_) | Step::Tick(4_000..) => {}
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
    fn counts(&mut self) -> Result<Counts, Error> {
        self.others_go_on();
        let is_reserved = |job: &&Job| matches!(job.state, State::Reserved { .. });
        let reserved = self.world.jobs.values().filter(is_reserved).count() as u64;
        Ok(Counts {
            process: self.world.process.to_string(),
            reserved,
            others: self.world.jobs.len() as u64 - reserved,
        })
    }

    fn age_s(&mut self, id: u64) -> Result<Option<u64>, Error> {
        self.others_go_on();
        let world = &self.world;
        let job = world
            .jobs
            .get(&id)
            .filter(|job| !(job.is_poison && job.state == State::Buried));
        Ok(job.map(|job| (world.now_ms - job.created_ms) / 1000))
    }

    fn fence(&mut self) -> Result<u64, Error> {
        self.others_go_on();
        self.world.next_id += 1;
        Ok(self.world.next_id - 1)
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
    assert_eq!(run(&[&counted[..], &again[..]].concat()).claims, 2);
}

/// Another worker has counted it and holds one job more: as many are reserved as the first believes to hold.
#[test]
fn a_job_held_for_too_long_vouches_for_nothing() {
    let steps = [
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
        world.apply(Step::Database(false), &mut std::iter::empty());
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
