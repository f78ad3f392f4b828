-- Whether the session's time zone is UTC, or has been wherever it could matter: winter, summer, and the year in which São Tomé left it.
-- The views of minutes have the same condition inline, where the optimizer takes it for a constant.
CREATE OR REPLACE DEFINER = eventtracker_analysts
FUNCTION eventtracker.is_utc ()
    RETURNS BOOLEAN
    NOT DETERMINISTIC NO SQL
    SQL SECURITY INVOKER
    RETURN UNIX_TIMESTAMP(TIMESTAMP'2018-07-01 00:00:00') = 1530403200
        AND UNIX_TIMESTAMP(TIMESTAMP'2026-01-01 00:00:00') = 1767225600
        AND UNIX_TIMESTAMP(TIMESTAMP'2026-07-01 00:00:00') = 1782864000
