-- event_days with the name beside the total, as named_minutes. Read by analysts.
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
