-- One database per shard. Written by replication, read by the API and by analysts.
-- The name says the range: bigdata_n holds the eventIds whose top five bits are n.
CREATE DATABASE IF NOT EXISTS bigdata_{shard} CHARACTER SET ascii COLLATE ascii_bin
