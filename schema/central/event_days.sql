-- Every name's total by UTC day; several rows where some of its counts are not packed yet, so sum. Nothing is unpacked
-- for it. unixDay is the day's first second. Read by analysts. What a condition on eventId or day leaves to read is said in event_minutes.sql.
CREATE OR REPLACE DEFINER = eventtracker_analysts SQL SECURITY DEFINER
VIEW eventtracker.event_days (day, eventId, total, unixDay) AS
-- For each shard, with UNION ALL between:
SELECT day, eventId, total, (TO_DAYS(day) - 719528) * 86400
FROM bigdata_{shard}.EventDay
WHERE eventId BETWEEN {first} AND {last}
UNION ALL
SELECT DATE(TIMESTAMP'1970-01-01 00:00:00' + INTERVAL UNIX_TIMESTAMP(createDate) SECOND) AS day,
    eventId,
    CAST(SUM(count) AS UNSIGNED),
    UNIX_TIMESTAMP(createDate) DIV 86400 * 86400 AS unixDay
FROM bigdata_{shard}.EventMinute
WHERE eventId BETWEEN {first} AND {last}
GROUP BY day, eventId, unixDay
UNION ALL
SELECT b.day, j.eventId, CAST(SUM(j.n) AS UNSIGNED), (TO_DAYS(b.day) - 719528) * 86400 AS unixDay
FROM bigdata_{shard}.EventBlock AS b,
    JSON_TABLE(b.counts, '$[*]' COLUMNS (
        eventId BIGINT UNSIGNED PATH '$[0]',
        NESTED PATH '$[2][*]' COLUMNS (n BIGINT UNSIGNED PATH '$'))) AS j
WHERE j.eventId BETWEEN {first} AND {last}
GROUP BY b.day, j.eventId, unixDay
