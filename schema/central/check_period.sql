-- Refuses a period that is none.
CREATE OR REPLACE DEFINER = eventtracker_analysts
PROCEDURE eventtracker.check_period (IN from_utc DATETIME, IN until_utc DATETIME)
    NO SQL
    SQL SECURITY INVOKER
    IF from_utc IS NULL OR until_utc IS NULL OR from_utc >= until_utc THEN
        CALL eventtracker.refuse(CONCAT('the period from ', COALESCE(from_utc, 'NULL'), ' until ', COALESCE(until_utc, 'NULL'),
            ' is empty: it begins with the first and ends before the second'));
    END IF
