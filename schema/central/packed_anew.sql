-- How far the keeper has brought each shard's packed days into the present form of their text: all up to this key are in the form of this
-- number. Days that are written later are in it anyway. Put in by 'schema apply', and moved on by the keeper; a version that knows only an
-- earlier form refuses the centre.
CREATE TABLE IF NOT EXISTS eventtracker.PackedAnew (
    shard   TINYINT UNSIGNED NOT NULL PRIMARY KEY,
    form    TINYINT UNSIGNED NOT NULL,
    day     DATE             NOT NULL,
    eventId BIGINT UNSIGNED  NOT NULL
) ENGINE=InnoDB
