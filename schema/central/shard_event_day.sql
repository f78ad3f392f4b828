-- One row per event and day: the day's minute counts as a JSON array, and their total.
-- For closed days, moved here from EventMinute: a count is in one of the two, never in both. No role writes or reads it yet.
-- Key (day, eventId): days are inserted once, in key order, which compresses best; (eventId, day) finds one name's history.
CREATE TABLE IF NOT EXISTS bigdata_{shard}.EventDay (
    day     DATE                NOT NULL,
    eventId BIGINT UNSIGNED     NOT NULL,
    total   BIGINT UNSIGNED     NOT NULL,
    counts  LONGTEXT COMPRESSED NOT NULL,
    PRIMARY KEY (day, eventId),
    KEY eventDay (eventId, day)
) ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8
