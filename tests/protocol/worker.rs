//! Workers, and the region's database, in which they commit.

use crate::bounds::{BATCH_OF, BATCHES, Bounds, JOBS, Looks, Mistake, SERVERS};
use crate::model::{Action, Protocol};
use crate::state::{Flush, Phase, Place, Server, State, Task, Watermark, Worker};
use crate::watermark::is_looking;

impl Protocol {
    /// What workers may do, and what may happen to them.
    pub(crate) fn worker_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for w in 0..self.bounds.workers {
            let worker = &state.workers[w];
            if worker.is_stopped {
                actions.push(Action::Resume(w));
                continue;
            }
            self.turn_actions(state, w, actions);
            if state.faults_left == 0 {
                continue;
            }
            if self.bounds.parts_fail {
                if worker.phase != Phase::Idle || worker.held != 0 || worker.watermark.mark.is_some() {
                    actions.push(Action::CrashWorker(w));
                }
                if self.may_commit(state, w) {
                    actions.extend([Action::CommitUnheard(w), Action::FailCommit(w)]);
                }
            }
            if self.bounds.clocks_fail {
                actions.push(Action::Stop(w));
            }
        }
        if state.faults_left > 0 && self.bounds.clocks_fail {
            actions.push(Action::JumpClock);
        }
    }

    /// `Worker::turn`: reserve, look, flush or report, prune.
    fn turn_actions(&self, state: &State, w: usize, actions: &mut Vec<Action>) {
        let worker = &state.workers[w];
        let is_connected = worker.connected_to == state.queue.process;
        if self.may_commit(state, w) {
            actions.push(Action::Commit(w));
        }
        match worker.phase {
            Phase::Idle if !is_connected => actions.push(Action::Reconnect(w)),
            Phase::Idle => {
                if state.jobs.iter().any(|job| job.place == Place::Ready) {
                    actions.push(Action::Reserve(w));
                }
                if self.bounds.looks != Looks::None && state.looks_left > 0 {
                    if worker.held != 0 {
                        actions.push(Action::Look(w, Task::Flush));
                    }
                    if worker.held == 0 || self.bounds.reports {
                        actions.push(Action::Look(w, Task::Report));
                    }
                }
                if state.prunes_left > 0 {
                    actions.push(Action::Look(w, Task::Prune));
                }
            }
            Phase::Looked {
                task: Task::Prune, ..
            } if self.may_prune(state) => {
                actions.push(Action::Prune(w));
            }
            Phase::Deleting if !is_connected => actions.push(Action::Reconnect(w)),
            phase if is_looking(phase) => actions.push(Action::LookOn(w)),
            _ => {}
        }
        let deletes_now = match worker.phase {
            Phase::Deleting => is_connected,
            _ => self.deletes_first(state, w),
        };
        if deletes_now {
            actions.push(Action::Delete(w));
        }
    }

    /// Whether the worker's next step is the commit.
    fn may_commit(&self, state: &State, w: usize) -> bool {
        let worker = &state.workers[w];
        let is_ready = match worker.phase {
            Phase::Idle => self.bounds.looks == Looks::None && worker.held != 0,
            Phase::Looked { task, .. } => task != Task::Prune,
            _ => false,
        };
        is_ready && !self.deletes_first(state, w)
    }

    /// Whether it deletes what it is about to commit: the first mistake that one could make.
    fn deletes_first(&self, state: &State, w: usize) -> bool {
        let is_about_to_commit = match state.workers[w].phase {
            Phase::Idle => self.bounds.looks == Looks::None,
            Phase::Looked { task, .. } => task == Task::Flush,
            _ => false,
        };
        self.mistake == Mistake::DeleteBeforeCommit
            && is_about_to_commit
            && (0..JOBS).any(|job| state.workers[w].holds(job) && state.jobs[job].place == Place::Reserved(w))
    }

    /// `Consumer::give_back`, or the end of its connection: what it holds is forgotten, and free for others.
    pub(crate) fn give_back(&self, state: &mut State, w: usize) {
        for job in &mut state.jobs {
            if job.place == Place::Reserved(w) {
                job.place = Place::Ready;
            }
        }
        let worker = &mut state.workers[w];
        worker.held = 0;
        worker.phase = Phase::Idle;
        worker.connected_to = state.queue.process;
    }

    /// A crash; another process takes over at once. Its database server is that of its configuration.
    pub(crate) fn restart_worker(&self, state: &mut State, w: usize) {
        self.give_back(state, w);
        let worker = &mut state.workers[w];
        worker.watermark = Watermark::default();
        worker.gap = 0;
    }

    /// A worker goes on. What it has held for longer than a job's time to run it forgets: the job may have been counted meanwhile, and
    /// the ledger have been pruned of it.
    pub(crate) fn resume(&self, state: &mut State, w: usize) {
        state.workers[w].is_stopped = false;
        if self.mistake != Mistake::CommitStaleJobs {
            self.give_back(state, w);
        }
    }

    /// `flush::flush` (crates/worker/src/flush.rs) and `Transaction::attempt` (crates/store/src/regional.rs): the ledger, the counts of
    /// what is new to it, and the claim, in one transaction behind the fence.
    pub(crate) fn commit(&self, state: &mut State, w: usize, is_heard: bool) {
        let (task, passed) = match state.workers[w].phase {
            Phase::Looked { task, passed } => (task, passed),
            _ => (Task::Flush, None),
        };
        let (server_clock, now) = (state.server_clock(), state.now);
        let worker = &state.workers[w];
        let server = &mut state.servers[worker.server];
        if server.is_fenced {
            return self.give_back(state, w);
        }
        let stamp = self.advance(server, server_clock, worker.gap);
        let mut counts = [false; BATCHES];
        for job in (0..JOBS).filter(|&job| task == Task::Flush && worker.holds(job)) {
            let batch = BATCH_OF[job];
            if server.ledger[batch].is_none() || self.mistake == Mistake::CountUnasked {
                counts[batch] = true;
                server.ledger[batch] = Some(stamp);
                state.counted[batch].get_or_insert(now);
            }
        }
        let until = match self.mistake {
            Mistake::ClockReadAfterLook => passed.map(|_| now),
            _ => passed,
        };
        let claim = until.map(|until| (w, until));
        if claim.is_some() || counts.contains(&true) {
            server.binlog.push(Flush { counts, claim });
        }
        // `report::write`: a mark never falls within its process.
        if let Some(mark) = worker.watermark.mark.filter(|_| self.bounds.looks != Looks::None) {
            let before = server.mark.filter(|before| before.process == mark.process);
            let highest = before
                .filter(|before| before.lowest > mark.lowest)
                .unwrap_or(mark);
            server.mark = Some(highest);
        }
        let worker = &mut state.workers[w];
        worker.gap = 0;
        if !is_heard {
            return self.give_back(state, w);
        }
        worker.phase = match task {
            Task::Flush if worker.held != 0 && self.mistake != Mistake::DeleteBeforeCommit => Phase::Deleting,
            _ => Phase::Idle,
        };
        if task == Task::Flush && worker.phase == Phase::Idle {
            worker.held = 0;
        }
    }

    /// `ledger::advance` (crates/store/src/regional/ledger.rs): lets the ledger's clock go on with a flush after a `gap` in which the
    /// worker made none, and returns the stamp of the flush's rows. The server's clock and the worker's own must agree that time has
    /// passed. Of a gap nothing is counted: a server's clock that has jumped meanwhile would say whatever the gap allows.
    fn advance(&self, server: &mut Server, server_clock: u8, gap: u8) -> u8 {
        let stamp = server.reached;
        let passed = server_clock.saturating_sub(server.seen_at).min(gap);
        server.seen_at = server_clock;
        match self.mistake {
            Mistake::PruneByAJumpedClock => server.reached = server.reached.max(server_clock),
            Mistake::GapCounts | Mistake::StampBeforeAdvance => server.reached += passed,
            _ => {}
        }
        if self.mistake == Mistake::StampBeforeAdvance {
            return stamp;
        }
        server.reached
    }

    /// An instant passes. Whoever is not stopped has reported many times meanwhile (`REPORT_INTERVAL` is a second), so the ledger's
    /// clock of its server has gone on by as much.
    pub(crate) fn tick(&self, state: &mut State) {
        let before = state.server_clock();
        state.now += 1;
        let after = state.server_clock();
        let mut has_reported = [false; SERVERS];
        for worker in &mut state.workers[..self.bounds.workers] {
            let server = &mut state.servers[worker.server];
            if worker.is_stopped {
                worker.gap += 1;
            } else if !server.is_fenced {
                self.advance(server, before, worker.gap);
                worker.gap = 0;
                has_reported[worker.server] = true;
            }
        }
        for (server, _) in state.servers.iter_mut().zip(has_reported).filter(|(_, has)| *has) {
            server.reached += 1;
            self.advance(server, after, 0);
        }
    }

    /// `Consumer::delete`, of one job: one that was given to another worker meanwhile is passed over.
    pub(crate) fn delete(&self, state: &mut State, w: usize) {
        let worker = &mut state.workers[w];
        let is_mistake = self.mistake == Mistake::DeleteBeforeCommit;
        let is_next =
            |&job: &usize| worker.holds(job) && (!is_mistake || state.jobs[job].place == Place::Reserved(w));
        let next = (0..JOBS).find(is_next);
        if let Some(job) = next {
            if state.jobs[job].place == Place::Reserved(w) {
                if self.bounds.looks != Looks::None {
                    worker.watermark.gone |= 1 << state.jobs[job].number;
                }
                state.jobs[job].remove(Place::Gone);
            }
            if !is_mistake {
                worker.held &= !(1 << job);
            }
        }
        if worker.held == 0 {
            worker.phase = Phase::Idle;
        }
    }

    /// Whether the look before a pruning was long enough ago: whoever held a job then that had gone to another worker has committed or
    /// forgotten it. A worker that stands still will forget it.
    fn may_prune(&self, state: &State) -> bool {
        let holds_what_is_gone = |(w, worker): (usize, &Worker)| {
            let is_gone = |job: usize| worker.holds(job) && state.jobs[job].place != Place::Reserved(w);
            !worker.is_stopped && (0..JOBS).any(is_gone)
        };
        self.mistake == Mistake::PruneAtOnce || !state.workers.iter().enumerate().any(holds_what_is_gone)
    }

    /// `Worker::prune` and `ledger::prune`: forgets what was counted longer than the window before the oldest job left was put.
    pub(crate) fn prune(&self, state: &mut State, w: usize) {
        let Phase::Looked { passed, .. } = state.workers[w].phase else {
            return;
        };
        state.workers[w].phase = Phase::Idle;
        let passed = match self.mistake {
            Mistake::PruneWithoutLook => Some(state.now),
            _ => passed,
        };
        let Some(passed) = passed else { return };
        let age = state.now - passed + self.bounds.window;
        let server = &mut state.servers[state.workers[w].server];
        let reached = server.reached;
        for row in &mut server.ledger {
            *row = row.filter(|stamp| stamp + age >= reached);
        }
    }
}

