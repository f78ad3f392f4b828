-- CALL eventtracker.top_names('2026-11-23', '2026-11-24', 20): the names with the largest sums, the largest first.
CREATE OR REPLACE DEFINER = eventtracker_analysts
PROCEDURE eventtracker.top_names (
    IN from_time VARCHAR(64) CHARACTER SET utf8mb4,
    IN until_time VARCHAR(64) CHARACTER SET utf8mb4,
    IN names INT)
    READS SQL DATA
    SQL SECURITY INVOKER
BEGIN
    -- More is a list of all names: event_days has it.
    DECLARE names_max INT DEFAULT 10000;
    DECLARE asked LONGTEXT CHARACTER SET ascii;
    DECLARE from_utc DATETIME DEFAULT eventtracker.utc_of(from_time);
    DECLARE until_utc DATETIME DEFAULT eventtracker.utc_of(until_time);

    CALL eventtracker.check_period(from_utc, until_utc);
    IF names IS NULL OR names < 1 OR names > names_max THEN
        CALL eventtracker.refuse(CONCAT(COALESCE(names, 'NULL'), ' names cannot be listed: ask for 1 to ', names_max));
    END IF;
    SET asked = CONCAT(
        'SELECT n.tagName AS name, c.total FROM (SELECT eventId, SUM(count) AS total FROM ', eventtracker.counts_within(NULL, from_utc, until_utc), ' AS s ',
        'GROUP BY eventId ORDER BY total DESC, eventId LIMIT ', names, ') AS c ',
        'LEFT JOIN eventtracker.event_tags AS n ON n.eventId = c.eventId ORDER BY c.total DESC, c.eventId');
    EXECUTE IMMEDIATE asked;
END
