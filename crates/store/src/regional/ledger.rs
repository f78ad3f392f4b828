//! The ledger: the ids of counted batches, which are entered with their counts and pruned when nothing can bring them back. They are the
//! idempotency keys of counting: a batch whose id is there is never counted again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use model::{Batch, BatchId, ContentHash};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::script::write;
use crate::server::IDS_PER_STATEMENT;

/// Rows that one pruning statement deletes, and those of the same second: their locks are held for milliseconds.
const PRUNED_PER_STATEMENT: u32 = 5_000;

/// Time after which a pruning begins no further statement, since its worker counts nothing meanwhile; the next one goes on from there.
const PRUNING_TIME_MAX: Duration = Duration::from_secs(3);

/// The lock of whoever prunes. A region that moves holds it, so that nothing is pruned while two ledgers are compared.
pub(crate) const PRUNING_LOCK: &str = "eventtracker.prune";

/// Longest time between two flushes of a worker by which the ledger's clock is advanced. Rows are stamped before it is, so in one flush
/// after a long pause they would look as old as the pause was long, and be pruned too early.
const PASSED_MAX: Duration = Duration::from_secs(20);

/// Time for which rows are kept beyond their age: what the clock may be advanced by in the transaction that stamps them, and the fractions
/// of the age and of the stamps, which are cut off.
const PRUNED_LATER: Duration = PASSED_MAX.saturating_add(Duration::from_secs(2));

/// The question for the ledger's clock, in unix seconds.
pub(super) const REACHED: &str =
    "SELECT CAST(FLOOR(UNIX_TIMESTAMP(reached)) AS SIGNED) FROM eventtracker.LedgerClock WHERE id = 1";

/// The statement that advances the ledger's clock. Two clocks must agree that time has passed: the server's since any worker's last
/// flush, and this worker's monotonic one, which says `passed` since its own. Of a pause [`PASSED_MAX`] passes at most. Neither a clock that
/// steps nor one that stands still makes rows look older than they are, so no row is pruned too early.
pub(super) fn advance(passed: Duration) -> String {
    let passed_us = passed.min(PASSED_MAX).as_micros();
    format!(
        "UPDATE eventtracker.LedgerClock SET reached = reached + INTERVAL \
         LEAST(GREATEST(TIMESTAMPDIFF(MICROSECOND, seenAt, CURRENT_TIMESTAMP(3)), 0), {passed_us}) MICROSECOND, \
         seenAt = CURRENT_TIMESTAMP(3) WHERE id = 1"
    )
}

/// Enters batches, stamped with the ledger's clock `ledger_s`, and returns the ids that were new. `IGNORE` passes over a known id, but also
/// over a row that the server refuses for any other reason: so [`holding`] must find every id that is not returned.
///
/// One statement both asks and enters. With a question first, two workers that hold the same batch could both find it missing.
pub(super) async fn enter(
    conn: &mut Conn,
    batches: &BTreeMap<BatchId, &Batch>,
    ledger_s: i64,
) -> Result<Vec<BatchId>, mysql_async::Error> {
    /// Rows of 100 bytes: far below the server's limit for one statement.
    const ROWS_MAX: usize = 10_000;
    let mut new = Vec::new();
    for chunk in batches.values().collect::<Vec<_>>().chunks(ROWS_MAX) {
        let mut sql =
            "INSERT IGNORE INTO eventtracker.CountedBatch (batchId, acceptedAt, countedAt, total, content) VALUES "
                .to_owned();
        for (at, batch) in chunk.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let id = u128::from_be_bytes(*batch.id.as_bytes());
            let accepted_s = batch.accepted.unix_ms().div_euclid(1000) + 1;
            let total = batch.counts.iter().fold(0_u64, |sum, c| sum.saturating_add(c.2));
            write(
                &mut sql,
                format_args!(
                    "{comma}(x'{id:032x}',FROM_UNIXTIME({accepted_s}),FROM_UNIXTIME({ledger_s}),{total},"
                ),
            );
            match &batch.origin {
                Some(origin) => write(&mut sql, format_args!("{})", origin.content.0)),
                None => sql.push_str("NULL)"),
            }
        }
        sql.push_str(" RETURNING batchId");
        let ids: Vec<[u8; 16]> = conn.query(sql).await?;
        new.extend(ids.into_iter().map(BatchId::from_bytes));
    }
    Ok(new)
}

