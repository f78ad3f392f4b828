#![doc = include_str!("../README.md")]

mod abandoned;
mod account;
mod audit;
mod central;
mod error;
mod housekeeping;
mod key_reuse;
mod outbox;
mod packing;
mod regional;
mod relocation;
mod replication;
mod retention;
mod schema;
mod script;
mod server;
mod session;
mod zones;

pub use account::{Account, Role};
pub use audit::{Audit, Gap, Range, RegionAudit, Verdict, audit, audit_centre};
pub use central::{
    COMPARISON_MS_MAX, Central, Found, Grain, NAMES_SCANNED_MAX, Name, Position, QueueState, RegionClock,
    ShardSize, Snapshot, Status, Wanted, complete_until,
};
pub use error::Error;
pub use housekeeping::{Alarm, Binlog, BinlogFile, Offset, PEAK_NOT_KNOWN_MS, Post};
pub use key_reuse::KeyReuse;
pub use outbox::check_region;
pub use packing::{
    BLOCKS_LISTED_MAX, MINUTES_PER_TRANSACTION_MAX, OPEN_NAMES_LISTED_MAX, OpenName, Packed, Packer,
    StoredBlock,
};
pub use regional::{Clock, Committed, Disk, Flush, Regional, Report, Reused};
pub use relocation::{Copied, Fence, RegionTotals, copy_ledger, finish_ledger};
pub use replication::{
    Centre, Identity, RegionAccounts, Source, SourceState, WILD_DO_TABLE, check_coverage, check_identity,
    check_other_centre, check_past, source_states, start_source,
};
pub use retention::{Dropped, PackedSize, Partition};
pub use schema::{Patience, Side, Waiting, apply, check};
pub use server::{Password, Server};
pub use session::Place;
pub use zones::{lacks_zones, load_zones};
