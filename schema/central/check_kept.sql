-- Refuses what begins before the first day that every shard still has: sums without what retention has dropped would look like sums.
CREATE OR REPLACE DEFINER = eventtracker_analysts
PROCEDURE eventtracker.check_kept (IN from_utc DATETIME)
    READS SQL DATA
    SQL SECURITY INVOKER
BEGIN
    DECLARE kept_since DATE DEFAULT (SELECT MAX(beforeDay) FROM eventtracker.DroppedDays);

    IF from_utc < kept_since THEN
        CALL eventtracker.refuse(CONCAT('counts before ', kept_since, ' are not kept any more, so nothing that begins ', from_utc, ' is known'));
    END IF;
END
