-- Whether a procedure is given unix seconds: then its buckets are such, too.
CREATE OR REPLACE DEFINER = eventtracker_analysts
FUNCTION eventtracker.is_unix (given VARCHAR(64) CHARACTER SET utf8mb4)
    RETURNS BOOLEAN
    DETERMINISTIC NO SQL
    SQL SECURITY INVOKER
    RETURN given REGEXP '^(0|[0-9]{9,10})([.][0-9]+)?\\z'
