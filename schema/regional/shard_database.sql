-- The shards' databases, named as at the centre, so that replication needs no rewriting.
CREATE DATABASE IF NOT EXISTS bigdata_{shard} CHARACTER SET ascii COLLATE ascii_bin
