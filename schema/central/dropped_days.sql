-- What retention has dropped: packed days before a day, per shard. Written by the keeper just before it drops them; read by the
-- API and by audits, which say nothing of days that are not kept any more.
CREATE TABLE IF NOT EXISTS eventtracker.DroppedDays (
    shard     TINYINT UNSIGNED NOT NULL,
    beforeDay DATE             NOT NULL,
    firstDay  DATE,
    rowCount  BIGINT UNSIGNED  NOT NULL,
    total     DECIMAL(40)      NOT NULL,
    droppedAt TIMESTAMP        NOT NULL,
    PRIMARY KEY (shard, beforeDay)
) ENGINE=InnoDB
