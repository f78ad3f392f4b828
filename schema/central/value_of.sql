-- The SQL that sums counts of what resolve() found, or divides two such sums: NULL where the denominator is 0.
CREATE OR REPLACE DEFINER = eventtracker_analysts
FUNCTION eventtracker.value_of (numerator LONGTEXT CHARACTER SET ascii, denominator LONGTEXT CHARACTER SET ascii)
    RETURNS LONGTEXT CHARACTER SET ascii
    DETERMINISTIC NO SQL
    SQL SECURITY INVOKER
    RETURN IF(denominator IS NULL,
        CONCAT('COALESCE(SUM(IF(eventId IN (', numerator, '), count, 0)), 0)'),
        CONCAT('CAST(SUM(IF(eventId IN (', numerator, '), count, 0)) AS DOUBLE) / NULLIF(SUM(IF(eventId IN (', denominator, '), count, 0)), 0)'))