/// `Consumer::reserve_ready`: beanstalkd gives the ready job with the lowest number.
pub(crate) fn reserve(state: &mut State, w: usize) {
    let ready = (0..JOBS).filter(|&job| state.jobs[job].place == Place::Ready);
    if let Some(job) = ready.min_by_key(|&job| state.jobs[job].number) {
        state.jobs[job].place = Place::Reserved(w);
        state.workers[w].held |= 1 << job;
    }
}

/// A worker stands still for so long that its jobs go to others, or its queue does not answer.
pub(crate) fn stop(state: &mut State, w: usize) {
    state.workers[w].is_stopped = true;
    for job in &mut state.jobs {
        if job.place == Place::Reserved(w) {
            job.place = Place::Ready;
        }
    }
}

/// Whether an instant may pass. Those between which the ledger grows old are far apart: a worker that holds a job over such a time
/// stands still, whatever it is at.
pub(crate) fn may_tick(bounds: &Bounds, state: &State) -> bool {
    let is_idle = |worker: &Worker| worker.phase == Phase::Idle && worker.held == 0;
    let workers = &state.workers[..bounds.workers];
    bounds.prunes_max == 0 || workers.iter().all(|worker| worker.is_stopped || is_idle(worker))
}

/// The clock of the region's servers is set ahead by more than the ledger's window, or back again.
pub(crate) fn jump_clock(state: &mut State, window: u8) {
    state.ahead = window + 1 - state.ahead;
}
