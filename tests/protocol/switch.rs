//! The region moves to another server while the old one answers: `planned::run` (crates/eventtracker/src/commands/region/switch/planned.rs),
//! at each centre. Each step is durable, so a crash of the command only delays the next one.

use crate::bounds::{BATCHES, Mistake};
use crate::model::{Action, Protocol};
use crate::state::State;

impl Protocol {
    /// The steps of a switch that may come next.
    pub(crate) fn switch_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let [old, new] = &state.servers;
        let is_fenced = old.is_fenced || self.mistake == Mistake::MoveWithoutFence;
        if !is_fenced {
            actions.push(Action::Fence);
        } else if !new.has_ledger {
            actions.push(Action::CopyLedger);
        }
        for (c, centre) in state.centres.iter().enumerate().filter(|_| new.has_ledger) {
            let has_all = centre.applied[0] == old.binlog.len() || self.mistake == Mistake::MoveBeforeApplied;
            if centre.source == 0 && has_all {
                actions.push(Action::TakeOver(c));
            }
        }
        for w in (0..self.bounds.workers).filter(|_| new.has_ledger) {
            if state.workers[w].server == 0 {
                actions.push(Action::PointWorker(w));
            }
        }
    }

    /// `finish_ledger` (crates/store/src/setup/ledger.rs), to a server on which `schema apply` was run just before
    /// (schema/regional/ledger_clock_row.sql). The copy of most of it before the fence only saves time.
    pub(crate) fn copy_ledger(&self, state: &mut State) {
        let server_clock = state.server_clock();
        let [old, new] = &mut state.servers;
        new.has_ledger = true;
        new.seen_at = server_clock;
        new.ledger = match self.mistake {
            Mistake::MoveWithoutLedger => [None; BATCHES],
            _ => old.ledger,
        };
        new.reached = match self.mistake {
            Mistake::MoveToAClockAhead => old.reached.max(server_clock),
            _ => old.reached,
        };
        new.mark = old.mark;
    }
}
