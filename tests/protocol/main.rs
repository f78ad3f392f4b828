//! The protocol of exactly once, checked in every state that it can be in.
//!
//! The model has clients that repeat requests under their keys, collectors, beanstalkd, workers, the region's database with ledger,
//! outbox and claims, centres with their keepers, and a switch of the region to another server. Each action names the function that it
//! stands for. The checker takes the actions in every order, and any of them may be cut off: processes crash, answers are lost, jobs
//! expire, the power goes of everything, workers stand still, clocks jump. The promises (`properties`) have to hold in every state, and
//! the interesting states have to be reached. Then mistakes are made on purpose (`bounds::Mistake`), and the checker has to find the
//! promise that each breaks.
//!
//! Not modelled: what a region's clock means by a centre's (crates/keeper/src/offset.rs), a beanstalkd that refuses puts, buried jobs,
//! names, totals and audits, retention, backups, a switch without the old server. A centre of several servers is a model of its own
//! (`shard_move`): the servers of one differ in what they apply, and in nothing that these promises are about. An instant is as long
//! as the ledger's window or longer; what takes seconds takes no time.
//!
//! The bounds are those of each check below: at most three jobs of two batches, two workers, two centres, two servers, two faults. Every
//! mistake shows within the bounds of one of the checks, and is looked for there.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]
#![expect(clippy::disallowed_methods, reason = "checks are timed")]

mod bounds;
mod centre;
mod model;
mod properties;
mod queue;
mod representative;
mod shard_move;
mod state;
mod switch;
mod watermark;
mod worker;

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use self::bounds::{Bounds, Looks, Mistake};
use self::model::Protocol;
use self::properties::{KEPT, NEVER_LOST, NOT_AHEAD, NOT_BACK, ONCE};

/// One batch in two jobs and another in one, two workers, two faults: queue and ledger.
const COUNTING: Bounds = Bounds {
    jobs: [true, true, true],
    workers: 2,
    faults: 2,
    ..Bounds::LEAST
};

/// Two workers that look at the queue question by question: what one of them sees while the other goes on.
const CLAIMS: Bounds = Bounds {
    jobs: [true, false, true],
    workers: 2,
    last_instant: 1,
    faults: 1,
    looks: Looks::Steps,
    looks_max: 2,
    ..Bounds::LEAST
};

/// One worker that looks again and again: what it remembers of earlier looks.
const LOOKS: Bounds = Bounds {
    workers: 1,
    looks_max: 3,
    ..CLAIMS
};

/// The ledger grows old while workers stand still and the server's clock jumps.
const AGEING: Bounds = Bounds {
    jobs: [true, true, false],
    workers: 2,
    last_instant: 2,
    faults: 2,
    window: 1,
    prunes_max: 1,
    clocks_fail: true,
    parts_fail: false,
    ..Bounds::LEAST
};

/// The ledger is pruned while everything but clocks fails.
const PRUNING: Bounds = Bounds {
    last_instant: 1,
    window: 0,
    clocks_fail: false,
    parts_fail: true,
    ..AGEING
};

/// Two centres with their keepers.
const CENTRES: Bounds = Bounds {
    jobs: [true, true, true],
    centres: 2,
    faults: 1,
    packs_max: 2,
    purges: true,
    ..Bounds::LEAST
};

/// The region moves, at one centre after the other.
const MOVING: Bounds = Bounds {
    jobs: [true, true, false],
    workers: 2,
    centres: 2,
    faults: 2,
    purges: true,
    moves: true,
    ..Bounds::LEAST
};

/// The ledger grows old, and moves.
const MOVING_AGED: Bounds = Bounds {
    workers: 1,
    last_instant: 1,
    window: 0,
    moves: true,
    ..AGEING
};

/// Everything at once, with one worker.
const EVERYTHING: Bounds = Bounds {
    jobs: [true, true, false],
    workers: 1,
    centres: 1,
    last_instant: 1,
    faults: 1,
    looks: Looks::Whole,
    looks_max: 2,
    prunes_max: 1,
    packs_max: 1,
    purges: true,
    moves: true,
    ..Bounds::LEAST
};

/// The same with two workers, where nothing fails and nothing is packed.
const EVERYTHING_OF_TWO: Bounds = Bounds {
    workers: 2,
    faults: 0,
    packs_max: 0,
    ..EVERYTHING
};

/// Visits every state within the bounds.
fn holds(bounds: &Bounds) {
    let begun = Instant::now();
    let protocol = Protocol {
        bounds: bounds.clone(),
        mistake: Mistake::None,
    };
    let checker = protocol.checker().symmetry().spawn_dfs().join();
    println!(
        "{} states that differ, {} steps in all, {:.1?}",
        checker.unique_state_count(),
        checker.state_count(),
        begun.elapsed()
    );
    checker.assert_properties();
}

