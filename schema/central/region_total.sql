-- Each region's running total as of its last flush that was applied here, and how many flushes that were.
-- Written by replication in the transaction of the counts. Whatever is lost or doubled on the way makes it differ from the
-- sum of RegionMinute.
CREATE TABLE IF NOT EXISTS bigdata_0.RegionTotal (
    region  VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    total   BIGINT UNSIGNED NOT NULL,
    flushes BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (region)
) ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8
