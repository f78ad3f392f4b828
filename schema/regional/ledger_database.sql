-- What the region keeps for itself. The centre's replication filter takes bigdata_% only, so nothing in here travels.
CREATE DATABASE IF NOT EXISTS eventtracker CHARACTER SET ascii COLLATE ascii_bin
