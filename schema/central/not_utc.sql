-- Ends a query that reads createDate in a session of another time zone: createDate is UTC, and next to FROM_UNIXTIME(), UNIX_TIMESTAMP() or
-- NOW() of such a session it would answer for other hours, without a word. Called by the views, which read createDate only if a query does.
CREATE OR REPLACE DEFINER = eventtracker_analysts
FUNCTION eventtracker.not_utc ()
    RETURNS DATETIME
    DETERMINISTIC NO SQL
    SQL SECURITY INVOKER
BEGIN
    CALL eventtracker.refuse(CONCAT('createDate is UTC, and the time_zone of this session is ', @@session.time_zone,
        ': take unixSeconds, which is the same in every zone, or SET time_zone = ''+00:00'''));
    RETURN NULL;
END
