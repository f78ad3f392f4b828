//! The state of the whole: everything that outlives a step.

use crate::bounds::{BATCH_OF, BATCHES, Bounds, JOBS, SERVERS, WORKERS};

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// Not put yet.
    Unsent,
    /// It has a number and its body has not come: beanstalkd counts it in no state.
    BeingPut,
    /// On beanstalkd's disk, free to be reserved.
    Ready,
    /// On beanstalkd's disk, reserved by a worker.
    Reserved(usize),
    /// Never stored, or forgotten by a disk.
    Lost,
    /// Deleted by a worker.
    Gone,
}

/// A job, and the request that it came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Job {
    pub(crate) place: Place,
    /// beanstalkd's number; 0 where it has none.
    pub(crate) number: u8,
    /// Whether a collector still waits for the answer, to pass it on to the client.
    pub(crate) is_awaited: bool,
}

/// beanstalkd, beside its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Queue {
    /// The process, by the number of its start.
    pub(crate) process: u8,
    /// The number of the next job or fence.
    pub(crate) next: u8,
    /// The first number that this process has given.
    pub(crate) first: u8,
}

/// `queue::LowMark`: in the tube of `process`, no job with a number below `lowest` is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LowMark {
    pub(crate) process: u8,
    pub(crate) lowest: u8,
}

/// `queue::watermark::Watermark`, field by field.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Watermark {
    pub(crate) mark: Option<LowMark>,
    /// Numbers whose jobs are gone, as bits.
    pub(crate) gone: u32,
    /// Fences: a number, and an instant at which it had not been given yet.
    pub(crate) fences: Vec<(u8, u8)>,
    pub(crate) first_of_process: Option<u8>,
}

/// What a look at the queue is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Task {
    /// To commit what is held.
    Flush,
    /// To claim, while what is held stays held.
    Report,
    /// To prune the ledger.
    Prune,
}

/// What a worker is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Phase {
    /// Between two flushes: it may reserve.
    Idle,
    /// It has read the clock and the shared mark, and asks for the tube's state next.
    Asking {
        task: Task,
        now: u8,
        shared: Option<LowMark>,
    },
    /// It puts a fence next.
    Fencing { task: Task, now: u8, mark: LowMark },
    /// It asks for the job `id` next, and for no job from `end` on.
    Scanning {
        task: Task,
        mark: LowMark,
        id: u8,
        end: u8,
    },
    /// The look is over: everything acknowledged before `passed` is gone or held.
    Looked { task: Task, passed: Option<u8> },
    /// It has committed, and deletes what it holds.
    Deleting,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Worker {
    pub(crate) phase: Phase,
    /// The jobs that it believes to hold, as bits.
    pub(crate) held: u8,
    /// The process of beanstalkd that its connection is to.
    pub(crate) connected_to: u8,
    /// The database server that its configuration names.
    pub(crate) server: usize,
    pub(crate) watermark: Watermark,
    /// Whether it stands still, or its queue does not answer: it commits and claims nothing.
    pub(crate) is_stopped: bool,
    /// Instants since its last flush, where it has stood still.
    pub(crate) gap: u8,
}

/// A transaction of a worker, as it stands in the binlog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Flush {
    /// The batches that it counts.
    pub(crate) counts: [bool; BATCHES],
    /// The worker that claims, and until when.
    pub(crate) claim: Option<(usize, u8)>,
}

/// A server of the region's database.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    /// `CountedBatch`: the instant that a batch was counted, by the ledger's clock.
    pub(crate) ledger: [Option<u8>; BATCHES],
    /// `LedgerClock.reached`.
    pub(crate) reached: u8,
    /// `LedgerClock.seenAt`, by the server's own clock.
    pub(crate) seen_at: u8,
    /// `TubeMark`.
    pub(crate) mark: Option<LowMark>,
    pub(crate) binlog: Vec<Flush>,
    /// Transactions that were purged from the binlog's beginning.
    pub(crate) purged: usize,
    /// `RegionMoved.movedTo`: no worker counts here any more.
    pub(crate) is_fenced: bool,
    /// `RegionMoved.movedFrom`: it has the region's whole ledger. The first server has it from the beginning.
    pub(crate) has_ledger: bool,
}

