-- What the keeper says an operator should look at now; region is '' for the centre itself; since is in UTC. Read by analysts and dashboards.
CREATE OR REPLACE DEFINER = eventtracker_analysts SQL SECURITY DEFINER
VIEW eventtracker.alarms (region, kind, sentence, since, since_unix) AS
SELECT region, kind, sentence, TIMESTAMP'1970-01-01 00:00:00' + INTERVAL UNIX_TIMESTAMP(since) SECOND, UNIX_TIMESTAMP(since)
FROM eventtracker.Alarm
