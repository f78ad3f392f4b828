-- Each region's last word at this centre: when it was heard and until when the region is complete, both in UTC, and as unix seconds, by the centre's
-- clock (NULL where the keeper has not compared clocks in the last 30 s; the rule is crates/store/src/central/clock.rs), its queue, the fullest of its disks, its running total of
-- counts, and for how long the worker that spoke last holds counts.
-- Read by analysts and dashboards.
CREATE OR REPLACE DEFINER = eventtracker_analysts SQL SECURITY DEFINER
VIEW eventtracker.region_health (
    region, heard, complete_until,
    jobs_ready, jobs_reserved, jobs_delayed, jobs_buried, oldest_job_age_s, queue_durable,
    disk_free_bytes, disk_size_bytes, total, heard_unix, complete_until_unix, hold_s) AS
SELECT s.region,
    TIMESTAMP'1970-01-01 00:00:00' + INTERVAL UNIX_TIMESTAMP(s.seenAt) - o.aheadMs / 1000 SECOND,
    TIMESTAMP'1970-01-01 00:00:00' + INTERVAL GREATEST(c.completeUntil - o.peakMs / 1000, o.saidUntil) SECOND,
    s.jobsReady, s.jobsReserved, s.jobsDelayed, s.jobsBuried, s.oldestJobAgeS, s.queueDurable,
    s.diskFreeBytes, s.diskSizeBytes, t.total,
    UNIX_TIMESTAMP(s.seenAt) - o.aheadMs / 1000,
    GREATEST(c.completeUntil - o.peakMs / 1000, o.saidUntil),
    s.holdMs / 1000
FROM bigdata_0.RegionStatus AS s
LEFT JOIN (
    SELECT region, aheadMs, peakMs, measuredAt, IF(saidUntil <= CURRENT_TIMESTAMP(3) + INTERVAL 0.1 SECOND, UNIX_TIMESTAMP(saidUntil), 0) AS saidUntil
    FROM eventtracker.ClockOffset) AS o ON o.region = s.region
    AND UNIX_TIMESTAMP(CURRENT_TIMESTAMP(3)) - UNIX_TIMESTAMP(o.measuredAt) BETWEEN -1 AND 30
-- All claims of a region are about the whole of it, so its latest counts, whoever made it.
LEFT JOIN (SELECT region, MAX(UNIX_TIMESTAMP(completeUntil)) AS completeUntil FROM bigdata_0.RegionClock GROUP BY region) AS c
    ON c.region = s.region AND o.peakMs < 3155760000000 AND c.completeUntil - o.peakMs / 1000 <= UNIX_TIMESTAMP(CURRENT_TIMESTAMP(3)) + 0.1
LEFT JOIN bigdata_0.RegionTotal AS t ON t.region = s.region
-- Rows of sources that are gone stay in the table: the freshest counts.
WHERE NOT EXISTS (
    SELECT 1 FROM bigdata_0.RegionStatus AS newer
    WHERE newer.region = s.region AND (newer.seenAt, newer.source) > (s.seenAt, s.source))
