-- Every count by name and UTC minute, recent or packed; no row for a minute without events, several while counts wait to be
-- put together, so sum. Read by analysts.
-- unixSeconds is the minute's first second, unixDay that of its UTC day: both are the same in every session, as UNIX_TIMESTAMP() of a TIMESTAMP
-- column is. createDate is the minute in UTC, for sessions in UTC (not_utc.sql): merged into the query that reads it, the view computes it
-- only where that does.
-- A condition on eventId leaves one shard to read, where it is a constant, a user variable or IN. A condition on day or unixDay leaves
-- only those packed days to unpack; one on unixSeconds or createDate alone does not.
-- Packed days (shard_event_day.sql): JSON_TABLE takes the text apart once, and not for each minute. Of digits, with brackets around, it makes
-- one row, of which d0 is longer than any number, and s counts the minutes; of pairs a row for each, where n is NULL and m and c hold the pair;
-- of numbers a row for each, where m and c mean nothing.
CREATE OR REPLACE ALGORITHM = MERGE DEFINER = eventtracker_analysts SQL SECURITY DEFINER
VIEW eventtracker.event_minutes (eventId, createDate, count, day, unixSeconds, unixDay) AS
SELECT eventId,
    IF(UNIX_TIMESTAMP(TIMESTAMP'2018-07-01 00:00:00') = 1530403200
        AND UNIX_TIMESTAMP(TIMESTAMP'2026-01-01 00:00:00') = 1767225600
        AND UNIX_TIMESTAMP(TIMESTAMP'2026-07-01 00:00:00') = 1782864000,
        TIMESTAMP'1970-01-01 00:00:00' + INTERVAL unixSeconds SECOND,
        eventtracker.not_utc()),
    count,
    day,
    unixSeconds,
    unixDay
FROM (
-- For each shard, with UNION ALL between:
SELECT eventId,
    UNIX_TIMESTAMP(createDate) AS unixSeconds,
    count,
    DATE(TIMESTAMP'1970-01-01 00:00:00' + INTERVAL UNIX_TIMESTAMP(createDate) SECOND) AS day,
    UNIX_TIMESTAMP(createDate) DIV 86400 * 86400 AS unixDay
FROM bigdata_{shard}.EventMinute
WHERE eventId BETWEEN {first} AND {last}
UNION ALL
SELECT d.eventId,
    (TO_DAYS(d.day) - 719528) * 86400 + IF(LENGTH(j.d0) > 20, CAST(s.seq AS INT), IF(j.n IS NULL, j.m, j.ord - 1)) * 60,
    IF(LENGTH(j.d0) > 20,
        j.least + (ORD(SUBSTR(j.d0, s.seq + 1, 1)) - 35 + IF(j.d1 IS NULL, 0, (ORD(SUBSTR(j.d1, s.seq + 1, 1)) - 35) * 92
            + IF(j.d2 IS NULL, 0, (ORD(SUBSTR(j.d2, s.seq + 1, 1)) - 35) * 8464
            + IF(j.d3 IS NULL, 0, (ORD(SUBSTR(j.d3, s.seq + 1, 1)) - 35) * 778688)))),
        COALESCE(j.n, j.c)),
    d.day,
    (TO_DAYS(d.day) - 719528) * 86400
FROM bigdata_{shard}.EventDay AS d
STRAIGHT_JOIN JSON_TABLE(IF(LEFT(d.counts, 1) = '[', d.counts, CONCAT('[[', d.counts, ']]')), '$[*]' COLUMNS (
        ord FOR ORDINALITY,
        n BIGINT UNSIGNED PATH '$',
        m INT PATH '$[0]',
        c BIGINT UNSIGNED PATH '$[1]',
        least BIGINT UNSIGNED PATH '$[0]',
        d0 VARCHAR(1440) CHARACTER SET ascii PATH '$[1]',
        d1 VARCHAR(1440) CHARACTER SET ascii PATH '$[2]',
        d2 VARCHAR(1440) CHARACTER SET ascii PATH '$[3]',
        d3 VARCHAR(1440) CHARACTER SET ascii PATH '$[4]')) AS j
STRAIGHT_JOIN bigdata_{shard}.seq_0_to_1439 AS s ON s.seq <= IF(LENGTH(j.d0) > 20, 1439, 0)
WHERE d.eventId BETWEEN {first} AND {last} AND IF(LENGTH(j.d0) > 20,
        j.least > 0 OR SUBSTR(j.d0, s.seq + 1, 1) <> '#' OR SUBSTR(j.d1, s.seq + 1, 1) <> '#'
            OR SUBSTR(j.d2, s.seq + 1, 1) <> '#' OR SUBSTR(j.d3, s.seq + 1, 1) <> '#',
        COALESCE(j.n, j.c) > 0)
UNION ALL
SELECT j.eventId,
    (TO_DAYS(b.day) - 719528) * 86400 + (j.first + j.ord - 1) * 60,
    j.n,
    b.day,
    (TO_DAYS(b.day) - 719528) * 86400
FROM bigdata_{shard}.EventBlock AS b,
    JSON_TABLE(b.counts, '$[*]' COLUMNS (
        eventId BIGINT UNSIGNED PATH '$[0]',
        first INT PATH '$[1]',
        NESTED PATH '$[2][*]' COLUMNS (ord FOR ORDINALITY, n BIGINT UNSIGNED PATH '$'))) AS j
WHERE j.eventId BETWEEN {first} AND {last} AND j.n > 0
-- After the last shard:
) AS minutes
