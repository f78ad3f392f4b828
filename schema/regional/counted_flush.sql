-- The sum of counts of each recent flush, by its number in CountedTotal: what lies between a total that the centre has and
-- the region's own. Written by the workers in the transaction of the counts, pruned with the ledger, read by the audit.
-- countedAt is by LedgerClock.
CREATE TABLE IF NOT EXISTS eventtracker.CountedFlush (
    number    BIGINT UNSIGNED NOT NULL,
    count     BIGINT UNSIGNED NOT NULL,
    countedAt TIMESTAMP       NOT NULL,
    PRIMARY KEY (number)
) ENGINE=InnoDB
