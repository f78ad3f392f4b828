-- event_minutes with the name beside the count, for tools that know no hash of it. In each branch the names of its shard come first (STRAIGHT_JOIN: the
-- optimizer takes an almost empty shard for cheaper): where
-- a query asks for one (WHERE tagName = '…', IN, LIKE 'shop.%'), its branch alone finds it, by the index of names, and goes on to the
-- counts. A condition on day or unixDay leaves only those packed days to unpack. Blocks of counts, which stay for seconds, are read whole, before their names. Read by analysts.
CREATE OR REPLACE ALGORITHM = MERGE DEFINER = eventtracker_analysts SQL SECURITY DEFINER
VIEW eventtracker.named_minutes (tagName, createDate, count, day, unixSeconds, unixDay, eventId) AS
SELECT tagName,
    IF(UNIX_TIMESTAMP(TIMESTAMP'2018-07-01 00:00:00') = 1530403200
        AND UNIX_TIMESTAMP(TIMESTAMP'2026-01-01 00:00:00') = 1767225600
        AND UNIX_TIMESTAMP(TIMESTAMP'2026-07-01 00:00:00') = 1782864000,
        TIMESTAMP'1970-01-01 00:00:00' + INTERVAL unixSeconds SECOND,
        eventtracker.not_utc()),
    count,
    day,
    unixSeconds,
    unixDay,
    eventId
FROM (
-- For each shard, with UNION ALL between:
SELECT t.tagName,
    UNIX_TIMESTAMP(m.createDate) AS unixSeconds,
    m.count,
    DATE(TIMESTAMP'1970-01-01 00:00:00' + INTERVAL UNIX_TIMESTAMP(m.createDate) SECOND) AS day,
    UNIX_TIMESTAMP(m.createDate) DIV 86400 * 86400 AS unixDay,
    m.eventId
FROM bigdata_0.EventTags AS t
STRAIGHT_JOIN bigdata_{shard}.EventMinute AS m ON m.eventId = t.eventId
WHERE t.eventId BETWEEN {first} AND {last}
UNION ALL
SELECT t.tagName,
    (TO_DAYS(d.day) - 719528) * 86400 + IF(LENGTH(j.d0) > 20, CAST(s.seq AS INT), IF(j.n IS NULL, j.m, j.ord - 1)) * 60,
    IF(LENGTH(j.d0) > 20,
        j.least + (ORD(SUBSTR(j.d0, s.seq + 1, 1)) - 35 + IF(j.d1 IS NULL, 0, (ORD(SUBSTR(j.d1, s.seq + 1, 1)) - 35) * 92
            + IF(j.d2 IS NULL, 0, (ORD(SUBSTR(j.d2, s.seq + 1, 1)) - 35) * 8464
            + IF(j.d3 IS NULL, 0, (ORD(SUBSTR(j.d3, s.seq + 1, 1)) - 35) * 778688)))),
        COALESCE(j.n, j.c)),
    d.day,
    (TO_DAYS(d.day) - 719528) * 86400,
    d.eventId
FROM bigdata_0.EventTags AS t
STRAIGHT_JOIN bigdata_{shard}.EventDay AS d ON d.eventId = t.eventId
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
WHERE t.eventId BETWEEN {first} AND {last} AND IF(LENGTH(j.d0) > 20,
        j.least > 0 OR SUBSTR(j.d0, s.seq + 1, 1) <> '#' OR SUBSTR(j.d1, s.seq + 1, 1) <> '#'
            OR SUBSTR(j.d2, s.seq + 1, 1) <> '#' OR SUBSTR(j.d3, s.seq + 1, 1) <> '#',
        COALESCE(j.n, j.c) > 0)
UNION ALL
SELECT t.tagName,
    (TO_DAYS(b.day) - 719528) * 86400 + (j.first + j.ord - 1) * 60,
    j.n,
    b.day,
    (TO_DAYS(b.day) - 719528) * 86400,
    j.eventId
FROM bigdata_{shard}.EventBlock AS b
STRAIGHT_JOIN JSON_TABLE(b.counts, '$[*]' COLUMNS (
        eventId BIGINT UNSIGNED PATH '$[0]',
        first INT PATH '$[1]',
        NESTED PATH '$[2][*]' COLUMNS (ord FOR ORDINALITY, n BIGINT UNSIGNED PATH '$'))) AS j
STRAIGHT_JOIN bigdata_0.EventTags AS t ON t.eventId = j.eventId
WHERE t.eventId BETWEEN {first} AND {last} AND j.n > 0
-- After the last shard:
) AS minutes
