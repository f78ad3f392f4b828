-- By when everything was packed that had come for a day: for the last closed days, for those that were left, and in the row
-- of 1999-12-31 for all others. Written and read by the keeper, whose alarm says since when a day waits; so it knows that after a restart, too.
CREATE TABLE IF NOT EXISTS eventtracker.PackedUntil (
    day         DATE         NOT NULL PRIMARY KEY,
    packedUntil TIMESTAMP(3) NOT NULL
) ENGINE=InnoDB
