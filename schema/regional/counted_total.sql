-- The region's running total of all counts and of all flushes that counted something, one row, kept in the transaction of
-- the counts by the workers. Compared with the centre's sums, it shows whether anything was lost on the way.
CREATE TABLE IF NOT EXISTS eventtracker.CountedTotal (
    id      TINYINT UNSIGNED NOT NULL,
    total   BIGINT UNSIGNED  NOT NULL,
    flushes BIGINT UNSIGNED  NOT NULL DEFAULT 0,
    PRIMARY KEY (id)
) ENGINE=InnoDB
