//! What bounds a model, and what is done wrong in it.

/// Requests whose counts are followed, each of one batch. The first is sent with a key.
pub(crate) const BATCHES: usize = 2;

/// Jobs that are put: two with the first batch, which is sent again, and one with the second.
pub(crate) const JOBS: usize = 3;

/// The batch that each job holds.
pub(crate) const BATCH_OF: [usize; JOBS] = [0, 0, 1];

/// Workers of the region.
pub(crate) const WORKERS: usize = 2;

/// Servers that the region's database is on, one after the other.
pub(crate) const SERVERS: usize = 2;

/// How a worker looks at the queue before it commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Looks {
    /// Not at all: nothing is claimed.
    None,
    /// In one step.
    Whole,
    /// Question by question, while others go on.
    Steps,
}

/// The bounds of a model. What has happened as often as it may does not happen any more.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// The jobs that are put; `[true, true, false]` is one batch that is sent twice.
    pub(crate) jobs: [bool; JOBS],
    /// Number of workers.
    pub(crate) workers: usize,
    /// Number of centres.
    pub(crate) centres: usize,
    /// The last instant of time.
    pub(crate) last_instant: u8,
    /// Crashes, losses, expiries, power cuts, stops and jumps of a clock, in all.
    pub(crate) faults: u8,
    /// How workers look at the queue.
    pub(crate) looks: Looks,
    /// Looks at the queue, in all.
    pub(crate) looks_max: u8,
    /// Whether workers also claim while they hold jobs that they do not commit yet.
    pub(crate) reports: bool,
    /// Instants for which the ledger remembers a batch: `worker.ledger_window_s`. With 0, a client repeats a request within the instant.
    pub(crate) window: u8,
    /// Prunings of the ledger, in all; each needs a look.
    pub(crate) prunes_max: u8,
    /// Whether clocks jump and workers stand still, among the faults.
    pub(crate) clocks_fail: bool,
    /// Whether queue, database, collectors, workers and centres fail, among the faults.
    pub(crate) parts_fail: bool,
    /// Packings of each centre.
    pub(crate) packs_max: u8,
    /// Whether keepers purge binlogs.
    pub(crate) purges: bool,
    /// Whether the region moves to another server.
    pub(crate) moves: bool,
}

impl Bounds {
    /// One worker counts one batch of one job, nothing fails, nobody looks: what the others are written as a difference to.
    pub(crate) const LEAST: Self = Self {
        jobs: [true, false, false],
        workers: 1,
        centres: 1,
        last_instant: 0,
        faults: 0,
        looks: Looks::None,
        looks_max: 0,
        reports: false,
        window: 0,
        prunes_max: 0,
        clocks_fail: false,
        parts_fail: true,
        packs_max: 0,
        purges: false,
        moves: false,
    };
}

/// What is done otherwise than the protocol says. Each breaks a promise, which the checker has to notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Mistake {
    /// Nothing.
    None,
    /// beanstalkd acknowledges a job before it has synced it: `-b DIR` without `-f0`.
    SyncNothing,
    /// A worker deletes its jobs, then commits.
    DeleteBeforeCommit,
    /// Counts are committed without a look into the ledger.
    CountUnasked,
    /// A claim is dated by a clock that was read after the look at the queue, not before it.
    ClockReadAfterLook,
    /// A look that finds nothing in any state raises the low mark over all numbers given, also over those of jobs being put.
    MarkRaisedWithoutScan,
    /// A worker's claim takes the place of an earlier one that said more.
    ClaimFallsBack,
    /// A worker commits jobs that it has held for longer than their time to run.
    CommitStaleJobs,
    /// The ledger's clock is the server's, which jumps.
    PruneByAJumpedClock,
    /// The ledger is pruned by the age of its rows alone, however old the jobs in the queue are.
    PruneWithoutLook,
    /// The ledger is pruned right after the look, while other workers hold jobs that are not in the queue any more.
    PruneAtOnce,
    /// Rows of the ledger are stamped with its clock as the last flush left it, however long ago that was.
    StampBeforeAdvance,
    /// Time in which a worker stood still counts for the ledger, up to what the clock of the server says.
    GapCounts,
    /// A new server's ledger goes on by its own clock where that is ahead of the one that its rows are stamped by.
    MoveToAClockAhead,
    /// The region moves without its ledger.
    MoveWithoutLedger,
    /// The region moves while workers still count on the old server.
    MoveWithoutFence,
    /// A centre reads the new server before it has applied the rest of the old one's binlog.
    MoveBeforeApplied,
    /// A keeper asks its own centre alone before it purges.
    PurgeWithoutSecondCentre,
    /// A centre commits counts and their position one after the other.
    PositionApart,
    /// A keeper deletes minutes and writes the packed day in two transactions.
    PackWithoutTransaction,
    /// A keeper reads minutes first and deletes them afterwards, whatever has come in between.
    PackReadsFirst,
}
