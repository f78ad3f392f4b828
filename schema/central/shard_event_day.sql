-- One row per event and day, for closed days: the minute counts as text, and their total, which saturates as a count does.
-- counts has one of three forms. A rare event: [[minute, count], …], the minutes in order and no count 0. Other days: the least of all
-- counts, and what each minute has more than that as digits to the base 92, from # for 0 to ~ for 91: least,"…" has a digit for each minute
-- of the day, and in least,"…","…" the first string has the last digits, the second those of the 92s, and so on up to four. Within brackets
-- that is JSON, where \ is written twice. [n0, n1, …, n1439], one number for each minute, is what earlier versions wrote for all of these
-- (the keeper brings them into digits), and what is written where a count is 92^4 above the least.
-- A count is here, in EventMinute or in EventBlock, never in two of them.
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
