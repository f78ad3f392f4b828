-- Who has sent another body under an Idempotency-Key that was used before: pieces of requests that were acknowledged and not
-- counted, the sum of their counts, and when that was last seen, by the region's clock. client is the name of a token, or an address.
-- Written by replication, read by the keeper for its alarm. A worker names so many clients at most, then all others as one.
CREATE TABLE IF NOT EXISTS bigdata_0.KeyReuse (
    region  VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    client  VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    batches BIGINT UNSIGNED NOT NULL,
    count   BIGINT UNSIGNED NOT NULL,
    seenAt  TIMESTAMP(3)    NOT NULL,
    PRIMARY KEY (region, client)
) ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8
