//! What the centre holds, in a status report.

use serde::Deserialize;

use super::grouped;

/// InnoDB's estimates.
#[derive(Debug, Deserialize)]
pub(super) struct Shard {
    shard: u8,
    rows: u64,
    bytes: u64,
    #[serde(default)]
    packed_days: u64,
    #[serde(default)]
    packed_bytes: u64,
}

impl Shard {
    fn size(&self) -> u64 {
        self.bytes.saturating_add(self.packed_bytes)
    }
}

pub(super) fn sentence(shards: &[Shard]) -> String {
    let sum = |figure: fn(&Shard) -> u64| grouped(shards.iter().map(figure).fold(0, u64::saturating_add));
    let Some(largest) = shards.iter().max_by_key(|shard| shard.size()) else {
        return "no shard has been measured yet\n".to_owned();
    };
    format!(
        "{} shards: {} minutes in {} bytes, {} packed days in {} bytes; the largest is bigdata_{} with {} bytes\n",
        shards.len(),
        sum(|shard| shard.rows),
        sum(|shard| shard.bytes),
        sum(|shard| shard.packed_days),
        sum(|shard| shard.packed_bytes),
        largest.shard,
        grouped(largest.size()),
    )
}
