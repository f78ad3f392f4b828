//! The steps of the whole, as the checker takes them, and what is promised.

use stateright::{Model, Property};

use super::Mistake;
use super::state::{Counts, REGIONS, Replication, Server, State, Tool, WRITES, is_behind};
use super::tool::Step;

pub(super) const ONCE: &str = "each transaction is counted at most once by who is asked";
pub(super) const NEVER_LOST: &str = "what the owner's position says is counted";
pub(super) const NOT_BACK: &str = "nothing that was shown is taken back";
const RUNS: &str = "who is asked goes on replicating";

/// Moves within bounds, with one mistake or none.
#[derive(Debug, Clone)]
pub(super) struct Move {
    pub(super) mistake: Mistake,
    pub(super) faults: u8,
    pub(super) commands: u8,
}

/// Regions and servers are given by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// A region commits a transaction.
    Write(usize),
    /// A server applies a region's next transaction, or passes it over.
    Apply(usize, usize),
    /// A server is restarted.
    Restart(usize),
    /// The command is given, with the server that is to own the shard.
    Begin(usize),
    /// The command takes its next step.
    Take(Step),
    /// It is killed.
    Kill,
}

impl Model for Move {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            written: [0; REGIONS],
            servers: [Server::first(true), Server::first(false)],
            owner: 0,
            shown: [0; REGIONS],
            tool: None,
            faults_left: self.faults,
            commands_left: self.commands,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for region in 0..REGIONS {
            if state.written[region] < WRITES {
                actions.push(Action::Write(region));
            }
            let may_apply = |&at: &usize| state.servers[at].may_apply(region, state.written[region]);
            actions.extend((0..2).filter(may_apply).map(|at| Action::Apply(at, region)));
        }
        match &state.tool {
            Some(tool) => actions.push(Action::Take(tool.step)),
            None if state.commands_left > 0 => actions.extend((0..2).map(Action::Begin)),
            None => {}
        }
        if state.faults_left > 0 {
            actions.extend((0..2).map(Action::Restart));
            actions.extend(state.tool.as_ref().map(|_| Action::Kill));
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Write(region) => state.written[region] += 1,
            Action::Apply(at, region) => state.servers[at].apply(region),
            Action::Restart(at) => {
                state.servers[at].restart();
                // With the giver's connections its snapshot is gone.
                if let Some(tool) = state.tool.as_mut().filter(|tool| tool.to != at) {
                    tool.snapshot = None;
                }
            }
            Action::Begin(to) => {
                state.tool = Some(Tool::begin(&state, to, self.mistake));
                state.commands_left -= 1;
            }
            Action::Take(_) => {
                let mut tool = state.tool.take()?;
                state.tool = tool
                    .take(&mut state, self.mistake)
                    .map(|step| Tool { step, ..tool });
            }
            Action::Kill => state.tool = None,
        }
        for (shown, position) in state.shown.iter_mut().zip(&state.servers[state.owner].position) {
            *shown = (*shown).max(*position);
        }
        // A fault that changes nothing is none, and a step that waits is not taken.
        if state == *before {
            return None;
        }
        state.faults_left -= u8::from(matches!(action, Action::Restart(_) | Action::Kill));
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONCE, |_, state: &State| {
                state.servers[state.owner].all_counted(|count, is_applied| count <= u8::from(is_applied))
            }),
            Property::always(NEVER_LOST, |_, state: &State| {
                state.servers[state.owner].all_counted(|count, is_applied| count >= u8::from(is_applied))
            }),
            Property::always(NOT_BACK, |_, state: &State| {
                !is_behind(&state.servers[state.owner].position, &state.shown)
            }),
            Property::always(RUNS, |_, state: &State| {
                state.servers[state.owner].replication == [Replication::Runs; REGIONS]
            }),
            Property::sometimes(
                "the shard has moved, after faults, with all that was written",
                |_, state: &State| state.owner == 1 && state.is_settled() && state.faults_left == 0,
            ),
            Property::sometimes("it has moved back", |model: &Self, state: &State| {
                state.owner == 0
                    && state.is_settled()
                    && state.commands_left + 2 <= model.commands
                    && state.faults_left == 0
            }),
        ]
    }
}

impl State {
    /// Whether nobody moves anything, all is applied, and only the owner has the shard.
    fn is_settled(&self) -> bool {
        let other = &self.servers[1 - self.owner];
        self.tool.is_none()
            && self.written == [WRITES; REGIONS]
            && self.servers.iter().all(|server| server.position == self.written)
            && other.shard == Counts::default()
    }
}
