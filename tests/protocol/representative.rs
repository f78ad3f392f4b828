//! States that no promise and no later step tells apart: the checker visits one of them.

use stateright::Representative;

use crate::bounds::JOBS;
use crate::state::{Flush, Phase, Place, State, Task, Watermark};
use crate::watermark::is_looking;

impl Representative for State {
    fn representative(&self) -> Self {
        let mut state = self.clone();
        state.forget_what_was_applied();
        let phases = self.workers.each_ref().map(|worker| worker.phase);
        let is_pruning = |phase| {
            matches!(
                phase,
                Phase::Looked {
                    task: Task::Prune,
                    ..
                }
            )
        };
        if self.prunes_left == 0 && !phases.iter().any(|&phase| is_looking(phase) || is_pruning(phase)) {
            state.forget_ages();
            if self.looks_left == 0 {
                state.forget_numbers();
            }
        }
        if state.workers[0] > state.workers[1] {
            state.swap_workers();
        }
        state
    }
}

impl State {
    /// Nobody reads a transaction again that all centres have applied.
    fn forget_what_was_applied(&mut self) {
        for (at, server) in self.servers.iter_mut().enumerate() {
            let positions = self.centres.iter().map(|centre| centre.applied[at]);
            let applied = positions.min().unwrap_or(0);
            for flush in server.binlog.iter_mut().take(applied) {
                *flush = Flush::default();
            }
        }
    }

    /// Without a pruning to come, rows of the ledger have no age.
    fn forget_ages(&mut self) {
        for server in &mut self.servers {
            server.ledger = server.ledger.map(|stamp| stamp.map(|_| 0));
            server.reached = 0;
            server.seen_at = 0;
        }
        for worker in &mut self.workers {
            worker.gap = 0;
        }
        self.ahead = 0;
    }

    /// Without a look to come, all that is left of numbers is the order of the jobs, and of processes, who is connected.
    fn forget_numbers(&mut self) {
        let numbers = self.jobs.map(|job| job.number);
        for job in &mut self.jobs {
            let before = (0..JOBS).filter(|&other| numbers[other] < job.number);
            job.number = before.fold(0, |rank, _| rank + 1);
        }
        for worker in &mut self.workers {
            worker.connected_to = u8::from(worker.connected_to == self.queue.process);
            worker.watermark = Watermark::default();
        }
        for server in &mut self.servers {
            server.mark = None;
        }
        self.queue.process = 1;
        self.queue.next = 0;
        self.queue.first = 0;
    }

    /// Nothing tells the two workers apart but their numbers.
    fn swap_workers(&mut self) {
        self.workers.swap(0, 1);
        for job in &mut self.jobs {
            if let Place::Reserved(worker) = &mut job.place {
                *worker = 1 - *worker;
            }
        }
        let binlogs = self.servers.iter_mut().flat_map(|server| &mut server.binlog);
        for (worker, _) in binlogs.filter_map(|flush| flush.claim.as_mut()) {
            *worker = 1 - *worker;
        }
        for centre in &mut self.centres {
            centre.claims.swap(0, 1);
        }
    }
}
