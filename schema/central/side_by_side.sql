-- CALL eventtracker.side_by_side('web.load / web.load.samples', 'shop.item.sold', '2026-11-01', '2026-11-08', '1h'): a row for each bucket
-- with both values. Each of a and b is a name, a pattern whose names are summed, or a ratio; 0 and NULL mean what they mean in series().
CREATE OR REPLACE DEFINER = eventtracker_analysts
PROCEDURE eventtracker.side_by_side (
    IN a VARCHAR(4000) CHARACTER SET utf8mb4,
    IN b VARCHAR(4000) CHARACTER SET utf8mb4,
    IN from_time VARCHAR(64) CHARACTER SET utf8mb4,
    IN until_time VARCHAR(64) CHARACTER SET utf8mb4,
    IN step VARCHAR(16) CHARACTER SET utf8mb4)
    READS SQL DATA
    SQL SECURITY INVOKER
BEGIN
    DECLARE from_utc DATETIME DEFAULT eventtracker.utc_of(from_time);
    DECLARE until_utc DATETIME DEFAULT eventtracker.utc_of(until_time);
    DECLARE bucket VARCHAR(80) CHARACTER SET ascii
        DEFAULT IF(eventtracker.is_unix(from_time), '(TO_SECONDS(p.bucket) - 62167219200) AS bucket', 'p.bucket');
    DECLARE a_above, a_below, b_above, b_below, listed, counted, asked LONGTEXT CHARACTER SET ascii;
    DECLARE empty VARCHAR(60) CHARACTER SET ascii DEFAULT 'IF(p.bucket <= UTC_TIMESTAMP(), 0, NULL)';

    CALL eventtracker.resolve(a, a_above, a_below);
    CALL eventtracker.resolve(b, b_above, b_below);
    CALL eventtracker.cut(from_utc, until_utc, step, 1, listed, counted);
    SET asked = CONCAT(
        'SELECT ', bucket, ', COALESCE(c.a, ', IF(a_below IS NULL, empty, 'NULL'), ') AS a, COALESCE(c.b, ', IF(b_below IS NULL, empty, 'NULL'), ') AS b ',
        'FROM ', listed, ' AS p LEFT JOIN (SELECT bucket, ', eventtracker.value_of(a_above, a_below), ' AS a, ', eventtracker.value_of(b_above, b_below), ' AS b ',
        'FROM ', REPLACE(counted, '{ids}', CONCAT_WS(',', a_above, a_below, b_above, b_below)), ' AS s GROUP BY bucket) AS c ON c.bucket = p.bucket ',
        'ORDER BY p.bucket');
    EXECUTE IMMEDIATE asked;
END
