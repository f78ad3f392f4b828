//! What a worker tells the centre of its region, beside the counts.

use std::time::Duration;

use model::{Instant, QueueDepth};

use crate::script::Script;

/// What a flush tells the centre of its region, beside the counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The regional database's clock ([`super::Regional::clock`]) before the queue was looked at.
    pub seen_at: Instant,
    pub queue: QueueDepth,
    /// Whether the queue keeps its jobs on disk.
    pub is_queue_durable: bool,
    /// The fullest disk that the worker watches.
    pub disk: Option<Disk>,
    /// How long the worker holds counts before it writes them: longer the more names count.
    pub hold: Duration,
    /// Every job put before is in the batches of this flush, or was counted before. `None` where that is not known.
    pub complete_until: Option<Instant>,
    /// What rides along for the queue, committed with the counts; `None` leaves what was there.
    pub mark: Option<Mark>,
}

/// A number that only rises within an epoch, and begins anew with the next. What either means is the queue's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Letters and digits.
    pub epoch: String,
    pub number: u64,
}

/// Room on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    pub free_bytes: u64,
    pub size_bytes: u64,
}

pub(super) async fn write(
    out: &mut Script<'_>,
    region: &str,
    source: &str,
    report: &Report,
) -> Result<(), mysql_async::Error> {
    let queue = &report.queue;
    let seen_at = timestamp(report.seen_at);
    let or_null = |number: Option<u64>| number.map_or_else(|| "NULL".to_owned(), |n| n.to_string());
    out.push(format!(
        "INSERT INTO bigdata_0.RegionStatus \
         (region, source, seenAt, jobsReady, jobsReserved, jobsDelayed, jobsBuried, oldestJobAgeS, \
         queueDurable, diskFreeBytes, diskSizeBytes, holdMs) \
         VALUES ('{region}','{source}',{seen_at},{},{},{},{},{},{},{},{},{}) \
         ON DUPLICATE KEY UPDATE seenAt = VALUES(seenAt), jobsReady = VALUES(jobsReady), \
         jobsReserved = VALUES(jobsReserved), jobsDelayed = VALUES(jobsDelayed), \
         jobsBuried = VALUES(jobsBuried), oldestJobAgeS = VALUES(oldestJobAgeS), \
         queueDurable = VALUES(queueDurable), diskFreeBytes = VALUES(diskFreeBytes), \
         diskSizeBytes = VALUES(diskSizeBytes), holdMs = VALUES(holdMs)",
        queue.ready,
        queue.reserved,
        queue.delayed,
        queue.buried,
        or_null(queue.oldest_ready_age_s),
        u8::from(report.is_queue_durable),
        or_null(report.disk.map(|disk| disk.free_bytes)),
        or_null(report.disk.map(|disk| disk.size_bytes)),
        report.hold.as_millis(),
    ))
    .await?;
    if let Some(complete_until) = report.complete_until {
        out.push(format!(
            "INSERT INTO bigdata_0.RegionClock (region, worker, completeUntil, seenAt) \
             VALUES ('{region}','{source}',{},{seen_at}) \
             ON DUPLICATE KEY UPDATE completeUntil = VALUES(completeUntil), seenAt = VALUES(seenAt)",
            timestamp(complete_until)
        ))
        .await?;
    }
    if let Some(Mark { epoch, number }) = &report.mark
        && epoch.bytes().all(|b| b.is_ascii_alphanumeric())
    {
        out.push(format!(
            "INSERT INTO eventtracker.TubeMark (id, process, lowest) VALUES (1,'{epoch}',{number}) \
             ON DUPLICATE KEY UPDATE \
             lowest = IF(process = VALUES(process), GREATEST(lowest, VALUES(lowest)), VALUES(lowest)), \
             process = VALUES(process)"
        ))
        .await?;
    }
    Ok(())
}

pub(super) fn timestamp(at: Instant) -> String {
    format!("FROM_UNIXTIME({:.3})", at.unix_s())
}
