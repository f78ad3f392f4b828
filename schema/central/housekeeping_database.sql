-- What the keeper notes at this centre, beside what regions send. Written by the keeper, read by the API.
CREATE DATABASE IF NOT EXISTS eventtracker CHARACTER SET ascii COLLATE ascii_bin
