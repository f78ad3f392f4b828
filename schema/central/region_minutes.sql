-- The sum of all counts by region and UTC minute; createDate and unixSeconds as in event_minutes. Read by analysts.
CREATE OR REPLACE ALGORITHM = MERGE DEFINER = eventtracker_analysts SQL SECURITY DEFINER
VIEW eventtracker.region_minutes (region, createDate, count, unixSeconds) AS
SELECT region,
    IF(UNIX_TIMESTAMP(TIMESTAMP'2018-07-01 00:00:00') = 1530403200
        AND UNIX_TIMESTAMP(TIMESTAMP'2026-01-01 00:00:00') = 1767225600
        AND UNIX_TIMESTAMP(TIMESTAMP'2026-07-01 00:00:00') = 1782864000,
        TIMESTAMP'1970-01-01 00:00:00' + INTERVAL UNIX_TIMESTAMP(createDate) SECOND,
        eventtracker.not_utc()),
    count,
    UNIX_TIMESTAMP(createDate)
FROM bigdata_0.RegionMinute
