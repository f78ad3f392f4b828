-- The outbox for the region's running total, written by the workers in the transaction of the counts.
CREATE TABLE IF NOT EXISTS bigdata_0.RegionTotal (
    region  VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    total   BIGINT UNSIGNED NOT NULL,
    flushes BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (region)
) ENGINE=BLACKHOLE
