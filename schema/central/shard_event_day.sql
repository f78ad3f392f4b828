-- One row per event and day, for closed days: the minute counts as JSON, and their total, which saturates as a count does.
-- counts is [n0, n1, …, n1439], one number for each minute of the day, or for a rare event [[minute, count], …], the minutes in order
-- and no count 0. A count is here, in EventMinute or in EventBlock, never in two of them.
-- Written by the keeper alone, which moves the counts here; read by the API, by audits and by analysts' views.
-- Key (day, eventId): days are inserted once, in key order, which compresses best. (eventId, day) finds one name's
-- history, and with total in it sums of days are read without the rows.
CREATE TABLE IF NOT EXISTS bigdata_{shard}.EventDay (
    day     DATE                NOT NULL,
    eventId BIGINT UNSIGNED     NOT NULL,
    total   BIGINT UNSIGNED     NOT NULL,
    counts  LONGTEXT COMPRESSED NOT NULL,
    PRIMARY KEY (day, eventId),
    KEY eventTotal (eventId, day, total)
) ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8
