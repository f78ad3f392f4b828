-- Sum of all counts per region and event minute: what the sum over EventMinute must equal.
-- Written by replication in the transaction of the counts, read by audits and by analysts.
-- Plain pages: it is small (some 25 MB per region and year), and a row is added to with every name of its minute. In compressed
-- pages that are nearly full, each such addition compresses the page anew, many times what the counts themselves take.
CREATE TABLE IF NOT EXISTS bigdata_0.RegionMinute (
    region     VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    createDate TIMESTAMP       NOT NULL,
    count      BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (region, createDate)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC
