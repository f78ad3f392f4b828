-- Counts of recent minutes: one row per event and UTC minute that had events.
-- Written by replication from every region (their rows add up), read by the API and by analysts.
-- InnoDB: crash-safe together with the replication position. Its pages are not compressed, as those of packed days are: replication
-- then applies twice as many rows in a second, and rows are here for a day at most.
-- The key is the order in which a series is read, and the only unique key, so that the upsert is deterministic.
CREATE TABLE IF NOT EXISTS bigdata_{shard}.EventMinute (
    eventId    BIGINT UNSIGNED NOT NULL,
    createDate TIMESTAMP       NOT NULL,
    count      BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (eventId, createDate)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC
