//! The regions' queues, as their workers last reported them.

use std::time::Duration;

use model::Timestamp;
use mysql_async::Conn;

use crate::regional::Disk;
use crate::rows::for_each_row;

/// Seconds without a word of a region's queue that are no fault: a worker reports every second and with each flush, and a restart of all
/// servers takes less. What it said longer ago says nothing about the queue now.
pub const SILENCE_S_MAX: u32 = 60;

/// A region's queue, as its worker saw it at `seen`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueState {
    /// The region's name.
    pub region: String,
    /// The instant of this report, by the regional database's clock.
    pub seen: Timestamp,
    /// Number of jobs that wait.
    pub ready: u64,
    /// Number of jobs that workers have.
    pub reserved: u64,
    /// Number of jobs that wait for a delay to pass.
    pub delayed: u64,
    /// Number of jobs that could not be counted, and wait for an operator.
    pub buried: u64,
    /// Seconds since the oldest job was put that waits; `None` where none waits.
    pub oldest_job_age_s: Option<u64>,
    /// Whether beanstalkd writes its log.
    pub is_durable: bool,
    /// The fullest of the disks that the workers watch.
    pub disk: Option<Disk>,
    /// Time that the worker holds counts before it writes them; `None` from a worker that does not report it.
    pub hold: Option<Duration>,
}

/// Each region's freshest report, by region: rows of workers that are gone stay in the table.
pub(crate) async fn queues(conn: &mut Conn) -> Result<Vec<QueueState>, mysql_async::Error> {
    const SQL: &str = "SELECT region, CAST(UNIX_TIMESTAMP(seenAt) * 1000 AS SIGNED), \
                       jobsReady, jobsReserved, jobsDelayed, jobsBuried, oldestJobAgeS, \
                       queueDurable, diskFreeBytes, diskSizeBytes, holdMs \
                       FROM bigdata_0.RegionStatus \
                       JOIN (SELECT region, MAX(seenAt) AS seenAt FROM bigdata_0.RegionStatus GROUP BY region) freshest \
                       USING (region, seenAt) ORDER BY region, source";
    type Row = (
        String,
        i64,
        u64,
        u64,
        u64,
        u64,
        Option<u64>,
        bool,
        Option<u64>,
        Option<u64>,
        Option<u32>,
    );
    let mut queues: Vec<QueueState> = Vec::new();
    let each = |row: Row| {
        let (
            region,
            seen_ms,
            ready,
            reserved,
            delayed,
            buried,
            oldest_job_age_s,
            is_durable,
            free_bytes,
            size_bytes,
            hold_ms,
        ) = row;
        let disk = free_bytes.zip(size_bytes).map(|(free_bytes, size_bytes)| Disk {
            free_bytes,
            size_bytes,
        });
        queues.push(QueueState {
            region,
            seen: Timestamp::from_unix_ms(seen_ms),
            ready,
            reserved,
            delayed,
            buried,
            oldest_job_age_s,
            is_durable,
            disk,
            hold: hold_ms.map(|ms| Duration::from_millis(ms.into())),
        });
    };
    for_each_row(conn, SQL, (), each).await?;
    queues.dedup_by(|next, kept| next.region == kept.region);
    Ok(queues)
}
