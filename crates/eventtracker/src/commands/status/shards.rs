//! What the centre holds, in a status report.

use api::status::Shard;

use super::grouped;

fn size(shard: &Shard) -> u64 {
    shard.bytes.saturating_add(shard.packed_bytes)
}

pub(super) fn sentence(shards: &[Shard]) -> String {
    let sum = |figure: fn(&Shard) -> u64| grouped(shards.iter().map(figure).fold(0, u64::saturating_add));
    let Some(largest) = shards.iter().max_by_key(|shard| size(shard)) else {
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
        grouped(size(largest)),
    )
}
