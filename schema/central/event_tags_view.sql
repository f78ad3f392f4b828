-- Every name with its eventId. Read by analysts.
CREATE OR REPLACE DEFINER = eventtracker_analysts SQL SECURITY DEFINER
VIEW eventtracker.event_tags (eventId, tagName, popularity) AS
SELECT eventId, tagName, popularity FROM bigdata_0.EventTags
