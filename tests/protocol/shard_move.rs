//! A shard moves from one server of a centre to another while its regions count: checked in every state.
//!
//! Two servers read two regions, whose transactions all have rows of the shard. One of them owns it: readers ask that one. A move is a
//! command that may be killed at every step and given again, with the same or the other direction; servers are restarted at any moment, by
//! themselves, with the filters of their option files. The order of its steps is that of [`tool::Step`]. What it rests on:
//!
//! - counts add up, so the receiver may apply the shard's new transactions before it has the old counts, from exactly the position that
//!   these are of: nothing but the receiver's own shards waits meanwhile, and these until it has caught up;
//! - a consistent snapshot of the giver says of which position it is, so the giver never stands still;
//! - both apply the shard until the receiver has all of it and is not behind, and readers go on at the giver.
//!
//! Each server owns other shards, too, and applies them at the same positions. Not modelled: names, blocks of counts, and
//! packing, which leaves the receiver's shard alone until it is whole. Who the owner is, the servers say: what is `TakeOver` and `Forget`
//! here is one transaction of `eventtracker shard move`, and a reader that has not heard of it finds in its snapshot that the shard is gone.

mod model;
mod state;
mod tool;

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use self::model::{Move, NEVER_LOST, NOT_BACK, ONCE};

/// What is done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    /// The receiver begins with the shard where it happens to stand.
    EmptyElsewhere,
    /// What an earlier try has left is not thrown away.
    KeepLeftovers,
    /// The receiver's option file is left as it was until the end.
    WidenRunningFilterOnly,
    /// The receiver applies the shard only once it has all of it.
    WidenAfterCopy,
    /// The receiver's copy is taken for whole with its first piece.
    WholeTooEarly,
    /// Readers go on at a receiver that is behind the giver.
    TakeOverBehind,
    /// The giver's filters are narrowed before the owner changes.
    NarrowFirst,
    /// Who no longer applies the shard still says that its copy is whole.
    KeepWhole,
}

fn of(mistake: Mistake) -> Move {
    Move {
        mistake,
        faults: 3,
        commands: 3,
    }
}

#[test]
fn holds_while_servers_restart_and_commands_are_killed() {
    let begun = Instant::now();
    let checker = of(Mistake::None).checker().spawn_dfs().join();
    println!("{} states, {:.1?}", checker.unique_state_count(), begun.elapsed());
    checker.assert_properties();
}

fn breaks(mistake: Mistake, promise: &'static str) {
    let begun = Instant::now();
    let until = HasDiscoveries::AnyOf([promise].into());
    let checker = of(mistake).checker().finish_when(until).spawn_dfs().join();
    println!("{} states, {:.1?}", checker.unique_state_count(), begun.elapsed());
    let path = checker.discovery(promise);
    println!("'{promise}' is broken by: {:?}", path.unwrap().into_actions());
}

#[test]
fn breaks_where_the_receiver_begins_elsewhere() {
    breaks(Mistake::EmptyElsewhere, ONCE);
}

#[test]
fn breaks_where_leftovers_are_kept() {
    breaks(Mistake::KeepLeftovers, ONCE);
}

#[test]
fn breaks_where_the_option_file_is_forgotten() {
    breaks(Mistake::WidenRunningFilterOnly, NEVER_LOST);
}

#[test]
fn breaks_where_the_receiver_applies_too_late() {
    breaks(Mistake::WidenAfterCopy, NEVER_LOST);
}

#[test]
fn breaks_where_a_part_is_taken_for_the_whole() {
    breaks(Mistake::WholeTooEarly, NEVER_LOST);
}

#[test]
fn breaks_where_the_receiver_is_behind() {
    breaks(Mistake::TakeOverBehind, NOT_BACK);
}

#[test]
fn breaks_where_the_giver_stops_too_early() {
    breaks(Mistake::NarrowFirst, NEVER_LOST);
}

#[test]
fn breaks_where_an_old_copy_is_taken_for_whole() {
    breaks(Mistake::KeepWhole, NEVER_LOST);
}
