//! A worker's look at the queue: `Worker::look` (crates/worker/src/lib.rs), `Consumer::look` (crates/queue/src/consumer.rs) and
//! `Watermark::look` (crates/queue/src/watermark.rs), cut where a question goes to beanstalkd.

use crate::bounds::{Looks, Mistake};
use crate::model::Protocol;
use crate::state::{LowMark, Phase, Place, State, Task, Watermark};

impl Protocol {
    /// Reads the region's clock and the shared mark, in one statement (`Regional::clock`), before anything is asked of beanstalkd.
    pub(crate) fn begin_look(&self, state: &mut State, worker: usize, task: Task) {
        if task == Task::Prune {
            state.prunes_left -= 1;
        } else {
            state.looks_left -= 1;
        }
        state.workers[worker].phase = Phase::Asking {
            task,
            now: state.now,
            shared: state.servers[state.workers[worker].server].mark,
        };
        while self.bounds.looks != Looks::Steps && is_looking(state.workers[worker].phase) {
            self.look_on(state, worker);
        }
    }

    /// Asks the next question. A look whose connection is lost takes the watermark with it.
    pub(crate) fn look_on(&self, state: &mut State, worker: usize) {
        if state.workers[worker].connected_to != state.queue.process {
            state.workers[worker].watermark = Watermark::default();
            self.give_back(state, worker);
            return;
        }
        state.workers[worker].phase = match state.workers[worker].phase {
            Phase::Asking { task, now, shared } => self.ask_for_the_tube(state, worker, (task, now, shared)),
            Phase::Fencing { task, now, mark } => put_fence(state, worker, (task, now, mark)),
            Phase::Scanning { task, mark, id, end } => scan(state, worker, task, mark, id..end),
            phase => phase,
        };
    }

    /// `Watermark::look`, up to the fence. A job that is being put is in no state.
    fn ask_for_the_tube(
        &self,
        state: &mut State,
        worker: usize,
        (task, now, shared): (Task, u8, Option<LowMark>),
    ) -> Phase {
        let is_empty = !state.jobs.iter().any(|job| job.is_stored());
        let watermark = &mut state.workers[worker].watermark;
        let mut mark = watermark.low_mark_of(state.queue.process, shared);
        if !is_empty {
            return Phase::Fencing { task, now, mark };
        }
        let read_from_log = match self.mistake {
            Mistake::MarkRaisedWithoutScan => state.queue.next,
            _ => watermark.first_of_process.unwrap_or(1),
        };
        mark.lowest = mark.lowest.max(read_from_log);
        watermark.set(mark);
        Phase::Looked {
            task,
            passed: Some(now),
        }
    }
}

/// Whether a question is left to ask.
pub(crate) fn is_looking(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Asking { .. } | Phase::Fencing { .. } | Phase::Scanning { .. }
    )
}

/// `Watermark::put_fence`. That a drain or a full disk refuses fences is not modelled: claims only wait then.
fn put_fence(state: &mut State, worker: usize, (task, now, mark): (Task, u8, LowMark)) -> Phase {
    let watermark = &mut state.workers[worker].watermark;
    let number = state.queue.next;
    state.queue.next += 1;
    watermark.first_of_process.get_or_insert(state.queue.first);
    watermark.gone |= 1 << number;
    watermark.fences.push((number, now));
    Phase::Scanning {
        task,
        mark,
        id: mark.lowest,
        end: number,
    }
}

/// `Watermark::scan`, up to the first number that has to be asked for.
fn scan(
    state: &mut State,
    worker: usize,
    task: Task,
    mut mark: LowMark,
    numbers: std::ops::Range<u8>,
) -> Phase {
    let mut has_asked = false;
    for id in numbers.clone() {
        let is_held = task == Task::Flush
            && (0..state.jobs.len())
                .any(|job| state.workers[worker].holds(job) && state.jobs[job].number == id);
        if !is_held && state.workers[worker].watermark.gone & (1 << id) == 0 {
            if has_asked {
                let end = numbers.end;
                return Phase::Scanning { task, mark, id, end };
            }
            has_asked = true;
            let is_left = |place| !matches!(place, Place::Unsent | Place::Lost | Place::Gone);
            if state
                .jobs
                .iter()
                .any(|job| job.number == id && is_left(job.place))
            {
                return looked(state, worker, task, mark, id);
            }
            state.workers[worker].watermark.gone |= 1 << id;
        }
        // The mark stops at a held number, although the claim may pass it.
        if id == mark.lowest && !is_held {
            mark.lowest += 1;
        }
    }
    looked(state, worker, task, mark, numbers.end)
}

/// The end of `Watermark::look`: every job below `reached` is gone or held.
fn looked(state: &mut State, worker: usize, task: Task, mark: LowMark, reached: u8) -> Phase {
    let watermark = &mut state.workers[worker].watermark;
    watermark.set(mark);
    let passed = watermark.fences.iter().rfind(|fence| fence.0 <= reached);
    let passed = passed.map(|fence| fence.1);
    Phase::Looked { task, passed }
}

impl Watermark {
    /// `Watermark::low_mark_of`: the higher of the own mark and the shared one, in this process of beanstalkd.
    fn low_mark_of(&mut self, process: u8, shared: Option<LowMark>) -> LowMark {
        let own = self.mark.take().filter(|mark| mark.process == process);
        let mut mark = own.unwrap_or_else(|| {
            *self = Self::default();
            LowMark { process, lowest: 1 }
        });
        if let Some(shared) = shared.filter(|shared| shared.process == process) {
            mark.lowest = mark.lowest.max(shared.lowest);
        }
        mark
    }

    /// `Watermark::set`: takes the mark over, and forgets what it makes superfluous.
    fn set(&mut self, mark: LowMark) {
        self.gone &= u32::MAX << mark.lowest;
        while self.fences.get(1).is_some_and(|fence| fence.0 <= mark.lowest) {
            self.fences.remove(0);
        }
        self.mark = Some(mark);
    }
}
