-- The outbox for the completeness clocks; see the centre's table.
CREATE TABLE IF NOT EXISTS bigdata_0.RegionClock (
    region        VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    worker        VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    completeUntil TIMESTAMP(3) NOT NULL,
    seenAt        TIMESTAMP(3) NOT NULL,
    PRIMARY KEY (region, worker)
) ENGINE=BLACKHOLE
