-- event_days with the name beside the total, as named_minutes. Blocks of counts, which stay for seconds, are read whole, before their names. Read by analysts.
CREATE OR REPLACE DEFINER = eventtracker_analysts SQL SECURITY DEFINER
VIEW eventtracker.named_days (tagName, day, total, unixDay, eventId) AS
-- For each shard, with UNION ALL between:
SELECT t.tagName, d.day, d.total, (TO_DAYS(d.day) - 719528) * 86400, d.eventId
FROM bigdata_0.EventTags AS t
STRAIGHT_JOIN bigdata_{shard}.EventDay AS d ON d.eventId = t.eventId
WHERE t.eventId BETWEEN {first} AND {last}
UNION ALL
SELECT t.tagName,
    DATE(TIMESTAMP'1970-01-01 00:00:00' + INTERVAL UNIX_TIMESTAMP(m.createDate) SECOND) AS day,
    CAST(SUM(m.count) AS UNSIGNED),
    UNIX_TIMESTAMP(m.createDate) DIV 86400 * 86400 AS unixDay,
    m.eventId
FROM bigdata_0.EventTags AS t
STRAIGHT_JOIN bigdata_{shard}.EventMinute AS m ON m.eventId = t.eventId
WHERE t.eventId BETWEEN {first} AND {last}
GROUP BY t.tagName, day, m.eventId, unixDay
UNION ALL
SELECT t.tagName, b.day, CAST(SUM(j.n) AS UNSIGNED), (TO_DAYS(b.day) - 719528) * 86400 AS unixDay, j.eventId
FROM bigdata_{shard}.EventBlock AS b
STRAIGHT_JOIN JSON_TABLE(b.counts, '$[*]' COLUMNS (
        eventId BIGINT UNSIGNED PATH '$[0]',
        NESTED PATH '$[2][*]' COLUMNS (n BIGINT UNSIGNED PATH '$'))) AS j
STRAIGHT_JOIN bigdata_0.EventTags AS t ON t.eventId = j.eventId
WHERE t.eventId BETWEEN {first} AND {last}
GROUP BY t.tagName, b.day, j.eventId, unixDay
