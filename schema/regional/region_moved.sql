-- Whether the region's counts are written elsewhere, and whose ledger this is: one row. movedTo, host and port, is set by
-- 'region switch' on the server that a region leaves, and read by every worker's transaction with a shared lock: whoever
-- writes it waits for the transactions in progress, and none begins afterwards. region and movedFrom are set on the server
-- that takes over, once it has the whole ledger. InnoDB for the lock; never in the binlog, since each server has its own.
CREATE TABLE IF NOT EXISTS eventtracker.RegionMoved (
    id        TINYINT UNSIGNED NOT NULL,
    movedTo   VARCHAR(300) CHARACTER SET ascii COLLATE ascii_bin NULL,
    region    VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin NULL,
    movedFrom VARCHAR(300) CHARACTER SET ascii COLLATE ascii_bin NULL,
    PRIMARY KEY (id)
) ENGINE=InnoDB
