-- The outbox for counts of flushes that have very many; see the centre's table.
CREATE TABLE IF NOT EXISTS bigdata_{shard}.EventBlock (
    day    DATE       NOT NULL,
    id     BINARY(16) NOT NULL,
    counts LONGTEXT   NOT NULL,
    PRIMARY KEY (day, id)
) ENGINE=BLACKHOLE
