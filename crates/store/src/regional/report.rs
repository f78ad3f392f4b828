//! What a worker tells the centre of its region, beside the counts.

use std::time::Duration;

use model::{Instant, TubeState};

use crate::script::Script;

/// What a flush tells the centre of its region, beside the counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The regional database's clock ([`crate::Regional::clock`]) before the queue was looked at.
    pub seen_at: Instant,
    pub tube: TubeState,
    /// Whether beanstalkd writes its log.
    pub queue_durable: bool,
    /// The fullest disk that the worker watches.
    pub disk: Option<Disk>,
    /// How long the worker holds counts before it writes them: longer the more names count.
    pub hold: Duration,
    /// Every job put before is in the batches of this flush, or was counted before. `None` where that is not known.
    pub complete_until: Option<Instant>,
    /// Process of beanstalkd, and the number below which none of its jobs is left.
    pub tube_mark: Option<(String, u64)>,
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
    let tube = &report.tube;
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
        tube.ready,
        tube.reserved,
        tube.delayed,
        tube.buried,
        or_null(tube.oldest_ready_age_s),
        u8::from(report.queue_durable),
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
    if let Some((process, lowest)) = &report.tube_mark
        && process.bytes().all(|b| b.is_ascii_alphanumeric())
    {
        out.push(format!(
            "INSERT INTO eventtracker.TubeMark (id, process, lowest) VALUES (1,'{process}',{lowest}) \
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
