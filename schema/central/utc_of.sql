-- The instant that a procedure is given, in UTC: unix seconds (9 or 10 digits, or 0), a date, which is a UTC day's beginning, or a date and
-- time. One without a Z behind it is refused in a session of another time zone: FROM_UNIXTIME() and NOW() give such, of other hours.
CREATE OR REPLACE DEFINER = eventtracker_analysts
FUNCTION eventtracker.utc_of (given VARCHAR(64) CHARACTER SET utf8mb4)
    RETURNS DATETIME
    NOT DETERMINISTIC NO SQL
    SQL SECURITY INVOKER
BEGIN
    DECLARE utc DATETIME;
    -- No such day or time.
    DECLARE CONTINUE HANDLER FOR 1292 SET utc = NULL;

    IF given IS NULL THEN
        RETURN NULL;
    END IF;
    IF eventtracker.is_unix(given) THEN
        RETURN TIMESTAMP'1970-01-01 00:00:00' + INTERVAL FLOOR(given) SECOND;
    END IF;
    IF given REGEXP '^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9:.]+Z\\z' THEN
        SET utc = CAST(REPLACE(TRIM(TRAILING 'Z' FROM given), 'T', ' ') AS DATETIME);
    ELSEIF given REGEXP '^([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8})\\z' OR eventtracker.is_utc() THEN
        SET utc = CAST(given AS DATETIME);
    ELSE
        CALL eventtracker.refuse(CONCAT('''', given, ''' has no time zone, and that of this session is ', @@session.time_zone,
            ': give unix seconds, a date, a UTC time with a Z behind it, or SET time_zone = ''+00:00'''));
    END IF;
    IF utc IS NULL OR given REGEXP '^[0-9]{1,7}([.][0-9]+)?\\z|^[0-9]{9,13}\\z' THEN
        CALL eventtracker.refuse(CONCAT('''', given, ''' is no time: give unix seconds such as 1763787600, a date or YYYY-MM-DD HH:MM:SS in UTC'));
    END IF;
    RETURN utc;
END
