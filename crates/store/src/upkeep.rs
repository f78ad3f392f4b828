//! The keeper's calls: its questions to regions and centres, and its work at its own centre, which is notes, packing and retention. It can
//! neither count nor change who replicates from whom.

mod alarm;
mod binlog_notes;
mod centre;
mod certificate;
mod key_reuse;
mod offset;
mod own_counts;
mod packing;
mod region;
mod retention;

pub use self::alarm::Alarm;
pub use self::centre::Centre;
pub use self::certificate::ShownCertificate;
pub use self::key_reuse::KeyReuse;
pub use self::offset::Offset;
pub use self::packing::{
    BLOCKS_LISTED_MAX, MINUTES_PER_TRANSACTION_MAX, OPEN_NAMES_LISTED_MAX, OpenName, Packed, PackedAnew,
    Packer, StoredBlock,
};
pub use self::region::{Binlog, BinlogFile, RegionalServer};
pub use self::retention::{Dropped, PackedSize, Partition};
pub use crate::clock::PEAK_NOT_KNOWN_MS;
