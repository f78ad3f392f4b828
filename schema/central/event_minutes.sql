-- Every count by name and UTC minute, recent or packed; no row for a minute without events, two while a late one waits to be
-- packed, so sum. Read by analysts.
-- A condition on eventId leaves one shard to read, where it is a constant, a user variable or IN. A condition on day leaves
-- only those packed days to unpack; one on createDate alone does not. createDate is UTC in every session: UNIX_TIMESTAMP() of a
-- TIMESTAMP column does not look at the session's time zone.
-- In the sparse form n is NULL, and m and c hold the pair; in the dense form m is the number once more and means nothing.
CREATE OR REPLACE DEFINER = eventtracker_analysts SQL SECURITY DEFINER
VIEW eventtracker.event_minutes (eventId, createDate, count, day) AS
-- For each shard, with UNION ALL between:
SELECT eventId,
    TIMESTAMP'1970-01-01 00:00:00' + INTERVAL UNIX_TIMESTAMP(createDate) SECOND,
    count,
    DATE(TIMESTAMP'1970-01-01 00:00:00' + INTERVAL UNIX_TIMESTAMP(createDate) SECOND)
FROM bigdata_{shard}.EventMinute
WHERE eventId BETWEEN {first} AND {last}
UNION ALL
SELECT d.eventId,
    TIMESTAMP(d.day) + INTERVAL IF(j.n IS NULL, j.m, j.ord - 1) MINUTE,
    COALESCE(j.n, j.c),
    d.day
FROM bigdata_{shard}.EventDay AS d,
    JSON_TABLE(d.counts, '$[*]' COLUMNS (
        ord FOR ORDINALITY,
        n BIGINT UNSIGNED PATH '$',
        m INT PATH '$[0]',
        c BIGINT UNSIGNED PATH '$[1]')) AS j
WHERE d.eventId BETWEEN {first} AND {last} AND COALESCE(j.n, j.c) > 0
