-- Counts of very many names, as they came: a row holds counts of one flush, shard and day as JSON, 256 KiB at most.
-- counts is [[eventId, minute, [n, …]], …]: a name's counts in a minute of the day, numbered from 0, and in those after it; 0 is no event.
-- A name may come again in any row, and counts add up, also with those of EventMinute and EventDay.
-- Written by replication, where a flush has more rows than are worth a row each; read by the API, by audits and by analysts' views.
-- The keeper moves the counts on, and then they are here no more: those of an open day to EventMinute, others to EventDay.
-- id is a UUID (v7) that the worker made, so that no two rows have the same, whichever region they are of.
CREATE TABLE IF NOT EXISTS bigdata_{shard}.EventBlock (
    day    DATE       NOT NULL,
    id     BINARY(16) NOT NULL,
    counts LONGTEXT   NOT NULL,
    PRIMARY KEY (day, id)
) ENGINE=InnoDB
