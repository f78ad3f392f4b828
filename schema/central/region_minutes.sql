-- The sum of all counts by region and UTC minute. Read by analysts.
CREATE OR REPLACE DEFINER = eventtracker_analysts SQL SECURITY DEFINER
VIEW eventtracker.region_minutes (region, createDate, count) AS
SELECT region, TIMESTAMP'1970-01-01 00:00:00' + INTERVAL UNIX_TIMESTAMP(createDate) SECOND, count
FROM bigdata_0.RegionMinute
