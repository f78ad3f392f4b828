-- The SQL of eventIds and counts within [from_utc, until_utc): whole days as totals, without unpacking, and the minutes at the edges.
-- Of all names where ids is NULL.
CREATE OR REPLACE DEFINER = eventtracker_analysts
FUNCTION eventtracker.counts_within (ids LONGTEXT CHARACTER SET ascii, from_utc DATETIME, until_utc DATETIME)
    RETURNS LONGTEXT CHARACTER SET ascii
    DETERMINISTIC NO SQL
    SQL SECURITY INVOKER
BEGIN
    DECLARE minutes, which LONGTEXT CHARACTER SET ascii;
    DECLARE first_day DATE DEFAULT DATE(from_utc - INTERVAL 1 SECOND) + INTERVAL 1 DAY;
    DECLARE end_day DATE DEFAULT DATE(until_utc);

    SET which = IF(ids IS NULL, '', CONCAT('eventId IN (', ids, ') AND '));
    SET minutes = CONCAT('SELECT eventId, count FROM eventtracker.event_minutes WHERE ', which);
    IF first_day >= end_day THEN
        RETURN CONCAT('(', minutes, 'day BETWEEN ''', DATE(from_utc), ''' AND ''', end_day,
            ''' AND unixSeconds >= ', TO_SECONDS(from_utc) - 62167219200, ' AND unixSeconds < ', TO_SECONDS(until_utc) - 62167219200, ')');
    END IF;
    RETURN CONCAT('(SELECT eventId, total AS count FROM eventtracker.event_days WHERE ', which, 'day >= ''', first_day, ''' AND day < ''', end_day, '''',
        IF(from_utc < first_day,
            CONCAT(' UNION ALL ', minutes, 'day = ''', DATE(from_utc), ''' AND unixSeconds >= ', TO_SECONDS(from_utc) - 62167219200), ''),
        IF(end_day < until_utc,
            CONCAT(' UNION ALL ', minutes, 'day = ''', end_day, ''' AND unixSeconds < ', TO_SECONDS(until_utc) - 62167219200), ''), ')');
END
