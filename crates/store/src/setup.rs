//! The operator's calls: schema, accounts and time zones of a server; replication from regions to a centre; a region's move to another
//! server.

mod centre;
mod fence;
mod join;
mod ledger;
mod notes;
mod outbox;
mod region;
mod replication;
mod role;
mod schema;
mod shard_copy;
mod shards;
mod zones;

pub use self::centre::Centre;
pub use self::fence::Fence;
pub use self::ledger::{Copied, copy_ledger, finish_ledger};
pub use self::notes::RegionTotals;
pub use self::outbox::check_region;
pub use self::region::RegionalServer;
pub use self::replication::{
    Identity, RegionAccounts, check_coverage, check_filter, check_identity, check_others, check_past,
    start_source,
};
pub use self::role::Role;
pub use self::schema::{Difference, Patience, Site, Waiting, apply, check};
pub use self::shard_copy::{CopiedRows, ShardSnapshot, compare_shards};
pub use self::shards::HAND_OVER_LIMIT;
pub use self::zones::{lacks_zones, load_zones};
pub use crate::gtid::Gtid;
pub use crate::source::WILD_DO_TABLE;
