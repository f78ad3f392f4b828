//! Regions, servers, and the command that moves the shard.

use super::tool::Step;

pub(super) const REGIONS: usize = 2;

/// Transactions of each region.
pub(super) const WRITES: u8 = 2;

/// Parts of the shard, each of which is copied in a transaction.
pub(super) const PIECES: usize = 2;

/// How often each transaction of each region is counted in each piece.
pub(super) type Counts = [[[u8; WRITES as usize]; REGIONS]; PIECES];

/// The next transaction of each region.
pub(super) type Position = [u8; REGIONS];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Replication {
    Stopped,
    Runs,
    /// `START SLAVE … UNTIL`: stops before this transaction.
    Until(u8),
}

/// A server of the centre. Position, shard and `is_whole` are in tables of InnoDB.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Server {
    pub(super) position: Position,
    pub(super) replication: [Replication; REGIONS],
    /// Whether the running connections apply the shard.
    pub(super) filters: [bool; REGIONS],
    /// Whether they do after a restart.
    pub(super) option_file: bool,
    pub(super) shard: Counts,
    /// Whether the shard has everything up to the position.
    pub(super) is_whole: bool,
}

/// The shard as of one moment. It lives as long as its connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Snapshot {
    pub(super) position: Position,
    pub(super) shard: Counts,
}

/// `eventtracker shard move` while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Tool {
    pub(super) to: usize,
    pub(super) step: Step,
    pub(super) snapshot: Option<Snapshot>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// The ends of the regions' binlogs.
    pub(super) written: Position,
    pub(super) servers: [Server; 2],
    /// The server that readers ask.
    pub(super) owner: usize,
    /// What they have been told that they have.
    pub(super) shown: Position,
    pub(super) tool: Option<Tool>,
    pub(super) faults_left: u8,
    pub(super) commands_left: u8,
}

/// Whether a position lacks a transaction that another one has.
pub(super) fn is_behind(position: &Position, other: &Position) -> bool {
    position.iter().zip(other).any(|(own, other)| own < other)
}

impl Server {
    pub(super) fn first(applies: bool) -> Self {
        Self {
            position: [0; REGIONS],
            replication: [Replication::Runs; REGIONS],
            filters: [applies; REGIONS],
            option_file: applies,
            shard: Counts::default(),
            is_whole: applies,
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.replication == [Replication::Stopped; REGIONS]
    }

    /// Starts replication of the regions that are not so far, until they are.
    pub(super) fn run_until(&mut self, position: &Position) {
        for (region, &until) in position.iter().enumerate() {
            if self.position[region] < until && self.replication[region] == Replication::Stopped {
                self.replication[region] = Replication::Until(until);
            }
        }
    }

    pub(super) fn may_apply(&self, region: usize, written: u8) -> bool {
        self.replication[region] != Replication::Stopped && self.position[region] < written
    }

    /// Applies the next transaction, or passes it over: rows and position in one transaction.
    pub(super) fn apply(&mut self, region: usize) {
        let next = self.position[region];
        if self.filters[region] {
            for piece in &mut self.shard {
                piece[region][usize::from(next)] += 1;
            }
        }
        self.position[region] += 1;
        if self.replication[region] == Replication::Until(self.position[region]) {
            self.replication[region] = Replication::Stopped;
        }
    }

    /// A restart at any moment: replication starts by itself.
    pub(super) fn restart(&mut self) {
        self.replication = [Replication::Runs; REGIONS];
        self.filters = [self.option_file; REGIONS];
    }

    /// Whether each transaction is counted as often as `is_right` says, which is told whether the position has it.
    pub(super) fn all_counted(&self, is_right: impl Fn(u8, bool) -> bool) -> bool {
        let mut counts = self.shard.iter().flat_map(|piece| piece.iter().enumerate());
        counts.all(|(region, counts)| {
            let mut counts = counts.iter().zip(0_u8..);
            counts.all(|(&count, number)| is_right(count, number < self.position[region]))
        })
    }
}
