-- The ledger: ids of the batches that were counted. A batch whose id is here is never counted again.
-- Written, read and pruned by the workers, in the transaction of the counts: hence InnoDB, with the id as its only unique key.
-- The second key finds what is old enough to be pruned. countedAt is by LedgerClock. content is a hash of what a keyed request's
-- piece said (crates/model/src/origin.rs), so that a key which is used again for something else is noticed.
CREATE TABLE IF NOT EXISTS eventtracker.CountedBatch (
    batchId    BINARY(16)      NOT NULL,
    acceptedAt TIMESTAMP       NOT NULL,
    countedAt  TIMESTAMP       NOT NULL,
    total      BIGINT UNSIGNED NOT NULL,
    content    BIGINT UNSIGNED NULL,
    PRIMARY KEY (batchId),
    KEY countedAt (countedAt)
) ENGINE=InnoDB
