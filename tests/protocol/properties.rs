//! The promises, and the interesting states that a check has to reach.

use stateright::Property;

use crate::bounds::{BATCHES, Bounds, Looks};
use crate::model::Protocol;
use crate::state::{Centre, Place, State};

/// No centre has a batch twice.
pub(crate) const ONCE: &str = "a batch is counted at most once";
/// What is acknowledged is at each centre, or will be.
pub(crate) const NEVER_LOST: &str = "nothing acknowledged is lost";
/// Each centre's claim is at most the instant of whatever it lacks.
pub(crate) const NOT_AHEAD: &str = "no claim is ahead of the counts";
/// A reader of one centre never sees a claim fall.
pub(crate) const NOT_BACK: &str = "no claim goes back";
/// Every transaction that a centre has not applied is there.
pub(crate) const KEPT: &str = "no binlog is purged that a centre needs";
/// Where nothing is left to do, every acknowledged batch is counted.
pub(crate) const AT_REST: &str = "at rest everything acknowledged is counted exactly once";

/// The promises, and what a check within `bounds` has to reach.
pub(crate) fn of(bounds: &Bounds) -> Vec<Property<Protocol>> {
    let has_claims = bounds.looks != Looks::None && bounds.last_instant > 0;
    let promises = [
        (ONCE, is_once as Condition),
        (NEVER_LOST, is_never_lost),
        (NOT_AHEAD, is_not_ahead),
        (NOT_BACK, is_not_back),
        (KEPT, is_kept),
        (AT_REST, is_right_at_rest),
    ];
    let reached = [
        (
            true,
            "an acknowledged batch is counted, and all is at rest",
            rests as Condition,
        ),
        (bounds.jobs[1], "the ledger recognises a batch", recognises),
        (has_claims, "every centre has a claim of a later instant", claims),
        (bounds.purges, "a binlog is purged", purges),
        (bounds.prunes_max > 0, "the ledger is pruned", prunes),
        (
            bounds.packs_max > 1 && bounds.jobs[2],
            "a late count is merged into a packed day",
            merges,
        ),
        (bounds.moves, "every centre has counts of the new server", moves),
    ];
    let reached = reached.into_iter().filter(|(is_within, ..)| *is_within);
    let promises = promises.map(|(name, condition)| Property::always(name, condition));
    let reached = reached.map(|(_, name, condition)| Property::sometimes(name, condition));
    promises.into_iter().chain(reached).collect()
}

/// What the checker asks of a state.
type Condition = fn(&Protocol, &State) -> bool;

fn is_once(_: &Protocol, state: &State) -> bool {
    state
        .centres
        .iter()
        .all(|centre| (0..BATCHES).all(|batch| centre.count(batch) <= 1))
}

fn is_never_lost(_: &Protocol, state: &State) -> bool {
    (0..BATCHES).all(|batch| {
        state.acknowledged[batch].is_none()
            || is_yet_to_be_counted(state, batch)
            || state
                .centres
                .iter()
                .all(|centre| centre.count(batch) > 0 || is_on_its_way(state, centre, batch))
    })
}

fn is_not_ahead(_: &Protocol, state: &State) -> bool {
    state.centres.iter().all(|centre| {
        let lacks = |batch: &usize| centre.count(*batch) == 0;
        let lacking = (0..BATCHES)
            .filter(lacks)
            .filter_map(|batch| state.acknowledged[batch]);
        lacking.min().is_none_or(|at| centre.complete_until() <= Some(at))
    })
}

fn is_not_back(_: &Protocol, state: &State) -> bool {
    state
        .centres
        .iter()
        .all(|centre| centre.complete_until() >= centre.told)
}

fn is_kept(_: &Protocol, state: &State) -> bool {
    state.centres.iter().all(|centre| {
        let mut servers = state.servers.iter().zip(centre.applied).skip(centre.source);
        servers.all(|(server, applied)| server.purged <= applied)
    })
}

fn is_right_at_rest(_: &Protocol, state: &State) -> bool {
    let is_right = |batch: usize| {
        state.acknowledged[batch].is_none() || state.centres.iter().all(|centre| centre.count(batch) == 1)
    };
    !is_at_rest(state) || (0..BATCHES).all(is_right)
}

fn rests(_: &Protocol, state: &State) -> bool {
    is_at_rest(state) && state.acknowledged[0].is_some()
}

fn recognises(_: &Protocol, state: &State) -> bool {
    state.jobs_with(0).all(|job| job.place == Place::Gone)
}

fn claims(_: &Protocol, state: &State) -> bool {
    state
        .centres
        .iter()
        .all(|centre| centre.complete_until() > Some(0))
}

fn purges(_: &Protocol, state: &State) -> bool {
    state.servers.iter().any(|server| server.purged > 0)
}

fn prunes(_: &Protocol, state: &State) -> bool {
    state.counted[0].is_some() && state.servers[0].ledger[0].is_none()
}

fn merges(_: &Protocol, state: &State) -> bool {
    state.centres[0].has_merged
}

fn moves(_: &Protocol, state: &State) -> bool {
    let has_counts = state.servers[1]
        .binlog
        .iter()
        .any(|flush| flush.counts.contains(&true));
    has_counts
        && state
            .centres
            .iter()
            .all(|centre| centre.applied[1] == state.servers[1].binlog.len())
}

/// Whether the batch is in a binlog that the centre has not read so far.
fn is_on_its_way(state: &State, centre: &Centre, batch: usize) -> bool {
    let servers = state.servers.iter().zip(centre.applied).skip(centre.source);
    let mut flushes = servers.flat_map(|(server, applied)| server.since(applied));
    flushes.any(|flush| flush.counts[batch])
}

/// Whether the batch is in the queue, and not in the ledger that will be asked for it.
fn is_yet_to_be_counted(state: &State, batch: usize) -> bool {
    let [old, new] = &state.servers;
    let asked = if new.has_ledger { new } else { old };
    asked.ledger[batch].is_none() && state.jobs_with(batch).any(|job| job.is_stored())
}

/// Whether nothing is left to do for workers and centres.
fn is_at_rest(state: &State) -> bool {
    let is_left = |place| !matches!(place, Place::Unsent | Place::Lost | Place::Gone);
    !state.jobs.iter().any(|job| is_left(job.place))
        && state.centres.iter().all(|centre| {
            let mut servers = state.servers.iter().zip(centre.applied).skip(centre.source);
            centre.taken.is_none() && servers.all(|(server, applied)| server.binlog.len() <= applied)
        })
}
