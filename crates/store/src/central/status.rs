//! What the centre knows of its regions and of itself.

use std::collections::BTreeMap;

use model::{Instant, Shard};
use mysql_async::Conn;

use super::clock::{self, RegionClock};
use super::for_each_row;
use crate::SourceState;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The last word of each region's queue that has reached the centre, by region.
    pub queues: Vec<QueueState>,
    /// Replication from each region, by region.
    pub sources: Vec<SourceState>,
    pub shards: Vec<ShardSize>,
    /// The clock of each source, by region.
    pub clocks: BTreeMap<String, RegionClock>,
}

/// A region's queue, as its worker saw it at `seen`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueState {
    pub region: String,
    /// By the regional database's clock.
    pub seen: Instant,
    pub ready: u64,
    pub reserved: u64,
    pub delayed: u64,
    pub buried: u64,
    /// `None` where nothing waits.
    pub oldest_job_age_s: Option<u64>,
}

/// The recent minutes of one shard, as InnoDB estimates them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardSize {
    pub shard: Shard,
    pub rows: u64,
    /// Pages of data and indexes.
    pub bytes: u64,
}

pub(super) async fn read(conn: &mut Conn) -> Result<Status, mysql_async::Error> {
    let queues = queues(conn).await?;
    let mut sources = crate::source_states(conn).await?;
    sources.sort_by(|a, b| a.region.cmp(&b.region));
    Ok(Status {
        queues,
        sources,
        shards: shards(conn).await?,
        clocks: clock::read(conn).await?,
    })
}

/// Each region's freshest row: rows of sources that are gone stay in the table.
async fn queues(conn: &mut Conn) -> Result<Vec<QueueState>, mysql_async::Error> {
    const SQL: &str = "SELECT region, CAST(UNIX_TIMESTAMP(seenAt) * 1000 AS SIGNED), \
                       jobsReady, jobsReserved, jobsDelayed, jobsBuried, oldestJobAgeS \
                       FROM bigdata_0.RegionStatus \
                       JOIN (SELECT region, MAX(seenAt) AS seenAt FROM bigdata_0.RegionStatus GROUP BY region) freshest \
                       USING (region, seenAt) ORDER BY region, source";
    type Row = (String, i64, u64, u64, u64, u64, Option<u64>);
    let mut queues: Vec<QueueState> = Vec::new();
    let each = |(region, seen_ms, ready, reserved, delayed, buried, oldest_job_age_s): Row| {
        let seen = Instant::from_unix_ms(seen_ms);
        queues.push(QueueState {
            region,
            seen,
            ready,
            reserved,
            delayed,
            buried,
            oldest_job_age_s,
        });
    };
    for_each_row(conn, SQL, (), each).await?;
    queues.dedup_by(|next, kept| next.region == kept.region);
    Ok(queues)
}

async fn shards(conn: &mut Conn) -> Result<Vec<ShardSize>, mysql_async::Error> {
    const SQL: &str = r"SELECT TABLE_SCHEMA, COALESCE(TABLE_ROWS, 0), COALESCE(DATA_LENGTH + INDEX_LENGTH, 0)
                        FROM information_schema.TABLES
                        WHERE TABLE_SCHEMA LIKE 'bigdata\_%' AND TABLE_NAME = 'EventMinute'";
    let mut sizes = std::collections::HashMap::<String, (u64, u64)>::new();
    let each = |(database, rows, bytes)| {
        sizes.insert(database, (rows, bytes));
    };
    for_each_row(conn, SQL, (), each).await?;
    let of_shard = |shard: Shard| {
        sizes
            .get(&shard.to_string())
            .map(|&(rows, bytes)| ShardSize { shard, rows, bytes })
    };
    Ok(Shard::all().filter_map(of_shard).collect())
}
