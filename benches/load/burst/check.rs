//! Whether the centre's view shows, of every name and minute, what was sent.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use model::{Day, Shard};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::events::Name;
use crate::workload::Sums;

/// Shard by shard and row by row, so that a million names take no more memory than their sums, and only the days of what was sent: where
/// the centre holds years, all of them would have to be unpacked. Other names are passed over.
///
/// # Errors
/// The first thing that differs.
pub(crate) async fn compare(centre: &mut Conn, names: &[Name], sums: &mut Sums) -> Result<()> {
    let indexes: HashMap<u64, usize> = names.iter().map(|name| name.id.0).zip(0..).collect();
    let (first_day, last_day) = sums.days();
    for shard in Shard::all() {
        let (first, last) = shard.event_ids().into_inner();
        let sql = format!(
            "SELECT eventId, CAST(unixSeconds AS SIGNED), CAST(SUM(count) AS UNSIGNED) \
             FROM eventtracker.event_minutes WHERE eventId BETWEEN {first} AND {last} \
             AND day BETWEEN '{first_day}' AND '{last_day}' \
             GROUP BY eventId, unixSeconds"
        );
        let mut rows = centre.query_iter(sql).await?;
        while let Some(row) = rows.next().await? {
            let (id, unix_s, count): (u64, i64, u64) = mysql_async::from_row_opt(row)?;
            if let Some(&name) = indexes.get(&id) {
                sums.take(name, unix_s, count)?;
            }
        }
    }
    ensure_nowhere_else(centre, &indexes, sums.days()).await?;
    let (minutes, counts) = sums.left();
    ensure!(
        minutes == 0,
        "NOT EQUAL: {counts} counts of {minutes} names and minutes are not at the centre"
    );
    Ok(())
}

/// That no other day has a count of these names. By the day, since totals of packed days come from an index.
async fn ensure_nowhere_else(
    centre: &mut Conn,
    indexes: &HashMap<u64, usize>,
    (first_day, last_day): (Day, Day),
) -> Result<()> {
    for shard in Shard::all() {
        let (first, last) = shard.event_ids().into_inner();
        let sql = format!(
            "SELECT DISTINCT eventId, CAST(day AS CHAR) FROM eventtracker.event_days \
             WHERE eventId BETWEEN {first} AND {last} AND day NOT BETWEEN '{first_day}' AND '{last_day}'"
        );
        let mut rows = centre.query_iter(sql).await?;
        while let Some(row) = rows.next().await? {
            let (id, day): (u64, String) = mysql_async::from_row_opt(row)?;
            ensure!(
                !indexes.contains_key(&id),
                "NOT EQUAL: counts of {id} are stored on {day}, where nothing was sent"
            );
        }
    }
    Ok(())
}