/// A centre. Both batches count the same name in the same minute: one row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Centre {
    /// The server that it replicates from.
    pub(crate) source: usize,
    /// `gtid_slave_pos`: transactions of each server that it has applied.
    pub(crate) applied: [usize; SERVERS],
    /// How often each batch is in `EventMinute`.
    pub(crate) minutes: [u8; BATCHES],
    /// How often each batch is in `EventDay`.
    pub(crate) days: [u8; BATCHES],
    /// What a keeper's transaction has taken from `EventMinute` and not committed yet.
    pub(crate) taken: Option<[u8; BATCHES]>,
    /// Whether minutes were merged into a day that was packed before.
    pub(crate) has_merged: bool,
    /// `RegionClock.completeUntil` of each worker.
    pub(crate) claims: [Option<u8>; WORKERS],
    /// The latest claim that a reader has seen.
    pub(crate) told: Option<u8>,
    /// Packings that may still happen.
    pub(crate) packs_left: u8,
}

/// The state of the whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The time that passes, which monotonic clocks show.
    pub(crate) now: u8,
    /// How far the clock of the region's servers is ahead of it.
    pub(crate) ahead: u8,
    pub(crate) jobs: [Job; JOBS],
    pub(crate) queue: Queue,
    /// The instant at which a client first had a 202 for a batch.
    pub(crate) acknowledged: [Option<u8>; BATCHES],
    /// The instant at which a batch was first counted: its client may repeat it for the window from then on.
    pub(crate) counted: [Option<u8>; BATCHES],
    pub(crate) workers: [Worker; WORKERS],
    pub(crate) servers: [Server; SERVERS],
    pub(crate) centres: Vec<Centre>,
    pub(crate) faults_left: u8,
    pub(crate) looks_left: u8,
    pub(crate) prunes_left: u8,
}

impl State {
    /// Nothing has been sent.
    pub(crate) fn first(bounds: &Bounds) -> Self {
        let job = Job {
            place: Place::Unsent,
            number: 0,
            is_awaited: false,
        };
        let worker = Worker {
            phase: Phase::Idle,
            held: 0,
            connected_to: 1,
            server: 0,
            watermark: Watermark::default(),
            is_stopped: false,
            gap: 0,
        };
        let server = |at| Server {
            ledger: [None; BATCHES],
            reached: 0,
            seen_at: 0,
            mark: None,
            binlog: Vec::new(),
            purged: 0,
            is_fenced: false,
            has_ledger: at == 0,
        };
        let centre = Centre {
            source: 0,
            applied: [0; SERVERS],
            minutes: [0; BATCHES],
            days: [0; BATCHES],
            taken: None,
            has_merged: false,
            claims: [None; WORKERS],
            told: None,
            packs_left: bounds.packs_max,
        };
        Self {
            now: 0,
            ahead: 0,
            jobs: [job; JOBS],
            queue: Queue {
                process: 1,
                next: 1,
                first: 1,
            },
            acknowledged: [None; BATCHES],
            counted: [None; BATCHES],
            workers: std::array::from_fn(|_| worker.clone()),
            servers: std::array::from_fn(server),
            centres: vec![centre; bounds.centres],
            faults_left: bounds.faults,
            looks_left: bounds.looks_max,
            prunes_left: bounds.prunes_max,
        }
    }

    /// The clock of the region's servers.
    pub(crate) fn server_clock(&self) -> u8 {
        self.now + self.ahead
    }

    /// The jobs that hold `batch`.
    pub(crate) fn jobs_with(&self, batch: usize) -> impl Iterator<Item = &Job> {
        let jobs = self.jobs.iter().zip(BATCH_OF);
        jobs.filter_map(move |(job, of)| (of == batch).then_some(job))
    }
}

impl Job {
    /// Whether it is on beanstalkd's disk.
    pub(crate) fn is_stored(&self) -> bool {
        matches!(self.place, Place::Ready | Place::Reserved(_))
    }

    /// Takes it out of the queue; `place` says how.
    pub(crate) fn remove(&mut self, place: Place) {
        self.place = place;
        self.number = 0;
    }
}

impl Worker {
    /// Whether it believes to hold `job`.
    pub(crate) fn holds(&self, job: usize) -> bool {
        self.held & (1 << job) != 0
    }
}

impl Server {
    /// The transactions from `position` on that are still in its binlog.
    pub(crate) fn since(&self, position: usize) -> impl Iterator<Item = &Flush> {
        self.binlog.iter().skip(position.max(self.purged))
    }
}

impl Centre {
    /// How often a reader finds `batch` counted. What a transaction has taken and not committed is still where it was.
    pub(crate) fn count(&self, batch: usize) -> u8 {
        self.minutes[batch] + self.days[batch] + self.taken.map_or(0, |taken| taken[batch])
    }

    /// The region's watermark, as a reader finds it: the latest claim of any worker.
    pub(crate) fn complete_until(&self) -> Option<u8> {
        self.claims.iter().copied().max().flatten()
    }
}