/// The ids among `ids`, of which none comes twice, that the ledger has, each with the hash of its content where that is known. The read
/// locks: it sees what others have committed since this transaction began, which its snapshot does not have.
pub(super) async fn holding(
    conn: &mut Conn,
    ids: &[&BatchId],
) -> Result<HashMap<BatchId, Option<ContentHash>>, mysql_async::Error> {
    let mut holding = HashMap::new();
    for chunk in ids.chunks(IDS_PER_STATEMENT) {
        let ids = chunk
            .iter()
            .map(|id| format!("x'{:032x}'", u128::from_be_bytes(*id.as_bytes())));
        let ids = ids.collect::<Vec<_>>().join(",");
        let sql = format!(
            "SELECT batchId, content FROM eventtracker.CountedBatch WHERE batchId IN ({ids}) LOCK IN SHARE MODE"
        );
        let found: Vec<([u8; 16], Option<u64>)> = conn.query(sql).await?;
        let known =
            |(id, content): ([u8; 16], Option<u64>)| (BatchId::from_bytes(id), content.map(ContentHash));
        holding.extend(found.into_iter().map(known));
    }
    Ok(holding)
}

/// Deletes what was counted longer than `age` ago by the ledger's clock, unless another worker is at it. Returns the number of batches
/// deleted. Each statement is a transaction of its own, so that commits wait for one of them at most.
pub(super) async fn prune(conn: &mut Conn, age: Duration) -> Result<u64, mysql_async::Error> {
    let begun = Instant::now();
    let is_ours: Option<Option<u8>> = conn
        .query_first(format!("SELECT GET_LOCK('{PRUNING_LOCK}', 0)"))
        .await?;
    if is_ours.flatten() != Some(1) {
        return Ok(0);
    }
    let reached_s: Option<i64> = conn.query_first(REACHED).await?;
    let age_s = i64::try_from(age.saturating_add(PRUNED_LATER).as_secs()).unwrap_or(i64::MAX);
    // Without a clock nothing is old.
    let before_s = reached_s.map_or(0, |reached_s| reached_s.saturating_sub(age_s).max(0));
    let mut pruned = 0;
    while begun.elapsed() < PRUNING_TIME_MAX {
        let slice = format!(
            "SELECT UNIX_TIMESTAMP(countedAt) FROM eventtracker.CountedBatch \
             WHERE countedAt < FROM_UNIXTIME({before_s}) ORDER BY countedAt LIMIT 1 OFFSET {PRUNED_PER_STATEMENT}"
        );
        let until: Option<i64> = conn.query_first(slice).await?;
        let up_to = until.map_or_else(
            || format!("< FROM_UNIXTIME({before_s})"),
            |until_s| format!("<= FROM_UNIXTIME({until_s})"),
        );
        conn.query_drop(format!(
            "DELETE FROM eventtracker.CountedBatch WHERE countedAt {up_to}"
        ))
        .await?;
        pruned += conn.affected_rows();
        failpoint::crash("worker.pruned");
        if until.is_none() {
            break;
        }
    }
    let last = format!(
        "SELECT MAX(number) FROM eventtracker.CountedFlush WHERE countedAt < FROM_UNIXTIME({before_s})"
    );
    if let Some(Some(number)) = conn.query_first::<Option<u64>, _>(last).await? {
        conn.query_drop(format!(
            "DELETE FROM eventtracker.CountedFlush WHERE number <= {number}"
        ))
        .await?;
    }
    conn.query_drop(format!("DO RELEASE_LOCK('{PRUNING_LOCK}')"))
        .await?;
    Ok(pruned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_advances_the_clock_by_little() {
        assert!(advance(Duration::from_secs(3)).contains(", 0), 3000000) MICROSECOND"));
        assert!(advance(Duration::from_secs(60)).contains(", 0), 20000000) MICROSECOND"));
    }
}
