-- What each worker last saw of its region's queue and of the fullest disk it watches, as of seenAt (the regional database's clock).
-- Written by replication with a flush or every few seconds when idle; read by the API, which never calls a region.
CREATE TABLE IF NOT EXISTS bigdata_0.RegionStatus (
    region        VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    source        VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    seenAt        TIMESTAMP(3)    NOT NULL,
    jobsReady     BIGINT UNSIGNED NOT NULL,
    jobsReserved  BIGINT UNSIGNED NOT NULL,
    jobsDelayed   BIGINT UNSIGNED NOT NULL,
    jobsBuried    BIGINT UNSIGNED NOT NULL,
    oldestJobAgeS BIGINT UNSIGNED NULL,
    queueDurable  BOOLEAN         NOT NULL DEFAULT TRUE,
    diskFreeBytes BIGINT UNSIGNED NULL,
    diskSizeBytes BIGINT UNSIGNED NULL,
    holdMs        INT UNSIGNED    NULL,
    PRIMARY KEY (region, source)
) ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8
