-- What each worker knew at seenAt: every job of its region that was put before completeUntil is counted in what was
-- replicated up to this row. Both instants are by the regional database's clock. Written by replication with each flush or
-- every second when idle, read by the API: a region's clock is the latest of its workers' claims.
CREATE TABLE IF NOT EXISTS bigdata_0.RegionClock (
    region        VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    worker        VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    completeUntil TIMESTAMP(3) NOT NULL,
    seenAt        TIMESTAMP(3) NOT NULL,
    PRIMARY KEY (region, worker)
) ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8
