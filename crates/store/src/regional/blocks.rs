//! Blocks: a flush with very many counts is written as a text for each shard and day, where a row for each count would keep the centre busy
//! for too long. The keeper moves them into rows later.

#![expect(clippy::disallowed_methods, reason = "blocks get their ids here")]

use std::collections::BTreeMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use model::{Block, Day, EventId, Minute, Shard};
use uuid::Uuid;

/// Most counts of a flush that are each written as a row: the centre takes fractions of a second for them, and nobody needs to move them.
pub(super) const ROWS_MAX: usize = 4_000;

/// The length in bytes at which a block is ended.
const BLOCK_BYTES_MAX: usize = 256 << 10;

/// Fewest counts of a shard and day that are worth a block: one costs the centre as much as a few rows, and events of thousands of days
/// past would make thousands of them.
const BLOCK_COUNTS_MIN: usize = 16;

/// A count of a name in a minute.
type Counted = (EventId, Minute, u64);

/// The blocks of a shard's `rows`, which are in the order of names and minutes; and the rows that are to stay rows.
pub(super) fn split(rows: &[Counted]) -> (Vec<(Day, Block)>, Vec<Counted>) {
    let mut counts: BTreeMap<Day, usize> = BTreeMap::new();
    for row in rows {
        *counts.entry(Day::from(row.1)).or_default() += 1;
    }
    let mut open: BTreeMap<Day, Block> = BTreeMap::new();
    let (mut blocks, mut thin) = (Vec::new(), Vec::new());
    for &(id, minute, count) in rows {
        let day = Day::from(minute);
        if counts.get(&day).is_some_and(|&counts| counts < BLOCK_COUNTS_MIN) {
            thin.push((id, minute, count));
            continue;
        }
        let block = open.entry(day).or_default();
        block.add(id, minute.of_day(), count);
        if block.bytes() >= BLOCK_BYTES_MAX {
            blocks.extend(open.remove_entry(&day));
        }
    }
    blocks.extend(open);
    (blocks, thin)
}

/// The statement that inserts a block. Its text is compressed here, since a region's server takes much longer to compress what it writes
/// into its binlog than to write it. The id is a version 7 UUID (RFC 9562), so blocks of a day are in the order of their age.
///
/// # Errors
/// A text longer than 4 GiB, which no block is.
pub(super) fn statement(shard: Shard, day: Day, block: Block) -> std::io::Result<Vec<u8>> {
    let id = Uuid::now_v7().simple();
    let mut sql = format!(
        "INSERT INTO {shard}.EventBlock (day, id, counts) VALUES ('{day}',x'{id}',UNCOMPRESS(_binary'"
    )
    .into_bytes();
    for byte in compressed(&block.into_text())? {
        match byte {
            b'\'' | b'\\' => sql.extend([b'\\', byte]),
            0 => sql.extend(b"\\0"),
            _ => sql.push(byte),
        }
    }
    sql.extend(b"'))");
    Ok(sql)
}

/// The text as MariaDB's `UNCOMPRESS` reads it: its length in four bytes, little-endian, and a zlib stream (RFC 1950).
fn compressed(text: &str) -> std::io::Result<Vec<u8>> {
    let length = u32::try_from(text.len()).map_err(std::io::Error::other)?;
    let mut encoder = ZlibEncoder::new(length.to_le_bytes().to_vec(), Compression::fast());
    encoder.write_all(text.as_bytes())?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::ZlibDecoder;
    use model::for_each_in_block;
    use std::io::Read;

    fn minute(n: i64) -> Minute {
        Minute::from_unix_s(1_763_787_600 + 60 * n).unwrap()
    }

    #[test]
    fn every_count_is_in_a_block_of_its_day_or_a_row() {
        let mut rows = Vec::new();
        for id in [1, 2, 3] {
            rows.extend((0..40_000).map(|n| (EventId(id), minute(n), 1_000_000_000 + id)));
        }
        // More names than one block holds, and days that have few.
        rows.extend((4..20_000).map(|id| (EventId(id), minute(0), 1_000_000_000)));
        rows.extend((40..55).map(|day| (EventId(20_000), minute(day * 1_440), 5)));
        let (blocks, thin) = split(&rows);
        let mut read = thin;
        assert_eq!(read, rows[rows.len() - 15..]);
        assert!(
            blocks.len() > 28,
            "each of 28 days has one, and the first some more"
        );
        for (day, block) in blocks {
            assert!(block.bytes() < BLOCK_BYTES_MAX + 100);
            for_each_in_block(block.into_text().as_bytes(), |id, at, count| {
                let unix_s = day.unix_s() + 60 * i64::from(at);
                read.push((id, Minute::from_unix_s(unix_s).unwrap(), count));
            })
            .unwrap();
        }
        read.sort_unstable();
        assert_eq!(read, rows);
    }

    #[test]
    fn a_block_says_its_day() {
        let rows: Vec<Counted> = (0..16).map(|n| (EventId(7), minute(n), 1)).collect();
        let (mut blocks, thin) = split(&rows);
        assert_eq!((blocks.len(), thin), (1, Vec::new()));
        let (day, block) = blocks.remove(0);
        let text = "[[7,300,[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]]]";
        let compressed = compressed(text).unwrap();
        assert_eq!(compressed[..4], u32::try_from(text.len()).unwrap().to_le_bytes());
        let mut unpacked = String::new();
        ZlibDecoder::new(&compressed[4..])
            .read_to_string(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, text);
        let sql = statement(Shard::of(EventId(7)), day, block).unwrap();
        let begin = "INSERT INTO bigdata_0.EventBlock (day, id, counts) VALUES ('2025-11-22',x'01";
        assert!(sql.starts_with(begin.as_bytes()) && sql.ends_with(b"'))"));
    }
}
