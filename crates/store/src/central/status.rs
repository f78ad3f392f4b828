//! Status: the state of the regions, as far as it has reached the centre, and of the centre itself.

use std::collections::BTreeMap;

use model::{Day, Shard, Timestamp};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::names;
use super::position::{self, Position};
use crate::clock::{self, RegionClock};
use crate::queue::{QueueState, queues};
use crate::rows::for_each_row;
use crate::source::{SourceState, source_states};
use crate::upkeep::Alarm;

/// The state of the regions and of the centre.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The last report of each region's queue that has reached the centre, by region.
    pub queues: Vec<QueueState>,
    /// Replication from each region, by region.
    pub sources: Vec<SourceState>,
    /// The size of each shard, by its number.
    pub shards: Vec<ShardSize>,
    /// The clock of each source, and of each other region that the centre has claims of, by region.
    pub clocks: BTreeMap<String, RegionClock>,
    /// What the centre had when it said that of the clocks.
    pub position: Position,
    /// The alarms that stand, each with the instant since when.
    pub alarms: Vec<(Alarm, Timestamp)>,
    /// The age up to which backups are of use: one of this centre that was taken later can still be attached to every region's binlog.
    /// `None` where nothing is noted yet.
    pub oldest_backup: Option<Timestamp>,
    /// The first day that retention has not dropped; `None` where it never dropped any.
    pub kept_since: Option<Day>,
}

/// The size of one shard, as InnoDB estimates it; bytes are pages of data and indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardSize {
    /// The shard.
    pub shard: Shard,
    /// Number of rows that are not packed: minutes and blocks.
    pub rows: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Number of packed days, one for each name and day.
    pub packed_days: u64,
    /// Their size in bytes.
    pub packed_bytes: u64,
}

/// Reads the status, one statement after the other; the clocks and the position are of one snapshot.
pub(super) async fn read(conn: &mut Conn) -> Result<Status, mysql_async::Error> {
    let queues = queues(conn).await?;
    let mut sources = source_states(conn).await?;
    sources.sort_by(|a, b| a.source.region.cmp(&b.source.region));
    let oldest_backup = oldest_backup(conn, &sources).await?;
    conn.query_drop(names::BEGIN).await?;
    let (clocks, position) = (clock::read(conn).await?, position::read(conn).await?);
    conn.query_drop("COMMIT").await?;
    Ok(Status {
        queues,
        sources,
        shards: shards(conn).await?,
        clocks,
        position,
        alarms: alarms(conn).await?,
        oldest_backup,
        kept_since: clock::kept_since(conn).await?,
    })
}

async fn alarms(conn: &mut Conn) -> Result<Vec<(Alarm, Timestamp)>, mysql_async::Error> {
    const SQL: &str = "SELECT region, kind, sentence, CAST(UNIX_TIMESTAMP(since) * 1000 AS SIGNED) \
                       FROM eventtracker.Alarm ORDER BY region, kind";
    let mut alarms = Vec::new();
    let each = |(region, kind, sentence, since_ms): (String, String, String, i64)| {
        alarms.push((
            Alarm {
                region,
                kind,
                sentence,
            },
            Timestamp::from_unix_ms(since_ms),
        ));
    };
    for_each_row(conn, SQL, (), each).await?;
    Ok(alarms)
}

/// The age of the oldest backup that is of use: over the sources, the latest instant at which the oldest binlog file that is left was
/// reached.
async fn oldest_backup(
    conn: &mut Conn,
    sources: &[SourceState],
) -> Result<Option<Timestamp>, mysql_async::Error> {
    const SQL: &str = "SELECT region, CAST(UNIX_TIMESTAMP(MIN(reachedAt)) * 1000 AS SIGNED) \
                       FROM eventtracker.RegionBinlog GROUP BY region";
    let mut oldest: Option<i64> = None;
    let each = |(region, reached_ms): (String, i64)| {
        if sources.iter().any(|state| state.source.region == region) {
            oldest = oldest.max(Some(reached_ms));
        }
    };
    for_each_row(conn, SQL, (), each).await?;
    Ok(oldest.map(Timestamp::from_unix_ms))
}

async fn shards(conn: &mut Conn) -> Result<Vec<ShardSize>, mysql_async::Error> {
    const SQL: &str = r"SELECT TABLE_SCHEMA, TABLE_NAME = 'EventDay',
                        COALESCE(TABLE_ROWS, 0), COALESCE(DATA_LENGTH + INDEX_LENGTH, 0)
                        FROM information_schema.TABLES
                        WHERE TABLE_SCHEMA LIKE 'bigdata\_%' AND TABLE_NAME IN ('EventMinute', 'EventDay', 'EventBlock')";
    let mut sizes = std::collections::HashMap::<(String, bool), (u64, u64)>::new();
    let each = |(database, is_packed, rows, bytes): (String, bool, u64, u64)| {
        let size = sizes.entry((database, is_packed)).or_default();
        *size = (size.0 + rows, size.1 + bytes);
    };
    for_each_row(conn, SQL, (), each).await?;
    let of_shard = |shard: Shard| {
        let size = |is_packed| sizes.get(&(shard.to_string(), is_packed)).copied();
        let ((rows, bytes), (packed_days, packed_bytes)) = size(false).zip(size(true))?;
        Some(ShardSize {
            shard,
            rows,
            bytes,
            packed_days,
            packed_bytes,
        })
    };
    Ok(Shard::all().filter_map(of_shard).collect())
}
