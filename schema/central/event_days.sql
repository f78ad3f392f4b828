-- Every name's total by UTC day; two rows where a packed day has minutes that are not packed yet, so sum. Nothing is unpacked
-- for it. Read by analysts. What a condition on eventId or day leaves to read is said in event_minutes.sql.
CREATE OR REPLACE DEFINER = eventtracker_analysts SQL SECURITY DEFINER
VIEW eventtracker.event_days (day, eventId, total) AS
-- For each shard, with UNION ALL between:
SELECT day, eventId, total
FROM bigdata_{shard}.EventDay
WHERE eventId BETWEEN {first} AND {last}
UNION ALL
SELECT DATE(TIMESTAMP'1970-01-01 00:00:00' + INTERVAL UNIX_TIMESTAMP(createDate) SECOND) AS day,
    eventId,
    CAST(SUM(count) AS UNSIGNED)
FROM bigdata_{shard}.EventMinute
WHERE eventId BETWEEN {first} AND {last}
GROUP BY day, eventId
