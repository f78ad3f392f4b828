-- Refuses a period that is none, or that is not kept any more.
CREATE OR REPLACE DEFINER = eventtracker_analysts
PROCEDURE eventtracker.check_period (IN from_utc DATETIME, IN until_utc DATETIME)
    READS SQL DATA
    SQL SECURITY INVOKER
BEGIN
    IF from_utc IS NULL OR until_utc IS NULL OR from_utc >= until_utc THEN
        CALL eventtracker.refuse(CONCAT('the period from ', COALESCE(from_utc, 'NULL'), ' until ', COALESCE(until_utc, 'NULL'),
            ' is empty: it begins with the first and ends before the second'));
    END IF;
    CALL eventtracker.check_kept(from_utc);
END
