-- Each worker's completeness clock: it holds no job that was put before completeUntil.
-- The table is part of the contract with dashboards; no role writes it yet, so `complete_until` is null.
CREATE TABLE IF NOT EXISTS bigdata_0.RegionClock (
    region        VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    worker        VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    completeUntil TIMESTAMP(3) NOT NULL,
    seenAt        TIMESTAMP(3) NOT NULL,
    PRIMARY KEY (region, worker)
) ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8
