//! A region moves to another server: its counts stop on one, its ledger is copied, its notes at the centre follow.

mod fence;
mod ledger;
mod notes;

pub use fence::Fence;
pub use ledger::{Copied, copy_ledger, finish_ledger};
pub use notes::RegionTotals;
