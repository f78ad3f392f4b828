-- Lets a centre read on from a region, where its reading has ended with an error that passes. For the keeper, which may do nothing else to
-- replication; beside the analysts' procedures they could call it.
CREATE OR REPLACE DEFINER = eventtracker_reader
PROCEDURE bigdata_0.read_on (IN region VARCHAR(32) CHARACTER SET ascii)
    SQL SECURITY DEFINER
    EXECUTE IMMEDIATE CONCAT('START SLAVE ', QUOTE(region), ' IO_THREAD')
