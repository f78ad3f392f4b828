-- For a table from before queues and disks were watched, and holds told. At the centre first: a region's statement that names a column which
-- the centre lacks would stop its replication.
ALTER TABLE bigdata_0.RegionStatus
    ADD COLUMN IF NOT EXISTS queueDurable  BOOLEAN         NOT NULL DEFAULT TRUE,
    ADD COLUMN IF NOT EXISTS diskFreeBytes BIGINT UNSIGNED NULL,
    ADD COLUMN IF NOT EXISTS diskSizeBytes BIGINT UNSIGNED NULL,
    ADD COLUMN IF NOT EXISTS holdMs        INT UNSIGNED    NULL
