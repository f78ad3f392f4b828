-- What the region keeps for itself. The centre applies bigdata_% only, so what is written in here is passed over there.
CREATE DATABASE IF NOT EXISTS eventtracker CHARACTER SET ascii COLLATE ascii_bin
