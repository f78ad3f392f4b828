-- Counts of recent minutes: one row per event and UTC minute that had events.
-- Written by replication from every region (their rows add up), read by the API and by analysts.
-- Compressed InnoDB: crash-safe together with the replication position, half the size of plain pages.
-- The key is the order in which a series is read, and the only unique key, so that the upsert is deterministic.
CREATE TABLE IF NOT EXISTS bigdata_{shard}.EventMinute (
    eventId    BIGINT UNSIGNED NOT NULL,
    createDate TIMESTAMP       NOT NULL,
    count      BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (eventId, createDate)
) ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8
