//! The steps of the whole, as the checker takes them.

use stateright::{Model, Property};

use crate::bounds::{Bounds, Looks, Mistake};
use crate::state::{Place, State, Task};
use crate::{properties, queue, worker};

/// The protocol within bounds, with one mistake or none.
#[derive(Debug, Clone)]
pub(crate) struct Protocol {
    pub(crate) bounds: Bounds,
    pub(crate) mistake: Mistake,
}

/// A step. Jobs, workers, servers and centres are given by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// A collector begins to put a job.
    Send(usize),
    /// beanstalkd has the job on disk.
    Store(usize),
    /// The collector answers 202.
    Acknowledge(usize),
    /// The collector dies, or its answer is lost.
    LoseReply(usize),
    /// A job's time to run is over.
    Expire(usize),
    /// beanstalkd dies and starts again.
    CrashQueue,
    /// A worker takes a job.
    Reserve(usize),
    /// A worker begins a look at the queue.
    Look(usize, Task),
    /// A worker's look goes on.
    LookOn(usize),
    /// A worker commits.
    Commit(usize),
    /// A worker commits, and does not hear that it did.
    CommitUnheard(usize),
    /// The database fails before it has committed.
    FailCommit(usize),
    /// A worker deletes a job.
    Delete(usize),
    /// A worker notices that its connection to beanstalkd is lost.
    Reconnect(usize),
    /// A worker prunes the ledger.
    Prune(usize),
    /// A worker dies, and another takes its place.
    CrashWorker(usize),
    /// A worker stands still.
    Stop(usize),
    /// It goes on.
    Resume(usize),
    /// The clock of the region's servers is set.
    JumpClock,
    /// An instant passes.
    Tick,
    /// The power goes of everything at once.
    CutPower,
    /// A centre applies a transaction.
    Apply(usize),
    /// A keeper takes minutes to pack.
    BeginPacking(usize),
    /// A keeper commits the packed day.
    EndPacking(usize),
    /// A centre or its keeper dies.
    CrashCentre(usize),
    /// A keeper purges a server's binlog.
    Purge(usize),
    /// The old server is fenced.
    Fence,
    /// The ledger is copied.
    CopyLedger,
    /// A centre reads the new server.
    TakeOver(usize),
    /// A worker is restarted with the new server's address.
    PointWorker(usize),
}

impl Protocol {
    /// Whether looks are taken question by question.
    pub(crate) fn looks_in_steps(&self) -> bool {
        self.bounds.looks == Looks::Steps
    }

    /// A crash of every machine: what was committed or synced is there afterwards.
    fn cut_power(&self, state: &mut State) {
        for job in 0..state.jobs.len() {
            queue::lose_reply(state, job);
        }
        self.crash_queue(state, true);
        (0..self.bounds.workers).for_each(|w| self.restart_worker(state, w));
        for centre in &mut state.centres {
            if centre.taken.is_some() {
                self.crash_centre(centre);
            }
        }
    }

    /// Takes a step.
    fn step(&self, state: &mut State, action: Action) {
        match action {
            Action::Send(job) => self.send(state, job),
            Action::Store(job) => state.jobs[job].place = Place::Ready,
            Action::Acknowledge(job) => queue::acknowledge(state, job),
            Action::LoseReply(job) => queue::lose_reply(state, job),
            Action::Expire(job) => state.jobs[job].place = Place::Ready,
            Action::CrashQueue => self.crash_queue(state, false),
            Action::Reserve(w) => worker::reserve(state, w),
            Action::Look(w, task) => self.begin_look(state, w, task),
            Action::LookOn(w) => self.look_on(state, w),
            Action::Commit(w) => self.commit(state, w, true),
            Action::CommitUnheard(w) => self.commit(state, w, false),
            Action::FailCommit(w) | Action::Reconnect(w) => self.give_back(state, w),
            Action::Delete(w) => self.delete(state, w),
            Action::Prune(w) => self.prune(state, w),
            Action::CrashWorker(w) => self.restart_worker(state, w),
            Action::Stop(w) => worker::stop(state, w),
            Action::Resume(w) => self.resume(state, w),
            Action::JumpClock => worker::jump_clock(state, self.bounds.window),
            Action::Tick => self.tick(state),
            Action::CutPower => self.cut_power(state),
            Action::Apply(c) => self.apply(state, c),
            Action::BeginPacking(c) => self.begin_packing(&mut state.centres[c]),
            Action::EndPacking(c) => self.end_packing(&mut state.centres[c]),
            Action::CrashCentre(c) => self.crash_centre(&mut state.centres[c]),
            Action::Purge(server) => state.servers[server].purged = self.purgeable(state, server),
            Action::Fence => state.servers[0].is_fenced = true,
            Action::CopyLedger => self.copy_ledger(state),
            Action::TakeOver(c) => state.centres[c].source = 1,
            Action::PointWorker(w) => {
                self.restart_worker(state, w);
                state.workers[w].server = 1;
            }
        }
    }
}

impl Action {
    /// Whether it is one of the faults that are counted.
    fn is_fault(self) -> bool {
        matches!(
            self,
            Self::LoseReply(_)
                | Self::Expire(_)
                | Self::CrashQueue
                | Self::CommitUnheard(_)
                | Self::FailCommit(_)
                | Self::CrashWorker(_)
                | Self::Stop(_)
                | Self::JumpClock
                | Self::CutPower
                | Self::CrashCentre(_)
        )
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::first(&self.bounds)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.queue_actions(state, actions);
        self.worker_actions(state, actions);
        self.centre_actions(state, actions);
        if self.bounds.moves {
            self.switch_actions(state, actions);
        }
        if state.now < self.bounds.last_instant && worker::may_tick(&self.bounds, state) {
            actions.push(Action::Tick);
        }
        if state.faults_left > 0 && self.bounds.parts_fail {
            actions.push(Action::CutPower);
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        self.step(&mut state, action);
        // A fault that changes nothing is none.
        if state == *before {
            return None;
        }
        state.faults_left -= u8::from(action.is_fault());
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::of(&self.bounds)
    }
}
