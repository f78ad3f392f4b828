-- When this centre's position reached the start of each of a region's binlog files, as the keeper saw it: a file may be
-- purged once its successor was reached long enough ago at every centre.
CREATE TABLE IF NOT EXISTS eventtracker.RegionBinlog (
    region    VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    file      VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    reachedAt TIMESTAMP(3) NOT NULL,
    PRIMARY KEY (region, file)
) ENGINE=InnoDB
