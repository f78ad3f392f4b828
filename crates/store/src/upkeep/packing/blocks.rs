//! Merging: counts that came in blocks are moved to where counts of few names are at once, into rows of `EventMinute` or, of closed days, of
//! `EventDay`. As in packing, the blocks are deleted before their counts are written, in one transaction, and no lock is waited for.

use std::collections::BTreeMap;

use model::{Day, DayCounts, EventId, Minute, MinuteCounts, PackedDayError, Shard, for_each_in_block};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use super::{CALL_LIMIT, Failure, Packed, Packer, add_days, is_no_copy, settle};
use crate::Error;
use crate::script::Script;

/// Most blocks of one shard that are listed at once.
pub const BLOCKS_LISTED_MAX: usize = 1_000;

/// Most names whose days are unpacked at once: 6 MB.
const NAMES_UNPACKED_MAX: usize = 500;

/// A row of `EventBlock`, without its counts. Blocks are ordered by day, and then by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredBlock {
    /// The day of its counts.
    pub day: Day,
    /// A version 7 UUID, as a number: later blocks have greater ones.
    pub id: u128,
    /// Length of its text in bytes.
    pub bytes: u64,
}

impl Packer {
    /// The shards that have any block.
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn shards_with_blocks(&mut self) -> Result<Vec<Shard>, Error> {
        let of_shard = |shard: Shard| format!("(SELECT {} FROM {shard}.EventBlock LIMIT 1)", shard.number());
        let sql = Shard::all().map(of_shard).collect::<Vec<_>>().join(" UNION ALL ");
        let numbers: Vec<u8> = self
            .link
            .call("look for blocks", CALL_LIMIT, async |conn| conn.query(&sql).await)
            .await?;
        let has = |shard: &Shard| numbers.contains(&shard.number());
        Ok(Shard::all().filter(has).collect())
    }

    /// The blocks of `shard`, the newest days first, and each day's by age; the first [`BLOCKS_LISTED_MAX`].
    ///
    /// # Errors
    /// The server refused or did not answer.
    pub async fn blocks(&mut self, shard: Shard) -> Result<Vec<StoredBlock>, Error> {
        // A DATE may lie where a TIMESTAMP cannot.
        let sql = format!(
            "SELECT (TO_DAYS(day) - 719528) * 86400, id, LENGTH(counts) FROM {shard}.EventBlock \
             ORDER BY day DESC, id LIMIT {BLOCKS_LISTED_MAX}"
        );
        let rows: Vec<(i64, [u8; 16], u64)> = self
            .link
            .call("list blocks", CALL_LIMIT, async |conn| conn.query(&sql).await)
            .await?;
        let block = |(unix_s, id, bytes)| StoredBlock {
            day: Day::containing(unix_s),
            id: u128::from_be_bytes(id),
            bytes,
        };
        Ok(rows.into_iter().map(block).collect())
    }

    /// Merges `blocks` of one day, which follow each other in the list of [`Packer::blocks`], in one transaction: into packed days if
    /// `is_closed`, else into minutes.
    ///
    /// # Errors
    /// The server refused or did not answer, and whether the transaction was committed is not known; or `PackedDay` for a block or a
    /// row of `EventDay` that cannot be read, `OutsideDay` for a minute that would vanish, and nothing was changed.
    pub async fn merge(
        &mut self,
        shard: Shard,
        blocks: &[StoredBlock],
        is_closed: bool,
    ) -> Result<Packed, Error> {
        let [StoredBlock { day, id, .. }, ..] = *blocks else {
            return Ok(Packed::Moved {
                minutes: 0,
                days: 0,
                merged: 0,
            });
        };
        // Into minutes they may go in any form.
        if is_closed {
            self.expect_form().await?;
        }
        let mut refused = None;
        let outcome = self
            .link
            .call("merge blocks", CALL_LIMIT, async |conn| {
                let outcome = merge(conn, shard, day, blocks, is_closed).await;
                settle(conn, outcome, &mut refused).await
            })
            .await?;
        match refused {
            // With one block left, its own id: an operator who deletes it deletes no other.
            Some(failure) => {
                let table = format!("EventBlock, the first of {} with id x'{id:032x}'", blocks.len());
                self.refusal(shard, day, &table, failure)
            }
            None => Ok(outcome),
        }
    }
}

/// Delete, add up, write, commit. Blocks of several flushes are added up first: then a name's minute is one row to write, however many
/// blocks have it.
async fn merge(
    conn: &mut Conn,
    shard: Shard,
    day: Day,
    blocks: &[StoredBlock],
    is_closed: bool,
) -> Result<Packed, Failure> {
    let texts = take(conn, shard, day, blocks).await?;
    let rows = sums(day, &texts).map_err(Failure::Block)?;
    drop(texts);
    if !is_closed {
        let mut out = Script::new(conn);
        out.upsert_minutes(shard, &rows).await?;
        out.finish().await?;
        return Ok(Packed::Moved {
            minutes: rows.len() as u64,
            days: 0,
            merged: 0,
        });
    }
    let (mut days, mut merged) = (0, 0);
    let names: Vec<&[Counted]> = rows.chunk_by(|a, b| a.0 == b.0).collect();
    for names in names.chunks(NAMES_UNPACKED_MAX) {
        let mut of_names = BTreeMap::<EventId, DayCounts>::new();
        for &(id, minute, count) in names.iter().copied().flatten() {
            let added = of_names.entry(id).or_default().add(minute.of_day(), count);
            added.map_err(|outside| Failure::Minute(id, outside))?;
        }
        days += of_names.len() as u64;
        merged += add_days(conn, shard, day, of_names).await?;
    }
    conn.query_drop("COMMIT").await?;
    Ok(Packed::Moved {
        minutes: rows.len() as u64,
        days,
        merged,
    })
}

/// A count of a name in a minute.
type Counted = (EventId, Minute, u64);

/// The sums of all `texts` of a day, in the order of names and minutes. A count that has no place has been deleted, so the transaction must
/// not go on.
fn sums(day: Day, texts: &[Vec<u8>]) -> Result<Vec<Counted>, PackedDayError> {
    let mut counts = MinuteCounts::default();
    let mut outside = None;
    for text in texts {
        for_each_in_block(text, |id, minute, count| {
            match Minute::from_unix_s(day.unix_s() + 60 * i64::from(minute)) {
                Ok(minute) => counts.add(id, minute, count),
                Err(error) => outside = Some(error),
            }
        })?;
    }
    match outside {
        Some(error) => Err(error.into()),
        None => Ok(counts.sorted()),
    }
}

/// Deletes the blocks and returns their texts. Until the commit the counts are only here. `ORDER BY` the key makes the server find the rows
/// by it: a statement that reads the whole table meets the rows that replication is writing, and would have to wait. Where a block has come
/// between the listed ones, the limit keeps the transaction as short as it was meant to be: the last one is left for the next pass.
async fn take(
    conn: &mut Conn,
    shard: Shard,
    day: Day,
    blocks: &[StoredBlock],
) -> Result<Vec<Vec<u8>>, mysql_async::Error> {
    let (first, last) = (blocks[0].id, blocks[blocks.len() - 1].id);
    let script = format!(
        "START TRANSACTION; DELETE FROM {shard}.EventBlock \
         WHERE day = '{day}' AND id BETWEEN x'{first:032x}' AND x'{last:032x}' AND {} \
         ORDER BY day, id LIMIT {} RETURNING counts",
        is_no_copy(shard),
        blocks.len()
    );
    let mut answers = conn.query_iter(script).await?;
    answers.collect::<Row>().await?;
    answers.collect().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_has_no_place_ends_the_transaction() {
        let day = |unix_s| Day::containing(unix_s);
        let texts = [b"[[8,0,[4]],[7,1,[1]]]".to_vec(), b"[[7,1,[2]]]".to_vec()];
        let rows = sums(day(1_763_787_600), &texts).unwrap();
        let counts: Vec<(u64, u64)> = rows.iter().map(|row| (row.0.0, row.2)).collect();
        assert_eq!(counts, [(7, 3), (8, 4)]);
        assert!(matches!(sums(day(0), &texts), Err(PackedDayError::Time(_))));
        assert!(sums(day(1_763_787_600), &[b"[[7,0,[1]]".to_vec()]).is_err());
    }
}
