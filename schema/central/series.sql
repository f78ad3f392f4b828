-- CALL eventtracker.series('shop.*', '2026-11-01', '2026-11-08', '1h'): a row for each name and bucket, or for each bucket of a ratio.
-- Times are as utc_of() takes them; given unix seconds, buckets are unix seconds, too.
-- 0 is a bucket without events, NULL one that is yet to come, or a ratio without a denominator.
CREATE OR REPLACE DEFINER = eventtracker_analysts
PROCEDURE eventtracker.series (
    IN names VARCHAR(4000) CHARACTER SET utf8mb4,
    IN from_time VARCHAR(64) CHARACTER SET utf8mb4,
    IN until_time VARCHAR(64) CHARACTER SET utf8mb4,
    IN step VARCHAR(16) CHARACTER SET utf8mb4)
    READS SQL DATA
    SQL SECURITY INVOKER
BEGIN
    DECLARE numerator, denominator, listed, counted, asked LONGTEXT CHARACTER SET ascii;
    DECLARE from_utc DATETIME DEFAULT eventtracker.utc_of(from_time);
    DECLARE until_utc DATETIME DEFAULT eventtracker.utc_of(until_time);
    DECLARE bucket VARCHAR(80) CHARACTER SET ascii
        DEFAULT IF(eventtracker.is_unix(from_time), '(TO_SECONDS(b.bucket) - 62167219200) AS bucket', 'b.bucket');

    CALL eventtracker.resolve(names, numerator, denominator);
    CALL eventtracker.cut(from_utc, until_utc, step,
        IF(denominator IS NULL, CHAR_LENGTH(numerator) - CHAR_LENGTH(REPLACE(numerator, ',', '')) + 1, 1), listed, counted);
    IF denominator IS NULL THEN
        SET asked = CONCAT(
            'SELECT n.tagName AS name, ', bucket, ', COALESCE(c.count, IF(b.bucket <= UTC_TIMESTAMP(), 0, NULL)) AS value ',
            'FROM eventtracker.event_tags AS n CROSS JOIN ', listed, ' AS b ',
            'LEFT JOIN ', REPLACE(counted, '{ids}', numerator), ' AS c ON c.eventId = n.eventId AND c.bucket = b.bucket ',
            'WHERE n.eventId IN (', numerator, ') ORDER BY n.tagName, b.bucket');
    ELSE
        SET asked = CONCAT(
            'SELECT ', QUOTE(names), ' AS name, ', bucket, ', c.value ',
            'FROM ', listed, ' AS b LEFT JOIN (SELECT bucket, ', eventtracker.value_of(numerator, denominator), ' AS value ',
            'FROM ', REPLACE(counted, '{ids}', CONCAT(numerator, ',', denominator)), ' AS s GROUP BY bucket) AS c ON c.bucket = b.bucket ',
            'ORDER BY b.bucket');
    END IF;
    EXECUTE IMMEDIATE asked;
END