/// Makes the mistake, and looks for a way to the broken promise. With `spawn_bfs` and without `symmetry` it is the shortest, and takes
/// seconds and a gigabyte.
fn breaks(mistake: Mistake, bounds: &Bounds, promise: &'static str) {
    let begun = Instant::now();
    let protocol = Protocol {
        bounds: bounds.clone(),
        mistake,
    };
    let until = HasDiscoveries::AnyOf([promise].into());
    let checker = protocol
        .checker()
        .symmetry()
        .finish_when(until)
        .spawn_dfs()
        .join();
    println!("{} states, {:.1?}", checker.unique_state_count(), begun.elapsed());
    let path = checker.discovery(promise);
    println!("'{promise}' is broken by: {:?}", path.unwrap().into_actions());
}

#[test]
fn holds_while_queue_and_workers_fail() {
    holds(&COUNTING);
}

#[test]
fn holds_while_workers_claim() {
    holds(&CLAIMS);
}

#[test]
fn holds_while_a_worker_claims_again() {
    holds(&LOOKS);
}

#[test]
fn holds_while_the_ledger_ages() {
    holds(&AGEING);
}

#[test]
fn holds_while_the_ledger_is_pruned() {
    holds(&PRUNING);
}

#[test]
fn holds_at_two_centres() {
    holds(&CENTRES);
}

#[test]
fn holds_while_the_region_moves() {
    holds(&MOVING);
}

#[test]
fn holds_while_an_aged_ledger_moves() {
    holds(&MOVING_AGED);
}

#[test]
fn holds_with_everything_at_once() {
    holds(&EVERYTHING);
}

#[test]
fn holds_with_everything_of_two_workers() {
    holds(&EVERYTHING_OF_TWO);
}

#[test]
fn breaks_where_the_queue_syncs_nothing() {
    breaks(Mistake::SyncNothing, &COUNTING, NEVER_LOST);
}

#[test]
fn breaks_where_jobs_are_deleted_before_the_commit() {
    breaks(Mistake::DeleteBeforeCommit, &COUNTING, NEVER_LOST);
}

#[test]
fn breaks_where_the_ledger_is_not_asked() {
    breaks(Mistake::CountUnasked, &COUNTING, ONCE);
}

#[test]
fn breaks_where_a_claim_is_dated_after_the_look() {
    breaks(Mistake::ClockReadAfterLook, &CLAIMS, NOT_AHEAD);
}

#[test]
fn breaks_where_the_mark_is_raised_without_a_scan() {
    breaks(Mistake::MarkRaisedWithoutScan, &LOOKS, NOT_AHEAD);
}

#[test]
fn breaks_where_a_worker_claims_less_than_before() {
    breaks(Mistake::ClaimFallsBack, &LOOKS, NOT_BACK);
}

#[test]
fn breaks_where_jobs_are_held_for_too_long() {
    breaks(Mistake::CommitStaleJobs, &AGEING, ONCE);
}

#[test]
fn breaks_where_the_ledger_is_pruned_by_a_clock_that_jumped() {
    breaks(Mistake::PruneByAJumpedClock, &AGEING, ONCE);
}

#[test]
fn breaks_where_the_ledger_is_pruned_by_age_alone() {
    breaks(Mistake::PruneWithoutLook, &AGEING, ONCE);
}

#[test]
fn breaks_where_the_ledger_is_pruned_right_after_the_look() {
    breaks(Mistake::PruneAtOnce, &PRUNING, ONCE);
}

#[test]
fn breaks_where_rows_are_stamped_with_the_last_flush() {
    breaks(Mistake::StampBeforeAdvance, &AGEING, ONCE);
}

#[test]
fn breaks_where_a_gap_lets_the_ledger_age() {
    breaks(Mistake::GapCounts, &AGEING, ONCE);
}

#[test]
fn breaks_where_a_ledger_moves_to_a_clock_ahead() {
    breaks(Mistake::MoveToAClockAhead, &MOVING_AGED, ONCE);
}

#[test]
fn breaks_where_the_ledger_stays_behind() {
    breaks(Mistake::MoveWithoutLedger, &MOVING, ONCE);
}

#[test]
fn breaks_where_the_old_server_is_not_fenced() {
    breaks(Mistake::MoveWithoutFence, &MOVING, NEVER_LOST);
}

#[test]
fn breaks_where_a_centre_leaves_too_early() {
    breaks(Mistake::MoveBeforeApplied, &MOVING, NEVER_LOST);
}

#[test]
fn breaks_where_the_second_centre_is_not_asked() {
    breaks(Mistake::PurgeWithoutSecondCentre, &CENTRES, KEPT);
}

#[test]
fn breaks_where_the_position_is_apart_from_the_counts() {
    breaks(Mistake::PositionApart, &CENTRES, ONCE);
}

#[test]
fn breaks_where_packing_is_no_transaction() {
    breaks(Mistake::PackWithoutTransaction, &CENTRES, NEVER_LOST);
}

#[test]
fn breaks_where_packing_reads_before_it_deletes() {
    breaks(Mistake::PackReadsFirst, &CENTRES, NEVER_LOST);
}
