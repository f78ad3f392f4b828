//! Clients, collectors and beanstalkd.

use crate::bounds::{BATCH_OF, JOBS, Looks, Mistake};
use crate::model::{Action, Protocol};
use crate::state::{Phase, Place, State};

impl Protocol {
    /// What clients, collectors and beanstalkd may do.
    pub(crate) fn queue_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for job in (0..JOBS).filter(|&job| self.bounds.jobs[job]) {
            let of_job = &state.jobs[job];
            // The second one repeats the first: a client under its key, at another collector, before or after an answer; or the
            // collector's own repetition after a lost reply (`Producer::put`), which has the same ids.
            let is_first = job == 0 || BATCH_OF[job] != BATCH_OF[job - 1];
            match of_job.place {
                Place::Unsent if is_first || state.jobs[job - 1].place != Place::Unsent => {
                    actions.push(Action::Send(job));
                }
                Place::BeingPut if self.is_in_time(state, job) => actions.push(Action::Store(job)),
                _ => {}
            }
            if of_job.is_awaited && of_job.place != Place::BeingPut {
                actions.push(Action::Acknowledge(job));
            }
        }
        if state.faults_left > 0 && self.bounds.parts_fail {
            for job in 0..JOBS {
                if state.jobs[job].is_awaited {
                    actions.push(Action::LoseReply(job));
                }
                if matches!(state.jobs[job].place, Place::Reserved(_)) {
                    actions.push(Action::Expire(job));
                }
            }
            let holds_something = state
                .jobs
                .iter()
                .any(|job| job.place == Place::BeingPut || job.is_stored());
            if holds_something || self.bounds.looks != Looks::None {
                actions.push(Action::CrashQueue);
            }
        }
    }

    /// Whether a job may still be put: a client repeats a request for the ledger's window after it was counted, at most.
    fn is_in_time(&self, state: &State, job: usize) -> bool {
        state.counted[BATCH_OF[job]].is_none_or(|counted| state.now - counted <= self.bounds.window)
    }

    /// `Producer::put_once`: beanstalkd gives the job a number when its header has come.
    pub(crate) fn send(&self, state: &mut State, job: usize) {
        let of_job = &mut state.jobs[job];
        of_job.place = Place::BeingPut;
        of_job.number = state.queue.next;
        of_job.is_awaited = true;
        state.queue.next += 1;
        // Only a look question by question tells the two apart.
        if !self.looks_in_steps() {
            if self.is_in_time(state, job) {
                state.jobs[job].place = Place::Ready;
            } else {
                lose_reply(state, job);
            }
        }
    }

    /// A crash of beanstalkd, or of its machine: what was synced comes back from its log, ready. Numbers go on behind the last job left.
    pub(crate) fn crash_queue(&self, state: &mut State, is_power_cut: bool) {
        let forgets = is_power_cut && self.mistake == Mistake::SyncNothing;
        for job in 0..JOBS {
            if state.jobs[job].place == Place::BeingPut || forgets && state.jobs[job].is_stored() {
                lose_reply(state, job);
                state.jobs[job].remove(Place::Lost);
            }
            if state.jobs[job].is_stored() {
                state.jobs[job].place = Place::Ready;
            }
        }
        let stored = state.jobs.iter().filter(|job| job.is_stored());
        let last = stored.map(|job| job.number).max().unwrap_or(0);
        state.queue.process += 1;
        state.queue.next = last + 1;
        state.queue.first = last + 1;
        for worker in &mut state.workers {
            // Nothing is lost with the connection of a worker that holds nothing.
            if worker.phase == Phase::Idle && worker.held == 0 {
                worker.connected_to = state.queue.process;
            }
        }
    }
}

/// `put_in_turn` (crates/collector/src/putter.rs): the 202, once every job is on disk.
pub(crate) fn acknowledge(state: &mut State, job: usize) {
    state.jobs[job].is_awaited = false;
    state.acknowledged[BATCH_OF[job]].get_or_insert(state.now);
}

/// A collector that dies, or its connection: a job whose body has not come is none.
pub(crate) fn lose_reply(state: &mut State, job: usize) {
    let job = &mut state.jobs[job];
    job.is_awaited = false;
    if job.place == Place::BeingPut {
        job.remove(Place::Lost);
    }
}
