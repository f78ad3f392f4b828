-- The outbox for counts: a row inserted here exists only in the statement binlog, which the centre replays.
-- Written by the workers, read by nobody here. BLACKHOLE keeps no rows; the key is the centre's, as its upsert needs it.
CREATE TABLE IF NOT EXISTS bigdata_{shard}.EventMinute (
    eventId    BIGINT UNSIGNED NOT NULL,
    createDate TIMESTAMP       NOT NULL,
    count      BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (eventId, createDate)
) ENGINE=BLACKHOLE
