-- Every name with its eventId, also as text, for programs that round numbers beyond 2^53. Read by analysts.
CREATE OR REPLACE DEFINER = eventtracker_analysts SQL SECURITY DEFINER
VIEW eventtracker.event_tags (eventId, tagName, popularity, eventIdText) AS
SELECT eventId, tagName, popularity, CAST(eventId AS CHAR CHARACTER SET ascii) FROM bigdata_0.EventTags
