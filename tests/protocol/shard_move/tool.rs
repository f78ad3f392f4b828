//! The steps of the command. Each is one statement or transaction, or the rename of a file.

use super::Mistake;
use super::state::{Counts, PIECES, REGIONS, Replication, Server, Snapshot, State, Tool, is_behind};

/// From the first to the last; then what the other server has is given up. It begins at [`Step::Forget`] where the receiver is the owner
/// already, and at [`Step::TakeOver`] where its copy is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub(super) enum Step {
    /// The receiver's option file lets the shard through.
    WidenFile,
    /// The receiver's replication is stopped.
    StopReceiver,
    /// Its running filters let the shard through, which a server refuses while replication runs.
    WidenFilters,
    /// Of the giver, once it is not behind the receiver.
    Snapshot,
    /// The receiver runs until the snapshot's position, and stops there.
    CatchUp,
    /// Stopped there, it throws away what it has of the shard.
    Empty,
    /// Its replication goes on.
    Start,
    /// A piece of the snapshot is added; with the last one the copy is whole.
    Copy(usize),
    /// Readers ask the receiver from now on, once it is not behind the giver.
    TakeOver,
    /// The other server's copy is not whole any more.
    Forget,
    /// The other server's option file keeps the shard out.
    NarrowFile,
    /// Its replication is stopped.
    StopOther,
    /// Its running filters keep the shard out.
    NarrowFilters,
    /// What it has of the shard is thrown away.
    EmptyOther,
    /// Its replication goes on.
    StartOther,
}

impl Tool {
    pub(super) fn begin(state: &State, to: usize, mistake: Mistake) -> Self {
        let step = if state.owner == to {
            Step::Forget
        } else if state.servers[to].is_whole {
            Step::TakeOver
        } else if mistake == Mistake::WidenRunningFilterOnly {
            Step::StopReceiver
        } else {
            Step::WidenFile
        };
        Self {
            to,
            step,
            snapshot: None,
        }
    }

    /// Takes its step in `state`, and returns the next one; `None` at the end. A step that has to wait is its own next one.
    pub(super) fn take(&mut self, state: &mut State, mistake: Mistake) -> Option<Step> {
        let [mut receiver, mut other] = [self.to, 1 - self.to].map(|at| state.servers[at].clone());
        let next = match self.step {
            Step::TakeOver
                if is_behind(&receiver.position, &other.position) && mistake != Mistake::TakeOverBehind =>
            {
                Some(Step::TakeOver)
            }
            Step::TakeOver => {
                state.owner = self.to;
                Some(Step::Forget)
            }
            // By mistake, the owner.
            Step::EmptyOther if state.owner != self.to => {
                other.replication = [Replication::Runs; REGIONS];
                Some(Step::TakeOver)
            }
            step if step > Step::TakeOver => give_up(step, &mut other, mistake),
            Step::Copy(piece) => Some(self.copy(piece, &mut receiver, mistake)),
            _ => Some(self.prepare(&mut receiver, &other, mistake)),
        };
        state.servers[self.to] = receiver;
        state.servers[1 - self.to] = other;
        next
    }

    /// Until the receiver applies the shard from the position of a snapshot on.
    fn prepare(&mut self, receiver: &mut Server, giver: &Server, mistake: Mistake) -> Step {
        let position = self.snapshot.as_ref().map(|snapshot| snapshot.position);
        let is_there = position == Some(receiver.position) || mistake == Mistake::EmptyElsewhere;
        match (self.step, position) {
            (Step::WidenFile, _) => {
                receiver.option_file = true;
                Step::StopReceiver
            }
            (Step::WidenFilters, _) if receiver.is_stopped() => {
                if mistake != Mistake::WidenAfterCopy {
                    receiver.filters = [true; REGIONS];
                }
                Step::Snapshot
            }
            (Step::Snapshot, _) if receiver.is_stopped() => {
                if is_behind(&giver.position, &receiver.position) {
                    return Step::Snapshot;
                }
                self.snapshot = Some(Snapshot {
                    position: giver.position,
                    shard: giver.shard,
                });
                Step::CatchUp
            }
            (Step::CatchUp, Some(_)) if is_there => Step::Empty,
            (Step::CatchUp, Some(until)) if !is_behind(&until, &receiver.position) => {
                receiver.run_until(&until);
                Step::CatchUp
            }
            (Step::Empty, Some(_)) if is_there && receiver.is_stopped() => {
                if mistake != Mistake::KeepLeftovers {
                    receiver.shard = Counts::default();
                }
                Step::Start
            }
            (Step::Start, _) => {
                receiver.replication = [Replication::Runs; REGIONS];
                Step::Copy(0)
            }
            // Once more: at the beginning, or since a server was restarted meanwhile.
            _ => {
                receiver.replication = [Replication::Stopped; REGIONS];
                self.snapshot = None;
                Step::WidenFilters
            }
        }
    }

    fn copy(&self, piece: usize, receiver: &mut Server, mistake: Mistake) -> Step {
        let Some(snapshot) = &self.snapshot else {
            return Step::StopReceiver;
        };
        let counts = receiver.shard[piece].as_flattened_mut();
        for (count, copied) in counts.iter_mut().zip(snapshot.shard[piece].as_flattened()) {
            *count += copied;
        }
        let is_last = piece + 1 == PIECES;
        receiver.is_whole = is_last || mistake == Mistake::WholeTooEarly;
        match mistake {
            _ if !is_last => Step::Copy(piece + 1),
            Mistake::NarrowFirst => Step::NarrowFile,
            Mistake::WidenAfterCopy => {
                receiver.filters = [true; REGIONS];
                Step::TakeOver
            }
            _ => Step::TakeOver,
        }
    }
}

/// What comes after the change of the owner.
fn give_up(step: Step, other: &mut Server, mistake: Mistake) -> Option<Step> {
    match step {
        Step::Forget => {
            other.is_whole = mistake == Mistake::KeepWhole && other.is_whole;
            Some(Step::NarrowFile)
        }
        Step::NarrowFile => {
            other.option_file = false;
            Some(Step::StopOther)
        }
        Step::NarrowFilters if other.is_stopped() => {
            other.filters = [false; REGIONS];
            Some(Step::EmptyOther)
        }
        Step::EmptyOther => {
            other.shard = Counts::default();
            Some(Step::StartOther)
        }
        Step::StartOther => {
            other.replication = [Replication::Runs; REGIONS];
            None
        }
        _ => {
            other.replication = [Replication::Stopped; REGIONS];
            Some(Step::NarrowFilters)
        }
    }
}
