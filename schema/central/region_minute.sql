-- Sum of all counts per region and event minute: what the sum over EventMinute must equal.
-- Written by replication in the transaction of the counts, read by audits and by analysts.
CREATE TABLE IF NOT EXISTS bigdata_0.RegionMinute (
    region     VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    createDate TIMESTAMP       NOT NULL,
    count      BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (region, createDate)
) ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8
