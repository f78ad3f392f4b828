-- What the keeper says an operator should look at now; region is '' for the centre itself. Read by analysts and dashboards.
CREATE OR REPLACE DEFINER = eventtracker_analysts SQL SECURITY DEFINER
VIEW eventtracker.alarms (region, kind, sentence, since) AS
SELECT region, kind, sentence, TIMESTAMP'1970-01-01 00:00:00' + INTERVAL UNIX_TIMESTAMP(since) SECOND
FROM eventtracker.Alarm
