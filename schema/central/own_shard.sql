-- The shards that this server has, of a centre's 32. A row says that replication applies the shard here. isWhole: everything of it up to the
-- server's position is here, so it is read, packed and audited here; a copy that is still being made is not whole.
-- The row of shard 255 is of none: it says that these notes go before the configuration.
-- Put in by 'schema apply', changed by 'eventtracker shard move'; read by the API, the keeper, audits and the operators' commands.
CREATE TABLE IF NOT EXISTS eventtracker.OwnShard (
    shard   TINYINT UNSIGNED NOT NULL PRIMARY KEY,
    isWhole BOOLEAN          NOT NULL
) ENGINE=InnoDB
