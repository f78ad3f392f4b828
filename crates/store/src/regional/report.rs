//! A region's state, as a worker tells it to the centre beside the counts.

use std::time::Duration;

use model::{QueueDepth, Timestamp};

use crate::script::Script;

/// A region's state, which each flush tells the centre.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The regional database's clock ([`super::Regional::clock`]) before the queue was looked at.
    pub seen_at: Timestamp,
    /// Numbers of jobs in the queue.
    pub queue: QueueDepth,
    /// Whether the queue syncs its jobs to disk.
    pub is_queue_durable: bool,
    /// The fullest disk that the worker watches.
    pub disk: Option<Disk>,
    /// Time that the worker holds counts before it writes them: longer the more names count.
    pub hold: Duration,
    /// The region's watermark, by its database's clock: every job put before is in the batches of this flush, or was counted before.
    /// `None` where that is not known.
    pub complete_until: Option<Timestamp>,
    /// The queue's low-water mark, committed with the counts for the workers that connect later; `None` leaves the one that is there.
    pub mark: Option<Mark>,
}

/// The queue's low-water mark: a number that only rises within an epoch, and begins anew with the next. Its meaning is the queue's: no job
/// of that beanstalkd process is left below the number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The beanstalkd process that the number is of; ASCII letters and digits.
    pub epoch: String,
    /// A job number.
    pub number: u64,
}

/// Room on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Free bytes.
    pub free_bytes: u64,
    /// All bytes, free and used.
    pub size_bytes: u64,
}

/// Writes a report into the outbox, and the queue's mark beside the ledger. A mark never falls within its epoch, whatever order the
/// workers commit in.
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
    // What was claimed stays true, so a look that saw less takes nothing back: of an empty queue it is known that everything until now is
    // counted, of the next job only that it came after an older fence. Unless the clock was set back, by which the earlier claim was made.
    if let Some(complete_until) = report.complete_until {
        out.push(format!(
            "INSERT INTO bigdata_0.RegionClock (region, worker, completeUntil, seenAt) \
             VALUES ('{region}','{source}',{},{seen_at}) \
             ON DUPLICATE KEY UPDATE \
             completeUntil = IF(VALUES(seenAt) < seenAt, VALUES(completeUntil), GREATEST(completeUntil, VALUES(completeUntil))), \
             seenAt = VALUES(seenAt)",
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

/// An instant as a SQL expression, to the millisecond.
pub(super) fn timestamp(at: Timestamp) -> String {
    format!("FROM_UNIXTIME({:.3})", at.unix_s())
}
