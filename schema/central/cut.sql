-- Cuts a period into the buckets of a step, widened to its edges as the API does; weeks begin on Monday, months on the first.
-- listed is the SQL that lists the buckets, counted the SQL of counts per eventId and bucket: '{ids}' stands where the list of eventIds belongs.
-- Whole days are read as totals, without unpacking.
CREATE OR REPLACE DEFINER = eventtracker_analysts
PROCEDURE eventtracker.cut (
    IN from_utc DATETIME,
    IN until_utc DATETIME,
    IN step VARCHAR(16) CHARACTER SET utf8mb4,
    IN series INT,
    OUT listed LONGTEXT CHARACTER SET ascii,
    OUT counted LONGTEXT CHARACTER SET ascii)
    READS SQL DATA
    SQL SECURITY INVOKER
BEGIN
    -- As many rows as a spreadsheet or a plot bears.
    DECLARE rows_max INT DEFAULT 100000;
    DECLARE epoch DATETIME DEFAULT '1970-01-05 00:00:00'; -- a Monday
    DECLARE first_bucket, last_bucket DATETIME;
    DECLARE last_second DATETIME DEFAULT until_utc - INTERVAL 1 SECOND;
    DECLARE width, buckets BIGINT;
    DECLARE unit VARCHAR(6) DEFAULT 'MINUTE';
    DECLARE bucket_of VARCHAR(200) CHARACTER SET ascii;
    DECLARE minute VARCHAR(80) CHARACTER SET ascii DEFAULT '(TIMESTAMP''1970-01-01 00:00:00'' + INTERVAL unixSeconds SECOND)';

    CALL eventtracker.check_period(from_utc, until_utc);
    SET width = CASE step
        WHEN '1m' THEN 1 WHEN '5m' THEN 5 WHEN '15m' THEN 15 WHEN '1h' THEN 60 WHEN '6h' THEN 360
        WHEN '1d' THEN 1440 WHEN '1w' THEN 10080 WHEN '1mo' THEN 1 END;
    IF width IS NULL THEN
        CALL eventtracker.refuse(CONCAT('''', COALESCE(step, 'NULL'), ''' is no step: take one of 1m 5m 15m 1h 6h 1d 1w 1mo'));
    END IF;
    IF step = '1mo' THEN
        SET unit = 'MONTH';
        SET first_bucket = DATE(from_utc) - INTERVAL DAYOFMONTH(from_utc) - 1 DAY;
        SET last_bucket = DATE(last_second) - INTERVAL DAYOFMONTH(last_second) - 1 DAY;
        SET buckets = TIMESTAMPDIFF(MONTH, first_bucket, last_bucket) + 1;
        SET bucket_of = 'TIMESTAMP(day - INTERVAL DAYOFMONTH(day) - 1 DAY)';
    ELSE
        SET first_bucket = epoch + INTERVAL FLOOR(TIMESTAMPDIFF(MINUTE, epoch, from_utc) / width) * width MINUTE;
        SET last_bucket = epoch + INTERVAL FLOOR(TIMESTAMPDIFF(MINUTE, epoch, last_second) / width) * width MINUTE;
        SET buckets = TIMESTAMPDIFF(MINUTE, first_bucket, last_bucket) DIV width + 1;
        SET bucket_of = CASE
            WHEN step = '1m' THEN minute
            WHEN step = '1d' THEN 'TIMESTAMP(day)'
            WHEN step = '1w' THEN 'TIMESTAMP(day - INTERVAL WEEKDAY(day) DAY)'
            ELSE CONCAT(minute, ' - INTERVAL unixSeconds DIV 60 % ', width, ' MINUTE') END;
    END IF;
    CALL eventtracker.check_kept(first_bucket);
    IF buckets * series > rows_max THEN
        CALL eventtracker.refuse(CONCAT(buckets, ' buckets of ', series, ' series are more than ', rows_max, ' rows: take a longer step, a shorter period or fewer names'));
    END IF;
    SET until_utc = CASE unit WHEN 'MONTH' THEN last_bucket + INTERVAL 1 MONTH ELSE last_bucket + INTERVAL width MINUTE END;
    SET listed = CONCAT('(SELECT TIMESTAMP''', first_bucket, ''' + INTERVAL (ord - 1) * ', width, ' ', unit,
        ' AS bucket FROM JSON_TABLE(CONCAT(''[0'', REPEAT('',0'', ', buckets - 1, '), '']''), ''$[*]'' COLUMNS (ord FOR ORDINALITY)) AS numbers)');
    SET counted = IF(step IN ('1d', '1w', '1mo'),
        CONCAT('(SELECT eventId, ', bucket_of, ' AS bucket, SUM(total) AS count FROM eventtracker.event_days WHERE eventId IN ({ids}) AND day >= ''',
            DATE(first_bucket), ''' AND day < ''', DATE(until_utc), ''' GROUP BY 1, 2)'),
        CONCAT('(SELECT eventId, ', bucket_of, ' AS bucket, SUM(count) AS count FROM eventtracker.event_minutes WHERE eventId IN ({ids}) AND day BETWEEN ''',
            DATE(first_bucket), ''' AND ''', DATE(last_bucket), ''' AND unixSeconds >= ', TO_SECONDS(first_bucket) - 62167219200, ' AND unixSeconds < ', TO_SECONDS(until_utc) - 62167219200, ' GROUP BY 1, 2)'));
END
