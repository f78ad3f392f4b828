-- The outbox for the region's sums per minute, written by the workers in the transaction of the counts.
CREATE TABLE IF NOT EXISTS bigdata_0.RegionMinute (
    region     VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    createDate TIMESTAMP       NOT NULL,
    count      BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (region, createDate)
) ENGINE=BLACKHOLE
