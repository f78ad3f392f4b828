-- CALL eventtracker.total('shop.**', '2026-11-01', '2026-12-01'): one row, the sum over all names that match, or the ratio of two sums.
CREATE OR REPLACE DEFINER = eventtracker_analysts
PROCEDURE eventtracker.total (
    IN names VARCHAR(4000) CHARACTER SET utf8mb4,
    IN from_time VARCHAR(64) CHARACTER SET utf8mb4,
    IN until_time VARCHAR(64) CHARACTER SET utf8mb4)
    READS SQL DATA
    SQL SECURITY INVOKER
BEGIN
    DECLARE numerator, denominator, asked LONGTEXT CHARACTER SET ascii;
    DECLARE from_utc DATETIME DEFAULT eventtracker.utc_of(from_time);
    DECLARE until_utc DATETIME DEFAULT eventtracker.utc_of(until_time);

    CALL eventtracker.resolve(names, numerator, denominator);
    CALL eventtracker.check_period(from_utc, until_utc);
    SET asked = CONCAT('SELECT ', eventtracker.value_of(numerator, denominator), ' AS total FROM ',
        eventtracker.counts_within(CONCAT_WS(',', numerator, denominator), from_utc, until_utc), ' AS c');
    EXECUTE IMMEDIATE asked;
END
