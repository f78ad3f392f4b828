-- The outbox for the state of the region's queue, written by the workers.
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
) ENGINE=BLACKHOLE
