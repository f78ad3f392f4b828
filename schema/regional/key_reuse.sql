-- The outbox for keys that were used again with another body, written by the workers in the transaction that did not count them.
CREATE TABLE IF NOT EXISTS bigdata_0.KeyReuse (
    region  VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    client  VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    batches BIGINT UNSIGNED NOT NULL,
    count   BIGINT UNSIGNED NOT NULL,
    seenAt  TIMESTAMP(3)    NOT NULL,
    PRIMARY KEY (region, client)
) ENGINE=BLACKHOLE
